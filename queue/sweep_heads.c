/*
 * sweep_heads.c - which intakes stand still.
 *
 * An intake from which engines claim needs no walk: claims apply orders and expiry.  Walking it
 * all the same would only stir the order of what is in it.
 */
#include "engine/base/mem.h"
#include "queue/sweeper_private.h"

#include <string.h>

enum { HEADS_MAX = 20000 };

struct head {
    struct map_node node; /* key: the list's name */
    uint32_t round;       /* the last one in which it was seen */
    uint8_t id_len;
    char id[RECORD_ID_LEN_MAX];
    char name[];
};

bool heads_still(struct sweeper *s, struct slice list, struct slice id)
{
    struct map_node *node = map_find(&s->heads, list);
    struct head *h = node != NULL ? CONTAINER_OF(node, struct head, node) : NULL;

    if (id.len > RECORD_ID_LEN_MAX) {
        return true;
    }
    if (h == NULL) {
        if (s->heads.count == HEADS_MAX) {
            return true; /* so many intakes: then they are walked */
        }
        h = mem_zalloc(sizeof(*h) + list.len);
        memcpy(h->name, list.ptr, list.len);
        map_insert(&s->heads, &h->node, slice_of(h->name, list.len));
    }
    bool still = h->round != 0 && slice_eq(slice_of(h->id, h->id_len), id);
    h->round = s->rounds;
    h->id_len = (uint8_t)id.len;
    if (id.len > 0) {
        memcpy(h->id, id.ptr, id.len);
    }
    return still;
}

void heads_forget(struct sweeper *s, bool all)
{
    for (struct map_node *node = map_next(&s->heads, NULL), *next; node != NULL; node = next) {
        struct head *h = CONTAINER_OF(node, struct head, node);
        next = map_next(&s->heads, node);
        if (all || h->round != s->rounds) {
            map_remove(&s->heads, node);
            mem_free(h);
        }
    }
}
