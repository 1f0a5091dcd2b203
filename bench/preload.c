/*
 * preload.c - fills a queue with jobs, as a submitter in any language would.
 */
#include "bench/preload.h"
#include "bench/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { ROWS = 200, CALLS_AHEAD = 16, READ_SIZE = 65536, DEPTH_MAX = 8, TIMEOUT_S = 30 };

struct client {
    int fd;
    struct buf in;
    size_t at; /* of what was read */
    struct buf out;
    struct buf *error;
};

static bool fail(struct client *c, const char *what, struct slice detail)
{
    buf_printf(c->error, "%s: " SLICE_FMT, what, SLICE_ARG(detail));
    return false;
}

static bool client_open(struct client *c, const char *path, struct buf *error)
{
    const struct timeval patience = {.tv_sec = TIMEOUT_S};
    struct buf text = BUF_EMPTY;
    struct address a;

    *c = (struct client){.fd = -1, .error = error};
    buf_printf(&text, "unix:%s", path);
    int err = address_parse(buf_slice(&text), &a, error);
    buf_fini(&text);
    if (err != 0) {
        return false;
    }
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&a.to, a.len) != 0) {
        return fail(c, "cannot reach Redis", slice_cstr(strerror(errno)));
    }
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return true;
}

static void client_close(struct client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    buf_fini(&c->in);
    buf_fini(&c->out);
}

/* ---- what Redis is told ---- */

static void put_word(struct client *c, struct slice word)
{
    buf_printf(&c->out, "$%zu\r\n", word.len);
    buf_puts(&c->out, word);
    BUF_LIT(&c->out, "\r\n");
}

static void put_words(struct client *c, const char *words)
{
    struct slice rest = slice_cstr(words), word;

    while (slice_next(&rest, ' ', &word)) {
        put_word(c, word);
    }
}

static bool flush(struct client *c)
{
    for (size_t at = 0; at < c->out.len;) {
        ssize_t done = write(c->fd, c->out.ptr + at, c->out.len - at);
        if (done < 0) {
            return fail(c, "cannot write to Redis", slice_cstr(strerror(errno)));
        }
        at += (size_t)done;
    }
    buf_reset(&c->out);
    return true;
}

/* ---- what Redis answers ---- */

static bool fill(struct client *c)
{
    buf_consume(&c->in, c->at);
    c->at = 0;
    buf_reserve(&c->in, READ_SIZE);
    ssize_t got = read(c->fd, c->in.ptr + c->in.len, READ_SIZE);
    if (got <= 0) {
        return fail(c, "Redis does not answer",
                    got < 0 ? slice_cstr(strerror(errno)) : SLICE("closed"));
    }
    c->in.len += (size_t)got;
    return true;
}

/* A line without its CRLF, valid until the next read. */
static bool read_line(struct client *c, struct slice *line)
{
    for (;;) {
        struct slice rest = slice_from(buf_slice(&c->in), c->at);
        size_t len = slice_find(rest, '\n');
        if (len < rest.len) {
            *line = slice_of(rest.ptr, len - (len > 0));
            c->at += len + 1;
            return true;
        }
        if (!fill(c)) {
            return false;
        }
    }
}

static bool read_bytes(struct client *c, size_t len, struct slice *bytes)
{
    while (c->in.len - c->at < len + 2) {
        if (!fill(c)) {
            return false;
        }
    }
    *bytes = slice_of(c->in.ptr + c->at, len);
    c->at += len + 2;
    return true;
}

static bool is_fault(struct slice text)
{
    return slice_starts(text, SLICE("VOLLEY"));
}

/* One answer, appended to *text where that is wanted.  False when Redis or a function of ours
 * said no, within an array, too. */
static bool read_answer(struct client *c, unsigned depth, struct buf *text)
{
    struct slice line, bytes = SLICE_NONE;
    uint64_t count;

    if (!read_line(c, &line) || line.len == 0) {
        return false;
    }
    char kind = line.ptr[0];
    struct slice rest = slice_from(line, 1);
    bool none = slice_eq(rest, SLICE("-1"));
    if (kind == '-') {
        return fail(c, "Redis refused", rest);
    }
    if (kind == '$' || kind == '*') {
        if (none) {
            return true;
        }
        if (slice_u64(rest, &count) != 0 || count > 1 << 29 || depth > DEPTH_MAX) {
            return fail(c, "Redis speaks in tongues", line);
        }
        for (uint64_t i = 0; kind == '*' && i < count; i++) {
            if (!read_answer(c, depth + 1, text)) {
                return false;
            }
        }
        if (kind == '$' && !read_bytes(c, count, &bytes)) {
            return false;
        }
        rest = bytes;
    }
    if (is_fault(rest)) {
        return fail(c, "a job was refused", rest);
    }
    if (text != NULL && kind != '*') {
        buf_puts(text, rest);
        buf_putc(text, '\n');
    }
    return true;
}

/* ---- jobs ---- */

static bool store_letter(struct client *c, struct slice letter)
{
    BUF_LIT(&c->out, "*8\r\n");
    put_words(c, "FCALL volley_store 1 volley:{0}:meta id bench eml");
    put_word(c, letter);
    return flush(c) && read_answer(c, 0, NULL);
}

static void put_batch(struct client *c, const struct preload_options *o, uint64_t from,
                      uint64_t count)
{
    char to[64];

    buf_printf(&c->out, "*%llu\r\n", (unsigned long long)(14 + count));
    put_words(c, "FCALL volley_submit_batch 1 volley:{0}:meta 3 message bench from "
                 "bench@sender.example class");
    put_word(c, slice_cstr(o->job_class));
    put_words(c, "rows 1 to");
    for (uint64_t n = from; n < from + count; n++) {
        int len = snprintf(to, sizeof(to), "u%llu@d%llu.example", (unsigned long long)n,
                           (unsigned long long)(n % o->domains));
        put_word(c, slice_of(to, (size_t)len));
    }
}

bool preload_run(const struct preload_options *o, struct buf *error)
{
    struct client c;
    uint64_t sent = 0;
    unsigned ahead = 0;
    bool good = client_open(&c, o->socket, error) && store_letter(&c, o->letter);

    while (good && (sent < o->jobs || ahead > 0)) {
        while (sent < o->jobs && ahead < CALLS_AHEAD) {
            uint64_t count = o->jobs - sent < ROWS ? o->jobs - sent : ROWS;
            put_batch(&c, o, sent, count);
            sent += count;
            ahead++;
        }
        good = flush(&c) && read_answer(&c, 0, NULL);
        ahead--;
    }
    client_close(&c);
    return good;
}

bool preload_command(const char *socket, const char *command, struct buf *answer)
{
    struct client c;
    struct slice rest = slice_cstr(command), word;
    unsigned words = 0;

    while (slice_next(&rest, ' ', &word)) {
        words++;
    }
    bool good = client_open(&c, socket, answer);
    if (good) {
        buf_printf(&c.out, "*%u\r\n", words);
        put_words(&c, command);
        good = flush(&c) && read_answer(&c, 0, answer);
    }
    client_close(&c);
    return good;
}
