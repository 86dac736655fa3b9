//! The log in Redis, as scripts that Redis runs as one step: a sorted set with the times as scores.
//!
//! The members of a time are named `time:0`, `time:1` and so on without a gap, so their number says the last name. Times
//! are µs since 1970 and stay below 2^53, so that they are exact as the doubles that scores and Lua's numbers are. Lua
//! would write them with 14 digits, so every text with a time in it comes from the caller.

/// KEYS: a log for each who asks; ARGV, for each: now, how many, the last time to forget, how long to keep the log in ms,
/// the number of windows, and for each window the last time that no longer counts and its limit. Answers for each whether
/// they were let in, and for each window how many count in it and the time that `Fill::waits_for` is about, or -1.
///
/// A call from a script costs Redis more than what most of these calls do, so a window is counted only if the oldest time
/// is not in it: most logs are younger than their windows.
pub(super) const ADMIT: &str = "
local function time_at(log, index)
  return tonumber(redis.call('ZRANGE', log, index, index, 'WITHSCORES')[2])
end
local answer, arg = {}, 1
for _, log in ipairs(KEYS) do
  local now, count, first = ARGV[arg], tonumber(ARGV[arg + 1]), arg + 5
  local last = first + 2 * tonumber(ARGV[arg + 4]) - 1
  local total, oldest = redis.call('ZCARD', log), time_at(log, 0)
  if oldest and oldest <= tonumber(ARGV[arg + 2]) then
    total = total - redis.call('ZREMRANGEBYSCORE', log, '-inf', ARGV[arg + 2])
    oldest = time_at(log, 0)
  end
  local used, allowed = {}, 1
  for i = first, last, 2 do
    local is_older = oldest and oldest <= tonumber(ARGV[i])
    used[i] = is_older and redis.call('ZCOUNT', log, '(' .. ARGV[i], '+inf') or total
    if used[i] + count > tonumber(ARGV[i + 1]) then allowed = 0 end
  end
  local taken = allowed * count
  if taken > 0 then
    local left, name = taken, 0
    while left > 0 do
      left = left - redis.call('ZADD', log, 'NX', now, now .. ':' .. name)
      name = name + 1
    end
    redis.call('PEXPIRE', log, ARGV[arg + 3])
    total, oldest = total + taken, math.min(oldest or tonumber(now), tonumber(now))
  end
  answer[#answer + 1] = allowed
  for i = first, last, 2 do
    local full = used[i] + taken
    local at = total - full + math.max(full + count - tonumber(ARGV[i + 1]), 1) - 1
    answer[#answer + 1] = full
    answer[#answer + 1] = at == 0 and oldest or time_at(log, at) or -1
  end
  arg = last + 1
end
return answer";

/// KEYS: log; ARGV: time. Answers how many were taken out: one, or none if none has that time.
pub(super) const RELEASE: &str = "
local same = redis.call('ZCOUNT', KEYS[1], ARGV[1], ARGV[1])
if same == 0 then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1] .. ':' .. (same - 1))";
