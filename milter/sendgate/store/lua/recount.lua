#!lua
-- Puts other counts in the place of those that a shard has, if nothing has changed it since it was counted.
--
-- KEYS: meta, counts. ARGV: epoch and id of the last change when it was counted; then label id and kind, and number of
-- entries, of each that there is. Answer: 1 when it was done, 0 when the shard has changed.
local meta, counts = KEYS[1], KEYS[2]
for _, needed in ipairs({{'HSET', counts, '', ''}, {'HDEL', counts, ''}}) do
    if not redis.acl_check_cmd(unpack(needed)) then
        return redis.error_reply('NOPERM this user has no permissions to run ' .. needed[1] .. ' in a script')
    end
end

local state = redis.call('HMGET', meta, 'epoch', 'last')
if state[1] ~= ARGV[1] or state[2] ~= ARGV[2] then
    return 0
end

local wanted = {}
for at = 3, #ARGV, 2 do
    wanted[ARGV[at]] = ARGV[at + 1]
end
local there = redis.call('HGETALL', counts)
for at = 1, #there, 2 do
    local name, count = there[at], there[at + 1]
    if not wanted[name] then
        redis.call('HDEL', counts, name)
    elseif wanted[name] == count then
        wanted[name] = nil
    end
end
for name, count in pairs(wanted) do
    redis.call('HSET', counts, name, count)
end
return 1
