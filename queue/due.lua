-- due.lua - deferred and scheduled jobs, back to their lists at the right second.

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
        local head = call('ZRANGEBYSCORE', keys[class], '(' .. now, '+inf', 'WITHSCORES',
                          'LIMIT', 0, 1)
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
