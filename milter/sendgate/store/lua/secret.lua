#!lua
-- Puts a shard under another secret. It is a change of the stream, so that no replica takes in what follows unaware.
--
-- KEYS: meta, changes. ARGV: epoch, fingerprint of the secret. Answer: 1 when it was done, 0 when it was so before.
local meta, changes = KEYS[1], KEYS[2]
local state = redis.call('HMGET', meta, 'epoch', 'last', 'sequence', 'octets', 'secret')
if state[1] ~= ARGV[1] then
    return redis.error_reply('EPOCH of this shard is ' .. (state[1] or 'gone'))
end
if state[5] == ARGV[2] then
    return 0
end

local OVERHEAD = 64 -- as write.lua counts it
local id = redis.call('XADD', changes, '*', 'p', state[2], 'n', state[3], 'c', '', 's', ARGV[2])
redis.call('HSET', meta, 'last', id, 'octets', tonumber(state[4]) + OVERHEAD, 'secret', ARGV[2])
return 1
