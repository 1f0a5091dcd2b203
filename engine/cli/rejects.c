/*
 * rejects.c - rows of a list that cannot be sent: shown, counted, kept.
 */
#include "engine/cli/rejects.h"
#include "engine/base/err.h"
#include "engine/cli/csv.h"

#include <errno.h>

int rejects_open(struct rejects *r, const char *list, const char *path, bool again,
                 struct progress *progress)
{
    *r = (struct rejects){.list = list, .progress = progress};
    if (path == NULL) {
        return 0;
    }
    r->file = fopen(path, again ? "ae" : "we");
    if (r->file == NULL) {
        return err_from_errno(errno);
    }
    if (ftell(r->file) <= 0) {
        fputs("line,error\r\n", r->file);
    }
    return 0;
}

/* What came from the list must not steer the terminal. */
static void put_printable(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        buf_putc(out, c < ' ' || c == 0x7f ? '?' : (char)c);
    }
}

void rejects_add(struct rejects *r, uint64_t line, struct slice what)
{
    struct buf text = BUF_EMPTY;

    put_printable(&text, what);
    if (r->count++ < REJECTS_SHOWN_MAX) {
        progress_clear(r->progress);
        fprintf(stderr, "%s:%llu: " SLICE_FMT "\n", r->list, (unsigned long long)line,
                SLICE_ARG(buf_slice(&text)));
    }
    if (r->file != NULL) {
        struct buf row = BUF_EMPTY;
        buf_printf(&row, "%llu,", (unsigned long long)line);
        csv_put_field(&row, buf_slice(&text));
        BUF_LIT(&row, "\r\n");
        fwrite(row.ptr, 1, row.len, r->file);
        buf_fini(&row);
    }
    buf_fini(&text);
}

int rejects_close(struct rejects *r)
{
    int err = 0;

    if (r->count > REJECTS_SHOWN_MAX) {
        progress_clear(r->progress);
        fprintf(stderr, "%s: %llu more bad rows%s\n", r->list,
                (unsigned long long)(r->count - REJECTS_SHOWN_MAX),
                r->file == NULL ? "; --rejects FILE keeps them all" : "");
    }
    if (r->file != NULL) {
        bool failed = ferror(r->file) != 0;
        failed = fclose(r->file) != 0 || failed;
        err = failed ? ERR_IO : 0;
        r->file = NULL;
    }
    return err;
}
