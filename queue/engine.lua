-- engine.lua - figures, and what the library volley_1 offers.

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
    check = check, due = due, retain = retain, stats = stats, orders = orders,
    sweep_lock = sweep_lock, sweep = sweep, sweep_due = sweep_due, set_aside = set_aside,
    release = release, tally = tally,
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
add('sweep_lock', 'sweep_lock')
add('sweep', 'sweep')
add('sweep_due', 'sweep_due')
add('set_aside', 'set_aside')
add('release', 'release')
add('tally', 'tally')
add('orders', 'orders', 'no-writes')
add('check', 'check', 'no-writes')
add('due', 'due', 'no-writes')
add('retain', 'retain')
add('stats', 'stats', 'no-writes')
