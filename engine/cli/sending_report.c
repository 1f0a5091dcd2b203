/*
 * sending_report.c - what came of a sending, for people and for programs.
 */
#include "engine/base/json.h"
#include "engine/cli/sending.h"
#include "engine/cli/table.h"

#include <inttypes.h>
#include <stdio.h>

static void put_outcomes(struct buf *out, const struct follow_counts *counts)
{
    for (unsigned t = 0; t < FOLLOW_TYPES; t++) {
        if (counts->final[t] > 0 || t == FOLLOW_DELIVERED) {
            buf_printf(out, "%s%" PRIu64 " %s", t > 0 ? ", " : "", counts->final[t],
                       follow_type_name((enum follow_type)t));
        }
    }
    buf_putc(out, '\n');
}

static void put_row(struct table *t, const char *label, uint64_t value)
{
    struct buf number = BUF_EMPTY;

    table_put_count(&number, value);
    table_cell(t, slice_cstr(label));
    table_cell(t, buf_slice(&number));
    buf_fini(&number);
}

static void put_table(struct buf *out, const struct sending_result *r)
{
    double seconds = (double)r->ms / 1000;
    struct table t;

    table_init(&t, "lr");
    put_row(&t, r->looked ? "could be sent" : "submitted", r->good);
    put_row(&t, "bad rows", r->bad);
    if (r->good_now > 0 && seconds > 0) {
        table_cell(&t, SLICE("seconds"));
        table_cellf(&t, "%.2f", seconds);
        put_row(&t, "a second", (uint64_t)((double)r->good_now / seconds));
    }
    table_put(out, &t, 0);
    table_fini(&t);
    if (r->outcomes != NULL) {
        put_outcomes(out, r->outcomes);
    }
}

static void put_json(struct buf *out, const struct sending_result *r)
{
    json_object_open(out);
    if (r->checkpoint != NULL) {
        json_put_bool(out, "done", r->checkpoint->done);
        json_put_cstr(out, "message", r->checkpoint->message);
        json_put_cstr(out, "sending", r->checkpoint->sending);
    }
    json_put_u64(out, r->looked ? "good_rows" : "submitted", r->good);
    json_put_u64(out, "bad_rows", r->bad);
    if (!r->looked) {
        json_put_u64(out, "submitted_now", r->good_now);
        json_put_u64(out, "ms", (uint64_t)r->ms);
    }
    if (r->outcomes != NULL) {
        json_key(out, "outcomes");
        json_object_open(out);
        for (unsigned t = 0; t < FOLLOW_TYPES; t++) {
            json_put_u64(out, follow_type_name((enum follow_type)t), r->outcomes->final[t]);
        }
        json_object_close(out);
    }
    json_object_close(out);
    buf_putc(out, '\n');
}

void sending_report(const struct send_options *options, const struct sending_result *result)
{
    struct buf out = BUF_EMPTY;

    if (options->json) {
        put_json(&out, result);
    } else if (!options->quiet) {
        put_table(&out, result);
    }
    fwrite(out.ptr, 1, out.len, stdout);
    fflush(stdout);
    buf_fini(&out);
}
