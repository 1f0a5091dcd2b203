-- claim.lua - from the front of lists into the hands of a node.

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

-- A command that reads a list; nil when the key is none: one such key among a hundred must not
-- keep the others from being claimed.
local function claim_ask(...)
    local answer = redis.pcall(...)
    if type(answer) ~= 'table' or not answer.err then
        return answer
    elseif not find(answer.err, 'WRONGTYPE', 1, true) then
        error(answer.err, 0)
    end
end

-- Up to `jobs` records and `bytes` bytes (one record at least) from the front of a list: the
-- records, how many of them, and the length of the list (nil: it is no list).  Fewer than asked
-- for are all there are.
local function claim_front(list, jobs, bytes)
    if jobs < 1 then
        return {}, 0, claim_ask('LLEN', list)
    end
    local records = claim_ask('LRANGE', list, 0, jobs - 1)
    if not records then
        return {}, 0, nil
    end
    local n = #records
    local len = n < jobs and n or call('LLEN', list)
    if bytes > 0 and n > 0 then
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
-- list.  Answers count, left, record ... for each list; left -1: the key is no list.
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
    local reply, own, kept, broken, domains = {}, {}, {number}, {}, {}
    local taken, gone, emptied = {}, {}, {} -- {list, n}; taken whole; names of the now empty
    local seen = {}
    local r, o, total = 0, 0, 0
    for i = first + 1, #keys do
        local at = 4 + (i - first - 1) * 2
        -- A list that is named twice gives once: it is not shortened before the end.
        local jobs = seen[keys[i]] and 0 or min(tonumber(args[at]), JOBS_MAX - total)
        seen[keys[i]] = true
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
        local left = len and len - n or -1
        reply[head + 1], reply[head + 2] = given, left
        kept[head + 2], kept[head + 3] = given, left
        r = head + 2 + given
        total = total + n
        if n > 0 and left > 0 then
            taken[#taken + 1] = {keys[i], n}
        elseif n > 0 then
            gone[#gone + 1] = keys[i]
        end
        if left <= 0 then
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
        if #gone > 0 then
            call('UNLINK', unpack(gone))
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
