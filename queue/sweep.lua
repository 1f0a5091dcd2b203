-- sweep.lua - what nobody claims: slices of long keys for the engine that walks them (sweeper.c),
-- jobs set aside by orders, and the way back for them.
--
-- The engine looks at a slice, decides about each record, and names those it takes with the next
-- call, which looks at the next slice as well.  Records are named by id (of lists) or by
-- themselves (of due jobs), so what was moved in between is not taken for something else.

-- KEYS sweeper; ARGV life, ms.  Answers 1 when this life may walk for so long; two that walk at
-- once do no harm, but twice the work.
local function sweep_lock(keys, args)
    key_base(keys, 'sweeper')
    local holder = call('GET', keys[1])
    if holder and holder ~= args[1] then
        return 0
    end
    call('SET', keys[1], args[1], 'PX', args[2])
    return 1
end

-- KEYS meta, orders.  Answers Redis' time, the version, and names and values of the hash.
local function orders(keys)
    local base = key_base(keys, 'meta')
    expect_keys(keys, base, 'meta', 'orders')
    return {now_ms(), tonumber(call('HGET', keys[1], 'orders') or 0), call('HGETALL', keys[2])}
end

-- The call's number, and what its last one gave when it is the same: {processed, taken}.
local function sweep_again(owned, number)
    local memory = call('HGET', owned, '#s')
    local processed, taken = match(memory or '', '^' .. number .. ' (%d+) ([01]*)$')
    return processed and {tonumber(processed), taken}
end

local function sweep_open(keys, args, ...)
    local base = key_base(keys, 'nodes')
    expect_keys(keys, base, 'nodes', 'owned:' .. args[1], ...)
    local lease = lease_of(keys[1], args[1])
    if not lease or lease < now_ms() then
        return nil, fail('VOLLEYFENCED', "'" .. args[1] .. "' holds no lease")
    elseif #args[4] > JOBS_MAX or tonumber(args[6]) > JOBS_MAX then
        return nil, fail('VOLLEYBAD', 'jobs: at most ' .. JOBS_MAX .. ' in a call')
    end
    return base
end

-- From the front: what is marked 1 is taken, the rest goes to the end of the list.  Ends where the
-- list is not as it was seen: others claim and return there.
local function sweep_front(list, args, own)
    local marks = args[4]
    local records, stay, taken = call('LRANGE', list, 0, #marks - 1), {}, {}
    for i = 1, #records do
        local id = record_id(records[i]) or ''
        if id ~= args[6 + i] then
            break
        end
        taken[i] = sub(marks, i, i)
        if taken[i] == '1' then
            own[#own + 1] = id
            own[#own + 1] = records[i]
        else
            stay[#stay + 1] = records[i]
        end
    end
    return #taken, concat(taken), function()
        if #stay > 0 then
            call('RPUSH', list, unpack(stay))
        end
        if #taken > 0 then
            call('LTRIM', list, #taken, -1)
        end
    end
end

-- From the middle, one by one: for a few records that are near an end.
local function sweep_pluck(list, from, args, own)
    local marks, wanted, taken, records = args[4], {}, {}, {}
    for i = 1, #marks do
        taken[i] = '0'
        if byte(marks, i) == 49 then
            wanted[args[6 + i]] = i
        end
    end
    local sign = from * 2 > call('LLEN', list) and -1 or 1
    for _, record in ipairs(call('LRANGE', list, from, from + #marks - 1)) do
        local id = record_id(record)
        if id and wanted[id] then
            taken[wanted[id]] = '1'
            records[#records + 1] = record
            own[#own + 1] = id
            own[#own + 1] = record
        end
    end
    return #marks, concat(taken), function()
        for _, record in ipairs(records) do
            call('LREM', list, sign, record)
        end
    end
end

-- A list that nothing is left in is not in the index any more, and its domains are not mapped.
local function sweep_emptied(keys, base, own)
    local name = sub(keys[5], #base + 1)
    if call('EXISTS', keys[5]) == 1 or not find(name, '^b?in:') then
        return
    end
    call('ZREM', keys[3], name)
    local domains, records = {}, {}
    if byte(name, 1) == 98 then
        for i = 2, #own, 2 do
            records[#records + 1] = own[i]
        end
        claim_unmap(domains, records, #records)
    end
    if #domains > 0 then
        call('HDEL', keys[4], unpack(domains))
    end
end

-- KEYS nodes, owned, bins, site, list; ARGV life, number, place, marks, from, count, id ...
-- Takes those of the ids that are marked 1 into `owned`: from the front (place -1), or from the
-- slice that begins at `place`.  Answers how many of the ids were looked at, a mark for each
-- (1: taken), the length of the list, and `count` records of it from `from`.
local function sweep(keys, args)
    local base, fenced = sweep_open(keys, args, 'bins', 'site')
    if not base then
        return fenced
    end
    local again = sweep_again(keys[2], args[2])
    local processed, taken = 0, ''
    if again then
        processed, taken = again[1], again[2]
    elseif args[4] ~= '' then
        local own, place, remove = {}, tonumber(args[3]), nil
        call('ZCARD', keys[3])
        call('HLEN', keys[4])
        if place < 0 then
            processed, taken, remove = sweep_front(keys[5], args, own)
        else
            processed, taken, remove = sweep_pluck(keys[5], place, args, own)
        end
        own[#own + 1] = '#s'
        own[#own + 1] = args[2] .. ' ' .. processed .. ' ' .. taken
        call('HSET', keys[2], unpack(own))
        remove()
        sweep_emptied(keys, base, own)
    end
    local from, count = tonumber(args[5]), tonumber(args[6])
    local records = count > 0 and call('LRANGE', keys[5], from, from + count - 1) or {}
    return {processed, taken, call('LLEN', keys[5]), unpack(records)}
end

-- KEYS nodes, owned, due; ARGV life, number, what, marks, from, count, record ...  As sweep; the
-- slice counts from the job that is due last.  What is marked 1 is taken, what is marked 2
-- becomes due now.
local function sweep_due(keys, args)
    local base, fenced = sweep_open(keys, args)
    if not base then
        return fenced
    elseif not find(sub(keys[3], #base + 1), '^due:%l+$') then
        error('key 3 is not ' .. base .. 'due:<class>')
    end
    local again, marks = sweep_again(keys[2], args[2]), args[4]
    local processed, taken = #marks, ''
    if again then
        taken = again[2]
    elseif marks ~= '' then
        local now, own, gone, sooner, done = now_ms(), {}, {}, {}, {}
        for i = 1, #marks do
            local record = args[6 + i]
            local id, score = record_id(record), call('ZSCORE', keys[3], record)
            done[i] = '0'
            if id and score and byte(marks, i) == 49 then
                done[i] = '1'
                own[#own + 1] = id
                own[#own + 1] = record
                gone[#gone + 1] = record
            elseif score and byte(marks, i) == 50 and tonumber(score) > now then
                done[i] = '1'
                sooner[#sooner + 1] = format('%d', now)
                sooner[#sooner + 1] = record
            end
        end
        taken = concat(done)
        own[#own + 1] = '#s'
        own[#own + 1] = args[2] .. ' ' .. processed .. ' ' .. taken
        call('HSET', keys[2], unpack(own))
        if #sooner > 0 then
            call('ZADD', keys[3], 'XX', unpack(sooner))
        end
        if #gone > 0 then
            call('ZREM', keys[3], unpack(gone))
        end
    end
    local from, count = tonumber(args[5]), tonumber(args[6])
    local records = count > 0 and call('ZRANGE', keys[3], from, from + count - 1, 'REV') or {}
    return {processed, taken, call('ZCARD', keys[3]), unpack(records)}
end

-- KEYS owned, orders, meta, held ...; ARGV worker, number, then id, index of its list in KEYS.
-- To the end of held:<order>.  An order that is gone by now leaves a lifted one behind, so that
-- the jobs come back.  Answers as done.
local function set_aside(keys, args)
    local base = base_of(keys[2], 'orders')
    local n = floor((#args - 2) / 2)
    if too_many(n) then
        return too_many(n)
    end
    local ids, groups = {}, groups_new()
    for i = 1, n do
        ids[i] = args[2 * i + 1]
    end
    local found, count, memory_field = owned_take(keys[1], args[1], args[2], ids, n)
    if not found then
        return {-1, 0}
    end
    for i = 1, n do
        local key = keys[tonumber(args[2 * i + 2])]
        if not base or not key or sub(key, 1, #base + 5) ~= base .. 'held:' then
            error('job ' .. i .. ' names no order')
        end
        if found[i] then
            groups_add(groups, key, found[i])
        end
    end
    call('HLEN', keys[3])
    local gone = {}
    for _, group in ipairs(groups.order) do
        local id = sub(group.name, #base + 6)
        call('LLEN', group.name)
        if call('HEXISTS', keys[2], id) == 0 then
            gone[#gone + 1] = id
            gone[#gone + 1] = 'lifted ' .. format('%d', now_ms()) .. ' 0 all=yes'
        end
    end

    for _, group in ipairs(groups.order) do
        call('RPUSH', group.name, unpack(group, 1, group.n))
    end
    if #gone > 0 then
        call('HSET', keys[2], unpack(gone))
        call('HINCRBY', keys[3], 'orders', 1)
    end
    owned_drop(keys[1], memory_field, args[2], ids, n, count)
    return {count, n - count}
end

-- KEYS held, orders, bins, meta, bell:high, bell:normal, bell:bulk, list ...; ARGV order, version,
-- then id, index of its list in KEYS (0: the record is broken).  The first jobs of held:<order>
-- back to the end of their lists, as long as they are as they were seen.  Without ids: forgets the
-- order when nothing stands aside for it, and the orders are still of that version.  Answers how
-- many came back, or 1 when it is forgotten.
local function release(keys, args)
    local base = key_base({keys[2]}, 'orders')
    expect_keys(keys, base, 'held:' .. args[1], 'orders', 'bins', 'meta')
    local n = floor((#args - 2) / 2)
    if too_many(n) then
        return too_many(n)
    end
    local version = call('HGET', keys[4], 'orders')
    if n == 0 then
        if call('LLEN', keys[1]) > 0 or tonumber(version or 0) ~= tonumber(args[2]) then
            return 0
        end
        if call('HDEL', keys[2], args[1], args[1] .. '#ended') > 0 then
            call('HINCRBY', keys[4], 'orders', 1)
        end
        return 1
    end
    local groups, broken, same = groups_new(), {}, 0
    for i, record in ipairs(call('LRANGE', keys[1], 0, n - 1)) do
        local list = tonumber(args[2 * i + 2])
        if (record_id(record) or '') ~= args[2 * i + 1] then
            break
        elseif list == 0 then
            broken[#broken + 1] = record
        else
            local name = sub(keys[list] or '', #base + 1)
            if not find(name, '^b?in:%l+:') then
                error('job ' .. i .. ' names no list')
            end
            groups_add(groups, name, record)
        end
        same = i
    end
    groups_test(base, groups)
    broken_test(base, broken)

    groups_push(base, groups, false, true)
    broken_push(base, broken)
    if same > 0 then
        call('LTRIM', keys[1], same, -1)
    end
    return same
end

-- KEYS orders; ARGV order, jobs ...  Counts what orders ended.
local function tally(keys, args)
    key_base(keys, 'orders')
    for i = 1, #args, 2 do
        if call('HEXISTS', keys[1], args[i]) == 1 then
            call('HINCRBY', keys[1], args[i] .. '#ended', args[i + 1])
        end
    end
    return 1
end
