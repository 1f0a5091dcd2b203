/*
 * kinds_text.c - one value of a configuration: texts, names and addresses.
 */
#include "conf/kinds.h"
#include "engine/base/err.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- text ---- */

/* Without control characters, and without those that YAML takes for ends of lines: U+0080 to
 * U+009F, U+2028, U+2029, and the byte order mark. */
static bool printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        struct slice rest = slice_from(text, i);
        if (c < 0x20 || c == 0x7f ||
            (c == 0xc2 && rest.len > 1 && (unsigned char)rest.ptr[1] < 0xa0) ||
            slice_starts(rest, SLICE("\xe2\x80\xa8")) ||
            slice_starts(rest, SLICE("\xe2\x80\xa9")) ||
            slice_starts(rest, SLICE("\xef\xbb\xbf"))) {
            return false;
        }
    }
    return text.len > 0;
}

static int keep_text(struct conf_store *store, struct slice text, void *field)
{
    *(const char **)field = conf_store_text(store, text);
    return 0;
}

int conf_read_text(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint)
{
    (void)key, (void)hint;
    return printable(text) ? keep_text(store, text, field) : ERR_INVALID;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

int conf_read_name(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint)
{
    (void)hint;
    for (size_t i = 0; i < text.len; i++) {
        if (!name_char(text.ptr[i])) {
            return ERR_INVALID;
        }
    }
    size_t max = key->max > 0 ? key->max : CONF_NAME_MAX;
    return text.len > 0 && text.len <= max ? keep_text(store, text, field) : ERR_INVALID;
}

/* RFC 1035 2.3.4 sizes; underscores are seen in host names and harmless. */
static bool is_domain(struct slice text)
{
    struct slice rest = text, label;

    if (text.len == 0 || text.len > 253) {
        return false;
    }
    while (slice_next(&rest, '.', &label)) {
        if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-') {
            return false;
        }
        for (size_t i = 0; i < label.len; i++) {
            if (!name_char(label.ptr[i])) {
                return false;
            }
        }
    }
    return true;
}

/* Names of hosts are compared in lower case everywhere. */
static int keep_lower(struct conf_store *store, struct slice text, void *field)
{
    char *copy = conf_store_take(store, text.len + 1, 1);

    slice_lower(copy, text);
    *(const char **)field = copy;
    return 0;
}

int conf_read_host(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint)
{
    (void)key, (void)hint;
    return is_domain(text) ? keep_lower(store, text, field) : ERR_INVALID;
}

int conf_read_pattern(struct conf_store *store, const struct conf_key *key, struct slice text,
                      void *field, const char **hint)
{
    struct slice domain = slice_starts(text, SLICE("*.")) ? slice_from(text, 2) : text;

    (void)key;
    if (slice_find(domain, '*') < domain.len) {
        *hint = "may have a * only in front, as in *.example.com";
        return ERR_INVALID;
    }
    return is_domain(domain) ? keep_lower(store, text, field) : ERR_INVALID;
}

int conf_read_path(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint)
{
    (void)key, (void)hint;
    return printable(text) ? keep_text(store, text, field) : ERR_INVALID;
}

void conf_put_text(struct buf *out, const struct conf_key *key, const void *field)
{
    (void)key;
    buf_puts(out, slice_cstr(*(const char *const *)field));
}

/* "host", "host:port" or "[IPv6]:port". */
static bool is_redis_host(struct slice text)
{
    uint64_t port = 1;
    size_t host =
        text.len > 0 && text.ptr[0] == '[' ? slice_find(text, ']') + 1 : slice_find(text, ':');

    if (host == 0 || host > text.len || slice_find(text, ',') < text.len) {
        return false;
    }
    if (host == text.len) {
        return true;
    }
    return text.ptr[host] == ':' && slice_u64(slice_from(text, host + 1), &port) == 0 &&
           port >= 1 && port <= 65535;
}

/* One of them, or several, with what may stand around them in an address. */
static bool are_redis_hosts(struct slice text, bool several)
{
    struct slice rest = slice_of(text.ptr, slice_find(text, '?')), host;

    rest.len = slice_find(rest, '/');
    rest = slice_find(rest, '@') < rest.len ? slice_from(rest, slice_find(rest, '@') + 1) : rest;
    if (!several) {
        return is_redis_host(rest);
    }
    while (slice_next(&rest, ',', &host)) {
        if (!is_redis_host(host)) {
            return false;
        }
    }
    return true;
}

/* "user:password@" or "sentinel_password=". */
static bool holds_password(struct slice text)
{
    static const char parameter[] = "sentinel_password=";
    struct slice rest = slice_from(text, slice_find(text, '/'));
    size_t at = slice_find(rest, '@');

    if (at < rest.len && slice_find(slice_of(rest.ptr, at), ':') < at) {
        return true;
    }
    return text.len > 0 && memmem(text.ptr, text.len, parameter, sizeof(parameter) - 1) != NULL;
}

/* The rest of the address is the queue's business; here is what people get wrong. */
int conf_read_redis(struct conf_store *store, const struct conf_key *key, struct slice text,
                    void *field, const char **hint)
{
    static const struct {
        struct slice scheme;
        bool net, several;
    } known[] = {{{"redis://", 8}, true, false},
                 {{"rediss://", 9}, true, false},
                 {{"redis-sentinel://", 17}, true, true},
                 {{"redis-cluster://", 16}, true, true},
                 {{"unix:", 5}, false, false}};

    (void)key;
    /* Said first: a password must not be repeated in a message. */
    if (holds_password(text)) {
        *hint = "must not hold the password; put it into a file and name that in "
                "queue.password_file (for Sentinels: queue.sentinel_password_file)";
        return ERR_INVALID;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct slice rest = slice_from(text, known[i].scheme.len);
        if (!slice_starts(text, known[i].scheme)) {
            continue;
        }
        if (known[i].net && !are_redis_hosts(rest, known[i].several)) {
            *hint = "needs a host, host:port or [IPv6]:port (1 to 65535) behind ://; several with "
                    "commas between for redis-sentinel:// and redis-cluster://";
            return ERR_INVALID;
        }
        return rest.len > 0 && printable(text) ? keep_text(store, text, field) : ERR_INVALID;
    }
    return slice_eq(text, SLICE("embedded")) ? keep_text(store, text, field) : ERR_INVALID;
}

/* ---- addresses ---- */

static bool is_address(const char *text)
{
    struct in6_addr any;

    return inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1;
}

int conf_read_address(struct conf_store *store, const struct conf_key *key, struct slice text,
                      void *field, const char **hint)
{
    const char *cstr = conf_store_text(store, text);
    union conf_address address = {.sa = {.sa_family = AF_UNSPEC}};

    (void)key, (void)hint;
    if (inet_pton(AF_INET, cstr, &address.in4.sin_addr) == 1) {
        address.in4.sin_family = AF_INET;
    } else if (inet_pton(AF_INET6, cstr, &address.in6.sin6_addr) == 1) {
        address.in6.sin6_family = AF_INET6;
    } else {
        return ERR_INVALID;
    }
    memcpy(field, &address, sizeof(address));
    return 0;
}

void conf_put_address(struct buf *out, const struct conf_key *key, const void *field)
{
    const union conf_address *address = field;
    char text[INET6_ADDRSTRLEN];

    (void)key;
    if (address->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->in4.sin_addr, text, sizeof(text));
    } else if (address->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->in6.sin6_addr, text, sizeof(text));
    } else {
        return;
    }
    buf_puts(out, slice_cstr(text));
}

/* Splits "host", "host:port", "[v6]:port", "[v6]" or a bare IPv6 address. */
static int split_port(struct slice text, struct slice *host, struct slice *port)
{
    size_t colon = slice_find(text, ':');

    *host = text;
    *port = SLICE_NONE;
    if (text.len > 0 && text.ptr[0] == '[') {
        size_t end = slice_find(text, ']');
        if (end == text.len) {
            return ERR_INVALID;
        }
        *host = slice_of(text.ptr + 1, end - 1);
        text = slice_from(text, end + 1);
        colon = 0;
        if (text.len == 0) {
            return 0;
        }
        if (text.ptr[0] != ':') {
            return ERR_INVALID;
        }
    } else if (colon == text.len ||
               slice_find(slice_from(text, colon + 1), ':') + colon + 1 < text.len) {
        return 0; /* no colon, or several: no port */
    } else {
        *host = slice_of(text.ptr, colon);
    }
    *port = slice_from(text, colon + 1);
    return port->len > 0 ? 0 : ERR_INVALID;
}

int conf_read_endpoint(struct conf_store *store, const struct conf_key *key, struct slice text,
                       void *field, const char **hint)
{
    struct conf_endpoint endpoint = {.port = key->port};
    struct slice host, port;
    uint64_t number;

    if (split_port(text, &host, &port) != 0) {
        return ERR_INVALID;
    }
    if (port.len > 0) {
        if (slice_u64(port, &number) != 0 || number < 1 || number > 65535) {
            *hint = "has a port that is no number from 1 to 65535";
            return ERR_INVALID;
        }
        endpoint.port = (uint16_t)number;
    }
    endpoint.is_address = is_address(conf_store_text(store, host));
    /* A name of digits and dots only is a mistyped address. */
    if (!endpoint.is_address &&
        (!is_domain(host) || strspn(conf_store_text(store, host), "0123456789.") == host.len)) {
        return ERR_INVALID;
    }
    keep_lower(store, host, &endpoint.host);
    *(struct conf_endpoint *)field = endpoint;
    return 0;
}

void conf_put_endpoint(struct buf *out, const struct conf_key *key, const void *field)
{
    const struct conf_endpoint *endpoint = field;

    (void)key;
    if (endpoint->host == NULL) {
        return;
    }
    if (strchr(endpoint->host, ':') != NULL) {
        buf_printf(out, "[%s]:%u", endpoint->host, endpoint->port);
    } else {
        buf_printf(out, "%s:%u", endpoint->host, endpoint->port);
    }
}
