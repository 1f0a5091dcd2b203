/*
 * redis_url.c - where Redis is, and as whom we come.
 */
#include "queue/redis.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <string.h>
#include <sys/un.h>

enum { PORT_DEFAULT = 6379, PORT_MAX = 65535, DB_MAX = 1023 };

static int refuse(struct redis_url *url, struct buf *why, const char *text)
{
    redis_url_fini(url);
    BUF_LIT(why, "queue.redis: ");
    buf_puts(why, slice_cstr(text));
    return ERR_INVALID;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy without percent signs (RFC 3986 2.1); NULL when one is broken or stands for NUL. */
static char *unescape(struct slice s)
{
    char *out = mem_alloc(s.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_digit(s.ptr[i + 2]) : -1;
            c = (char)(high * 16 + low);
            if (high < 0 || low < 0 || c == '\0') {
                mem_free(out);
                return NULL;
            }
            i += 2;
        }
        out[len++] = c;
    }
    out[len] = '\0';
    return out;
}

static int number(struct slice text, unsigned max, unsigned *out)
{
    uint64_t value;

    if (slice_u64(text, &value) != 0 || value > max) {
        return ERR_INVALID;
    }
    *out = (unsigned)value;
    return 0;
}

/* The last `c`, or the length. */
static size_t find_last(struct slice s, char c)
{
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] == c) {
            return i - 1;
        }
    }
    return s.len;
}

static bool user_read(struct redis_url *url, struct slice text)
{
    size_t colon = slice_find(text, ':');

    if (colon < text.len) {
        url->password = unescape(slice_from(text, colon + 1));
        if (url->password == NULL) {
            return false;
        }
    }
    if (colon > 0) {
        url->user = unescape(slice_of(text.ptr, colon));
        return url->user != NULL && url->password != NULL;
    }
    return url->password != NULL;
}

/* "host", "host:port", "[::1]:port". */
static bool host_read(struct redis_url *url, struct slice text)
{
    size_t end = find_last(text, ':');

    if (text.len > 0 && text.ptr[0] == '[') {
        size_t close = slice_find(text, ']');
        if (close == text.len || (close + 1 < text.len && text.ptr[close + 1] != ':')) {
            return false;
        }
        end = close + 1;
        url->host = slice_dup(slice_of(text.ptr + 1, close - 1));
    } else {
        url->host = slice_dup(slice_of(text.ptr, end));
    }
    if (end < text.len &&
        (number(slice_from(text, end + 1), PORT_MAX, &url->port) != 0 || url->port == 0)) {
        return false;
    }
    return url->host[0] != '\0';
}

static int tcp_read(struct redis_url *url, struct slice rest, struct buf *why)
{
    size_t slash = slice_find(rest, '/');
    struct slice authority = slice_of(rest.ptr, slash), db = slice_from(rest, slash + 1);
    size_t at = find_last(authority, '@');

    url->port = PORT_DEFAULT;
    if (at < authority.len) {
        if (!user_read(url, slice_of(authority.ptr, at))) {
            return refuse(url, why,
                          "before the @ comes user:password or :password; write signs such as "
                          "@ : / in them as %40 %3A %2F");
        }
        authority = slice_from(authority, at + 1);
    }
    if (!host_read(url, authority)) {
        return refuse(url, why, "expected host, host:port or [IPv6]:port behind redis://");
    }
    if (db.len > 0 && number(db, DB_MAX, &url->db) != 0) {
        return refuse(url, why, "the database behind the last / is a number, such as /0");
    }
    return 0;
}

static int unix_read(struct redis_url *url, struct slice rest, struct buf *why)
{
    size_t query = slice_find(rest, '?');
    struct slice path = slice_of(rest.ptr, query), args = slice_from(rest, query + 1);

    if (path.len == 0 || path.ptr[0] != '/' ||
        path.len >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return refuse(url, why, "behind unix: comes an absolute path of at most 107 bytes");
    }
    if (args.len > 0 &&
        (!slice_starts(args, SLICE("db=")) || number(slice_from(args, 3), DB_MAX, &url->db) != 0)) {
        return refuse(url, why, "behind the path only ?db=<number> is known");
    }
    url->path = slice_dup(path);
    return 0;
}

int redis_url_parse(struct redis_url *url, struct slice text, struct buf *why)
{
    memset(url, 0, sizeof(*url));
    text = slice_trim(text);
    if (slice_istarts(text, SLICE("redis://"))) {
        return tcp_read(url, slice_from(text, sizeof("redis://") - 1), why);
    }
    if (slice_istarts(text, SLICE("unix://"))) {
        return unix_read(url, slice_from(text, sizeof("unix://") - 1), why);
    }
    if (slice_istarts(text, SLICE("unix:"))) {
        return unix_read(url, slice_from(text, sizeof("unix:") - 1), why);
    }
    if (slice_starts(text, SLICE("/"))) {
        return unix_read(url, text, why);
    }
    return refuse(url, why,
                  "expected embedded, redis://host:port/db or unix:/path (rediss, "
                  "redis-sentinel and redis-cluster are not built yet)");
}

static char *copy(const char *text)
{
    return text != NULL ? mem_dup(text, strlen(text)) : NULL;
}

void redis_url_copy(struct redis_url *to, const struct redis_url *from)
{
    *to = *from;
    to->host = copy(from->host);
    to->path = copy(from->path);
    to->user = copy(from->user);
    to->password = copy(from->password);
}

void redis_url_fini(struct redis_url *url)
{
    mem_free(url->host);
    mem_free(url->path);
    mem_free(url->user);
    mem_free(url->password);
    memset(url, 0, sizeof(*url));
}

void redis_url_put(struct buf *b, const struct redis_url *url)
{
    if (url->path != NULL) {
        buf_printf(b, "unix:%s", url->path);
    } else {
        bool v6 = strchr(url->host, ':') != NULL;
        buf_printf(b, "redis://%s%s%s:%u", v6 ? "[" : "", url->host, v6 ? "]" : "", url->port);
    }
    if (url->db != 0) {
        buf_printf(b, url->path != NULL ? "?db=%u" : "/%u", url->db);
    }
}
