#!lua flags=no-writes
-- A checksum over the rows of some buckets, and the last change that it covers.
--
-- KEYS: meta, then buckets. Answer: {epoch, id of the last change, number of rows, sum}. The sum, modulo 2^48, is of
-- the first 48 bits of each row's SHA-1: it does not depend on the order, and sorting here would go by the locale.
local MODULUS = 2 ^ 48
local count, sum = 0, 0
for at = 2, #KEYS do
    local bucket = redis.call('HGETALL', KEYS[at])
    for pair = 1, #bucket, 2 do
        local row = bucket[pair] .. string.sub(bucket[pair + 1], 1, 11)
        sum = (sum + tonumber(string.sub(redis.sha1hex(row), 1, 12), 16)) % MODULUS
        count = count + 1
    end
end
local state = redis.call('HMGET', KEYS[1], 'epoch', 'last')
return {state[1], state[2], count, string.format('%012x', sum)}
