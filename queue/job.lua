-- job.lua - a job from its fields, and the records of its recipients.

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
            return VARS_TOO_MANY
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

-- A field's name at the head of an error line.
local function label(field)
    return #field <= 70 and is_utf8(field) and gsub(field, '[%c\127]', '?') or 'field'
end

-- Fields args[from .. to]; answers an error for the submitter or nil.
local function set_fields(job, args, from, to)
    for i = from, to, 2 do
        if args[i + 1] == nil or i + 1 > to then
            return bad(shown(args[i]), 'has no value; fields come in pairs')
        end
        local fault = set_field(job, args[i], args[i + 1])
        if fault then
            return bad(label(args[i]), fault)
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
            local past = expires.at and expires.at <= p.now
            return bad('expires', past and 'is in the past' or 'is before not_before')
        end
    end
end

local function set_letter(p, job)
    local message = job.set.message
    if message and job.data then
        return bad('data', 'give message or data, not both')
    elseif message then
        if not message_of(p, message) then
            return bad('message', 'no stored message ' .. shown(message) ..
                                  '; volley_store it first')
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

-- Everything that the fields decide together, for n recipients.  Answers an error or nil.
local function job_finish(p, job, n)
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
    local flags = job.data and 4 or 0
    if not share.allows(p, job.tenant, job.class, n) then
        job.class = 'normal'
        flags = flags + 8
    end
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
    job.flags = L[CLASSES[job.class] + flags]
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
            return nil, 'VOLLEYCONFLICT key: ' .. shown(key) .. ' was used for job ' .. id ..
                        ' with other content'
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
    local site = p.site_of and p.site_of(domain_of(to))
    groups_add(p.groups, site and 'bin:' .. lane .. ':' .. site or 'in:' .. lane, record)
end

-- Records of one lane, and the domains they go to, that may go at once.
local function groups_add_all(p, lane, records, domains, n)
    local intake = 'in:' .. lane
    if not p.site_of and n > 0 then
        records.n, records.name = n, intake
        p.groups[intake] = records
        p.groups.order[#p.groups.order + 1] = records
    elseif n > 0 then
        p.site_prefetch(domains)
        for i = 1, n do
            local site = p.site_of(domains[i])
            groups_add(p.groups, site and 'bin:' .. lane .. ':' .. site or intake, records[i])
        end
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
    local fault = job_finish(p, job, #job.to)
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
        local record = L[1] .. job.flags .. L[26 + #number] .. id .. number .. job.head ..
                       L[#rcpt.to] .. rcpt.to .. p.created .. blocks
        place(p, job.lane, job.class, rcpt.to, record, due_ms)
        note_expiry(p, job, due_ms)
    end
    if job.data then
        p.bodies[#p.bodies + 1] = {p.base .. 'body:' .. id, job.data, job.letter_from, #job.to}
    end
    key_take(p, job, id)
    return id
end
