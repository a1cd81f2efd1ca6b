#!lua
-- Makes a shard where there is none.
--
-- KEYS: meta. ARGV: pairs of a name and a value of its meta, the epoch among them.
-- Answer: the epoch that the shard has now, which is another when it was there already.
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('HSET', KEYS[1], 'last', '0-0', 'sequence', 0, 'octets', 0, unpack(ARGV))
end
return redis.call('HGET', KEYS[1], 'epoch')
