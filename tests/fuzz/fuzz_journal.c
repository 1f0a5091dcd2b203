/* modules: queue tls io base */
/*
 * fuzz_journal.c - any bytes as a journal.
 *
 * Never a crash or a read outside; and what was written whole before a torn or changed byte is
 * read as it was.  The checksum keeps most inputs out, so entries are made from them too.
 */
#include "queue/journal_read.h"

#include <stdlib.h>
#include <string.h>

enum { GENERATION = 3 };

static struct slice cut(struct slice *rest, size_t max)
{
    size_t len = rest->len > 0 ? (unsigned char)rest->ptr[0] % (max + 1) : 0;

    len = len < rest->len ? len : rest->len;
    struct slice part = slice_of(rest->ptr, len);
    *rest = slice_from(*rest, len + 1);
    return part;
}

static void made_of(struct slice input)
{
    struct buf b = BUF_EMPTY;
    struct journal_entry in = {.kind = JOURNAL_DOT}, out;
    struct slice rest = input;

    in.life = cut(&rest, 60);
    in.id = cut(&rest, 31);
    if (input.len % 2 == 0) {
        in.to = cut(&rest, 200);
        in.mx = cut(&rest, 200);
    } else {
        in.kind = JOURNAL_DEFER;
        in.event = cut(&rest, 255);
        in.record = rest;
    }
    journal_entry_put(&b, GENERATION, &in);
    size_t whole = b.len;
    journal_entry_put(&b, GENERATION, &in);
    if (input.len > 0) {
        b.ptr[whole + (unsigned char)input.ptr[0] % (b.len - whole)] ^= 1;
    }
    rest = buf_slice(&b);
    if (!journal_entry_take(&rest, GENERATION, &out) || !slice_eq(out.id, in.id) ||
        !slice_eq(out.record, in.record) || !slice_eq(out.mx, in.mx) ||
        (input.len > 0 && journal_entry_take(&rest, GENERATION, &out))) {
        abort();
    }
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_of((const char *)data, size);
    struct slice files[2] = {slice_of(input.ptr, size / 2), slice_from(input, size / 2)};
    struct journal_read *r;

    r = journal_read_bytes(&input, 1);
    journal_read_free(r);
    r = journal_read_bytes(files, 2);
    for (size_t i = 0; i < journal_read_count(r); i++) {
        if (journal_read_at(r, i)->kind > JOURNAL_FLOOR) {
            abort();
        }
    }
    journal_read_free(r);
    made_of(input);
    return 0;
}
