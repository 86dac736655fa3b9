//! The log in Redis, as scripts that Redis runs as one step: a sorted set with the times as scores.
//!
//! The members of a time are named `time:0`, `time:1` and so on without a gap, so their number says the next name. Times
//! are µs since 1970 and stay below 2^53, so that they are exact as the doubles that scores and Lua's numbers are. Lua
//! would write them with 14 digits, so every text with a time in it comes from the caller.

/// KEYS: a log for each who asks; ARGV, for each: now, how many, the last time to forget, how long to keep the log in ms,
/// the number of windows, and for each window the lower bound of its scores and its limit. Answers for each whether they
/// were let in, and for each window how many count in it and the time that `Fill::waits_for` is about, or -1.
pub(super) const ADMIT: &str = "
local answer, arg = {}, 1
for _, log in ipairs(KEYS) do
  local now, count, first = ARGV[arg], tonumber(ARGV[arg + 1]), arg + 5
  local last = first + 2 * tonumber(ARGV[arg + 4]) - 1
  redis.call('ZREMRANGEBYSCORE', log, '-inf', ARGV[arg + 2])
  local used, allowed = {}, 1
  for i = first, last, 2 do
    used[i] = redis.call('ZCOUNT', log, ARGV[i], '+inf')
    if used[i] + count > tonumber(ARGV[i + 1]) then allowed = 0 end
  end
  local taken = allowed * count
  if taken > 0 then
    local same = redis.call('ZCOUNT', log, now, now)
    for n = same, same + taken - 1 do redis.call('ZADD', log, now, now .. ':' .. n) end
    redis.call('PEXPIRE', log, ARGV[arg + 3])
  end
  answer[#answer + 1] = allowed
  local total = redis.call('ZCARD', log)
  for i = first, last, 2 do
    local full = used[i] + taken
    local at = total - full + math.max(full + count - tonumber(ARGV[i + 1]), 1) - 1
    local entry = redis.call('ZRANGE', log, at, at, 'WITHSCORES')
    answer[#answer + 1] = full
    answer[#answer + 1] = tonumber(entry[2] or -1)
  end
  arg = last + 1
end
return answer";

/// KEYS: log; ARGV: time. Answers how many were taken out: one, or none if none has that time.
pub(super) const RELEASE: &str = "
local same = redis.call('ZCOUNT', KEYS[1], ARGV[1], ARGV[1])
if same == 0 then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1] .. ':' .. (same - 1))";
