/*
 * fcall.c - writing calls of the engine's functions, and what their errors mean.
 */
#include "queue/fcall.h"

#include <string.h>

void fcall_begin(struct buf *out, struct slice name, size_t keys, size_t args)
{
    static const struct slice prefix = {"volley_1_", 9};

    resp_put_count(out, 3 + keys + args);
    BUF_LIT(out, "$5\r\nFCALL\r\n$");
    buf_putu(out, prefix.len + name.len);
    BUF_LIT(out, "\r\n");
    buf_puts(out, prefix);
    buf_puts(out, name);
    BUF_LIT(out, "\r\n");
    resp_put_u64(out, keys);
}

enum fcall_verdict fcall_judge(const struct resp *reply)
{
    static const struct slice later[] = {{"LOADING", 7},      {"READONLY", 8}, {"MASTERDOWN", 10},
                                         {"CLUSTERDOWN", 11}, {"TRYAGAIN", 8}, {"MOVED", 5},
                                         {"ASK", 3},          {"BUSY", 4},     {"NOREPLICAS", 10},
                                         {"MISCONF", 7},      {"OOM", 3},      {"UNBLOCKED", 9}};

    if (reply->type != RESP_ERROR) {
        return FCALL_OK;
    }
    if (resp_is_error(reply, SLICE("VOLLEYFENCED"))) {
        return FCALL_FENCED;
    }
    if (slice_starts(reply->text, SLICE("ERR Function not found"))) {
        return FCALL_NO_LIBRARY;
    }
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        if (resp_is_error(reply, later[i])) {
            return FCALL_LATER;
        }
    }
    /* A Cluster that is moving the slot, seen from inside a function. */
    return strstr(reply->text.ptr, "non local key") != NULL ? FCALL_LATER : FCALL_FAILED;
}
