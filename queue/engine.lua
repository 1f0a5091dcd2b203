-- engine.lua - the library volley_1: what engines of record format 1 call.
--
-- Jobs are owned by a life ("<node>:<epoch>") in the hash owned:<life>: field "id.n", value the
-- record.  The epoch is part of the key, so whoever was fenced and had his jobs taken over
-- finds nothing there; a job that is still there is nobody else's, and its outcome counts.
-- Three kinds of fields more: '#life'; '#c<worker>' the answer of its last claim and
-- '#o<worker>' the number of its last batch of outcomes, by which a call that is repeated
-- because its answer was lost is recognised.
--
-- Keys are declared by the caller.  Those named by the content of records (the lists of due
-- jobs) are learned with volley_1_due first.  Two keys are derived because they cannot be
-- known: owned:<life> in register, and `broken`, where records are put that are none.

local LEASE_MS = 15000
local MEMORY_MAX = 2100 -- fields of an owned hash that are not jobs: two for each of 1024 workers

-- When this library was loaded: with Redis' start, or with its promotion from a replica.
-- Leases that ended while Redis was away say nothing, so nobody is declared dead before
-- everybody had the time of one lease to come back.
local born_ms = nil

local function fail(word, text)
    return redis.error_reply(word .. ' ' .. text)
end

local function key_base(keys, rest)
    local base = base_of(keys[1], rest)
    if not base then
        error('first key is not <prefix>:{<partition>}:' .. rest)
    end
    return base
end

-- Ends the call when key i is not base .. rest: keys come in a fixed order.
local function expect_keys(keys, base, ...)
    local rest = {...}
    for i = 1, #rest do
        if keys[i] ~= base .. rest[i] then
            error('key ' .. i .. ' is not ' .. base .. rest[i])
        end
    end
    return #rest
end

local function lease_of(nodes_key, life)
    local value = call('HGET', nodes_key, life)
    return value and tonumber(match(value, '^%d+'))
end

local function lease_over(lease, now)
    born_ms = born_ms or now
    return lease == 0 or (lease < now and now >= born_ms + LEASE_MS)
end

-- ---- nodes ----------------------------------------------------------------------------------

-- KEYS meta nodes; ARGV node, holder, owner's settings as name value ..., '', names of what it
-- sends with.  Answers the epoch.  lives of the same node end with this.
local function register(keys, args)
    local base = key_base(keys, 'meta')
    expect_keys(keys, base, 'meta', 'nodes')
    local node, holder = args[1], args[2]
    local now = now_ms()
    local lives = call('HGETALL', keys[2])
    local ended = {}
    for i = 1, #lives, 2 do
        local lease, who = match(lives[i + 1], '^(%d+) (.*)$')
        if match(lives[i], '^(.*):%d+$') == node and lease ~= '0' then
            if who ~= holder and tonumber(lease) > now then
                return fail('VOLLEYHELD', format(
                    "node id '%s' is in use by %s (lease ends in %d s); give this engine an id of its own",
                    node, who, math.ceil((lease - now) / 1000)))
            end
            ended[#ended + 1] = lives[i]
            ended[#ended + 1] = '0 ' .. who
        end
    end
    local epoch = (tonumber(call('HGET', keys[1], 'epoch')) or 0) + 1
    local life = node .. ':' .. format('%d', epoch)
    local owned = base .. 'owned:' .. life
    call('HLEN', owned)
    call('HSET', owned, '#life', format('%d', now))
    if #ended > 0 then
        call('HSET', keys[2], unpack(ended))
    end
    call('HSET', keys[2], life, format('%d ', now + LEASE_MS) .. holder)
    call('HSET', keys[1], 'epoch', epoch, 'format', 1)
    local i = 3
    while args[i] and args[i] ~= '' do
        call('HSET', keys[1], args[i], args[i + 1])
        i = i + 2
    end
    for name = i + 1, #args do
        call('HSET', keys[1], 'names', 1, 'name:' .. args[name], format('%d', now))
    end
    born_ms = born_ms or now
    return epoch
end

-- KEYS nodes; ARGV life.  Moves the end of the lease; answers the lives that are dead.
local function renew(keys, args)
    key_base(keys, 'nodes')
    local now = now_ms()
    local value = call('HGET', keys[1], args[1])
    if not value or sub(value, 1, 2) == '0 ' then
        return fail('VOLLEYFENCED', "the lease of '" .. args[1] .. "' ended and its jobs were returned")
    end
    call('HSET', keys[1], args[1], format('%d ', now + LEASE_MS) .. match(value, ' (.*)$'))
    local lives = call('HGETALL', keys[1])
    local dead = {}
    for i = 1, #lives, 2 do
        local lease = tonumber(match(lives[i + 1], '^%d+')) or 0
        if lives[i] ~= args[1] and lease_over(lease, now) then
            dead[#dead + 1] = lives[i]
        end
    end
    return dead
end

-- ---- claim ----------------------------------------------------------------------------------

-- The answer of a claim that is asked for again: {count, left, id ...} for each list, as kept.
local function claim_again(owned, memory)
    local reply = {}
    local words = gmatch(memory, '%S+')
    words() -- its number
    for count in words do
        local records = {}
        local left = words()
        local ids = {}
        for i = 1, tonumber(count) do
            ids[i] = words()
        end
        if #ids > 0 then
            for _, record in ipairs(call('HMGET', owned, unpack(ids))) do
                if record then
                    records[#records + 1] = record
                end
            end
        end
        reply[#reply + 1] = #records
        reply[#reply + 1] = tonumber(left)
        for i = 1, #records do
            reply[#reply + 1] = records[i]
        end
    end
    return reply
end

-- Up to `jobs` records and `bytes` bytes (one record at least) from the front of a list.
local function claim_front(list, jobs, bytes)
    local len = call('LLEN', list)
    if len == 0 or jobs < 1 then
        return {}, 0, len
    end
    local records = call('LRANGE', list, 0, min(len, jobs) - 1)
    local n = #records
    if bytes > 0 then
        local total = #records[1]
        for i = 2, n do
            total = total + #records[i]
            if total > bytes then
                n = i - 1
                break
            end
        end
    end
    return records, n, len
end

-- Domains of the last records of a bin that is empty now: submissions go to the intake again.
local function claim_unmap(domains, records, n)
    for i = 1, n do
        local _, domain = record_lane(records[i])
        if domain then
            domains[#domains + 1] = domain
        end
    end
end

-- KEYS nodes, owned, bins, site, list ...; ARGV life, worker, number, then jobs, bytes for each
-- list.  Answers count, left, record ... for each list.
local function claim(keys, args)
    local base = key_base(keys, 'nodes')
    local first = expect_keys(keys, base, 'nodes', 'owned:' .. args[1], 'bins', 'site')
    local owned, bins, number = keys[2], keys[3], args[3]
    local lease = lease_of(keys[1], args[1])
    if not lease or lease < now_ms() then
        return fail('VOLLEYFENCED', "'" .. args[1] .. "' holds no lease; register or renew first")
    end
    local memory_field = '#c' .. args[2]
    local memory = call('HGET', owned, memory_field)
    if memory and match(memory, '^%d+') == number then
        return claim_again(owned, memory)
    end
    call('ZCARD', bins)
    call('HLEN', keys[4])

    -- `kept` is `reply` with ids for records, behind the number of the claim.
    local reply, own, kept, taken, emptied, domains, broken = {}, {}, {number}, {}, {}, {}, {}
    local r, o, total = 0, 0, 0
    for i = first + 1, #keys do
        local at = 4 + (i - first - 1) * 2
        local jobs = min(tonumber(args[at]), JOBS_MAX - total)
        local records, n, len = claim_front(keys[i], jobs, tonumber(args[at + 1]))
        local head, given = r, 0
        for j = 1, n do
            local record = records[j]
            local id = record_id(record)
            if id then
                given = given + 1
                own[o + 1], own[o + 2] = id, record
                o = o + 2
                reply[head + 2 + given] = record
                kept[head + 3 + given] = id
            else
                broken[#broken + 1] = record
            end
        end
        reply[head + 1], reply[head + 2] = given, len - n
        kept[head + 2], kept[head + 3] = given, len - n
        r = head + 2 + given
        total = total + n
        if n > 0 then
            taken[#taken + 1] = {keys[i], n}
        end
        if len == n then
            local name = sub(keys[i], #base + 1)
            emptied[#emptied + 1] = name
            if byte(name, 1) == 98 and n > 0 then -- a bin
                claim_unmap(domains, records, n)
            end
        end
    end

    if total > 0 then
        broken_test(base, broken)
        own[o + 1], own[o + 2] = memory_field, concat(kept, ' ')
        call('HSET', owned, unpack(own))
        broken_push(base, broken)
        for _, t in ipairs(taken) do
            call('LTRIM', t[1], t[2], -1)
        end
    end
    if #emptied > 0 then
        call('ZREM', bins, unpack(emptied))
    end
    if #domains > 0 then
        call('HDEL', keys[4], unpack(domains))
    end
    return reply
end

-- ---- outcomes -------------------------------------------------------------------------------

-- Event lines of jobs that were not ours any more say so.  `marks` has a character for each
-- id: 1 it has a line, 2 it has a body of its own, 3 both, 0 neither.
local function events_late(lines, marks, found)
    local out, id = {}, 0
    for line in gmatch(lines, '[^\n]+') do
        repeat
            id = id + 1
        until id > #marks or byte(marks, id) % 2 == 1
        if id <= #marks and not found[id] then
            line = gsub(line, '}%s*$', ',"late":true}')
        end
        out[#out + 1] = line
    end
    return concat(out, '\n') .. '\n'
end

-- Reads what is owned of ids[1..n]: found[i] is the record or false, and how many are there.
-- nil when this batch was done already.
local function owned_take(owned, worker, number, ids, n)
    local memory_field = '#o' .. worker
    ids[n + 1], ids[n + 2] = memory_field, '#life'
    local found = call('HMGET', owned, unpack(ids, 1, n + 2))
    local last, alive = tonumber(found[n + 1] or 0), found[n + 2]
    ids[n + 1], ids[n + 2] = nil, nil
    if number == '0' then -- a call that nobody repeats
        alive = nil
    elseif alive and last >= tonumber(number) then
        return nil
    end
    local count = 0
    for i = 1, n do
        if found[i] then
            count = count + 1
        end
    end
    return found, count, alive and memory_field
end

local function events_write(key, trim, lines, marks, found, late)
    if lines == '' then
        return
    end
    if late > 0 then
        lines = events_late(lines, marks, found)
    end
    if trim ~= '0' then
        call('XADD', key, 'MAXLEN', '~', trim, '*', 'events', lines)
    else
        call('XADD', key, '*', 'events', lines)
    end
end

-- Third step of every batch of outcomes.
local function owned_drop(owned, memory_field, number, ids, n, count)
    if memory_field then
        call('HSET', owned, memory_field, number)
    end
    if count > 0 then
        call('HDEL', owned, unpack(ids, 1, n))
    end
end

local function too_many(n)
    return n > JOBS_MAX and fail('VOLLEYBAD', 'jobs: at most ' .. JOBS_MAX .. ' in a call')
end

-- KEYS owned, events, meta, body ...; ARGV worker, number, trim, lines, marks, id ...
-- Answers how many were ours and how many were late; -1 when the batch was done already.
local function done(keys, args)
    local base = base_of(keys[2], 'events')
    if not base then
        error('key 2 is not <prefix>:{<partition>}:events')
    end
    local n, marks = #args - 5, args[5]
    if too_many(n) then
        return too_many(n)
    end
    local ids = {unpack(args, 6)}
    local found, count, memory_field = owned_take(keys[1], args[1], args[2], ids, n)
    if not found then
        return {-1, 0}
    end
    call('XLEN', keys[2])
    call('HLEN', keys[3])
    local declared, bodies = {}, {}
    for i = 4, #keys do
        declared[keys[i]] = true
        call('HLEN', keys[i])
    end
    for i = 1, n do
        if found[i] and byte(marks, i) >= 50 then
            local body = base .. 'body:' .. sub(ids[i], 1, 26)
            if not declared[body] then
                error('key not declared: ' .. body)
            end
            bodies[#bodies + 1] = body
        end
    end

    events_write(keys[2], args[3], args[4], marks, found, n - count)
    if count > 0 then
        call('HINCRBY', keys[3], 'out', count)
    end
    owned_drop(keys[1], memory_field, args[2], ids, n, count)
    for _, body in ipairs(bodies) do
        if call('HINCRBY', body, 'left', -1) <= 0 then
            call('UNLINK', body)
        end
    end
    return {count, n - count}
end

-- KEYS owned, events, due:high, due:normal, due:bulk; ARGV worker, number, trim, lines, marks,
-- then id, class (1..3), due time in ms, record.  Answers as done.
local function defer(keys, args)
    local n, marks = floor((#args - 5) / 4), args[5]
    if too_many(n) then
        return too_many(n)
    end
    local ids = {}
    for i = 1, n do
        ids[i] = args[4 * i + 2]
    end
    local found, count, memory_field = owned_take(keys[1], args[1], args[2], ids, n)
    if not found then
        return {-1, 0}
    end
    call('XLEN', keys[2])
    local due = {{}, {}, {}}
    for i = 1, 3 do
        call('ZCARD', keys[2 + i])
    end
    for i = 1, n do
        if found[i] then
            local to = due[tonumber(args[4 * i + 3])]
            to[#to + 1] = args[4 * i + 4]
            to[#to + 1] = args[4 * i + 5]
        end
    end

    for i = 1, 3 do
        if #due[i] > 0 then
            call('ZADD', keys[2 + i], unpack(due[i]))
        end
    end
    events_write(keys[2], args[3], args[4], marks, found, n - count)
    owned_drop(keys[1], memory_field, args[2], ids, n, count)
    return {count, n - count}
end

-- Groups the found records by the declared list of each: lists[i] is an index into keys.
local function moved_groups(keys, base, found, lists, n)
    local groups = groups_new()
    for i = 1, n do
        local key = keys[lists[i]]
        if not key or sub(key, 1, #base) ~= base or not find(key, '^b?in:%l+:', #base + 1) then
            error('job ' .. i .. ' names no list')
        end
        if found[i] then
            groups_add(groups, sub(key, #base + 1), found[i])
        end
    end
    return groups
end

-- KEYS bins, owned, meta, site, bell:high, bell:normal, bell:bulk, list ...; ARGV worker, number,
-- then id, index of its list in KEYS, domain.  To the end of the bin of its site.
local function park(keys, args)
    local base = key_base(keys, 'bins')
    local n = floor((#args - 2) / 3)
    if too_many(n) then
        return too_many(n)
    end
    local ids, lists = {}, {}
    for i = 1, n do
        ids[i], lists[i] = args[3 * i], tonumber(args[3 * i + 1])
    end
    local found, count, memory_field = owned_take(keys[2], args[1], args[2], ids, n)
    if not found then
        return {-1, 0}
    end
    local groups = moved_groups(keys, base, found, lists, n)
    groups_test(base, groups)
    call('HLEN', keys[4])
    local map = {}
    for i = 1, n do
        local site = match(keys[lists[i]], '^bin:[^:]*:[^:]*:[^:]*:(.*)$', #base + 1)
        if found[i] and site and args[3 * i + 2] ~= '' then
            map[#map + 1] = args[3 * i + 2]
            map[#map + 1] = site
        end
    end

    groups_push(base, groups, false, false)
    if #map > 0 then
        call('HSET', keys[4], unpack(map))
    end
    owned_drop(keys[2], memory_field, args[2], ids, n, count)
    return {count, n - count}
end

-- KEYS bins, owned, meta, bell:high, bell:normal, bell:bulk, list ...; ARGV worker, number, then
-- id, index of its list in KEYS.  Back to the front of that list, uncounted.
local function give_back(keys, args)
    local base = key_base(keys, 'bins')
    local n = floor((#args - 2) / 2)
    if too_many(n) then
        return too_many(n)
    end
    local ids, lists = {}, {}
    for i = 1, n do
        ids[i], lists[i] = args[2 * i + 1], tonumber(args[2 * i + 2])
    end
    local found, count, memory_field = owned_take(keys[2], args[1], args[2], ids, n)
    if not found then
        return {-1, 0}
    end
    local groups = moved_groups(keys, base, found, lists, n)
    groups_test(base, groups)

    groups_push(base, groups, true, true)
    owned_drop(keys[2], memory_field, args[2], ids, n, count)
    return {count, n - count}
end

-- KEYS nodes, owned of the dead life, bins, meta, bell:high, bell:normal, bell:bulk, list ...;
-- ARGV life, dead life, then id, index of its list.  Without ids: removes the life when it owns
-- nothing more.  Answers how many were returned, or of the last kind 1 when it is removed.
-- A node that ends in order takes over from itself.
local function takeover(keys, args)
    local base = key_base(keys, 'nodes')
    expect_keys(keys, base, 'nodes', 'owned:' .. args[2], 'bins', 'meta')
    local now = now_ms()
    local mine, lease = lease_of(keys[1], args[1]), lease_of(keys[1], args[2])
    if not mine or mine < now then
        return fail('VOLLEYFENCED', "'" .. args[1] .. "' holds no lease")
    end
    if lease and args[1] ~= args[2] and not lease_over(lease, now) then
        return fail('VOLLEYALIVE', "'" .. args[2] .. "' is alive")
    end
    local n = floor((#args - 2) / 2)
    if too_many(n) then
        return too_many(n)
    end
    if n == 0 then
        if call('HLEN', keys[2]) > MEMORY_MAX then
            return 0
        end
        for _, field in ipairs(call('HKEYS', keys[2])) do
            if byte(field, 1) ~= 35 then -- no '#'
                return 0
            end
        end
        call('HDEL', keys[1], args[2])
        call('UNLINK', keys[2])
        return 1
    end
    local ids, lists = {}, {}
    for i = 1, n do
        ids[i], lists[i] = args[2 * i + 1], tonumber(args[2 * i + 2])
    end
    local found = call('HMGET', keys[2], unpack(ids))
    local groups = moved_groups(keys, base, found, lists, n)
    groups_test(base, groups)

    groups_push(base, groups, true, true)
    return call('HDEL', keys[2], unpack(ids))
end

-- KEYS owned, broken; ARGV worker, number, id ...  What the engine cannot read.  Answers as done.
local function quarantine(keys, args)
    local base = base_of(keys[2], 'broken')
    local ids, n = {unpack(args, 3)}, #args - 2
    if too_many(n) then
        return too_many(n)
    end
    local found, count, memory_field = owned_take(keys[1], args[1], args[2], ids, n)
    if not found then
        return {-1, 0}
    end
    local broken = {}
    for i = 1, n do
        broken[#broken + 1] = found[i] or nil
    end
    broken_test(base, broken)
    broken_push(base, broken)
    owned_drop(keys[1], memory_field, args[2], ids, n, count)
    return {count, n - count}
end

-- KEYS owned; ARGV id ...  Answers a string with 1 or 0 for each: is it still ours?
local function check(keys, args)
    local found = #args > 0 and call('HMGET', keys[1], unpack(args)) or {}
    local out = {}
    for i = 1, #args do
        out[i] = found[i] and '1' or '0'
    end
    return concat(out)
end

-- ---- due ------------------------------------------------------------------------------------

-- Up to `limit` due records, high first.  Calls visit(class, record); answers how many.
local function due_each(keys, now, limit, visit)
    local n = 0
    for class = 1, 3 do
        if n < limit then
            local records = call('ZRANGEBYSCORE', keys[class], '-inf', now, 'LIMIT', 0, limit - n)
            for i = 1, #records do
                visit(class, records[i])
            end
            n = n + #records
        end
    end
    return n
end

-- KEYS due:high, due:normal, due:bulk, site; ARGV limit.  Answers the time, the time of the
-- first record that is not due yet (0: there is none), how many are due now (up to the limit),
-- and the names of the lists they go to.
local function due(keys, args)
    local base = key_base(keys, 'due:high')
    local now, limit = now_ms(), min(tonumber(args[1]), JOBS_MAX)
    local site_of, seen, reply = site_map(base), {}, {now, 0, 0}
    reply[3] = due_each(keys, now, limit, function(_, record)
        local name = record_list(record, site_of)
        if name and not seen[name] then
            seen[name] = true
            reply[#reply + 1] = name
        end
    end)
    for class = 1, 3 do
        local head = call('ZRANGEBYSCORE', keys[class], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        local score = tonumber(head[2])
        if score and (reply[2] == 0 or score < reply[2]) then
            reply[2] = floor(score)
        end
    end
    return reply
end

-- KEYS due:high, due:normal, due:bulk, site, bins, meta, bell:high, bell:normal, bell:bulk,
-- list ...; ARGV limit.  Moves what is due now to the lists declared; what belongs to others
-- stays.  Answers how many were moved.
local function promote(keys, args)
    local base = key_base(keys, 'due:high')
    local now, limit = now_ms(), min(tonumber(args[1]), JOBS_MAX)
    local site_of, groups, declared = site_map(base), groups_new(), {}
    local moved, broken = {{}, {}, {}}, {}
    for i = 10, #keys do
        declared[keys[i]] = true
    end
    due_each(keys, now, limit, function(class, record)
        local name = record_list(record, site_of)
        if not name then
            broken[#broken + 1] = record
            moved[class][#moved[class] + 1] = record
        elseif declared[base .. name] then
            groups_add(groups, name, record)
            moved[class][#moved[class] + 1] = record
        end
    end)
    groups_test(base, groups)
    broken_test(base, broken)

    groups_push(base, groups, false, true)
    broken_push(base, broken)
    local n = 0
    for class = 1, 3 do
        if #moved[class] > 0 then
            n = n + call('ZREM', keys[class], unpack(moved[class]))
        end
    end
    return n
end

-- ---- figures --------------------------------------------------------------------------------

-- KEYS meta, nodes, bins, due:high, due:normal, due:bulk, events, site.  Names and values; each
-- from one command that costs the same at any size.
local function stats(keys)
    local base = key_base(keys, 'meta')
    local meta = call('HMGET', keys[1], 'seq', 'out', 'change')
    local reply = {
        'now_ms', now_ms(), 'submitted', tonumber(meta[1] or 0), 'ended', tonumber(meta[2] or 0),
        'lists', call('ZCARD', keys[3]), 'due_high', call('ZCARD', keys[4]),
        'due_normal', call('ZCARD', keys[5]), 'due_bulk', call('ZCARD', keys[6]),
        'events', call('XLEN', keys[7]), 'mapped_domains', call('HLEN', keys[8]),
    }
    local lives = call('HGETALL', keys[2])
    for i = 1, #lives, 2 do
        reply[#reply + 1] = 'node:' .. lives[i]
        reply[#reply + 1] = match(lives[i + 1], '^%d+')
    end
    reply[#reply + 1] = 'base'
    reply[#reply + 1] = base
    return reply
end

return {
    register = register, renew = renew, claim = claim, done = done, defer = defer, park = park,
    give_back = give_back, takeover = takeover, promote = promote, quarantine = quarantine,
    check = check, due = due, stats = stats,
}
end -- of body()

local function add(name, entry, flag)
    redis.register_function{function_name = 'volley_1_' .. name, flags = {'allow-oom', flag},
                            callback = function(keys, args)
        api = api or body()
        return api[entry](keys, args)
    end}
end

-- Ending work frees memory or keeps it: it goes on when Redis is full.
add('register', 'register')
add('renew', 'renew')
add('claim', 'claim')
add('done', 'done')
add('defer', 'defer')
add('park', 'park')
add('return', 'give_back')
add('takeover', 'takeover')
add('promote', 'promote')
add('quarantine', 'quarantine')
add('check', 'check', 'no-writes')
add('due', 'due', 'no-writes')
add('stats', 'stats', 'no-writes')
