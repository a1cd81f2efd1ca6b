#!lua
-- Changes entries of one shard, all or none, and appends them to its stream of changes.
--
-- KEYS: meta, counts, labels, changes, then each bucket that is named below.
-- ARGV: epoch, octets of changes to keep, fingerprints of the secrets that the shard may be under ("" is: any), what a
--       replica takes in before (shard and sequence number, ...), number of labels, (id, text) of each label,
--       then (bucket as an index into KEYS, field, value expected, new value) of each change; "" is: not there.
-- Answer: {1, sequence number} when done; {0, index of change, value found, ...} when a value is not as expected, and
-- then nothing has changed.
local meta, counts, labels, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local REMOVED = 128

local state = redis.call('HMGET', meta, 'epoch', 'last', 'sequence', 'octets', 'secret')
if state[1] ~= ARGV[1] then
    return redis.error_reply('EPOCH of this shard is ' .. (state[1] or 'gone'))
end

if ARGV[3] ~= '' and not string.find(ARGV[3], state[5], 1, true) then
    return redis.error_reply('SECRET of this shard is another')
end

local first = 6 + 2 * tonumber(ARGV[5])
local conflicts = {0}
for at = first, #ARGV, 4 do
    local found = redis.call('HGET', KEYS[tonumber(ARGV[at])], ARGV[at + 1]) or ''
    if found ~= ARGV[at + 2] then
        conflicts[#conflicts + 1] = (at - first) / 4
        conflicts[#conflicts + 1] = found
    end
end
if #conflicts > 1 then
    return conflicts
end

for at = 6, first - 1, 2 do
    redis.call('HSETNX', labels, ARGV[at], ARGV[at + 1])
end

-- A row is field, then created, expires, origin, strikes and kind of the value: what a replica holds.
local rows, differences = {}, {}
local function count(field, value, by)
    local name = string.sub(field, 17, 24) .. string.sub(value, 11, 11)
    differences[name] = (differences[name] or 0) + by
end
for at = first, #ARGV, 4 do
    local bucket, field, old, new = KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    if old ~= '' then
        count(field, old, -1)
    end
    if new == '' then
        redis.call('HDEL', bucket, field)
        rows[#rows + 1] = field .. string.sub(old, 1, 10) .. string.char(string.byte(old, 11) + REMOVED)
    else
        redis.call('HSET', bucket, field, new)
        count(field, new, 1)
        rows[#rows + 1] = field .. string.sub(new, 1, 11)
    end
end
for name, by in pairs(differences) do
    if by ~= 0 and redis.call('HINCRBY', counts, name, by) == 0 then
        redis.call('HDEL', counts, name)
    end
end

local OVERHEAD = 64 -- octets, about, that a stream needs for an entry beside its rows
local packed = table.concat(rows)
local sequence = tonumber(state[3]) + #rows
local record = {'p', state[2], 'n', sequence, 'c', packed}
if ARGV[4] ~= '' then
    record[7], record[8] = 'a', ARGV[4]
end
local id = redis.call('XADD', changes, '*', unpack(record))
local octets, keep = tonumber(state[4]) + #packed + OVERHEAD, tonumber(ARGV[2])
while octets > keep do
    local oldest = redis.call('XRANGE', changes, '-', '+', 'COUNT', 2)
    if #oldest < 2 then
        break
    end
    octets = octets - #oldest[1][2][6] - OVERHEAD
    redis.call('XTRIM', changes, 'MINID', oldest[2][1])
end
redis.call('HSET', meta, 'last', id, 'sequence', sequence, 'octets', octets)
return {1, sequence}
