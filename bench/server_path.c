/*
 * server_path.c - one receiving SMTP session: the arguments of MAIL and RCPT.
 *
 * RFC 5321 4.1.2, in so far as a destination must understand it: the path ends at the first
 * ">" outside a quoted string; what the local part looks like is nobody else's business.
 */
#include "bench/server_impl.h"

static struct slice skip_spaces(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s = slice_from(s, 1);
    }
    return s;
}

/* Offset of the ">" that ends the path, or s.len. */
static size_t path_end(struct slice s)
{
    bool quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"') {
            quoted = !quoted;
        } else if (s.ptr[i] == '\\' && quoted) {
            i++;
        } else if (s.ptr[i] == '>' && !quoted) {
            return i;
        }
    }
    return s.len;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

struct slice server_path(struct slice *args, struct slice keyword, struct slice *path)
{
    struct slice s = skip_spaces(*args);

    if (!slice_istarts(s, keyword)) {
        return slice_eq(keyword, SLICE("FROM:")) ? SLICE("501 5.5.4 Syntax: MAIL FROM:<address>")
                                                 : SLICE("501 5.5.4 Syntax: RCPT TO:<address>");
    }
    s = skip_spaces(slice_from(s, keyword.len));
    if (s.len == 0 || s.ptr[0] != '<') {
        return SLICE("501 5.1.7 The address must stand in <angle brackets>");
    }
    s = slice_from(s, 1);
    size_t end = path_end(s);
    if (end == s.len) {
        return SLICE("501 5.1.7 The address does not end with >");
    }
    *path = slice_of(s.ptr, end);
    *args = slice_from(s, end + 1);
    if (path->len > SERVER_ADDRESS_MAX) {
        return SLICE("501 5.1.7 The address is too long");
    }
    if (has_control(*path)) {
        return SLICE("501 5.1.7 The address holds a control character");
    }
    if (args->len > 0 && args->ptr[0] != ' ') {
        return SLICE("501 5.5.4 A space is missing behind the address");
    }
    return SLICE_NONE;
}

bool server_param(struct slice *args, struct slice *key, struct slice *value)
{
    struct slice s = skip_spaces(*args);
    size_t len = slice_find(s, ' ');

    if (s.len == 0) {
        return false;
    }
    *args = slice_from(s, len);
    s.len = len;
    size_t equals = slice_find(s, '=');
    *key = slice_of(s.ptr, equals);
    *value = slice_from(s, equals + 1);
    return true;
}
