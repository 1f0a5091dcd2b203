-- share.lua - how much of a tenant's mail may be `high`.
--
-- With queue.high_share below 100 % each tenant's recipients of the last hour or so are counted, in
-- two slots of half an hour: share:<tenant> holds "slot all high all-before high-before".  Beyond
-- the share a job counts as normal from its submission on; the first HIGH_FREE in an hour never do,
-- as a tenant that sends nothing but password resets is not who this is for.

local share = {}

do -- so that these names end here, see suppress.lua

local SLOT_MS = 1800000
local HIGH_FREE = 100

local function load_counts(p, tenant)
    local slot = floor(p.now / SLOT_MS)
    local was, all, high, all_before, high_before =
        match(call('GET', p.base .. 'share:' .. tenant) or '', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    local age = slot - (tonumber(was) or 0)
    if age == 0 then
        return {slot, tonumber(all), tonumber(high), tonumber(all_before), tonumber(high_before)}
    elseif age == 1 then
        return {slot, 0, 0, tonumber(all), tonumber(high)}
    end
    return {slot, 0, 0, 0, 0} -- a clock that went back begins anew as well
end

-- Counts n recipients; whether they may have the class high that they ask for.
function share.allows(p, tenant, class, n)
    if p.high_share >= 100 then
        return true
    end
    local counts = p.shares[tenant]
    if not counts then
        counts = load_counts(p, tenant)
        p.shares[tenant] = counts
    end
    local all, high = counts[2] + counts[4] + n, counts[3] + counts[5] + n
    local allowed = class ~= 'high' or high <= max(HIGH_FREE, all * p.high_share / 100)
    counts[2] = counts[2] + n
    if class == 'high' and allowed then
        counts[3] = counts[3] + n
    end
    return allowed
end

-- Their keys were read when they were loaded.
function share.write(p)
    for tenant, counts in pairs(p.shares) do
        call('SET', p.base .. 'share:' .. tenant, format('%d %d %d %d %d', unpack(counts)),
             'PX', 2 * SLOT_MS)
    end
end

end -- of do
