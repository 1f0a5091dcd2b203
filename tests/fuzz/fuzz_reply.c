/* modules: smtp base */
/*
 * fuzz_reply.c - replies come out the same wherever their bytes are cut, within bounds.
 *
 * The first byte says how the rest is cut; the outcome is compared with that of the rest in
 * one piece.
 */
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One line for each reply, then the state at the end. */
static void render(struct slice bytes, size_t step, struct buf *out)
{
    struct smtp_reply_parser p;
    struct smtp_reply reply;
    enum smtp_parse status = SMTP_PARSE_MORE;

    smtp_reply_init(&p);
    while (bytes.len > 0 && status != SMTP_PARSE_BAD) {
        size_t len = bytes.len < step ? bytes.len : step;
        char *copy = mem_dup(bytes.ptr, len); /* so that reading beyond it is seen */
        struct slice in = slice_of(copy, len);
        while ((status = smtp_reply_next(&p, &in, &reply)) == SMTP_PARSE_DONE) {
            size_t before = out->len;
            smtp_reply_print(&reply, out);
            ASSERT(out->len - before <= SMTP_TEXT_MAX);
            ASSERT(reply.code >= 200 && reply.code <= 599);
            ASSERT(reply.enhanced.class == 0 || reply.enhanced.class == reply.code / 100);
            buf_printf(out, " %u %u.%u.%u %d\n", reply.code, reply.enhanced.class,
                       reply.enhanced.subject, reply.enhanced.detail, reply.mixed);
        }
        ASSERT(p.line.len <= SMTP_REPLY_LINE_MAX + 2 && p.text.len <= SMTP_REPLY_KEEP_MAX);
        mem_free(copy);
        bytes = slice_from(bytes, len);
    }
    buf_printf(out, "%d %d", status == SMTP_PARSE_BAD,
               status != SMTP_PARSE_BAD && smtp_reply_partial(&p));
    smtp_reply_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_EMPTY, cut = BUF_EMPTY;

    if (size < 2) {
        return 0;
    }
    struct slice bytes = slice_of((const char *)data + 1, size - 1);

    render(bytes, bytes.len, &whole);
    render(bytes, 1 + data[0] % 32, &cut);
    ASSERT(slice_eq(buf_slice(&whole), buf_slice(&cut)));
    buf_fini(&whole);
    buf_fini(&cut);
    return 0;
}
