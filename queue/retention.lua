-- retention.lua - how much the stream of events may hold.

local RETENTION_MAX = 100 -- entries dropped in a call

-- "ms-seq" as two numbers; an id of a stream is at most 20 digits each.
local function stream_id(text)
    local ms, seq = match(text or '', '^(%d+)-(%d+)$')
    return tonumber(ms) or 0, tonumber(seq) or 0
end

local function id_before(a_ms, a_seq, b_ms, b_seq)
    return a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq)
end

-- Up to which entry everybody has read: the slowest group's last one, less what was given to its
-- consumers and not acknowledged.  Answers ms, seq, and whether that one itself is read; nil
-- without groups.
local function read_by_all(events)
    local slow_ms, slow_seq, read
    for _, group in ipairs(call('XINFO', 'GROUPS', events)) do
        local fields = {}
        for i = 1, #group, 2 do
            fields[group[i]] = group[i + 1]
        end
        local ms, seq = stream_id(fields['last-delivered-id'])
        local itself = true
        if fields.pending > 0 then
            ms, seq = stream_id(call('XPENDING', events, fields.name)[2])
            itself = false
        end
        if not slow_ms or id_before(ms, seq, slow_ms, slow_seq) or
           (ms == slow_ms and seq == slow_seq and not itself) then
            slow_ms, slow_seq, read = ms, seq, itself
        end
    end
    return slow_ms, slow_seq, read
end

-- Events in those of the entries that not everybody has read, and how many such entries.
local function unread_of(entries, n, events)
    local slow_ms, slow_seq, itself = read_by_all(events)
    local lines, count = 0, 0
    for i = 1, n do
        local ms, seq = stream_id(entries[i][1])
        local read = slow_ms and (id_before(ms, seq, slow_ms, slow_seq) or
                                  (itself and ms == slow_ms and seq == slow_seq))
        if not read then
            local fields = entries[i][2]
            count = count + 1
            for f = 1, #fields, 2 do
                local text = fields[f] == 'events' and fields[f + 1] or ''
                lines = lines + select(2, gsub(text, '\n', ''))
            end
        end
    end
    return lines, count
end

-- KEYS events, meta; ARGV bytes that it may hold, the time as events write it, node.  Drops the
-- oldest entries of a stream that holds more, and nothing at all below that.  What somebody had
-- not read yet is counted, and the stream says so itself.  Answers how many entries are gone, how
-- many events nobody will read, and 1 when there is more to drop.
local function retain(keys, args)
    local base = key_base(keys, 'events')
    expect_keys(keys, base, 'events', 'meta')
    local limit, len = tonumber(args[1]), call('XLEN', keys[1])
    local bytes = len > 1 and call('MEMORY', 'USAGE', keys[1]) or 0
    if bytes <= limit then
        return {0, 0, 0}
    end
    local surplus = math.ceil(len * (1 - 0.98 * limit / bytes))
    local n = max(1, min(surplus, RETENTION_MAX, len - 1))
    local entries = call('XRANGE', keys[1], '-', '+', 'COUNT', n + 1)
    n = #entries - 1
    if n < 1 then
        return {0, 0, 0}
    end
    local lost, unread = unread_of(entries, n, keys[1])
    call('HLEN', keys[2])
    if unread > 0 then
        call('XADD', keys[1], '*', 'events',
             format('{"v":1,"time":"%s","node":"%s","type":"dropped","count":%d,' ..
                    '"first":"%s","last":"%s"}\n', args[2], args[3], lost, entries[1][1],
                    entries[n][1]))
        call('HINCRBY', keys[2], 'events_dropped', lost)
    end
    call('XTRIM', keys[1], 'MINID', entries[n + 1][1])
    return {n, lost, surplus > n and 1 or 0}
end
