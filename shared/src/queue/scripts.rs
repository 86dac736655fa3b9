//! What we do to apalis-redis' keys ourselves, as scripts that Redis runs as one step.
//!
//! Because each is one step, an id is always in exactly one place: waiting, in one worker's set, or ended. Only ids that
//! have ended lose their payload. For one more operation: a script that keeps this true.

/// KEYS: payloads, waiting list, prefix of metadata, channel; ARGV: id, payload, id, payload, …
pub(super) const PUSH: &str = "
for i = 1, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('HSET', KEYS[3] .. ':' .. ARGV[i],
      'attempts', 0, 'max_attempts', 25, 'status', 'Pending', 'idempotency_key', '')
    redis.call('RPUSH', KEYS[2], ARGV[i])
  end
end
redis.call('PUBLISH', KEYS[4], #ARGV / 2)
return #ARGV / 2";

/// KEYS: set of ended ids, payloads, prefix of metadata; ARGV: how many to purge.
pub(super) const PURGE: &str = "
local ids = redis.call('SPOP', KEYS[1], ARGV[1])
if #ids == 0 then return 0 end
local metadata = {}
for i, id in ipairs(ids) do metadata[i] = KEYS[3] .. ':' .. id end
redis.call('HDEL', KEYS[2], unpack(ids))
redis.call('UNLINK', unpack(metadata))
return #ids";

/// KEYS: the worker's set, payloads, prefix of metadata, waiting list, workers, the worker's metadata, channel;
/// ARGV: the worker. An id without payload or metadata would kill every worker that fetches it, so it goes.
pub(super) const HAND_BACK: &str = "
local back = 0
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local metadata = KEYS[3] .. ':' .. id
  if redis.call('HEXISTS', KEYS[2], id) == 1 and redis.call('EXISTS', metadata) == 1 then
    redis.call('LPUSH', KEYS[4], id)
    back = back + 1
  else
    redis.call('HDEL', KEYS[2], id)
    redis.call('UNLINK', metadata)
  end
end
redis.call('UNLINK', KEYS[1], KEYS[6])
redis.call('ZREM', KEYS[5], ARGV[1])
if back > 0 then redis.call('PUBLISH', KEYS[7], back) end
return back";
