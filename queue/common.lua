-- common.lua - what both Redis libraries share: record layout, lists, index, doorbells.
--
-- The text in front of both libraries (library.c).  All of a library is the body of one
-- function, which runs at the first call: while a library is being loaded Redis gives it
-- nothing but redis.register_function, not even `string`.
--
-- Functions that write do it in three steps:
-- first they read every key that they are going to write, with a command of the key's type,
-- so that a wrong type, or a key that a resharding Cluster is moving, ends the call before
-- anything was changed; then they write the destinations; then they remove the sources.
--
-- Redis runs Lua 5.1, where every string made is hashed and kept once: hot paths join a
-- record in one concatenation and reach into records by offset instead of taking them apart.

local api

local function body()

local call = redis.call
local byte, char, sub, find, match = string.byte, string.char, string.sub, string.find, string.match
local gmatch, gsub, lower, format = string.gmatch, string.gsub, string.lower, string.format
local floor, min, max = math.floor, math.min, math.max
local concat = table.concat

local JOBS_MAX = 200 -- jobs in one call of an engine
local BELL_MAX = 32  -- names that wait in a doorbell nobody listens to

local BROKEN_MAX = 1000 -- records kept that cannot be read

local CLASSES = {high = 0, normal = 1, bulk = 2}

-- One-byte strings, made once: L[n] is a length byte.
local L = {}
for i = 0, 255 do
    L[i] = char(i)
end

local function u16(n)
    return L[n % 256] .. L[floor(n / 256)]
end

local function u48(n)
    local low = n % 16777216
    local high = floor(n / 16777216)
    return char(low % 256, floor(low / 256) % 256, floor(low / 65536),
                high % 256, floor(high / 256) % 256, floor(high / 65536) % 256)
end

-- Redis' clock.  The only one that counts: nodes may disagree.
local function now_ms()
    local t = call('TIME')
    return t[1] * 1000 + floor(t[2] / 1000)
end

-- What follows the last @.  The @ in front lets the search skip from one to the next.
local function domain_of(address)
    return match(address, '@([^@]*)$')
end

-- A broken record must not stop the calls that meet it: these answer nil for one.

-- "id.n": byte 3 is its length.
local function record_id(record)
    local n = byte(record, 3)
    return n and #record > 3 + n and sub(record, 4, 3 + n)
end

-- "class:pool:tenant" and the recipient's domain.
local function record_lane(record)
    local at = 4 + (byte(record, 3) or 0)
    local lane_len = byte(record, at)
    local to = lane_len and at + 1 + lane_len
    local to_len = to and byte(record, to)
    if not to_len or byte(record, 1) ~= 1 or #record < to + to_len then
        return nil
    end
    local lane = sub(record, at + 1, at + lane_len)
    if not CLASSES[match(lane, '^(%l+):[^:]+:[^:]+$')] then
        return nil
    end
    return lane, domain_of(sub(record, to + 1, to + to_len))
end

-- The list that a record goes to: its intake, or the bin of a site with a backlog.
local function record_list(record, site_of)
    local lane, domain = record_lane(record)
    if not lane then
        return nil
    end
    local site = site_of and site_of(domain)
    return site and 'bin:' .. lane .. ':' .. site or 'in:' .. lane
end

-- Records that are none are kept aside for people to look at: the last BROKEN_MAX of them.
local function broken_test(base, records)
    return #records > 0 and call('LLEN', base .. 'broken')
end

local function broken_push(base, records)
    if #records > 0 then
        call('RPUSH', base .. 'broken', unpack(records))
        call('LTRIM', base .. 'broken', -BROKEN_MAX, -1)
        redis.log(redis.LOG_WARNING, 'volley: ' .. #records .. ' unreadable records moved to ' ..
                                     base .. 'broken')
    end
end

-- Looks domains up in the map of sites with a backlog; nil when there are none.  The second
-- answer looks many up in one command, so that the first has them at hand.
local function site_map(base)
    local key = base .. 'site'
    if call('HLEN', key) == 0 then
        return nil
    end
    local seen = {}
    local function site_of(domain)
        local site = seen[domain]
        if site == nil then
            site = call('HGET', key, domain)
            seen[domain] = site
        end
        return site
    end
    return site_of, function(domains)
        local fresh, n = {}, 0
        for i = 1, #domains do
            if seen[domains[i]] == nil then
                n = n + 1
                fresh[n] = domains[i]
                seen[domains[i]] = false
            end
        end
        local sites = n > 0 and call('HMGET', key, unpack(fresh)) or {}
        for i = 1, n do
            seen[fresh[i]] = sites[i]
        end
    end
end

-- Lists to which a call adds: groups by name, each with its records in order.
local function groups_new()
    return {order = {}}
end

local function groups_add(groups, name, record)
    local group = groups[name]
    if not group then
        group = {name = name, n = 0}
        groups[name] = group
        groups.order[#groups.order + 1] = group
    end
    group.n = group.n + 1
    group[group.n] = record
end

local function bell_key(base, name)
    return base .. 'bell:' .. match(name, '^b?in:(%l+):')
end

-- First step for the lists of `groups`, their index and their doorbells.
local function groups_test(base, groups)
    if #groups.order == 0 then
        return
    end
    call('ZCARD', base .. 'bins')
    call('HLEN', base .. 'meta')
    for _, group in ipairs(groups.order) do
        group.key = base .. group.name
        group.empty = call('LLEN', group.key) == 0
        if group.empty then
            group.bell = bell_key(base, group.name)
            call('LLEN', group.bell)
        end
    end
end

-- Second step.  A list that was empty gets into the index under the next change number: who
-- remembers the last number he saw finds what is new behind it, whatever the clock did.
local function groups_push(base, groups, front, ring)
    for _, group in ipairs(groups.order) do
        local n = group.n
        if front then
            for i = 1, floor(n / 2) do
                group[i], group[n + 1 - i] = group[n + 1 - i], group[i]
            end
        end
        for i = 1, n, JOBS_MAX do
            local last = min(n, i + JOBS_MAX - 1)
            call(front and 'LPUSH' or 'RPUSH', group.key, unpack(group, i, last))
        end
    end
    for _, group in ipairs(groups.order) do
        if group.empty then
            call('ZADD', base .. 'bins', call('HINCRBY', base .. 'meta', 'change', 1), group.name)
            if ring and call('RPUSH', group.bell, group.name) > BELL_MAX then
                call('LTRIM', group.bell, -BELL_MAX, -1)
            end
        end
    end
end

-- "volley:{0}:" of "volley:{0}:<rest>", and the partition's number.
local function base_of(key, rest)
    local base, partition = match(key or '', '^([%w._-]+:{(%d+)}:)' .. rest .. '$')
    return base, tonumber(partition)
end
