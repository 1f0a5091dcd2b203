/*
 * floor.c - what sending must cost at least.
 *
 * Every connection is in one of three phases: it reads the banner, reads the answer to EHLO,
 * or runs.  While it runs, answers are single lines and all alike, so they are counted, not
 * parsed; the first digit of each is looked at, and anything but 2 and 3 ends the run.
 */
#include "bench/floor.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { ENVELOPE_MAX = 160, LINE_MAX_LEN = 1024, TIMEOUT_US = 30 * 1000 * 1000 };

enum phase { BANNER, GREETING, RUNNING, ENDING };

struct envelope {
    size_t len;
    char text[ENVELOPE_MAX];
};

struct conn {
    struct io_stream stream;
    struct floor *floor;
    enum phase phase;
    bool opened;
    bool line_start;   /* the next byte begins an answer */
    bool ready;        /* to write: what it waited for has come */
    unsigned owed;     /* answers until then */
    unsigned inflight; /* transactions, when chunking */
    unsigned in_part;  /* answers of the oldest one that have come, when chunking */
    bool body_next;    /* an envelope is out, its text is not */
    bool text_owed;    /* the next answer is that to a text */
    struct iovec iov[2 * FLOOR_DEPTH_MAX];
    struct envelope *envelope; /* options.depth of them */
    struct buf line;           /* of banner and EHLO answer */
};

struct floor {
    const struct floor_options *options;
    struct floor_result *result;
    struct buf *error;
    struct io *io;
    struct conn *conn;
    unsigned open;    /* connections that are not closed yet */
    unsigned greeted; /* connections that may run */
    uint64_t sent;    /* messages whose envelope is out */
    uint64_t bytes;
    int64_t start_us, last_us;
    bool failed;
    struct buf body; /* as it travels after DATA, with the terminator */
};

static const char ending[] = ".\r\n";

void floor_put_message(struct buf *out, uint64_t size)
{
    static const char head[] = "From: Bench <bench@floor.example>\r\n"
                               "To: Somebody <somebody@floor.example>\r\n"
                               "Subject: what sending must cost at least\r\n"
                               "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n";
    static const char line[] =
        "The quick brown fox jumps over the lazy dog, again and again, until dawn..\r\n";
    size_t start = out->len;

    BUF_LIT(out, head);
    while (out->len - start + sizeof(line) - 1 <= size) {
        BUF_LIT(out, line);
    }
    while (out->len - start + 2 < size) {
        buf_putc(out, 'x');
    }
    BUF_LIT(out, "\r\n");
}

static void fail(struct floor *f, const char *what, struct slice detail)
{
    if (!f->failed) {
        f->failed = true;
        buf_printf(f->error, "%s" SLICE_FMT, what, SLICE_ARG(detail));
    }
}

/* ---- writing ---- */

static void put_number(char *at, size_t width, uint64_t value)
{
    for (size_t i = width; i > 0; i--) {
        at[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* MAIL and RCPT for message n, and the command that brings the text. */
static void make_envelope(const struct floor *f, struct envelope *e, uint64_t n)
{
    static const char text[] = "MAIL FROM:<bench@floor.example>\r\n"
                               "RCPT TO:<u0000000000@d000000.example>\r\n";
    const size_t user = 33 + 10, domain = user + 12;

    memcpy(e->text, text, sizeof(text) - 1);
    e->len = sizeof(text) - 1;
    put_number(e->text + user, 10, n);
    put_number(e->text + domain, 6, n % f->options->domains);
    if (f->options->mode == FLOOR_CHUNKING) {
        e->len += (size_t)snprintf(e->text + e->len, ENVELOPE_MAX - e->len, "BDAT %zu LAST\r\n",
                                   f->body.len - (sizeof(ending) - 1));
    } else {
        memcpy(e->text + e->len, "DATA\r\n", 6);
        e->len += 6;
    }
}

static void add(struct conn *c, size_t *count, const void *ptr, size_t len)
{
    c->iov[(*count)++] = (struct iovec){(void *)ptr, len};
    c->floor->bytes += len;
}

static bool next_envelope(struct conn *c, struct envelope *e)
{
    struct floor *f = c->floor;

    if (f->sent == f->options->messages) {
        return false;
    }
    make_envelope(f, e, f->sent++);
    return true;
}

static void write_quit(struct conn *c, size_t *count)
{
    add(c, count, "QUIT\r\n", 6);
    c->owed++;
    c->phase = ENDING;
}

/* DATA: the text, the envelope, or the text and the next envelope. */
static size_t fill_data(struct conn *c)
{
    struct floor *f = c->floor;
    size_t count = 0;
    bool ahead = f->options->mode == FLOOR_MESSAGES;

    c->owed = 0;
    if (c->body_next) {
        add(c, &count, f->body.ptr, f->body.len);
        c->owed = 1;
        c->text_owed = true;
        c->body_next = false;
        if (!ahead) {
            return count;
        }
    }
    if (next_envelope(c, &c->envelope[0])) {
        add(c, &count, c->envelope[0].text, c->envelope[0].len);
        c->owed += 3;
        c->body_next = true;
    } else {
        write_quit(c, &count);
    }
    return count;
}

/* BDAT: as many transactions as the depth leaves room for.  They are topped up when half of
 * them are answered, so that writes stay few. */
static size_t fill_chunks(struct conn *c)
{
    struct floor *f = c->floor;
    size_t count = 0;
    unsigned room = f->options->depth - c->inflight;

    for (unsigned i = 0; i < room; i++) {
        if (!next_envelope(c, &c->envelope[i])) {
            break;
        }
        add(c, &count, c->envelope[i].text, c->envelope[i].len);
        add(c, &count, f->body.ptr, f->body.len - (sizeof(ending) - 1));
        c->inflight++;
    }
    if (count == 0 && c->inflight == 0) {
        write_quit(c, &count);
    }
    return count;
}

static void go_on(struct conn *c)
{
    struct floor *f = c->floor;

    if (!c->ready || c->phase != RUNNING || io_writing(&c->stream)) {
        return;
    }
    if (f->start_us == 0) {
        f->start_us = clock_mono_us();
    }
    c->ready = false;
    size_t count = f->options->mode == FLOOR_CHUNKING ? fill_chunks(c) : fill_data(c);
    if (count > 0) {
        io_write(&c->stream, c->iov, count);
    }
}

/* ---- reading ---- */

static void count_message(struct conn *c)
{
    c->floor->result->messages++;
    c->floor->last_us = io_now_us(c->stream.io);
}

/* One answer of a running connection. */
static void answered(struct conn *c)
{
    struct floor *f = c->floor;

    if (f->options->mode == FLOOR_CHUNKING && c->phase == RUNNING) {
        if (++c->in_part == 3) {
            c->in_part = 0;
            c->inflight--;
            count_message(c);
        }
        c->ready = c->inflight <= f->options->depth / 2;
        return;
    }
    if (c->text_owed) {
        c->text_owed = false;
        count_message(c);
    }
    c->ready = --c->owed == 0;
}

/* Answers of a running connection: lines that start with 2 or 3. */
static void read_answers(struct conn *c, struct slice data)
{
    while (data.len > 0 && !c->floor->failed) {
        if (c->line_start && data.ptr[0] != '2' && data.ptr[0] != '3') {
            data.len = slice_find(data, '\r');
            fail(c->floor, "the server refused: ", data);
            return;
        }
        const char *lf = memchr(data.ptr, '\n', data.len);
        c->line_start = lf != NULL;
        if (lf == NULL) {
            return;
        }
        data = slice_from(data, (size_t)(lf - data.ptr) + 1);
        if (c->owed + c->inflight == 0) {
            fail(c->floor, "the server answered more than it was asked", SLICE_NONE);
            return;
        }
        answered(c);
    }
}

/* The banner and the answer to EHLO may have several lines; "250 " ends them. */
static bool last_line(struct conn *c, struct slice data)
{
    buf_puts(&c->line, data);
    struct slice all = buf_slice(&c->line), line;
    while (slice_next(&all, '\n', &line) && all.ptr != NULL) {
        if (line.len >= 4 && line.ptr[3] == ' ') {
            if (line.ptr[0] != '2') {
                fail(c->floor, "the server refused: ", slice_trim(line));
                return false;
            }
            return true;
        }
    }
    if (c->line.len > LINE_MAX_LEN * 16) {
        fail(c->floor, "the server talks without end", SLICE_NONE);
    }
    return false;
}

static bool offers(const struct conn *c, const char *keyword)
{
    return memmem(c->line.ptr, c->line.len, keyword, strlen(keyword)) != NULL;
}

static void greeted(struct conn *c)
{
    struct floor *f = c->floor;
    bool chunking = f->options->mode == FLOOR_CHUNKING;

    if (!offers(c, "PIPELINING") || (chunking && !offers(c, "CHUNKING"))) {
        fail(f,
             chunking ? "the server does not offer PIPELINING and CHUNKING"
                      : "the server does not offer PIPELINING",
             SLICE_NONE);
        return;
    }
    buf_fini(&c->line);
    c->phase = RUNNING;
    c->ready = c->line_start = true;
    /* All start together, so that the span holds nothing but sending. */
    if (++f->greeted == f->options->connections) {
        for (unsigned i = 0; i < f->options->connections; i++) {
            go_on(&f->conn[i]);
        }
    }
}

static void on_read(struct io_stream *stream, struct slice data)
{
    static const struct iovec ehlo = {"EHLO floor.example\r\n", 20};
    struct conn *c = CONTAINER_OF(stream, struct conn, stream);

    switch (c->phase) {
    case BANNER:
        if (last_line(c, data)) {
            buf_reset(&c->line);
            c->phase = GREETING;
            io_write(stream, &ehlo, 1);
        }
        break;
    case GREETING:
        if (last_line(c, data)) {
            greeted(c);
        }
        break;
    case RUNNING:
    case ENDING:
        read_answers(c, data);
        go_on(c);
        break;
    }
}

/* ---- the life of a connection ---- */

static void on_open(struct io_stream *stream, int err)
{
    struct conn *c = CONTAINER_OF(stream, struct conn, stream);

    if (err != 0) {
        fail(c->floor, "cannot connect: ", slice_cstr(err_name(err)));
    }
}

static void on_write(struct io_stream *stream, int err)
{
    struct conn *c = CONTAINER_OF(stream, struct conn, stream);

    if (err != 0) {
        fail(c->floor, "a write failed: ", slice_cstr(err_name(err)));
    } else if (c->phase == RUNNING && c->floor->greeted == c->floor->options->connections) {
        go_on(c);
    }
}

static void on_end(struct io_stream *stream, int err)
{
    struct conn *c = CONTAINER_OF(stream, struct conn, stream);

    if (c->phase != ENDING || c->owed > 0) {
        fail(c->floor, "a connection was lost: ", slice_cstr(err != 0 ? err_name(err) : "closed"));
    }
    io_close(stream);
}

static void on_close(struct io_stream *stream)
{
    struct conn *c = CONTAINER_OF(stream, struct conn, stream);

    c->opened = false;
    c->floor->open--;
}

static const struct io_stream_ops ops = {on_open, on_read, on_end, on_write, on_close};

static void open_all(struct floor *f)
{
    const struct floor_options *o = f->options;

    for (unsigned i = 0; i < o->connections && !f->failed; i++) {
        struct conn *c = &f->conn[i];
        c->floor = f;
        c->envelope = mem_array(o->depth, sizeof(c->envelope[0]));
        int err = io_connect(f->io, &c->stream, &ops, (const struct sockaddr *)&o->to.to, o->to.len,
                             NULL);
        if (err != 0) {
            fail(f, "cannot connect: ", slice_cstr(err_name(err)));
            return;
        }
        c->opened = true;
        f->open++;
    }
}

static void run(struct floor *f)
{
    int64_t timeout_us = f->options->timeout_us > 0 ? f->options->timeout_us : TIMEOUT_US;
    uint64_t seen = 0;
    int64_t seen_us = clock_mono_us();

    while (f->open > 0) {
        io_tick(f->io, 1000000);
        if (f->result->messages != seen || seen_us == 0) {
            seen = f->result->messages;
            seen_us = io_now_us(f->io);
        } else if (io_now_us(f->io) - seen_us > timeout_us) {
            fail(f, "no progress for too long", SLICE_NONE);
        }
        for (unsigned i = 0; f->failed && i < f->options->connections; i++) {
            if (f->conn[i].opened) {
                io_close(&f->conn[i].stream);
            }
        }
    }
}

static int64_t microseconds(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

static void free_all(struct floor *f)
{
    for (unsigned i = 0; i < f->options->connections; i++) {
        mem_free(f->conn[i].envelope);
        buf_fini(&f->conn[i].line);
    }
    mem_free(f->conn);
    buf_fini(&f->body);
    io_free(f->io);
}

int floor_run(const struct floor_options *options, struct floor_result *result, struct buf *error)
{
    struct io_options io_options = {.backend = options->io, .streams_max = options->connections};
    struct floor f = {.options = options, .result = result, .error = error};
    struct rusage before, after;
    int err;

    *result = (struct floor_result){0};
    f.io = io_new(&io_options, &err);
    if (f.io == NULL) {
        buf_printf(error, "cannot start the I/O loop: %s", err_name(err));
        return -1;
    }
    floor_put_message(&f.body, options->size);
    BUF_LIT(&f.body, ending);
    f.conn = mem_array(options->connections, sizeof(f.conn[0]));
    getrusage(RUSAGE_THREAD, &before);
    open_all(&f);
    run(&f);
    getrusage(RUSAGE_THREAD, &after);
    result->bytes = f.bytes;
    result->span_us = f.last_us - f.start_us;
    result->cpu_user_us = microseconds(after.ru_utime) - microseconds(before.ru_utime);
    result->cpu_sys_us = microseconds(after.ru_stime) - microseconds(before.ru_stime);
    result->enters = io_stats(f.io).enters;
    result->io = io_backend(f.io);
    if (!f.failed && result->messages != options->messages) {
        fail(&f, "messages are missing at the end", SLICE_NONE);
    }
    free_all(&f);
    return f.failed ? -1 : 0;
}
