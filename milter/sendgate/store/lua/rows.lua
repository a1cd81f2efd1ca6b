#!lua flags=no-writes
-- The rows of some buckets of one shard: of each entry its field and what a replica holds of its value.
--
-- KEYS: buckets. Answer: all rows, one behind the other, in no order.
local rows = {}
for at = 1, #KEYS do
    local bucket = redis.call('HGETALL', KEYS[at])
    for pair = 1, #bucket, 2 do
        rows[#rows + 1] = bucket[pair] .. string.sub(bucket[pair + 1], 1, 11)
    end
end
return table.concat(rows)
