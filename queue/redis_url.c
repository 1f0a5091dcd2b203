/*
 * redis_url.c - where Redis is, and as whom we come.
 */
#include "queue/redis_url.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <string.h>
#include <sys/un.h>

enum { REDIS_PORT = 6379, SENTINEL_PORT = 26379, DB_MAX = 1023 };

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

/* "user:password", ":password", or "user", whose password comes from elsewhere. */
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
        return url->user != NULL;
    }
    return url->password != NULL;
}

/* "host", "host:port", "[::1]:port". */
static int host_read(struct place *place, struct slice text, unsigned port)
{
    size_t end = find_last(text, ':');
    struct slice host = slice_of(text.ptr, end);
    uint64_t value = port;

    if (text.len > 0 && text.ptr[0] == '[') {
        size_t close = slice_find(text, ']');
        if (close == text.len || (close + 1 < text.len && text.ptr[close + 1] != ':')) {
            return ERR_INVALID;
        }
        end = close + 1;
        host = slice_of(text.ptr + 1, close - 1);
    } else if (slice_find(host, ':') < host.len) {
        return ERR_INVALID; /* an IPv6 address without brackets */
    }
    if (end < text.len && slice_u64(slice_from(text, end + 1), &value) != 0) {
        return ERR_INVALID;
    }
    return place_set(place, host, value);
}

/* One host, or for Sentinel and Cluster several with commas between. */
static int hosts_read(struct redis_url *url, struct slice text, struct buf *why)
{
    unsigned port = url->kind == REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
    size_t max = url->kind == REDIS_SINGLE ? 1 : REDIS_SEEDS_MAX;
    struct slice host;

    url->seed = mem_array(max, sizeof(*url->seed));
    do {
        if (!slice_next(&text, ',', &host)) {
            host = SLICE_NONE;
        }
        if (url->seed_count == max) {
            return refuse(url, why,
                          max == 1 ? "redis:// takes one host; several are for redis-sentinel:// "
                                     "and redis-cluster://"
                                   : "at most 64 hosts");
        }
        if (host_read(&url->seed[url->seed_count], slice_trim(host), port) != 0) {
            return refuse(url, why,
                          "expected host, host:port or [IPv6]:port behind ://, with ports from 1 "
                          "to 65535");
        }
        url->seed_count++;
    } while (text.ptr != NULL);
    return 0;
}

/* Where the value of a parameter goes; NULL: there is none of this name here. */
static char **parameter(struct redis_url *url, struct slice name)
{
    const struct {
        struct slice name;
        char **field;
        bool here;
    } known[] = {
        {SLICE("ca"), &url->files.ca, true},
        {SLICE("cert"), &url->files.cert, true},
        {SLICE("key"), &url->files.key, true},
        {SLICE("name"), &url->files.name, true},
        {SLICE("sentinel_user"), &url->sentinel_user, url->kind == REDIS_SENTINEL},
        {SLICE("sentinel_password"), &url->sentinel_password, url->kind == REDIS_SENTINEL},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].here && slice_eq(known[i].name, name) && *known[i].field == NULL) {
            return known[i].field;
        }
    }
    return NULL;
}

/* "?name=value&name=value" without the question mark. */
static int parameters_read(struct redis_url *url, struct slice text, struct buf *why)
{
    struct slice part;

    while (text.len > 0 && slice_next(&text, '&', &part)) {
        size_t equals = slice_find(part, '=');
        struct slice name = slice_of(part.ptr, equals), value = slice_from(part, equals + 1);
        if (slice_eq(part, SLICE("tls=on")) && url->kind != REDIS_SINGLE) {
            url->tls = true;
            continue;
        }
        char **field = parameter(url, name);
        if (field == NULL || value.len == 0 || (*field = unescape(value)) == NULL) {
            return refuse(url, why,
                          "behind the ? come name=value pairs with & between: ca, cert, key and "
                          "name for TLS; tls=on for Sentinel and Cluster; sentinel_user and "
                          "sentinel_password for Sentinel; each once");
        }
    }
    if (!url->tls && (url->files.ca != NULL || url->files.cert != NULL || url->files.key != NULL ||
                      url->files.name != NULL)) {
        return refuse(url, why,
                      url->kind == REDIS_SINGLE
                          ? "ca, cert, key and name are for TLS: write rediss:// for it"
                          : "ca, cert, key and name are for TLS: add tls=on for it");
    }
    return 0;
}

/* What stands behind the hosts: the master's name of a Sentinel address, the database. */
static int path_read(struct redis_url *url, struct slice path, struct buf *why)
{
    if (url->kind == REDIS_SENTINEL) {
        struct slice name = slice_of(path.ptr, slice_find(path, '/'));
        if (name.len == 0 || (url->master = unescape(name)) == NULL) {
            return refuse(url, why,
                          "behind the hosts of the Sentinels comes the name under which they know "
                          "the master, as in redis-sentinel://host:26379/mymaster");
        }
        path = slice_from(path, name.len + 1);
    }
    if (path.len > 0 && number(path, DB_MAX, &url->db) != 0) {
        return refuse(url, why, "the database behind the last / is a number, such as /0");
    }
    if (url->kind == REDIS_CLUSTER && url->db != 0) {
        return refuse(url, why, "a Cluster has no database but 0");
    }
    return 0;
}

static int net_read(struct redis_url *url, struct slice rest, struct buf *why)
{
    size_t query = slice_find(rest, '?');
    struct slice args = slice_from(rest, query + 1);

    rest.len = query;
    struct slice authority = slice_of(rest.ptr, slice_find(rest, '/'));
    struct slice path = slice_from(rest, authority.len + 1);
    size_t at = find_last(authority, '@');
    if (at < authority.len) {
        if (!user_read(url, slice_of(authority.ptr, at))) {
            return refuse(url, why,
                          "before the @ comes user:password or :password; write signs such as "
                          "@ : / in them as %40 %3A %2F");
        }
        authority = slice_from(authority, at + 1);
    }
    int err = hosts_read(url, authority, why);
    if (err == 0) {
        err = path_read(url, path, why);
    }
    return err == 0 ? parameters_read(url, args, why) : err;
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
    static const struct {
        struct slice scheme;
        enum redis_kind kind;
        bool tls;
    } nets[] = {{{"redis://", 8}, REDIS_SINGLE, false},
                {{"rediss://", 9}, REDIS_SINGLE, true},
                {{"redis-sentinel://", 17}, REDIS_SENTINEL, false},
                {{"redis-cluster://", 16}, REDIS_CLUSTER, false}};

    memset(url, 0, sizeof(*url));
    text = slice_trim(text);
    for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
        if (slice_istarts(text, nets[i].scheme)) {
            url->kind = nets[i].kind;
            url->tls = nets[i].tls;
            return net_read(url, slice_from(text, nets[i].scheme.len), why);
        }
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
                  "expected embedded, redis://host:port/db, rediss://host:port/db (TLS), "
                  "unix:/path, redis-sentinel://host:port,host:port/master or "
                  "redis-cluster://host:port,host:port");
}

static char *copy(const char *text)
{
    return text != NULL ? mem_dup(text, strlen(text)) : NULL;
}

int redis_url_open(struct redis_url *url, const char *password, const char *sentinel_password,
                   struct buf *why)
{
    if (url->password == NULL) {
        url->password = copy(password);
    }
    if (url->sentinel_password == NULL) {
        url->sentinel_password = copy(sentinel_password);
    }
    if ((url->user != NULL && url->password == NULL) ||
        (url->sentinel_user != NULL && url->sentinel_password == NULL)) {
        buf_printf(why, "queue.redis: %suser %s has no password; name its file in %s",
                   url->password == NULL && url->user != NULL ? "" : "Sentinel ",
                   url->password == NULL && url->user != NULL ? url->user : url->sentinel_user,
                   url->password == NULL && url->user != NULL ? "queue.password_file"
                                                              : "queue.sentinel_password_file");
        return ERR_INVALID;
    }
    if (url->tls && url->secure == NULL) {
        url->secure = secure_new(&url->files, why);
        return url->secure != NULL ? 0 : ERR_INVALID;
    }
    return 0;
}

void redis_url_copy(struct redis_url *to, const struct redis_url *from)
{
    *to = *from;
    to->path = copy(from->path);
    to->user = copy(from->user);
    to->password = copy(from->password);
    to->master = copy(from->master);
    to->sentinel_user = copy(from->sentinel_user);
    to->sentinel_password = copy(from->sentinel_password);
    to->files.ca = copy(from->files.ca);
    to->files.cert = copy(from->files.cert);
    to->files.key = copy(from->files.key);
    to->files.name = copy(from->files.name);
    if (from->seed != NULL) {
        to->seed = mem_array(from->seed_count, sizeof(*to->seed));
        memcpy(to->seed, from->seed, from->seed_count * sizeof(*to->seed));
    }
    if (from->secure != NULL) {
        to->secure = secure_ref(from->secure);
    }
}

void redis_url_single(struct redis_url *to, const struct redis_url *url, const struct place *place,
                      bool sentinel)
{
    memset(to, 0, sizeof(*to));
    to->kind = REDIS_SINGLE;
    to->seed = mem_array(1, sizeof(*to->seed));
    to->seed[0] = *place;
    to->seed_count = 1;
    to->user = copy(sentinel ? url->sentinel_user : url->user);
    to->password = copy(sentinel ? url->sentinel_password : url->password);
    to->db = sentinel ? 0 : url->db;
    to->tls = url->tls;
    to->secure = url->secure != NULL ? secure_ref(url->secure) : NULL;
}

void redis_url_fini(struct redis_url *url)
{
    mem_free(url->path);
    mem_free(url->seed);
    mem_free(url->user);
    mem_free(url->password);
    mem_free(url->master);
    mem_free(url->sentinel_user);
    mem_free(url->sentinel_password);
    mem_free(url->files.ca);
    mem_free(url->files.cert);
    mem_free(url->files.key);
    mem_free(url->files.name);
    secure_unref(url->secure);
    memset(url, 0, sizeof(*url));
}

void redis_url_put(struct buf *b, const struct redis_url *url)
{
    if (url->path != NULL) {
        buf_printf(b, "unix:%s", url->path);
        if (url->db != 0) {
            buf_printf(b, "?db=%u", url->db);
        }
        return;
    }
    buf_puts(b, slice_cstr(url->kind == REDIS_SENTINEL  ? "redis-sentinel://"
                           : url->kind == REDIS_CLUSTER ? "redis-cluster://"
                           : url->tls                   ? "rediss://"
                                                        : "redis://"));
    for (size_t i = 0; i < url->seed_count; i++) {
        buf_puts(b, i > 0 ? SLICE(",") : SLICE_NONE);
        place_put(b, &url->seed[i]);
    }
    if (url->master != NULL) {
        buf_printf(b, "/%s", url->master);
    }
    if (url->db != 0) {
        buf_printf(b, "/%u", url->db);
    }
}
