#!lua
-- Changes entries of one shard, all or none, and appends them to its stream of changes.
--
-- KEYS: meta, counts, labels, changes, then each bucket that is changed.
-- ARGV: epoch, octets of changes to keep, fingerprints of the secrets that the shard may be under ("" is: any), what a
--       replica takes in before (shard and sequence number, ...), number of labels, (id, text) of each label,
--       then for each bucket: how many entries are new in it, and how many are not, (field, value) of the new ones,
--       (field, value expected, new value) of the others; the new value "" is: remove it.
-- Answer: {1, sequence number} when done; {0, field, value found or "", ...} of those that were not as expected, and
-- then nothing has changed.
local meta, counts, labels, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local REMOVED = 128
local AT_ONCE = 1000 -- fields in one command: the arguments of a call must fit on Lua's stack

-- A right that is missing must show before anything is changed: what a script has done is not undone when it fails.
local needed = {
    {'HSET', meta, '', ''}, {'HSETNX', labels, '', ''}, {'HDEL', meta, ''}, {'HINCRBY', counts, '', 1},
    {'XADD', changes, '*', '', ''}, {'XRANGE', changes, '-', '+'}, {'XTRIM', changes, 'MINID', 0},
}
for at = 1, #needed do
    -- HSETNX is for labels only, which a removal has none of.
    if (needed[at][1] ~= 'HSETNX' or ARGV[5] ~= '0') and not redis.acl_check_cmd(unpack(needed[at])) then
        return redis.error_reply('NOPERM this user has no permissions to run ' .. needed[at][1] .. ' in a script')
    end
end

local state = redis.call('HMGET', meta, 'epoch', 'last', 'sequence', 'octets', 'secret')
if state[1] ~= ARGV[1] then
    return redis.error_reply('EPOCH of this shard is ' .. (state[1] or 'gone'))
end

if ARGV[3] ~= '' and not string.find(ARGV[3], state[5], 1, true) then
    return redis.error_reply('SECRET of this shard is another')
end

local first = 6 + 2 * tonumber(ARGV[5])
-- Where in ARGV the new entries of a bucket begin, where the others, and where those end.
local function part(at)
    local new = at + 2
    local old = new + 2 * tonumber(ARGV[at])
    return new, old, old + 3 * tonumber(ARGV[at + 1])
end

local conflicts = {0}
local function compare(bucket, fields, expected)
    for start = 1, #fields, AT_ONCE do
        local found = redis.call('HMGET', bucket, unpack(fields, start, math.min(start + AT_ONCE - 1, #fields)))
        for number = 1, #found do
            local field, value = fields[start + number - 1], found[number] or ''
            if value ~= (expected[field] or '') then
                conflicts[#conflicts + 1] = field
                conflicts[#conflicts + 1] = value
            end
        end
    end
end
local after = first
for number = 5, #KEYS do
    local bucket, new, old = KEYS[number]
    new, old, after = part(after)
    local fields, expected = {}, {}
    for at = new, old - 1, 2 do
        fields[#fields + 1] = ARGV[at]
    end
    for at = old, after - 1, 3 do
        fields[#fields + 1] = ARGV[at]
        expected[ARGV[at]] = ARGV[at + 1]
    end
    compare(bucket, fields, expected)
end
if #conflicts > 1 then
    return conflicts
end

for at = 6, first - 1, 2 do
    redis.call('HSETNX', labels, ARGV[at], ARGV[at + 1])
end

-- A row is field, then created, expires, origin, strikes and kind of the value: what a replica holds.
local rows, count, differences = {}, 0, {}
local function note(field, value, by)
    local label, kind = string.sub(field, 17, 24), string.sub(value, 11, 11)
    local kinds = differences[label] or {}
    differences[label] = kinds
    kinds[kind] = (kinds[kind] or 0) + by
end
local function append(field, value)
    rows[2 * count + 1] = field
    rows[2 * count + 2] = value
    count = count + 1
end
local function in_parts(command, bucket, given, start, stop)
    for at = start, stop, 2 * AT_ONCE do
        redis.call(command, bucket, unpack(given, at, math.min(at + 2 * AT_ONCE - 1, stop)))
    end
end
after = first
for number = 5, #KEYS do
    local bucket, new, old = KEYS[number]
    new, old, after = part(after)
    in_parts('HSET', bucket, ARGV, new, old - 1)
    for at = new, old - 1, 2 do
        local field, value = ARGV[at], ARGV[at + 1]
        note(field, value, 1)
        append(field, string.sub(value, 1, 11))
    end
    if old < after then
        local set, gone = {}, {}
        for at = old, after - 1, 3 do
            local field, was, value = ARGV[at], ARGV[at + 1], ARGV[at + 2]
            note(field, was, -1)
            if value == '' then
                gone[#gone + 1] = field
                append(field, string.sub(was, 1, 10) .. string.char(string.byte(was, 11) + REMOVED))
            else
                set[#set + 1] = field
                set[#set + 1] = value
                note(field, value, 1)
                append(field, string.sub(value, 1, 11))
            end
        end
        in_parts('HSET', bucket, set, 1, #set)
        in_parts('HDEL', bucket, gone, 1, #gone)
    end
end
for label, kinds in pairs(differences) do
    for kind, by in pairs(kinds) do
        if by ~= 0 and redis.call('HINCRBY', counts, label .. kind, by) == 0 then
            redis.call('HDEL', counts, label .. kind)
        end
    end
end

local OVERHEAD = 64 -- octets, about, that a stream needs for an entry beside its rows
local packed = table.concat(rows)
local sequence = tonumber(state[3]) + count
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
