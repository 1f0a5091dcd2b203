/*
 * values.c - what a placeholder shows.
 */
#include "engine/base/err.h"
#include "engine/message/program.h"

int values_get(const struct values *values, const struct node *node, struct slice *out,
               struct buf *error)
{
    *out = values->value[node->slot];
    if (out->len > 0) {
        return 0;
    }
    if (out->ptr == NULL && node->text.ptr == NULL && values->strict && node->slot >= SLOT_FIRST) {
        if (error != NULL) {
            buf_printf(error,
                       "{{" SLICE_FMT "}} has no value; give one, or a default as in {{" SLICE_FMT
                       "|there}}",
                       SLICE_ARG(values->names->name[node->slot].text),
                       SLICE_ARG(values->names->name[node->slot].text));
        }
        return ERR_INVALID;
    }
    *out = node->text;
    return 0;
}

bool values_show(const struct values *values, const struct node *section)
{
    struct slice v = values->value[section->slot];
    bool there = v.len > 0 && !slice_eq(v, SLICE("0")) && !slice_ieq(v, SLICE("false"));

    return section->kind == NODE_IF ? there : !there;
}
