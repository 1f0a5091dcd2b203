-- partition.lua - what a submission knows of its partition, and the writing of what it takes in.

local SALT_MAX = 34359738368 -- 2^35
local DEFAULT_EXPIRES_MS = 2 * 86400000
local FULL_CHECK_MS = 100
local KEY_TTL_MS = 86400000 -- of idempotency keys

-- Lower-case Crockford base 32: sorts like numbers, and survives systems that fold case.
local DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'
local PAIRS = {} -- two digits for 0 .. 1023
for i = 0, 1023 do
    local high, low = floor(i / 32) + 1, i % 32 + 1
    PAIRS[i] = sub(DIGITS, high, high) .. sub(DIGITS, low, low)
end

local function digits7(n)
    local first = floor(n / 1073741824) % 32 + 1
    return sub(DIGITS, first, first) .. PAIRS[floor(n / 1048576) % 1024] ..
           PAIRS[floor(n / 1024) % 1024] .. PAIRS[n % 1024]
end

-- Memory is looked at ten times a second at most; its cost does not show then.
local full_checked_ms, full_used, full_limit = 0, 0, 0

local function memory_full(now, limit)
    if now - full_checked_ms >= FULL_CHECK_MS or now < full_checked_ms then
        local info = call('INFO', 'memory')
        full_checked_ms = now
        full_used = tonumber(match(info, 'used_memory:(%d+)')) or 0
        full_limit = floor((tonumber(match(info, '\nmaxmemory:(%d+)')) or 0) * 0.9)
    end
    limit = limit > 0 and limit or full_limit
    return limit > 0 and full_used > limit and
           format('Redis holds %d of %d MB; try again later', full_used / 1048576, limit / 1048576)
end

-- What a call knows of its partition: read once.
local function open(keys)
    local base, partition = base_of(keys[1], 'meta')
    if not base or #keys ~= 1 then
        return nil, bad('key', NO_KEY)
    end
    local meta = call('HMGET', keys[1], 'seq', 'out', 'salt', 'partitions', 'max_jobs',
                      'max_memory', 'expires', 'names', 'high_share')
    local p = {
        base = base, meta = keys[1], now = now_ms(), seq = tonumber(meta[1] or 0),
        out = tonumber(meta[2] or 0), partitions = tonumber(meta[4] or 1),
        max_jobs = tonumber(meta[5] or 0),
        expires = tonumber(meta[7] or DEFAULT_EXPIRES_MS), names = meta[8],
        high_share = tonumber(meta[9] or 100), shares = {},
        messages = {}, known = {}, keyed = {}, groups = groups_new(),
        due = {high = {}, normal = {}, bulk = {}},
        bodies = {}, taken = 0, last_expiry = {},
    }
    local fault = memory_full(p.now, tonumber(meta[6] or 0))
    if fault then
        return nil, 'VOLLEYFULL ' .. fault
    end
    p.salt = tonumber(meta[3])
    if not p.salt then
        -- Tells this queue's ids from those of any other: run_id is Redis' own random number.
        local seed = match(call('INFO', 'server'), 'run_id:(%x+)') .. base .. p.now
        p.salt = tonumber(sub(redis.sha1hex(seed), 1, 12), 16) % SALT_MAX
        p.new_salt = true
    end
    p.salt_digits = digits7(p.salt)
    p.time_digits = PAIRS[floor(p.now / 1099511627776) % 1024] ..
                    PAIRS[floor(p.now / 1073741824) % 1024] ..
                    PAIRS[floor(p.now / 1048576) % 1024] .. PAIRS[floor(p.now / 1024) % 1024] ..
                    PAIRS[p.now % 1024] .. PAIRS[partition % 1024]
    p.created = u48(p.now)
    p.site_of, p.site_prefetch = site_map(base)
    return p
end

-- 26 characters: time in ms (10), partition (2), number (7), salt (7).  What changes with each
-- 1024th number only is kept in p.id_head.
local function job_id(p, n)
    local seq = p.seq + p.taken + 1
    local low = seq % 1024
    p.taken = p.taken + n
    if seq - low ~= p.id_from then
        p.id_from = seq - low
        p.id_head = p.time_digits .. sub(digits7(seq), 1, 5)
    end
    return p.id_head .. PAIRS[low] .. p.salt_digits
end

-- CRC-16 of Redis Cluster (XMODEM), for the partition of a keyed submission.
local function crc16(s)
    local crc = 0
    for i = 1, #s do
        crc = bit.bxor(crc, byte(s, i) * 256)
        for _ = 1, 8 do
            crc = crc * 2
            if crc >= 65536 then
                crc = bit.bxor(crc - 65536, 4129)
            end
        end
    end
    return crc
end

-- A pool, source or route must have been announced by an engine; before the first engine ran
-- nobody can know, and the name is taken.
local function announced(p, kind, name)
    if not p.names then
        return true
    end
    local field = 'name:' .. kind .. '=' .. name
    if p.known[field] == nil then
        p.known[field] = call('HEXISTS', p.meta, field) == 1
    end
    return p.known[field]
end

-- The stored message's sender, or false when there is no such message.
local function message_of(p, id)
    local m = p.messages[id]
    if m == nil then
        m = call('HGET', p.base .. 'msg:' .. id, 'from')
        p.messages[id] = m
    end
    return m
end

-- ---- writing --------------------------------------------------------------------------------

local function test_all(p)
    groups_test(p.base, p.groups)
    for class, due in pairs(p.due) do
        if #due > 0 then
            call('ZCARD', p.base .. 'due:' .. class)
        end
    end
    for _, body in ipairs(p.bodies) do
        call('HLEN', body[1])
    end
end

-- A message lives at least as long as the last job that needs it.
local function messages_prolong(p)
    for id, expiry in pairs(p.last_expiry) do
        local key = p.base .. 'msg:' .. id
        local ttl = call('PTTL', key)
        if ttl > 0 and p.now + ttl < expiry then
            call('PEXPIRE', key, format('%d', expiry - p.now))
        end
    end
end

-- Writes what was taken in: letters and keys first, then records, then counts.
local function commit(p)
    if p.taken == 0 then
        return nil
    end
    if p.max_jobs > 0 and p.seq - p.out + p.taken > p.max_jobs then
        return format('VOLLEYFULL %d jobs wait, and %d is the limit; try again later',
                      p.seq - p.out, p.max_jobs)
    end
    test_all(p)
    for _, body in ipairs(p.bodies) do
        call('HSET', body[1], 'eml', body[2], 'from', body[3], 'left', body[4])
    end
    messages_prolong(p)
    for _, name in ipairs(p.keyed) do
        call('SET', name, p.keyed[name], 'PX', KEY_TTL_MS)
    end
    for class, due in pairs(p.due) do
        for i = 1, #due, 2 * JOBS_MAX do
            call('ZADD', p.base .. 'due:' .. class, unpack(due, i, min(#due, i + 2 * JOBS_MAX - 1)))
        end
    end
    share.write(p)
    groups_push(p.base, p.groups, false, true)
    if p.new_salt then
        call('HSET', p.meta, 'salt', format('%d', p.salt))
    end
    call('HINCRBY', p.meta, 'seq', p.taken)
end
