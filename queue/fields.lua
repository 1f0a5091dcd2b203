-- fields.lua - the fields of a job as submitters write them: checked, and turned into tags.
--
-- Every check answers a value, or nil and a sentence a person can act on.

local VARS_MAX, EXTRAS_MAX = 16384, 4096 -- bytes of v: and of x: fields a recipient
local VARS_TOO_MANY = 'merge values have more than ' .. VARS_MAX .. ' bytes together'
local RECIPIENTS_MAX = 1000
local TIME_MAX = 253402300800000 -- year 10000

local TAG = {
    from = 1, message = 2, campaign = 3, tags = 4, var = 5, extra = 6, expires = 7, not_before = 8,
    max_attempts = 9, retry = 10, window = 11, key = 12, tls = 13, ['dsn.notify'] = 14,
    ['dsn.ret'] = 15, ['dsn.envid'] = 16, unsubscribe = 17, feedback_id = 18, verp = 19,
}

-- Unicode 15 table 3-7, one pattern for each row.
local function is_utf8(s)
    if find(s, '^[%z\1-\127]*$') then
        return true
    end
    s = gsub(s, '[\194-\223][\128-\191]', '')
    s = gsub(s, '\224[\160-\191][\128-\191]', '')
    s = gsub(s, '[\225-\236\238\239][\128-\191][\128-\191]', '')
    s = gsub(s, '\237[\128-\159][\128-\191]', '')
    s = gsub(s, '\240[\144-\191][\128-\191][\128-\191]', '')
    s = gsub(s, '[\241-\243][\128-\191][\128-\191][\128-\191]', '')
    s = gsub(s, '\244[\128-\143][\128-\191][\128-\191]', '')
    return not find(s, '[\128-\255]')
end

-- Text of somebody else's, fit for an error line.
local function shown(value)
    if #value > 80 then
        value = sub(value, 1, 77) .. '...'
    end
    if not is_utf8(value) then
        value = gsub(value, '[\128-\255]', '?')
    end
    return "'" .. gsub(value, '[%c\127]', '?') .. "'"
end

local NO_KEY = 'give 1 key, such as volley:{0}:meta'

local function bad(field, text)
    return 'VOLLEYBAD ' .. field .. ': ' .. text
end

local function name_of(value)
    if find(value, '^[%w._-]+$') and #value <= 64 then
        return value
    end
    return nil, shown(value) .. ' is not a name: use 1 to 64 of A-Z a-z 0-9 . _ -'
end

local LABEL_64 = string.rep('[^.]', 64)

local function domain_fault(domain)
    if domain == '' then
        return 'nothing behind the @'
    elseif find(domain, '^%[[%w.:]+%]$') then
        return nil -- RFC 5321 4.1.3
    elseif find(domain, '[^%w.\128-\255-]') then
        return 'a character that no domain has'
    elseif find(domain, '..', 1, true) or byte(domain, 1) == 46 or byte(domain, -1) == 46 then
        return 'an empty label in the domain'
    elseif find('.' .. domain, '.-', 1, true) or find(domain .. '.', '-.', 1, true) then
        return 'a domain label that begins or ends with a hyphen'
    elseif find(domain, LABEL_64) or #domain > 253 then
        return 'a domain that is too long'
    end
end

local function local_fault(name)
    if name == '' then
        return 'nothing before the @'
    elseif #name > 64 then
        return 'more than 64 characters before the @'
    elseif find(name, '^"[^%c"\\]*"$') then
        return nil -- RFC 5321 4.1.2, Quoted-string
    elseif find(name, '[%c%s]') then
        return 'a space or control character'
    elseif find(name, '[^%w!#$%%&\'*+/=?^_`{|}~.\128-\255-]') then
        return 'a character that must be quoted'
    elseif find(name, '..', 1, true) or byte(name, 1) == 46 or byte(name, -1) == 46 then
        return 'a dot at an end or two in a row before the @'
    end
end

-- The address with its domain in lower case.
local function address_slowly(value)
    local name, domain = match(value, '^(.*)@([^@]*)$')
    local fault
    if value == '' then
        fault = 'is empty'
    elseif #value > 254 then
        fault = 'has more than 254 characters' -- RFC 5321 4.5.3.1.3 less the brackets
    elseif not name then
        fault = 'has no @'
    else
        fault = local_fault(name) or domain_fault(domain)
        fault = fault and 'has ' .. fault
        if not fault and not is_utf8(value) then
            fault = 'is not UTF-8'
        end
    end
    if fault then
        return nil, shown(value) .. ' ' .. fault
    end
    return name .. '@' .. lower(domain)
end

-- What nearly all addresses look like, told in one anchored search (ranges are tried in order,
-- an unanchored set costs ten times as much) and a few looks; the rest goes the slow way.
local COMMON = '^[a-z0-9A-Z_+-][a-z0-9A-Z_.+-]*()@[a-z0-9][a-z0-9.-]*[a-z0-9]$'

local function address_of(value)
    local _, last, at = find(value, COMMON)
    if at and at <= 65 and last - at <= 63 and byte(value, at - 1) ~= 46 and
       not find(value, '..', 1, true) and
       not (find(value, '-', at, true) and find(value, '[.-][.-]', at)) then
        return value
    end
    return address_slowly(value)
end

local UNIT_MS = {ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000, w = 604800000}

local function duration_of(value)
    local total = 0
    local rest = gsub(value, '(%d+)(%l+)', function(count, unit)
        if UNIT_MS[unit] and #count <= 12 then
            total = total + count * UNIT_MS[unit]
            return ''
        end
    end)
    if rest ~= '' or value == '' then
        if value == '0' then
            return 0
        end
        return nil, shown(value) .. ' is not a duration: write 90s, 15m, 4h or 5d'
    elseif total > 3650 * UNIT_MS.d then
        return nil, shown(value) .. ' is more than 3650 days'
    end
    return total
end

-- Days since 1970-01-01 in the Gregorian calendar (the era method).
local function days_of(year, month, day)
    if month <= 2 then
        year, month = year - 1, month + 12
    end
    return 365 * year + floor(year / 4) - floor(year / 100) + floor(year / 400) +
           floor((153 * (month - 3) + 2) / 5) + day - 719469
end

local MONTH_DAYS = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

local function rfc3339_of(value)
    local year, month, day, hour, minute, second, rest = match(value,
        '^(%d%d%d%d)-(%d%d)-(%d%d)[Tt ](%d%d):(%d%d):(%d%d)(.*)$')
    if not year then
        return nil
    end
    local fraction, zone = match(rest, '^(%.%d+)(.*)$')
    zone = zone or rest
    local sign, zone_h, zone_m = match(zone, '^([+-])(%d%d):(%d%d)$')
    month, day = tonumber(month), tonumber(day)
    hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
    if not (sign or zone == 'Z' or zone == 'z') or month < 1 or month > 12 or day < 1 or
       day > MONTH_DAYS[month] or hour > 23 or minute > 59 or second > 60 then
        return nil
    end
    local offset = sign and (zone_h * 60 + zone_m) * (sign == '-' and -1 or 1) or 0
    return ((days_of(tonumber(year), month, day) * 24 + hour) * 60 + minute - offset) * 60000 +
           second * 1000 + floor(tonumber(fraction or 0) * 1000)
end

local function time_of(value)
    local ms
    if find(value, '^%d+%.?%d*$') then
        ms = floor(tonumber(value) * 1000)
    else
        ms = rfc3339_of(value)
    end
    if not ms or ms < 0 or ms >= TIME_MAX then
        return nil, shown(value) .. ' is no time: write unix seconds or 2026-01-31T08:00:00+01:00'
    end
    return ms
end

local function text_of(limit)
    return function(value)
        if value == '' or #value > limit then
            return nil, 'must have 1 to ' .. limit .. ' bytes, has ' .. #value
        elseif find(value, '[%c\127]') then
            return nil, shown(value) .. ' has a control character'
        elseif not is_utf8(value) then
            return nil, shown(value) .. ' is not UTF-8'
        end
        return value
    end
end

local function one_of(...)
    local words = {...}
    return function(value)
        for _, word in ipairs(words) do
            if word == value then
                return value
            end
        end
        return nil, shown(value) .. ' is not one of ' .. concat(words, ', ')
    end
end

-- A list with commas between, each part checked; written back without spaces.
local function list_of(part_of, parts_max)
    return function(value)
        local parts = {}
        for part in gmatch(value .. ',', '%s*([^,]-)%s*,') do
            local ok, fault = part_of(part)
            if not ok then
                return nil, fault
            end
            parts[#parts + 1] = part
        end
        if #parts > parts_max then
            return nil, 'has ' .. #parts .. ' parts, at most ' .. parts_max .. ' are possible'
        end
        return concat(parts, ',')
    end
end

local function attempts_of(value)
    local n = find(value, '^%d+$') and tonumber(value)
    if not n or n < 1 or n > 1000 then
        return nil, shown(value) .. ' is not a number from 1 to 1000'
    end
    return u16(n)
end

local WEEKDAYS = {mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6, sun = 7}

local function clock_of(text)
    local hour, minute = match(text, '^(%d%d?):(%d%d)$')
    hour, minute = tonumber(hour), tonumber(minute)
    return hour and minute < 60 and (hour < 24 or hour == 24 and minute == 0) and hour * 60 + minute
end

-- What a word of a window is: days, hours, zone, or nil.
local function window_word(word)
    local first, last = match(word, '^([^-]+)-(.*)$')
    if WEEKDAYS[lower(first or word)] and WEEKDAYS[lower(last or word)] then
        return 'days'
    end
    local from, to = clock_of(first or ''), clock_of(last or '')
    if from and to and from < 1440 then
        return 'hours'
    end
    return #word <= 64 and find(word, '^%a[%w_+/-]*$') and 'zone'
end

-- Only the form of it: the engine, which knows time zones, reads it again (throttle/window.h).
local function window_of(value)
    local last, ok = nil, #value <= 200
    for word in gmatch(value, '[^ ,]+') do
        local kind = window_word(word)
        ok = ok and kind and last ~= 'zone' and (kind ~= 'zone' or last == 'hours')
        last = kind
    end
    if not ok or (last ~= 'hours' and last ~= 'zone') then
        return nil, shown(value) .. ' is no window: write Mon-Fri 08:00-18:00 Europe/Berlin'
    end
    return value
end

local notify_part = one_of('success', 'failure', 'delay')
local notify_list = list_of(notify_part, 3)

local function notify_of(value)
    if value == 'never' then -- RFC 3461 4.1: NEVER stands alone
        return value
    end
    return notify_list(value)
end

local function unsubscribe_of(value)
    local text, fault = text_of(1000)(value)
    if text and not find(text, '^https://[^%s<>]+$') and not find(text, '^mailto:[^%s<>]+$') then
        return nil, shown(value) .. ' is neither https: nor mailto:'
    end
    return text, fault
end

local function sender_of(value)
    if value == '' or value == '<>' then
        return ''
    end
    return address_of(value)
end

-- Fields that become a tag as they are: name -> check.
local TAGGED = {
    from = sender_of, campaign = name_of, tags = list_of(name_of, 16), max_attempts = attempts_of,
    retry = list_of(duration_of, 32), window = window_of,
    tls = one_of('none', 'may', 'encrypt', 'verify'), ['dsn.notify'] = notify_of,
    ['dsn.ret'] = one_of('full', 'hdrs'), ['dsn.envid'] = text_of(100),
    unsubscribe = unsubscribe_of, feedback_id = text_of(255), verp = one_of('on', 'off'),
}

-- Fields that steer the submission: name -> check; the value is kept in job.set.
local STEERING = {
    class = one_of('high', 'normal', 'bulk'), tenant = name_of, pool = name_of, source = name_of,
    route = name_of, message = name_of, not_before = time_of, spread = duration_of,
    key = text_of(200),
    expires = function(value)
        local ms = duration_of(value)
        if ms then
            return {after = ms}
        end
        local time = time_of(value)
        return time and {at = time}, shown(value) .. ' is neither a time nor a duration such as 2d'
    end,
}

local function tagged(tag, value)
    return L[tag] .. u16(#value) .. value
end

local function pair(tag, name, value)
    return L[tag] .. u16(1 + #name + #value) .. L[#name] .. name .. value
end

-- Number of edits between two short words, for suggestions.
local function edits(a, b)
    local row = {}
    for j = 0, #b do
        row[j] = j
    end
    for i = 1, #a do
        local diagonal = row[0]
        row[0] = i
        for j = 1, #b do
            local cost = byte(a, i) == byte(b, j) and 0 or 1
            local value = min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
            diagonal, row[j] = row[j], value
        end
    end
    return row[#b]
end

local function unknown_field(name)
    local best, best_edits = nil, 3
    local function consider(known)
        local n = edits(lower(sub(name, 1, 32)), known)
        if n < best_edits then
            best, best_edits = known, n
        end
    end
    for known in pairs(TAGGED) do
        consider(known)
    end
    for known in pairs(STEERING) do
        consider(known)
    end
    consider('to')
    consider('data')
    return shown(name) .. ' is not a field of a job' ..
           (best and ", did you mean '" .. best .. "'?" or
            '; merge values are v:<name>, values for events x:<name>')
end

local function pair_name(field)
    local name = sub(field, 3)
    if name == '' or #name > 64 or find(name, '[%c{}\127]') or not is_utf8(name) then
        return nil, 'a name behind ' .. sub(field, 1, 2) ..
                    ' has 1 to 64 bytes without control characters and braces'
    end
    return name
end

local function pair_value(value)
    if find(value, '^[\1-\127]*$') then
        return value
    elseif find(value, '\0', 1, true) then
        return nil, 'has a NUL byte'
    elseif not is_utf8(value) then
        return nil, 'is not UTF-8'
    end
    return value
end
