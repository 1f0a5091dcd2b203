-- batch.lua - many jobs in one call, the shared fields first.

-- VAR_LENS[n]: the tag and length of a merge value of n bytes, made when first needed.
local VAR_LENS = setmetatable({}, {__index = function(lens, n)
    local bytes = L[TAG.var] .. u16(n)
    lens[n] = bytes
    return bytes
end})

-- The encoded merge values of a row, or nil and what is wrong with it.
local function row_vars(columns, heads, args, row, bytes)
    local out = ''
    for c = 1, #columns do
        local head = heads[c]
        if head then
            local value = args[row + c]
            local n = #head + #value
            bytes = bytes + n - 1
            if bytes > VARS_MAX then
                return nil, bad(columns[c], VARS_TOO_MANY)
            end
            local ok, fault = pair_value(value)
            if not ok then
                return nil, bad(columns[c], fault)
            end
            out = out .. VAR_LENS[n] .. head .. value
        end
    end
    return out
end

-- Rows with nothing but recipient and merge values, from a job of shared fields: most of what
-- a list mailing is, with one concatenation a value and one a record.
local function rows_fast(p, shared, columns, args, at, results)
    local width, to_column = #columns, nil
    local heads, records, domains, n = {}, {}, {}, 0
    for c = 1, width do
        if columns[c] == 'to' then
            to_column = c
        else
            local name = sub(columns[c], 3)
            heads[c] = L[#name] .. name
        end
    end
    local prefix = L[1] .. shared.flags .. L[28]
    local middle = '.1' .. shared.head
    local suffix = p.created .. concat(shared.blocks)
    for row = at - 1, #args - 1, width do
        local to, fault = address_of(args[row + to_column])
        local vars
        if to then
            vars, fault = row_vars(columns, heads, args, row, shared.vars)
        else
            fault = bad('to', fault)
        end
        if vars then
            local id = job_id(p, 1)
            n = n + 1
            records[n] = prefix .. id .. middle .. L[#to] .. to .. suffix .. vars
            domains[n] = p.site_of and domain_of(to)
            results[#results + 1] = id
        else
            results[#results + 1] = fault
        end
    end
    groups_add_all(p, shared.lane, records, domains, n)
    note_expiry(p, shared, nil)
end

-- Whether rows with these columns can go the fast way.
local function rows_are_plain(shared, columns)
    local set, to = shared.set, 0
    for _, name in ipairs(columns) do
        if name == 'to' then
            to = to + 1
        elseif sub(name, 1, 2) ~= 'v:' or shared.index[name] or not pair_name(name) then
            return false
        end
    end
    return to == 1 and not (set.key or set.not_before or set.spread or shared.data)
end

local function rows_slow(p, shared, columns, args, at, results)
    local width = #columns
    for row = at, #args, width do
        local job = job_new(shared)
        local fault
        for c = 1, width do
            local field, value = columns[c], args[row + c - 1]
            local pairs_or_sender = field == 'to' or field == 'from' or find(field, '^[vx]:')
            if not fault and (value ~= '' or pairs_or_sender) then
                fault = set_field(job, field, value)
                fault = fault and bad(label(field), fault)
            end
        end
        local id
        if not fault then
            id, fault = job_take(p, job)
        end
        results[#results + 1] = id or fault
    end
end

-- "rows" <columns> name ... value ...
local function batch_rows(p, shared, args, at, results)
    local width = tonumber(args[at])
    if not width or width < 1 or width > 200 or width ~= floor(width) then
        return bad('rows', 'the number of columns is 1 to 200')
    end
    local columns = {unpack(args, at + 1, at + width)}
    local first = at + 1 + width
    local rows = (#args - first + 1) / width
    if #columns < width or rows ~= floor(rows) or rows < 1 then
        return bad('rows', 'values do not fill whole rows of ' .. width .. ' columns')
    elseif rows > JOBS_MAX then
        return bad('rows', 'at most ' .. JOBS_MAX .. ' jobs in a call, not ' .. rows)
    end
    for _, name in ipairs(columns) do
        if not (name == 'to' or name == 'data' or TAGGED[name] or STEERING[name] or
                find(name, '^[vx]:')) then
            return bad('rows', unknown_field(name))
        end
    end
    if rows_are_plain(shared, columns) then
        local fault = job_finish(p, shared, rows)
        if fault then
            return fault
        end
        rows_fast(p, shared, columns, args, first, results)
    else
        rows_slow(p, shared, columns, args, first, results)
    end
end

-- "jobs" { <fields> field value ... } ...
local function batch_jobs(p, shared, args, at, results)
    local recipients = 0
    while at <= #args do
        local count = tonumber(args[at])
        if not count or count < 1 or count ~= floor(count) or at + 2 * count > #args then
            return bad('jobs', 'job ' .. (#results + 1) ..
                               ' does not have the number of fields it says')
        elseif #results == JOBS_MAX then
            return bad('jobs', 'at most ' .. JOBS_MAX .. ' jobs in a call')
        end
        local job = job_new(shared)
        local fault = set_fields(job, args, at + 1, at + 2 * count)
        recipients = recipients + #job.to
        if recipients > RECIPIENTS_MAX then
            return bad('jobs', 'more than ' .. RECIPIENTS_MAX .. ' recipients in a call')
        end
        local id
        if not fault then
            id, fault = job_take(p, job)
        end
        results[#results + 1] = id or fault
        at = at + 1 + 2 * count
    end
end
