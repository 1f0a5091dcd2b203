-- node.lua - the library volley_1, what engines of record format 1 call: lives and leases.
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

-- A clock that jumps says nothing about leases either.  Somebody renews all the time, so when
-- Redis' clock has moved by more than GAP_MS (or back) since the last time, that is a jump, or
-- nobody was there: the lives get the time of one lease again.
local GAP_MS = 10000
local LEASE_MAX_MS = 60000
local seen_ms = nil
local grace_ms = 0

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
    return lease == 0 or (lease < now and now >= born_ms + (grace_ms > 0 and grace_ms or LEASE_MS))
end

-- The length of a lease that an engine asks for; tells the time.
local function lease_length(asked, now)
    local lease = tonumber(asked) or LEASE_MS
    grace_ms = max(grace_ms, lease)
    if seen_ms and (now < seen_ms or now - seen_ms > max(GAP_MS, grace_ms * 2 / 3)) then
        born_ms = now
    end
    seen_ms = now
    return min(lease, LEASE_MAX_MS)
end

-- KEYS meta nodes; ARGV node, holder, owner's settings as name value ..., '', names of what it
-- sends with.  Answers the epoch.  lives of the same node end with this.
local function register(keys, args)
    local base = key_base(keys, 'meta')
    expect_keys(keys, base, 'meta', 'nodes')
    local node, holder = args[1], args[2]
    local now = now_ms()
    local asked = nil
    for i = 3, #args, 2 do
        if args[i] == '' then
            break
        end
        asked = args[i] == 'lease' and args[i + 1] or asked
    end
    local lease_ms = lease_length(asked, now)
    local lives = call('HGETALL', keys[2])
    local ended = {}
    for i = 1, #lives, 2 do
        local lease, who = match(lives[i + 1], '^(%d+) (.*)$')
        if match(lives[i], '^(.*):%d+$') == node and lease ~= '0' then
            if who ~= holder and tonumber(lease) > now then
                local text = "node id '%s' is in use by %s (lease ends in %d s); " ..
                             'give this engine an id of its own'
                local left_s = math.ceil((lease - now) / 1000)
                return fail('VOLLEYHELD', format(text, node, who, left_s))
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
    call('HSET', keys[2], life, format('%d ', now + lease_ms) .. holder)
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

-- KEYS nodes; ARGV life, length of the lease in ms.  Moves its end; answers the lives that are
-- dead.
local function renew(keys, args)
    key_base(keys, 'nodes')
    local now = now_ms()
    local value = call('HGET', keys[1], args[1])
    if not value or sub(value, 1, 2) == '0 ' then
        return fail('VOLLEYFENCED', "the lease of '" .. args[1] ..
                                    "' ended and its jobs were returned")
    end
    local lease_ms = lease_length(args[2], now)
    call('HSET', keys[1], args[1], format('%d ', now + lease_ms) .. match(value, ' (.*)$'))
    local lives = call('HGETALL', keys[1])
    local dead = {}
    for i = 1, #lives, 2 do
        local lease = tonumber(match(lives[i + 1], '^%d+')) or 0
        if lives[i] ~= args[1] and lease_over(lease, now) then
            dead[#dead + 1] = lives[i]
        elseif lease > now + LEASE_MAX_MS then -- from before the clock was set back
            call('HSET', keys[1], lives[i],
                 format('%d ', now + LEASE_MAX_MS) .. match(lives[i + 1], ' (.*)$'))
        end
    end
    return dead
end
