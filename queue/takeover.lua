-- takeover.lua - what a dead life owned goes back.

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
    call('HSET', keys[2], '#taken', 1) -- a journal's replay wants to know
    return call('HDEL', keys[2], unpack(ids))
end
