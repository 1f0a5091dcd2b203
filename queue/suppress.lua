-- suppress.lua - addresses that get no mail, for one tenant or for all.
--
-- The list is not a partition's: its keys stand under a tag of their own, so that one list
-- serves all partitions, wherever a Cluster keeps them.
--
--     volley:suppress:{list}:meta         hash: seq, raised by every addition; no key: the list is
--                                         empty, and engines ask for nothing more than that
--     volley:suppress:{list}:of:<tenant>  hash: address -> its entries; the tenant * is everybody
--     volley:suppress:{list}:tenants      set of those that have such a hash
--     volley:suppress:{list}:expiry       zset: "tenant address" by the first of its expiries
--
-- An address is kept in lower case, and engines look for it so.  Its entries are lines of
-- scope, reason, since and expiry (unix seconds, 0: never) with tabs between; one for each scope.

local suppress = {}

do -- so that these names end here: Lua has room for 200 locals in a function, and body() is one

local SUPPRESS_MAX = 500        -- addresses in a call
local SUPPRESS_SCOPES_MAX = 100 -- of an address, beside all
local SUPPRESS_SWEEP = 20       -- addresses that have ended which an addition clears away
local SUPPRESS_PAGE_MAX = 1000
local SUPPRESS_TENANTS_MAX = 1000

local function suppress_tenant_of(value)
    if value == '*' then
        return value
    end
    return name_of(value)
end

local function suppress_scope_of(value)
    local campaign = match(value, '^campaign:(.*)$')
    if value == 'all' or value == 'bulk' or (campaign and name_of(campaign)) then
        return value
    end
    return nil, shown(value) .. ' is no scope: write all, bulk or campaign:<name>'
end

local function suppress_expires_of(value)
    if value == '0' or value == 'never' or value == '' then
        return {at = 0}
    end
    return STEERING.expires(value)
end

local function suppress_since_of(value)
    return time_of(value)
end

local function suppress_reason_of(value)
    if value == '' then
        return value
    end
    return text_of(300)(value)
end

local SUPPRESS_FIELDS = {
    tenant = suppress_tenant_of, scope = suppress_scope_of, reason = suppress_reason_of,
    since = suppress_since_of, expires = suppress_expires_of,
}

-- Reads fields; those in front of the first `to` hold for all, those behind one are its own.
-- Answers a list of {to, tenant, scope ...}, or nil and an error.
local function suppress_read(args, known)
    local shared, rows = {}, {}
    local row = shared
    for i = 1, #args, 2 do
        local field, value = args[i], args[i + 1]
        if value == nil then
            return nil, bad(shown(field), 'has no value; fields come in pairs')
        elseif field == 'to' then
            local to, fault = address_of(value)
            if not to then
                return nil, bad('to', fault)
            elseif #rows == SUPPRESS_MAX then
                return nil, bad('to', 'at most ' .. SUPPRESS_MAX .. ' addresses in a call')
            end
            row = {to = lower(to)}
            for name, of_all in pairs(shared) do
                row[name] = of_all
            end
            rows[#rows + 1] = row
        elseif SUPPRESS_FIELDS[field] and find(known, field, 1, true) then
            local got, fault = SUPPRESS_FIELDS[field](value)
            if got == nil then
                return nil, bad(field, fault)
            end
            row[field] = got
        else
            return nil, bad(shown(field), 'is not one of to, ' .. known)
        end
    end
    if #rows == 0 then
        return nil, bad('to', 'missing: give an address')
    end
    return rows
end

-- ---- entries of an address ------------------------------------------------------------------

-- scope -> {scope, reason, since, expires}, in order too, without those whose time is over.
local function suppress_entries(text, now_s)
    local entries, line = {}, '([^\t\n]*)\t([^\t\n]*)\t(%d+)\t(%d+)'
    for scope, reason, since, expires in gmatch(text or '', line) do
        local entry = {scope = scope, reason = reason, since = tonumber(since),
                       expires = tonumber(expires)}
        if entry.expires == 0 or entry.expires > now_s then
            entries[#entries + 1] = entry
            entries[scope] = entry
        end
    end
    return entries
end

local function suppress_text(entries)
    local lines = {}
    for i, e in ipairs(entries) do
        lines[i] = format('%s\t%s\t%d\t%d', e.scope, e.reason, e.since, e.expires)
    end
    return concat(lines, '\n')
end

-- The first expiry of an address; nil when nothing of it ends.
local function suppress_first_expiry(entries)
    local first
    for _, e in ipairs(entries) do
        if e.expires > 0 and (not first or e.expires < first) then
            first = e.expires
        end
    end
    return first
end

local function suppress_base(keys)
    local base = match(keys[1] or '', '^([%w._-]+:suppress:{list}:)meta$')
    if not base or #keys ~= 1 then
        return nil, bad('key', 'give 1 key, such as volley:suppress:{list}:meta')
    end
    return base
end

local function suppress_test(base)
    call('HLEN', base .. 'meta')
    call('SCARD', base .. 'tenants')
    call('ZCARD', base .. 'expiry')
end

-- Writes what an address has now: nothing at all when no entry is left.
local function suppress_write(base, tenant, to, entries)
    local member = tenant .. ' ' .. to
    if #entries == 0 then
        call('HDEL', base .. 'of:' .. tenant, to)
        call('ZREM', base .. 'expiry', member)
        if call('EXISTS', base .. 'of:' .. tenant) == 0 then
            call('SREM', base .. 'tenants', tenant)
        end
        return
    end
    call('HSET', base .. 'of:' .. tenant, to, suppress_text(entries))
    call('SADD', base .. 'tenants', tenant)
    local first = suppress_first_expiry(entries)
    if first then
        call('ZADD', base .. 'expiry', first, member)
    else
        call('ZREM', base .. 'expiry', member)
    end
end

-- Engines stop asking for addresses when the last one is gone.
local function suppress_settle(base)
    if call('EXISTS', base .. 'tenants') == 0 then
        call('UNLINK', base .. 'meta')
    end
end

-- Clears some of what has ended: each addition does a little, so the list does not grow.
local function suppress_sweep(base, now_s)
    local over = call('ZRANGEBYSCORE', base .. 'expiry', '-inf', now_s, 'LIMIT', 0, SUPPRESS_SWEEP)
    for _, member in ipairs(over) do
        local tenant, to = match(member, '^(%S+) (.*)$')
        local entries = suppress_entries(call('HGET', base .. 'of:' .. tenant, to), now_s)
        suppress_write(base, tenant, to, entries)
    end
end

-- ---- the calls ------------------------------------------------------------------------------

-- Puts one entry among those of its address.  What lasts longer stays: adding never shortens.
local function suppress_put(entries, row, now_s)
    local given = row.expires
    local expires = not given and 0 or given.after and now_s + math.ceil(given.after / 1000) or
                    math.ceil(given.at / 1000)
    local scope = row.scope or 'all'
    local entry = {scope = scope, reason = row.reason or '', expires = expires,
                   since = row.since and floor(row.since / 1000) or now_s}
    local old = entries[scope]
    if expires ~= 0 and expires <= now_s then
        return false -- a list of old: its time is over
    elseif old and (old.expires == 0 or (expires ~= 0 and expires <= old.expires)) then
        return false
    end
    for i, e in ipairs(entries) do
        if e == old then
            entries[i] = entry
            entries[scope] = entry
            return true
        end
    end
    entries[#entries + 1] = entry
    entries[scope] = entry
    return true
end

-- KEYS meta of the list; ARGV [tenant T] [scope S] [reason R] [since TIME] [expires E] to A ...
-- Answers how many entries are new or last longer than before.
function suppress.add(keys, args)
    local base, fault = suppress_base(keys)
    local rows
    if base then
        rows, fault = suppress_read(args, 'tenant, scope, reason, since, expires')
    end
    if not rows then
        return redis.error_reply(fault)
    end
    local now_s = floor(now_ms() / 1000)
    suppress_test(base)
    local held, order, count = {}, {}, 0
    for _, row in ipairs(rows) do
        local tenant = row.tenant or '*'
        local name = tenant .. ' ' .. row.to
        local at = held[name]
        if not at then
            local text = call('HGET', base .. 'of:' .. tenant, row.to)
            at = {tenant = tenant, to = row.to, entries = suppress_entries(text, now_s)}
            held[name] = at
            order[#order + 1] = at
        end
        if suppress_put(at.entries, row, now_s) then
            at.changed = true
            count = count + 1
        end
        if #at.entries > SUPPRESS_SCOPES_MAX + (at.entries.all and 1 or 0) then
            return redis.error_reply(bad('scope', shown(row.to) .. ' has ' .. SUPPRESS_SCOPES_MAX ..
                                                  ' scopes already; use all'))
        end
    end

    if count > 0 then
        call('HINCRBY', base .. 'meta', 'seq', 1)
    end
    for _, at in ipairs(order) do
        if at.changed then
            suppress_write(base, at.tenant, at.to, at.entries)
        end
    end
    suppress_sweep(base, now_s)
    suppress_settle(base)
    return count
end

-- KEYS meta of the list; ARGV [tenant T] [scope S] to A ...  Without scope: all of an address.
-- Answers how many entries are gone.
function suppress.remove(keys, args)
    local base, fault = suppress_base(keys)
    local rows
    if base then
        rows, fault = suppress_read(args, 'tenant, scope')
    end
    if not rows then
        return redis.error_reply(fault)
    end
    suppress_test(base)
    local count = 0
    for _, row in ipairs(rows) do
        local tenant = row.tenant or '*'
        local old = suppress_entries(call('HGET', base .. 'of:' .. tenant, row.to), 0)
        local left = {}
        for _, e in ipairs(old) do
            if row.scope and e.scope ~= row.scope then
                left[#left + 1] = e
            end
        end
        if #left < #old then
            count = count + #old - #left
            suppress_write(base, tenant, row.to, left)
        end
    end
    suppress_settle(base)
    return count
end

-- Appends {tenant, address, scope, reason, since, expires} for each entry.
local function suppress_show(reply, tenant, to, text, now_s)
    for _, e in ipairs(suppress_entries(text, now_s)) do
        reply[#reply + 1] = {tenant, to, e.scope, e.reason, e.since, e.expires}
    end
end

-- KEYS meta of the list; ARGV [tenant T] to A ...  Every entry that concerns an address: of the
-- tenant and of *, or of all tenants when none is given.
function suppress.find(keys, args)
    local base, fault = suppress_base(keys)
    local rows
    if base then
        rows, fault = suppress_read(args, 'tenant')
    end
    if not rows then
        return redis.error_reply(fault)
    end
    local now_s, reply = floor(now_ms() / 1000), {}
    local all = {}
    if not rows[1].tenant then
        if call('SCARD', base .. 'tenants') > SUPPRESS_TENANTS_MAX then
            return redis.error_reply(bad('tenant', 'there are too many to ask each; name one'))
        end
        all = call('SMEMBERS', base .. 'tenants')
        table.sort(all)
    end
    for _, row in ipairs(rows) do
        local tenants = not row.tenant and all or row.tenant == '*' and {'*'} or {'*', row.tenant}
        for _, tenant in ipairs(tenants) do
            local text = call('HGET', base .. 'of:' .. tenant, row.to)
            suppress_show(reply, tenant, row.to, text, now_s)
        end
    end
    return reply
end

-- KEYS meta of the list; ARGV tenant, cursor (0 at the start), about how many addresses.
-- Answers the next cursor (0: that was all) and entries as suppress_find has them.
function suppress.list(keys, args)
    local base, fault = suppress_base(keys)
    local tenant
    if base then
        tenant, fault = suppress_tenant_of(args[1] or '')
        fault = fault and bad('tenant', fault)
    end
    if tenant and not find(args[2] or '', '^%d+$') then
        tenant, fault = nil, bad('cursor', 'is 0 at the start, then what the call before answered')
    end
    if not tenant then
        return redis.error_reply(fault)
    end
    local count = max(1, min(tonumber(args[3]) or 100, SUPPRESS_PAGE_MAX))
    local page = call('HSCAN', base .. 'of:' .. tenant, args[2], 'COUNT', floor(count))
    local now_s, reply = floor(now_ms() / 1000), {page[1]}
    for i = 1, #page[2], 2 do
        suppress_show(reply, tenant, page[2][i], page[2][i + 1], now_s)
    end
    return reply
end

-- KEYS meta of the list; ARGV cursor (0 at the start).  Answers the next cursor, then tenant and
-- number of its addresses by turns (those whose time is over may be counted).
function suppress.tenants(keys, args)
    local base, fault = suppress_base(keys)
    if base and not find(args[1] or '', '^%d+$') then
        fault = bad('cursor', 'is 0 at the start, then what the call before answered')
    end
    if fault then
        return redis.error_reply(fault)
    end
    local page = call('SSCAN', base .. 'tenants', args[1], 'COUNT', 100)
    local reply = {page[1]}
    for _, tenant in ipairs(page[2]) do
        reply[#reply + 1] = tenant
        reply[#reply + 1] = call('HLEN', base .. 'of:' .. tenant)
    end
    return reply
end

end -- of do
