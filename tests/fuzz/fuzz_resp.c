/* modules: queue tls io base */
/*
 * fuzz_resp.c - any bytes as what Redis answers, in pieces of a size that the first byte says.
 *
 * Never a crash, a leak or a read outside; the same bytes give the same replies whatever the
 * pieces.
 */
#include "queue/claim.h"
#include "queue/resp.h"
#include "queue/topology.h"

#include <stdlib.h>

/* A checksum of a reply that reads every byte of it. */
static uint64_t digest(const struct resp *r, uint64_t sum)
{
    sum = sum * 31 + (uint64_t)r->type + (uint64_t)r->integer + r->count + r->text.len;
    for (size_t i = 0; i < r->text.len; i++) {
        sum = sum * 31 + (uint8_t)r->text.ptr[i];
    }
    for (size_t i = 0; i < r->count; i++) {
        sum = digest(&r->items[i], sum);
    }
    return sum;
}

static void on_record(void *ctx, size_t want, struct slice record)
{
    struct job_record r;

    (void)want;
    *(int *)ctx += record_decode(&r, record) == 0;
}

/* A reply may pretend to answer a claim of two lists. */
static void as_claim(const struct resp *reply)
{
    static struct claim claim = {.count = 2};
    int decoded = 0;

    (void)claim_read(&claim, SLICE("volley:{0}:"), reply, on_record, &decoded);
}

/* Or say who is master. */
static void as_topology(const struct resp *reply)
{
    struct place asked = {"h", 1}, place, masters[4];

    (void)topology_read_moved(reply, &asked, &place);
    (void)topology_read_master(reply, &place);
    (void)topology_is_master(reply);
    if (topology_read_slot(reply, 5, &asked, &place) == 0 && (place.port == 0 || !place.host[0])) {
        abort();
    }
    if (topology_read_masters(reply, &asked, masters, 4) > 4) {
        abort();
    }
}

static uint64_t read_all(struct slice bytes, size_t piece)
{
    struct resp_reader *reader = resp_reader_new();
    const struct resp *reply;
    const char *why;
    uint64_t sum = 0;
    int got = 0;

    while (bytes.len > 0 && got >= 0) {
        size_t len = piece < bytes.len ? piece : bytes.len;
        if (resp_reader_feed(reader, slice_of(bytes.ptr, len)) != 0) {
            break;
        }
        bytes = slice_from(bytes, len);
        while ((got = resp_reader_next(reader, &reply, &why)) == 1) {
            sum = digest(reply, sum);
            as_claim(reply);
            as_topology(reply);
        }
    }
    resp_reader_free(reader);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        struct slice bytes = slice_of((const char *)data + 1, size - 1);
        if (read_all(bytes, (size_t)data[0] + 1) != read_all(bytes, size)) {
            abort();
        }
    }
    return 0;
}
