#!lua flags=no-writes
-- Entries of some buckets of one shard: all, those of some labels, or those that have expired.
--
-- KEYS: buckets. ARGV: "" or a Unix time: only what has expired then; then the ids of labels, none meaning all.
-- Answer: {field, value, ...}.
local now, wanted = tonumber(ARGV[1]), {}
for at = 2, #ARGV do
    wanted[ARGV[at]] = true
end
local all, NEVER, chosen = #ARGV == 1, 0, {}
for at = 1, #KEYS do
    local bucket = redis.call('HGETALL', KEYS[at])
    for pair = 1, #bucket, 2 do
        local field, value = bucket[pair], bucket[pair + 1]
        local expires = struct.unpack('>I4', value, 5)
        local expired = now and expires ~= NEVER and expires <= now
        if (expired or not now) and (all or wanted[string.sub(field, 17, 24)]) then
            chosen[#chosen + 1] = field
            chosen[#chosen + 1] = value
        end
    end
end
return chosen
