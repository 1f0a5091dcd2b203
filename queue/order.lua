-- order.lua - orders: what is to become of jobs that are queued, and of those that will come.
--
-- An order is a field of the hash `orders`: its id, and "<kind> <created> <expires> <words>",
-- times in unix ms (expires 0: until it is lifted), words `field=value` in the order of
-- MATCHERS, or `all=yes`.  Whoever changes the hash raises `orders` in `meta`: that is what
-- engines look at.  "<id>#ended" counts the jobs that the order ended.
--
-- A lifted order stays, as kind `lifted`, until an engine has brought back the jobs that stand
-- in held:<id>.

local ORDERS_MAX = 200
local CANCEL_MS = UNIT_MS.d -- how long a cancel stays in force

local ORDER_KINDS = {pause = true, hold = true, cancel = true, retry = true}
local MATCHERS = {'campaign', 'tenant', 'domain', 'site', 'class', 'tag'}

local function domain_name_of(value)
    local fault = domain_fault(value) or (not is_utf8(value) and 'bytes that are not UTF-8')
    if fault then
        return nil, shown(value) .. ' has ' .. fault
    end
    return lower(value)
end

local function site_name_of(value)
    if #value == 0 or #value > 255 or find(value, '[%c%s\127]') then
        return nil, shown(value) .. ' is not the name of a site'
    end
    return value
end

local MATCHER_CHECK = {
    campaign = name_of, tenant = name_of, domain = domain_name_of, site = site_name_of,
    class = one_of('high', 'normal', 'bulk'), tag = name_of, all = one_of('yes'),
}

-- Reads pairs of field and value: what matches goes into `words`, the rest is checked by
-- `more` and goes into the table that is answered.  Or nil and a sentence.
local function order_fields(args, more)
    local given = {}
    for i = 1, #args, 2 do
        local field, value = args[i], args[i + 1]
        local check = MATCHER_CHECK[field] or more[field]
        if not check then
            return nil, bad(label(field), 'orders have ' .. concat(MATCHERS, ', ') ..
                            ', all; volley_order has kind, for, id; volley_resume has id')
        elseif value == nil or given[field] then
            return nil, bad(field, value and 'is given twice' or 'has no value')
        end
        local got, fault = check(value)
        if got == nil then
            return nil, bad(field, fault)
        end
        given[field] = got
    end
    local words = {}
    for _, field in ipairs(MATCHERS) do
        if given[field] then
            words[#words + 1] = field .. '=' .. given[field]
        end
    end
    if given.all and #words > 0 then
        return nil, bad('all', 'stands alone: the other fields would narrow it')
    end
    given.words = given.all and 'all=yes' or concat(words, ' ')
    return given
end

-- All orders: {id, kind, created, expires, words, ended}, the oldest first.
local function orders_read(key)
    local flat, ended, list = call('HGETALL', key), {}, {}
    for i = 1, #flat, 2 do
        local id = match(flat[i], '^(.*)#ended$')
        if id then
            ended[id] = tonumber(flat[i + 1])
        else
            local kind, created, expires, words = match(flat[i + 1], '^(%l+) (%d+) (%d+) (.+)$')
            if kind then
                list[#list + 1] = {id = flat[i], kind = kind, created = tonumber(created),
                                   expires = tonumber(expires), words = words}
            end
        end
    end
    for _, order in ipairs(list) do
        order.ended = ended[order.id] or 0
    end
    table.sort(list, function(a, b)
        return a.created < b.created or (a.created == b.created and a.id < b.id)
    end)
    return list
end

local function order_in_force(order, now)
    return order.kind ~= 'lifted' and (order.expires == 0 or order.expires > now)
end

local function order_text(kind, created, expires, words)
    return format('%s %d %d %s', kind, created, expires, words)
end

-- The order that `given` repeats: the one of its id, else one that says the same.  Or nil and
-- an error.
local function order_like(orders, given, now)
    for _, order in ipairs(orders) do
        local same = order.kind == given.kind and order.words == given.words
        if given.id and order.id == given.id then
            if not same then
                return nil, 'VOLLEYCONFLICT id: ' .. shown(given.id) ..
                            ' is an order with other content; use another id'
            end
            return order
        elseif not given.id and same and order_in_force(order, now) then
            return order
        end
    end
end

-- KEYS meta; ARGV kind <kind>, <matcher> <value> ... [for <duration>] [id <name>].  Answers the
-- order's id.
local function order_place(keys, args)
    local base = base_of(keys[1], 'meta')
    if not base or #keys ~= 1 then
        return redis.error_reply(bad('key', NO_KEY))
    end
    local given, fault = order_fields(args, {
        kind = one_of('pause', 'hold', 'cancel', 'retry'), ['for'] = duration_of, id = name_of,
    })
    if given and not given.kind then
        fault = bad('kind', 'missing: pause, hold, cancel or retry')
    elseif given and given.words == '' then
        fault = bad('order', 'says of no job: give ' .. concat(MATCHERS, ', ') .. " or 'all yes'")
    elseif given and given['for'] and given['for'] < 1000 then
        fault = bad('for', 'must be at least 1s')
    end
    if fault then
        return redis.error_reply(fault)
    end
    local key, now = base .. 'orders', now_ms()
    local orders = orders_read(key)
    local order
    order, fault = order_like(orders, given, now)
    if not fault and not order and #orders >= ORDERS_MAX then
        fault = 'VOLLEYFULL ' .. ORDERS_MAX .. ' orders are in force; resume some'
    end
    if fault then
        return redis.error_reply(fault)
    end
    local lasts = given['for'] or ((given.kind == 'cancel' or given.kind == 'retry') and CANCEL_MS)
    call('HLEN', keys[1])
    local id = order and order.id or given.id
    if not id then
        repeat
            id = 'o' .. format('%d', call('HINCRBY', keys[1], 'order_seq', 1))
        until call('HEXISTS', key, id) == 0
    end
    call('HSET', key, id, order_text(given.kind, order and order.created or now,
                                     lasts and now + lasts or 0, given.words))
    call('HINCRBY', keys[1], 'orders', 1)
    return id
end

-- KEYS meta; ARGV id <order>, or the matcher of pauses and holds.  Answers the ids of the orders
-- that were lifted.
local function order_lift(keys, args)
    local base = base_of(keys[1], 'meta')
    if not base or #keys ~= 1 then
        return redis.error_reply(bad('key', NO_KEY))
    end
    local given, fault = order_fields(args, {id = name_of})
    if given and (given.id == nil) == (given.words == '') then
        fault = bad('order', "give the id of an order, or the fields of a pause or hold")
    end
    if fault then
        return redis.error_reply(fault)
    end
    local key, lifted, change = base .. 'orders', {}, {}
    for _, order in ipairs(orders_read(key)) do
        local alike = not given.id and order.words == given.words and
                      (order.kind == 'pause' or order.kind == 'hold')
        if order.id == given.id and order.kind == 'lifted' then
            lifted[#lifted + 1] = order.id -- a call that is repeated
        elseif order.id == given.id or alike then
            lifted[#lifted + 1] = order.id
            change[#change + 1] = order.id
            change[#change + 1] = order_text('lifted', order.created, 0, order.words)
        end
    end
    if #lifted == 0 then
        return redis.error_reply(bad(given.id and 'id' or 'order',
            given.id and 'no order ' .. shown(given.id) or
            'no pause or hold says exactly ' .. shown(given.words) .. '; volley_orders lists them'))
    end
    if #change > 0 then
        call('HLEN', keys[1])
        call('HSET', key, unpack(change))
        call('HINCRBY', keys[1], 'orders', 1)
    end
    return lifted
end

-- KEYS meta.  Answers for each order a list of names and values, the oldest first.
local function order_list(keys)
    local base = base_of(keys[1], 'meta')
    if not base or #keys ~= 1 then
        return redis.error_reply(bad('key', NO_KEY))
    end
    local reply, now = {}, now_ms()
    for i, order in ipairs(orders_read(base .. 'orders')) do
        local state = order.kind == 'lifted' and 'lifting' or
                      order_in_force(order, now) and 'in-force' or 'over'
        local row = {'id', order.id, 'kind', order.kind, 'state', state,
                     'created_ms', format('%d', order.created),
                     'expires_ms', format('%d', order.expires),
                     'held', call('LLEN', base .. 'held:' .. order.id), 'ended', order.ended}
        for field, value in gmatch(order.words, '(%l+)=(%S+)') do
            row[#row + 1] = field
            row[#row + 1] = value
        end
        reply[i] = row
    end
    return reply
end
