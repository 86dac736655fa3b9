//! The log in Redis, as scripts that Redis runs as one step: a sorted set with the times as scores.
//!
//! The members of a time are named `time:0`, `time:1` and so on without a gap, so their number says the next name. Times
//! are µs since 1970 and stay below 2^53, so that they are exact as the doubles that scores and Lua's numbers are. Lua
//! would write them with 14 digits, so every text with a time in it comes from the caller.

/// KEYS: log; ARGV: now, how many, the last time to forget, how long to keep the log in ms, and for each window the
/// lower bound of its scores and its limit. Answers whether they were let in, and for each window how many count in it
/// and the time that `Fill::waits_for` is about, or -1.
pub(super) const ADMIT: &str = "
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
local count, allowed = tonumber(ARGV[2]), 1
for i = 5, #ARGV, 2 do
  if redis.call('ZCOUNT', KEYS[1], ARGV[i], '+inf') + count > tonumber(ARGV[i + 1]) then allowed = 0 end
end
if allowed == 1 and count > 0 then
  local same = redis.call('ZCOUNT', KEYS[1], ARGV[1], ARGV[1])
  for n = same, same + count - 1 do redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1] .. ':' .. n) end
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
local total, fills = redis.call('ZCARD', KEYS[1]), {}
for i = 5, #ARGV, 2 do
  local used = redis.call('ZCOUNT', KEYS[1], ARGV[i], '+inf')
  local last = total - used + math.max(used + count - tonumber(ARGV[i + 1]), 1) - 1
  local entry = redis.call('ZRANGE', KEYS[1], last, last, 'WITHSCORES')
  fills[#fills + 1] = used
  fills[#fills + 1] = tonumber(entry[2] or -1)
end
return {allowed, fills}";

/// KEYS: log; ARGV: time. Answers how many were taken out: one, or none if none has that time.
pub(super) const RELEASE: &str = "
local same = redis.call('ZCOUNT', KEYS[1], ARGV[1], ARGV[1])
if same == 0 then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1] .. ':' .. (same - 1))";
