-- letter.lua - a look at a letter before it is taken in: enough to refuse what cannot be sent.

-- The first field of this name in the header, unfolded (RFC 5322 2.2.3), or nil.
local function header_field(eml, name)
    local stop = find(eml, '\r?\n\r?\n') or #eml + 1
    local head = '\n' .. sub(eml, 1, min(stop - 1, 65536)) .. '\n'
    local pattern = '\n' .. gsub(name, '%a', function(c)
        return '[' .. string.upper(c) .. lower(c) .. ']'
    end) .. '[ \t]*:'
    local _, last = find(head, pattern)
    if not last then
        return nil
    end
    local value = match(head, '^[^\n]*', last + 1)
    local at = last + 1 + #value
    while find(head, '^\n[ \t]', at) do
        local more = match(head, '^[^\n]*', at + 1)
        value = value .. ' ' .. more
        at = at + 1 + #more
    end
    return (gsub(value, '\r', ''))
end

-- The mailbox of a From header: what stands in <...>, else the whole without comments.
local function mailbox_of(value)
    local text = gsub(value, '%b""', '')
    text = gsub(text, '%b()', '')
    return match(text, '<%s*([^<>]-)%s*>') or match(text, '^%s*(%S+)%s*$')
end

-- What is wrong with the lines of the header, which end at an empty one (RFC 5322 2.2), or nil.
local function header_fault(eml)
    local number, at = 0, 1
    while at <= #eml and at <= 65536 do
        local stop = find(eml, '\n', at, true) or #eml + 1
        local line = gsub(sub(eml, at, min(stop - 1, at + 999)), '\r$', '')
        number = number + 1
        if line == '' then
            return nil
        elseif not find(line, '^[\33-\57\59-\126]+[ \t]*:') and not find(line, '^[ \t]') then
            return 'has no header field in line ' .. number .. ': ' .. shown(line) ..
                   '; an empty line must stand between header and body'
        end
        at = stop + 1
    end
end

-- Answers the envelope sender: the one given, else that of the From header; or nil and what is
-- wrong with the letter.
local function letter_check(eml, from)
    if #eml == 0 then
        return nil, 'is empty'
    elseif #eml > 25 * 1024 * 1024 then
        return nil, format('has %.1f MB, at most 25 are possible', #eml / 1048576)
    elseif not find(eml, '^[\33-\57\59-\126]+[ \t]*:') then
        return nil, 'does not begin with a header field such as Subject: ...; ' ..
                    'give a complete RFC 5322 message'
    elseif find(eml, '\0', 1, true) then
        return nil, 'has a NUL byte'
    end
    local fault = header_fault(eml)
    if fault then
        return nil, fault
    end
    if from then
        return from
    end
    local header = header_field(eml, 'From')
    local mailbox = header and mailbox_of(header)
    local sender = mailbox and not find(mailbox, '{{', 1, true) and address_of(mailbox)
    if not sender then
        return nil, 'has no From header with a plain address; give from'
    end
    return sender
end

-- KEYS meta; ARGV id <name> eml <bytes> [ttl <duration>] [from <address>].  Answers the id.
local function store(keys, args)
    local base = base_of(keys[1], 'meta')
    local given = {}
    for i = 1, #args, 2 do
        local field = args[i]
        if field ~= 'id' and field ~= 'eml' and field ~= 'ttl' and field ~= 'from' then
            return redis.error_reply(bad(shown(field), 'a stored message has id, eml, ttl, from'))
        elseif not args[i + 1] or given[field] then
            return redis.error_reply(bad(field, 'comes once, and with a value'))
        end
        given[field] = args[i + 1]
    end
    local function refuse(field, text)
        return redis.error_reply(bad(field, text))
    end
    local id, fault = name_of(given.id or '')
    if not base or #keys ~= 1 then
        return refuse('key', NO_KEY)
    elseif not id then
        return refuse('id', fault)
    elseif not given.eml then
        return refuse('eml', 'missing: the complete RFC 5322 message')
    end
    local ttl, from = 30 * UNIT_MS.d, nil
    if given.ttl then
        ttl, fault = duration_of(given.ttl)
        if not ttl or ttl < 60000 then
            return refuse('ttl', fault or 'must be at least 1m')
        end
    end
    if given.from then
        from, fault = sender_of(given.from)
        if not from then
            return refuse('from', fault)
        end
    end
    from, fault = letter_check(given.eml, from)
    local open = find(given.eml, '{{', 1, true)
    if from and open and not find(given.eml, '}}', open, true) then
        from, fault = nil, 'has {{ without }} behind it; placeholders are {{name}}'
    end
    if not from then
        return refuse('eml', fault)
    end

    local key = base .. 'msg:' .. id
    local stored = call('HMGET', key, 'eml', 'from')
    call('EXISTS', base .. 'missing:' .. id)
    if stored[1] and (stored[1] ~= given.eml or stored[2] ~= from) then
        return redis.error_reply('VOLLEYCONFLICT id: ' .. shown(id) ..
                                 ' is stored with other content; use another id')
    elseif not stored[1] then
        call('HSET', key, 'eml', given.eml, 'from', from, 'stored', format('%d', now_ms()))
        call('PEXPIRE', key, format('%d', ttl))
        call('UNLINK', base .. 'missing:' .. id)
    elseif call('PTTL', key) < ttl then
        call('PEXPIRE', key, format('%d', ttl))
    end
    return id
end
