-- outcome.lua - what becomes of claimed jobs: done, deferred, parked, returned.

-- Calls visit(line, i) for each line of events; i is the place of its id, or nil for a line that
-- is no job's, which may stand anywhere.  `marks` has a character for each id: 1 it has a line, 2
-- it has a body of its own, 3 both, 0 neither.
local function events_each(lines, marks, visit)
    local id = 0
    for line in gmatch(lines, '[^\n]+') do
        local of_site = find(line, '"type":"site"', 1, true)
        if not of_site then
            repeat
                id = id + 1
            until id > #marks or byte(marks, id) % 2 == 1
        end
        visit(line, not of_site and id <= #marks and id or nil)
    end
end

-- Event lines of jobs that were not ours any more say so.
local function events_late(lines, marks, found)
    local out = {}
    events_each(lines, marks, function(line, i)
        out[#out + 1] = i and not found[i] and gsub(line, '}%s*$', ',"late":true}') or line
    end)
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

-- The states that idempotency keys keys[first ..] come to, as {key, value, ...}: what the event of
-- their job says; of several recipients the last one's.  A key may have run out meanwhile, and
-- be another job's by now.
local function keys_states(keys, first, base, lines, marks, ids, found)
    local states, state_of = {}, nil
    for k = first, #keys do
        local is_key = find(keys[k], '^key:', #base + 1) and call('TYPE', keys[k]).ok == 'string'
        local job, digest = match(is_key and call('GET', keys[k]) or '', '^(%w+) (%w+)')
        if job and not state_of then
            state_of = {}
            events_each(lines, marks, function(line, i)
                if i and found[i] then
                    state_of[sub(ids[i], 1, 26)] = match(line, '"type":"(%l+)"')
                end
            end)
        end
        local state = job and state_of[job]
        if state then
            states[#states + 1] = keys[k]
            states[#states + 1] = job .. ' ' .. digest .. ' ' .. state
        end
    end
    return states
end

local function keys_write(states)
    for i = 1, #states, 2 do
        call('SET', states[i], states[i + 1], 'XX', 'KEEPTTL')
    end
end

-- KEYS owned, events, meta, then bodies and idempotency keys of the jobs; ARGV worker, number,
-- trim, lines, marks, id ...
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
        if find(keys[i], '^body:', #base + 1) then
            call('HLEN', keys[i])
        end
    end
    local states = keys_states(keys, 4, base, args[4], marks, ids, found)
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
    keys_write(states)
    owned_drop(keys[1], memory_field, args[2], ids, n, count)
    for _, body in ipairs(bodies) do
        if call('HINCRBY', body, 'left', -1) <= 0 then
            call('UNLINK', body)
        end
    end
    return {count, n - count}
end

-- KEYS owned, events, due:high, due:normal, due:bulk, then idempotency keys of the jobs; ARGV
-- worker, number, trim, lines, marks, then id, class (1..3), due time in ms, record.  Answers as
-- done.
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
    local states = {}
    if #keys > 5 then
        states = keys_states(keys, 6, base_of(keys[2], 'events'), args[4], marks, ids, found)
    end

    for i = 1, 3 do
        if #due[i] > 0 then
            call('ZADD', keys[2 + i], unpack(due[i]))
        end
    end
    events_write(keys[2], args[3], args[4], marks, found, n - count)
    keys_write(states)
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
