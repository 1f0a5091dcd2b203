-- submit.lua - the library volley: what submitters call from any language.
--
-- The one key they give is the partition's `meta`; all other keys are derived from it and carry
-- its hash tag, so they stand in the same slot, and each is read before anything is written.
-- These names and arguments are the product's interface and stay; queue/README.md documents
-- them.

local SALT_MAX = 34359738368 -- 2^35
local DEFAULT_EXPIRES_MS = 2 * 86400000
local KEY_TTL_MS = 86400000
local STORE_MAX = 25 * 1024 * 1024
local STORE_TTL_MS = 30 * 86400000
local FULL_CHECK_MS = 100

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

local function bad(field, text)
    return 'VOLLEYBAD ' .. field .. ': ' .. text
end

-- ---- the partition --------------------------------------------------------------------------

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
        return nil, bad('key', "give 1 key, such as volley:{0}:meta")
    end
    local meta = call('HMGET', keys[1], 'seq', 'out', 'salt', 'partitions', 'max_jobs', 'max_memory',
                      'expires', 'names')
    local p = {
        base = base, meta = keys[1], now = now_ms(), seq = tonumber(meta[1] or 0),
        out = tonumber(meta[2] or 0), partitions = tonumber(meta[4] or 1), max_jobs = tonumber(meta[5] or 0),
        expires = tonumber(meta[7] or DEFAULT_EXPIRES_MS), names = meta[8],
        messages = {}, known = {}, keyed = {}, groups = groups_new(), due = {high = {}, normal = {}, bulk = {}},
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
    p.time_digits = PAIRS[floor(p.now / 1099511627776) % 1024] .. PAIRS[floor(p.now / 1073741824) % 1024] ..
        PAIRS[floor(p.now / 1048576) % 1024] .. PAIRS[floor(p.now / 1024) % 1024] .. PAIRS[p.now % 1024] ..
        PAIRS[partition % 1024]
    p.created = u48(p.now)
    p.site_of = site_map(base)
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

-- ---- a job from its fields ------------------------------------------------------------------

-- set: steering values; blocks: encoded tags; index: field -> its place in blocks; raw: the
-- fields as given, for the digest of keyed submissions.
local function job_new(shared)
    local job = {set = {}, blocks = {}, index = {}, to = {}, raw = {}, vars = 0, extras = 0}
    if shared then
        for name, value in pairs(shared.set) do
            job.set[name] = value
        end
        for i = 1, #shared.blocks do
            job.blocks[i] = shared.blocks[i]
        end
        for name, i in pairs(shared.index) do
            job.index[name] = i
        end
        for i = 1, #shared.raw do
            job.raw[i] = shared.raw[i]
        end
        job.vars, job.extras, job.data = shared.vars, shared.extras, shared.data
    end
    return job
end

local function put_block(where, field, block)
    local i = where.index[field] or #where.blocks + 1
    where.index[field] = i
    where.blocks[i] = block
end

local function set_pair(job, field, value)
    local name, fault = pair_name(field)
    if not name then
        return fault
    end
    value, fault = pair_value(value)
    if not value then
        return fault
    end
    if byte(field, 1) == 118 then -- v:
        local where = job.rcpt or job
        put_block(where, field, pair(TAG.var, name, value))
        where.vars = where.vars + #name + #value
        if where.vars + (job.rcpt and job.vars or 0) > VARS_MAX then
            return 'merge values have more than ' .. VARS_MAX .. ' bytes together'
        end
    else
        put_block(job, field, pair(TAG.extra, name, value))
        job.extras = job.extras + #name + #value
        if job.extras > EXTRAS_MAX then
            return 'x: values have more than ' .. EXTRAS_MAX .. ' bytes together'
        end
    end
end

local function set_to(job, value)
    if #job.to == RECIPIENTS_MAX then
        return 'more than ' .. RECIPIENTS_MAX .. ' recipients; submit several jobs'
    end
    local to, fault = address_of(value)
    if not to then
        return fault
    end
    job.rcpt = {to = to, blocks = {}, index = {}, vars = 0}
    job.to[#job.to + 1] = job.rcpt
end

-- Takes one field.  Answers nil, or what is wrong with it.
local function set_field(job, field, value)
    local prefix = sub(field, 1, 2)
    job.raw[#job.raw + 1] = #field .. field .. #value .. value
    if field == 'to' then
        return set_to(job, value)
    elseif prefix == 'v:' or prefix == 'x:' then
        return set_pair(job, field, value)
    elseif field == 'data' then
        job.data = value
        return
    end
    local check = TAGGED[field]
    local got, fault
    if check then
        got, fault = check(value)
        if got then
            put_block(job, field, tagged(TAG[field], got))
            job.set[field] = got
        end
    elseif STEERING[field] then
        got, fault = STEERING[field](value)
        job.set[field] = got
    else
        fault = unknown_field(field)
    end
    return not got and fault or nil
end

-- Fields args[from .. to]; answers an error for the submitter or nil.
local function set_fields(job, args, from, to)
    for i = from, to, 2 do
        if args[i + 1] == nil or i + 1 > to then
            return bad(shown(args[i]), 'has no value; fields come in pairs')
        end
        local fault = set_field(job, args[i], args[i + 1])
        if fault then
            return bad(#args[i] <= 70 and gsub(args[i], '[%c\127]', '?') or 'field', fault)
        end
    end
end

-- Who may send it: "pool", "source=a" or "route=b"; nil and an error when unknown or doubled.
local function via_of(p, set)
    local kind = set.route and 'route' or set.source and 'source' or 'pool'
    local name = set[kind]
    if (set.route and (set.source or set.pool)) or (set.source and set.pool) then
        return nil, bad(kind, 'give one of pool, source, route')
    elseif not name then
        return 'default'
    elseif not announced(p, kind, name) then
        return nil, bad(kind, shown(name) .. ' is not configured on any engine of this queue')
    end
    return kind == 'pool' and name or kind .. '=' .. name
end

-- When: fills in not_before_ms and expires_ms.
local function set_times(p, job)
    local set = job.set
    local start = max(set.not_before or 0, p.now)
    local expires = set.expires
    if expires then
        job.expires_ms = expires.at or start + (set.spread or 0) + expires.after
        if job.expires_ms <= start then
            return bad('expires', expires.at and expires.at <= p.now and 'is in the past' or 'is before not_before')
        end
    end
end

local function set_letter(p, job)
    local message = job.set.message
    if message and job.data then
        return bad('data', 'give message or data, not both')
    elseif message then
        if not message_of(p, message) then
            return bad('message', 'no stored message ' .. shown(message) .. '; volley_store it first')
        end
    elseif not job.data then
        return bad('message', 'missing: give the id of a stored message, or data')
    else
        local from, fault = letter_check(job.data, job.set.from)
        if not from then
            return bad('data', fault)
        end
        job.letter_from = from
    end
end

-- Everything that the fields decide together.  Answers an error or nil.
local function job_finish(p, job)
    local via, fault = via_of(p, job.set)
    if not via then
        return fault
    end
    fault = set_times(p, job) or set_letter(p, job)
    if fault then
        return fault
    end
    job.class = job.set.class or 'normal'
    job.tenant = job.set.tenant or 'default'
    job.lane = job.class .. ':' .. via .. ':' .. job.tenant
    if job.set.message then
        put_block(job, 'message', tagged(TAG.message, job.set.message))
    end
    if job.expires_ms then
        put_block(job, 'expires', tagged(TAG.expires, u48(job.expires_ms)))
    end
    if job.set.key then
        put_block(job, 'key', tagged(TAG.key, job.set.key))
    end
    job.flags = L[CLASSES[job.class] + (job.data and 4 or 0)]
    job.head = L[#job.lane] .. job.lane
end

-- ---- idempotency ----------------------------------------------------------------------------

-- Answers id (of the first submission with this key), or nil; and an error.
local function key_seen(p, job)
    local key = job.set.key
    if not key then
        return nil
    end
    local tenant = job.set.tenant or 'default'
    if p.partitions > 1 then
        local part = crc16(tenant .. '\0' .. key) % p.partitions
        if part ~= tonumber(match(p.base, '{(%d+)}')) then
            return nil, 'VOLLEYPART ' .. part
        end
    end
    local name = p.base .. 'key:' .. tenant .. ':' .. key
    local order = {}
    for i = 1, #job.raw do
        order[i] = job.raw[i]
    end
    if #job.to <= 1 then
        table.sort(order) -- with several recipients order has a meaning
    end
    local digest = sub(redis.sha1hex(concat(order)), 1, 20)
    local known = p.keyed[name] or call('GET', name)
    if known then
        local id, first = match(known, '^(%S+) (%S+)')
        if first ~= digest then
            return nil, 'VOLLEYCONFLICT key: ' .. shown(key) .. ' was used for job ' .. id .. ' with other content'
        end
        return id
    end
    job.key_name, job.key_digest = name, digest
end

local function key_take(p, job, id)
    if job.key_name then
        p.keyed[job.key_name] = id .. ' ' .. job.key_digest .. ' queued'
        p.keyed[#p.keyed + 1] = job.key_name
    end
end

-- ---- records --------------------------------------------------------------------------------

-- Puts a record where it belongs: its intake, the bin of its site, or `due`.
local function place(p, lane, class, to, record, due_ms)
    if due_ms and due_ms > p.now then
        local due = p.due[class]
        due[#due + 1] = format('%d', due_ms)
        due[#due + 1] = record
        return
    end
    local site = p.site_of and p.site_of(match(to, '[^@]*$'))
    groups_add(p.groups, site and 'bin:' .. lane .. ':' .. site or 'in:' .. lane, record)
end

-- Records of one lane that may go at once.
local function groups_add_all(p, lane, records, n)
    if not p.site_of and n > 0 then
        records.n, records.name = n, 'in:' .. lane
        p.groups[records.name] = records
        p.groups.order[#p.groups.order + 1] = records
        return
    end
    for i = 1, n do
        groups_add(p.groups, record_list(records[i], p.site_of) or 'in:' .. lane, records[i])
    end
end

-- `spread D` adds hash(id) mod D: the same for each look at the same job.
local function due_of(job, id)
    local spread = job.set.spread
    if not spread or spread == 0 then
        return job.set.not_before
    end
    local hash = tonumber(sub(redis.sha1hex(id), 1, 12), 16)
    return (job.set.not_before or job.now) + hash % spread
end

-- The blocks of a job without those that the recipient has of his own.
local function blocks_for(job, rcpt)
    if next(rcpt.index) == nil then
        job.joined = job.joined or concat(job.blocks)
        return job.joined
    end
    local hidden = false
    for field in pairs(rcpt.index) do
        hidden = hidden or job.index[field]
    end
    if not hidden then
        job.joined = job.joined or concat(job.blocks)
        return job.joined .. concat(rcpt.blocks)
    end
    local out = {}
    for field, i in pairs(job.index) do
        if not rcpt.index[field] then
            out[#out + 1] = job.blocks[i]
        end
    end
    return concat(out) .. concat(rcpt.blocks)
end

local function note_expiry(p, job, due_ms)
    if job.set.message then
        local expiry = job.expires_ms or max(due_ms or 0, p.now) + p.expires
        p.last_expiry[job.set.message] = max(p.last_expiry[job.set.message] or 0, expiry)
    end
end

-- Takes one finished job in.  Answers its id, or nil and an error.
local function job_take(p, job)
    local fault = job_finish(p, job)
    if not fault and #job.to == 0 then
        fault = bad('to', 'missing: a job has at least one recipient')
    end
    if fault then
        return nil, fault
    end
    local id
    id, fault = key_seen(p, job)
    if id or fault then
        return id, fault
    end
    id = job_id(p, #job.to)
    job.now = p.now
    for n = 1, #job.to do
        local rcpt = job.to[n]
        local number = '.' .. n
        local due_ms = due_of(job, id .. number)
        local blocks = blocks_for(job, rcpt)
        if due_ms and due_ms > p.now then
            blocks = blocks .. tagged(TAG.not_before, u48(due_ms))
        end
        place(p, job.lane, job.class, rcpt.to, L[1] .. job.flags .. L[26 + #number] .. id .. number ..
              job.head .. L[#rcpt.to] .. rcpt.to .. p.created .. blocks, due_ms)
        note_expiry(p, job, due_ms)
    end
    if job.data then
        p.bodies[#p.bodies + 1] = {p.base .. 'body:' .. id, job.data, job.letter_from, #job.to}
    end
    key_take(p, job, id)
    return id
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
        return format('VOLLEYFULL %d jobs wait, and %d is the limit; try again later', p.seq - p.out, p.max_jobs)
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
    groups_push(p.base, p.groups, false, true)
    if p.new_salt then
        call('HSET', p.meta, 'salt', format('%d', p.salt))
    end
    call('HINCRBY', p.meta, 'seq', p.taken)
end

-- ---- the calls ------------------------------------------------------------------------------

-- KEYS meta; ARGV field value ...
local function submit(keys, args)
    local p, fault = open(keys)
    if not p then
        return redis.error_reply(fault)
    end
    local job = job_new()
    local id
    fault = set_fields(job, args, 1, #args)
    if not fault then
        id, fault = job_take(p, job)
    end
    fault = fault or commit(p)
    if fault then
        return redis.error_reply(fault)
    end
    return id
end

-- VAR_LENS[n]: the tag and length of a merge value of n bytes, made when first needed.
local VAR_LENS = setmetatable({}, {__index = function(lens, n)
    local bytes = L[TAG.var] .. u16(n)
    lens[n] = bytes
    return bytes
end})

-- The encoded merge values of a row, or nil and what is wrong with it.
local function row_vars(columns, heads, args, row, bytes)
    local out = ''
    for c = 1, #columns do
        local head = heads[c]
        if head then
            local value = args[row + c]
            local n = #head + #value
            bytes = bytes + n - 1
            if bytes > VARS_MAX then
                return nil, bad(columns[c], 'merge values have more than ' .. VARS_MAX .. ' bytes together')
            end
            local ok, fault = pair_value(value)
            if not ok then
                return nil, bad(columns[c], fault)
            end
            out = out .. VAR_LENS[n] .. head .. value
        end
    end
    return out
end

-- Rows with nothing but recipient and merge values, from a job of shared fields: most of what
-- a list mailing is, with one concatenation a value and one a record.
local function rows_fast(p, shared, columns, args, at, results)
    local width, to_column = #columns, nil
    local heads, records, n = {}, {}, 0
    for c = 1, width do
        if columns[c] == 'to' then
            to_column = c
        else
            local name = sub(columns[c], 3)
            heads[c] = L[#name] .. name
        end
    end
    local prefix = L[1] .. shared.flags .. L[28]
    local middle = '.1' .. shared.head
    local suffix = p.created .. concat(shared.blocks)
    for row = at - 1, #args - 1, width do
        local to, fault = address_of(args[row + to_column])
        local vars
        if to then
            vars, fault = row_vars(columns, heads, args, row, shared.vars)
        else
            fault = bad('to', fault)
        end
        if vars then
            local id = job_id(p, 1)
            n = n + 1
            records[n] = prefix .. id .. middle .. L[#to] .. to .. suffix .. vars
            results[#results + 1] = id
        else
            results[#results + 1] = fault
        end
    end
    groups_add_all(p, shared.lane, records, n)
    note_expiry(p, shared, nil)
end

-- Whether rows with these columns can go the fast way.
local function rows_are_plain(shared, columns)
    local set, to = shared.set, 0
    for _, name in ipairs(columns) do
        if name == 'to' then
            to = to + 1
        elseif sub(name, 1, 2) ~= 'v:' or shared.index[name] or not pair_name(name) then
            return false
        end
    end
    return to == 1 and not (set.key or set.not_before or set.spread or shared.data)
end

local function rows_slow(p, shared, columns, args, at, results)
    local width = #columns
    for row = at, #args, width do
        local job = job_new(shared)
        local fault
        for c = 1, width do
            local field, value = columns[c], args[row + c - 1]
            local pairs_or_sender = field == 'to' or field == 'from' or find(field, '^[vx]:')
            if not fault and (value ~= '' or pairs_or_sender) then
                fault = set_field(job, field, value)
                fault = fault and bad(shown(field), fault)
            end
        end
        local id
        if not fault then
            id, fault = job_take(p, job)
        end
        results[#results + 1] = id or fault
    end
end

-- "rows" <columns> name ... value ...
local function batch_rows(p, shared, args, at, results)
    local width = tonumber(args[at])
    if not width or width < 1 or width > 200 or width ~= floor(width) then
        return bad('rows', 'the number of columns is 1 to 200')
    end
    local columns = {unpack(args, at + 1, at + width)}
    local first = at + 1 + width
    local rows = (#args - first + 1) / width
    if #columns < width or rows ~= floor(rows) or rows < 1 then
        return bad('rows', 'values do not fill whole rows of ' .. width .. ' columns')
    elseif rows > JOBS_MAX then
        return bad('rows', 'at most ' .. JOBS_MAX .. ' jobs in a call, not ' .. rows)
    end
    for _, name in ipairs(columns) do
        if not (name == 'to' or TAGGED[name] or STEERING[name] or name == 'data' or find(name, '^[vx]:')) then
            return bad('rows', unknown_field(name))
        end
    end
    if rows_are_plain(shared, columns) then
        local fault = job_finish(p, shared)
        if fault then
            return fault
        end
        rows_fast(p, shared, columns, args, first, results)
    else
        rows_slow(p, shared, columns, args, first, results)
    end
end

-- "jobs" { <fields> field value ... } ...
local function batch_jobs(p, shared, args, at, results)
    local recipients = 0
    while at <= #args do
        local count = tonumber(args[at])
        if not count or count < 1 or count ~= floor(count) or at + 2 * count > #args then
            return bad('jobs', 'job ' .. (#results + 1) .. ' does not have the number of fields it says')
        elseif #results == JOBS_MAX then
            return bad('jobs', 'at most ' .. JOBS_MAX .. ' jobs in a call')
        end
        local job = job_new(shared)
        local fault = set_fields(job, args, at + 1, at + 2 * count)
        recipients = recipients + #job.to
        if recipients > RECIPIENTS_MAX then
            return bad('jobs', 'more than ' .. RECIPIENTS_MAX .. ' recipients in a call')
        end
        local id
        if not fault then
            id, fault = job_take(p, job)
        end
        results[#results + 1] = id or fault
        at = at + 1 + 2 * count
    end
end

-- KEYS meta; ARGV <shared fields> field value ... then "rows" or "jobs".  Answers an id or an
-- error (starts with VOLLEY) for each job.
local function submit_batch(keys, args)
    local p, fault = open(keys)
    if not p then
        return redis.error_reply(fault)
    end
    local count = tonumber(args[1])
    if not count or count < 0 or count ~= floor(count) or 2 + 2 * count > #args then
        return redis.error_reply(bad('batch', 'begins with the number of shared fields, then these, then rows or jobs'))
    end
    local shared, results = job_new(), {}
    fault = set_fields(shared, args, 2, 1 + 2 * count)
    if not fault and #shared.to > 0 then
        fault = bad('to', 'cannot be shared')
    elseif not fault and (shared.data or shared.set.key) then
        fault = bad(shared.data and 'data' or 'key', 'cannot be shared; store a letter for many with volley_store')
    end
    local kind = args[2 + 2 * count]
    if not fault and kind == 'rows' then
        fault = batch_rows(p, shared, args, 3 + 2 * count, results)
    elseif not fault and kind == 'jobs' then
        fault = batch_jobs(p, shared, args, 3 + 2 * count, results)
    elseif not fault then
        fault = bad('batch', shown(kind) .. ' where rows or jobs is expected behind the shared fields')
    end
    fault = fault or commit(p)
    if fault then
        return redis.error_reply(fault)
    end
    return results
end

-- KEYS meta; ARGV <sending> <number>, then as volley_submit_batch.  The parts of a sending are
-- numbered from 1 and each is taken once and in order: a submitter that lost an answer, or was
-- started again, gives the part again and is told VOLLEYSEEN <last taken>; one that runs ahead
-- of a part that was refused is told VOLLEYORDER <next wanted>.  So a list of millions goes in
-- exactly once for the price of one small key.
local function submit_part(keys, args)
    local base = base_of(keys[1], 'meta')
    local sending, fault = name_of(args[1] or '')
    local number = tonumber(args[2])
    if not base or not sending then
        return redis.error_reply(bad(base and 'sending' or 'key', fault or 'give 1 key, such as volley:{0}:meta'))
    elseif not number or number < 1 or number ~= floor(number) then
        return redis.error_reply(bad('number', 'is 1 for the first part, and so on'))
    end
    local key = base .. 'part:' .. sending
    local last = tonumber(call('GET', key) or 0)
    if number <= last then
        return redis.error_reply('VOLLEYSEEN ' .. last)
    elseif number > last + 1 then
        return redis.error_reply('VOLLEYORDER ' .. last + 1)
    end
    local rest = {}
    for i = 3, #args do
        rest[i - 2] = args[i]
    end
    local results = submit_batch(keys, rest)
    if not results.err then
        call('SET', key, format('%d', number), 'PX', format('%d', STORE_TTL_MS))
    end
    return results
end

return {submit = submit, submit_batch = submit_batch, submit_part = submit_part, store = store}
end -- of body()

local function add(name)
    redis.register_function('volley_' .. name, function(keys, args)
        api = api or body()
        return api[name](keys, args)
    end)
end

-- No allow-oom: a full Redis takes no new work.
add('submit')
add('submit_batch')
add('submit_part')
add('store')
