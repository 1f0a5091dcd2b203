/*
 * record.c - what the sink keeps of the messages it accepted.
 */
#include "bench/record.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct kept {
    struct buf from, to, content; /* recipients are parted by '\n' */
};

struct record {
    struct record_options options;
    struct ids *ids;
    char *id_header; /* that count_ids names; NULL: none */
    bool id_rcpt;
    int events_fd;
    uint64_t sequence; /* atomic; of stored files */
    pthread_mutex_t lock;
    struct kept *last; /* a ring of options.keep_last */
    uint64_t kept;     /* ever */
};

static bool fail(struct buf *error, const char *what, const char *path)
{
    buf_printf(error, "%s %s: %s", what, path, strerror(errno));
    return false;
}

static bool make_directory(const char *path, struct buf *error)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ? true : fail(error, "cannot make", path);
}

static bool make_maildir(const char *path, struct buf *error)
{
    static const char *const parts[] = {"tmp", "new", "cur"};

    if (!make_directory(path, error)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct buf part = BUF_EMPTY;
        buf_printf(&part, "%s/%s", path, parts[i]);
        buf_terminate(&part);
        bool made = make_directory(part.ptr, error);
        buf_fini(&part);
        if (!made) {
            return false;
        }
    }
    return true;
}

static bool open_events(struct record *r, struct buf *error)
{
    const char *path = r->options.events;

    if (path == NULL) {
        return true;
    }
    r->events_fd = strcmp(path, "-") == 0
                       ? dup(STDOUT_FILENO)
                       : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return r->events_fd >= 0 ? true : fail(error, "cannot write", path);
}

static void count_ids(struct record *r, const char *what)
{
    struct slice name = slice_cstr(what);

    r->ids = ids_new();
    r->id_rcpt = slice_ieq(name, SLICE("rcpt")) || slice_iends(name, SLICE("+rcpt"));
    name.len -= slice_iends(name, SLICE("+rcpt")) ? 5 : 0;
    if (!slice_ieq(name, SLICE("rcpt"))) {
        r->id_header = slice_dup(name);
    }
}

struct record *record_new(const struct record_options *options, struct buf *error)
{
    struct record *r = mem_zalloc(sizeof(*r));

    r->options = *options;
    r->events_fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    if (options->count_ids != NULL) {
        count_ids(r, options->count_ids);
    }
    if (options->keep_last > 0) {
        r->last = mem_array(options->keep_last, sizeof(r->last[0]));
    }
    if ((options->store != NULL && !make_maildir(options->store, error)) ||
        !open_events(r, error)) {
        record_free(r);
        return NULL;
    }
    return r;
}

void record_free(struct record *r)
{
    if (r == NULL) {
        return;
    }
    for (uint64_t i = 0; r->last != NULL && i < r->options.keep_last; i++) {
        buf_fini(&r->last[i].from);
        buf_fini(&r->last[i].to);
        buf_fini(&r->last[i].content);
    }
    if (r->events_fd >= 0) {
        close(r->events_fd);
    }
    mem_free(r->last);
    mem_free(r->id_header);
    ids_free(r->ids);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

enum server_keep record_needs(const struct record *r)
{
    if (r->options.store != NULL || r->options.keep_last > 0 || r->options.digest) {
        return SERVER_KEEP_ALL;
    }
    return r->id_header != NULL ? SERVER_KEEP_HEADER : SERVER_KEEP_NOTHING;
}

bool record_wanted(const struct record *r)
{
    return r->ids != NULL || r->events_fd >= 0 || record_needs(r) != SERVER_KEEP_NOTHING;
}

/* ---- identifiers ---- */

/* The value of the first header field of that name, up to the end of its line. */
static struct slice header_value(struct slice content, const char *name)
{
    struct slice want = slice_cstr(name), line;

    while (slice_next(&content, '\n', &line)) {
        if (line.len <= 1) {
            break;
        }
        if (slice_istarts(line, want) && line.len > want.len && line.ptr[want.len] == ':') {
            return slice_trim(slice_from(line, want.len + 1));
        }
    }
    return SLICE_NONE;
}

static void note_ids(struct record *r, const struct server *s, const struct server_message *m)
{
    struct slice header = SLICE_NONE, to;
    size_t at = 0;

    if (r->id_header != NULL) {
        header = header_value(m->content, r->id_header);
    }
    if (!r->id_rcpt) {
        ids_add(r->ids, header);
        return;
    }
    while (server_rcpt_next(s, &at, &to)) {
        if (r->id_header == NULL) {
            ids_add(r->ids, to);
        } else {
            struct buf both = BUF_EMPTY;
            buf_puts(&both, header);
            buf_putc(&both, ' ');
            buf_puts(&both, to);
            ids_add(r->ids, buf_slice(&both));
            buf_fini(&both);
        }
    }
}

struct ids *record_ids(struct record *r)
{
    return r->ids;
}

/* ---- events ---- */

uint32_t record_crc32(struct slice data)
{
    static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                        0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < data.len; i++) {
        crc ^= (unsigned char)data.ptr[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

static void put_findings(struct buf *out, uint32_t found)
{
    static const struct {
        enum scan_finding finding;
        const char *name;
    } rows[] = {
        {SCAN_BARE_LF, "bare_lf"},     {SCAN_BARE_CR, "bare_cr"}, {SCAN_SMUGGLE, "smuggle"},
        {SCAN_LONG_LINE, "long_line"}, {SCAN_NUL, "nul"},         {SCAN_8BIT, "8bit"},
    };

    json_key(out, "found");
    json_array_open(out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((found & rows[i].finding) != 0) {
            json_str(out, slice_cstr(rows[i].name));
        }
    }
    json_array_close(out);
}

static void put_recipients(struct buf *out, const struct server *s)
{
    struct slice to;
    size_t at = 0;

    json_key(out, "to");
    json_array_open(out);
    while (server_rcpt_next(s, &at, &to)) {
        json_str(out, to);
    }
    json_array_close(out);
}

static void put_event(const struct record *r, const struct server *s,
                      const struct server_message *m, struct buf *out)
{
    char time[CLOCK_RFC3339_LEN + 1];

    clock_format(time, clock_wall_us());
    json_object_open(out);
    json_put_cstr(out, "time", time);
    json_put_u64(out, "connection", m->connection);
    json_put_u64(out, "number", m->number);
    json_put_str(out, "from", m->from);
    put_recipients(out, s);
    json_put_u64(out, "bytes", m->bytes);
    json_put_bool(out, "chunked", m->chunked);
    json_put_bool(out, "tls", m->tls);
    if (r->options.digest) {
        char crc[9];
        snprintf(crc, sizeof(crc), "%08x", record_crc32(m->content));
        json_put_cstr(out, "crc32", crc);
    }
    if (m->found != 0) {
        put_findings(out, m->found);
    }
    json_object_close(out);
    buf_putc(out, '\n');
}

/* The write(2) of all bytes; false with errno. */
static bool write_all(int fd, struct slice data)
{
    while (data.len > 0) {
        ssize_t done = write(fd, data.ptr, data.len);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        data = slice_from(data, done > 0 ? (size_t)done : 0);
    }
    return true;
}

void record_flush(struct record *r, struct buf *lines)
{
    if (lines->len > 0 && !write_all(r->events_fd, buf_slice(lines))) {
        log_error("cannot write events to %s: %s", r->options.events, strerror(errno));
    }
    buf_reset(lines);
}

/* ---- files ---- */

/* The envelope as header fields in front of the message as it came. */
static void put_stored(struct buf *out, const struct server *s, const struct server_message *m)
{
    struct slice to;
    size_t at = 0;

    buf_printf(out, "Return-Path: <" SLICE_FMT ">\r\n", SLICE_ARG(m->from));
    while (server_rcpt_next(s, &at, &to)) {
        buf_printf(out, "X-Envelope-To: <" SLICE_FMT ">\r\n", SLICE_ARG(to));
    }
    buf_printf(out, "X-Sink: connection %llu, message %llu, %s%s\r\n",
               (unsigned long long)m->connection, (unsigned long long)m->number,
               m->chunked ? "BDAT" : "DATA", m->tls ? ", TLS" : "");
    buf_puts(out, m->content);
}

static bool write_file(const char *path, struct slice text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0) {
        return false;
    }
    bool written = write_all(fd, text);
    return close(fd) == 0 && written;
}

/* As a maildir wants it: written in tmp, then moved to new, so that nobody reads half a file. */
static void store(struct record *r, const struct server *s, const struct server_message *m)
{
    uint64_t n = __atomic_add_fetch(&r->sequence, 1, __ATOMIC_RELAXED);
    struct buf tmp = BUF_EMPTY, new = BUF_EMPTY, text = BUF_EMPTY;
    int64_t now_us = clock_wall_us();

    buf_printf(&tmp, "%s/tmp/%lld.%lldP%ldQ%08llu.sink", r->options.store,
               (long long)(now_us / 1000000), (long long)(now_us % 1000000), (long)getpid(),
               (unsigned long long)n);
    buf_puts(&new, buf_slice(&tmp));
    memcpy(new.ptr + strlen(r->options.store) + 1, "new", 3);
    buf_terminate(&tmp);
    buf_terminate(&new);
    put_stored(&text, s, m);
    if (!write_file(tmp.ptr, buf_slice(&text)) || rename(tmp.ptr, new.ptr) != 0) {
        log_error("cannot store a message in %s: %s", r->options.store, strerror(errno));
        unlink(tmp.ptr);
    }
    buf_fini(&tmp);
    buf_fini(&new);
    buf_fini(&text);
}

/* ---- the last ones ---- */

static void keep(struct record *r, const struct server *s, const struct server_message *m)
{
    struct slice to;
    size_t at = 0;

    pthread_mutex_lock(&r->lock);
    struct kept *k = &r->last[r->kept++ % r->options.keep_last];
    buf_reset(&k->from);
    buf_reset(&k->to);
    buf_reset(&k->content);
    buf_puts(&k->from, m->from);
    buf_puts(&k->content, m->content);
    while (server_rcpt_next(s, &at, &to)) {
        if (k->to.len > 0) {
            buf_putc(&k->to, '\n');
        }
        buf_puts(&k->to, to);
    }
    pthread_mutex_unlock(&r->lock);
}

static void each_kept(struct record *r, struct buf *out,
                      void (*put)(struct buf *out, const struct kept *k))
{
    uint64_t most = r->options.keep_last;

    pthread_mutex_lock(&r->lock);
    for (uint64_t i = r->kept > most ? r->kept - most : 0; i < r->kept; i++) {
        put(out, &r->last[i % most]);
    }
    pthread_mutex_unlock(&r->lock);
}

static void put_kept_text(struct buf *out, const struct kept *k)
{
    struct slice rest = buf_slice(&k->to), to;

    buf_printf(out, "---- from <" SLICE_FMT ">", SLICE_ARG(buf_slice(&k->from)));
    while (slice_next(&rest, '\n', &to)) {
        buf_printf(out, " to <" SLICE_FMT ">", SLICE_ARG(to));
    }
    BUF_LIT(out, "\n");
    buf_puts(out, buf_slice(&k->content));
}

static void put_kept_json(struct buf *out, const struct kept *k)
{
    struct slice rest = buf_slice(&k->to), to;

    json_object_open(out);
    json_put_str(out, "from", buf_slice(&k->from));
    json_key(out, "to");
    json_array_open(out);
    while (slice_next(&rest, '\n', &to)) {
        json_str(out, to);
    }
    json_array_close(out);
    json_put_str(out, "data", buf_slice(&k->content));
    json_object_close(out);
}

void record_put_last_text(struct record *r, struct buf *out)
{
    each_kept(r, out, put_kept_text);
}

void record_put_last_json(struct record *r, struct buf *out)
{
    json_array_open(out);
    each_kept(r, out, put_kept_json);
    json_array_close(out);
}

void record_message(struct record *r, const struct server *s, const struct server_message *m,
                    struct buf *lines)
{
    if (r->ids != NULL) {
        note_ids(r, s, m);
    }
    if (r->events_fd >= 0) {
        put_event(r, s, m, lines);
    }
    if (r->options.store != NULL) {
        store(r, s, m);
    }
    if (r->last != NULL) {
        keep(r, s, m);
    }
}
