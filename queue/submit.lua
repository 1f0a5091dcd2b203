-- submit.lua - the library volley: what submitters call from any language.
--
-- The one key they give is the partition's `meta`; all other keys are derived from it and carry
-- its hash tag, so they stand in the same slot, and each is read before anything is written.
-- These names and arguments are the product's interface and stay; queue/README.md documents
-- them.

local PART_TTL_MS = 30 * 86400000

-- KEYS meta; ARGV field value ...
local function submit(keys, args)
    local p, fault = open(keys)
    if not p then
        return redis.error_reply(fault)
    end
    local job = job_new()
    local id
    fault = set_fields(job, args, 1, #args)
    if not fault then
        id, fault = job_take(p, job)
    end
    fault = fault or commit(p)
    if fault then
        return redis.error_reply(fault)
    end
    return id
end

-- KEYS meta; ARGV <shared fields> field value ... then "rows" or "jobs".  Answers an id or an
-- error (starts with VOLLEY) for each job.
local function submit_batch(keys, args)
    local p, fault = open(keys)
    if not p then
        return redis.error_reply(fault)
    end
    local count = tonumber(args[1])
    if not count or count < 0 or count ~= floor(count) or 2 + 2 * count > #args then
        return redis.error_reply(bad('batch', 'begins with the number of shared fields, ' ..
                                              'then these, then rows or jobs'))
    end
    local shared, results = job_new(), {}
    fault = set_fields(shared, args, 2, 1 + 2 * count)
    if not fault and #shared.to > 0 then
        fault = bad('to', 'cannot be shared')
    elseif not fault and (shared.data or shared.set.key) then
        fault = bad(shared.data and 'data' or 'key',
                    'cannot be shared; store a letter for many with volley_store')
    end
    local kind = args[2 + 2 * count]
    if not fault and kind == 'rows' then
        fault = batch_rows(p, shared, args, 3 + 2 * count, results)
    elseif not fault and kind == 'jobs' then
        fault = batch_jobs(p, shared, args, 3 + 2 * count, results)
    elseif not fault then
        fault = bad('batch', shown(kind) ..
                             ' where rows or jobs is expected behind the shared fields')
    end
    fault = fault or commit(p)
    if fault then
        return redis.error_reply(fault)
    end
    return results
end

-- KEYS meta; ARGV <sending> <number>, then as volley_submit_batch.  The parts of a sending are
-- numbered from 1 and each is taken once and in order: a submitter that lost an answer, or was
-- started again, gives the part again and is told VOLLEYSEEN <last taken>; one that runs ahead
-- of a part that was refused is told VOLLEYORDER <next wanted>.  So a list of millions goes in
-- exactly once for the price of one small key.
local function submit_part(keys, args)
    local base = base_of(keys[1], 'meta')
    local sending, fault = name_of(args[1] or '')
    local number = tonumber(args[2])
    if not base or not sending then
        return redis.error_reply(bad(base and 'sending' or 'key', fault or NO_KEY))
    elseif not number or number < 1 or number ~= floor(number) then
        return redis.error_reply(bad('number', 'is 1 for the first part, and so on'))
    end
    local key = base .. 'part:' .. sending
    local last = tonumber(call('GET', key) or 0)
    if number <= last then
        return redis.error_reply('VOLLEYSEEN ' .. last)
    elseif number > last + 1 then
        return redis.error_reply('VOLLEYORDER ' .. last + 1)
    end
    local rest = {}
    for i = 3, #args do
        rest[i - 2] = args[i]
    end
    local results = submit_batch(keys, rest)
    if not results.err then
        call('SET', key, format('%d', number), 'PX', format('%d', PART_TTL_MS))
    end
    return results
end

return {
    submit = submit, submit_batch = submit_batch, submit_part = submit_part, store = store,
    order = order_place, resume = order_lift, orders = order_list,
    suppress_add = suppress.add, suppress_remove = suppress.remove, suppress_find = suppress.find,
    suppress_list = suppress.list, suppress_tenants = suppress.tenants,
}
end -- of body()

local function add(name, ...)
    redis.register_function{function_name = 'volley_' .. name, flags = {...},
                            callback = function(keys, args)
        api = api or body()
        return api[name](keys, args)
    end}
end

-- No allow-oom: a full Redis takes no new work.
add('submit')
add('submit_batch')
add('submit_part')
add('store')
-- A cancel frees memory, and a pause is wanted most when much is queued.
add('order', 'allow-oom')
add('resume', 'allow-oom')
add('orders', 'no-writes')
add('suppress_add')
add('suppress_remove', 'allow-oom')
add('suppress_find', 'no-writes')
add('suppress_list', 'no-writes')
add('suppress_tenants', 'no-writes')
