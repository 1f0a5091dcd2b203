/*
 * queue_check.c - holding jobs, and asking after a break which of them are still ours.
 */
#include "queue/queue_private.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"
#include "queue/stray.h"

#include <string.h>

enum { CHECK_JOBS = 200 }; /* ids in one call of volley_1_check */

/* ---- holding ---- */

static bool hold_insert(struct queue *q, struct queue_hold *hold)
{
    hold->node.key = slice_of(hold->id, hold->id_len);
    if (map_find(&q->holds, hold->node.key) != NULL) {
        return false;
    }
    map_insert(&q->holds, &hold->node, hold->node.key);
    return true;
}

bool queue_hold_add(struct queue *q, struct queue_hold *hold, struct slice id)
{
    ASSERT(id.len <= sizeof(hold->id));
    hold->life = q->life_number;
    hold->id_len = (uint8_t)id.len;
    memcpy(hold->id, id.ptr, id.len);
    return hold_insert(q, hold);
}

bool queue_hold_take(struct queue *q, struct queue_hold *hold)
{
    if (hold->life > q->life_number) {
        queue_life_follow(q);
    }
    return hold->life == q->life_number && hold_insert(q, hold);
}

void queue_hold_drop(struct queue *q, struct queue_hold *hold)
{
    if (map_find(&q->holds, hold->node.key) == &hold->node) {
        map_remove(&q->holds, &hold->node);
    }
}

/* ---- checking ---- */

struct check {
    struct queue *queue;
    uint32_t round;
    size_t count;
    uint8_t len[CHECK_JOBS];
    char id[CHECK_JOBS][RECORD_ID_LEN_MAX];
};

void queue_hold_lose(struct queue *q, struct queue_hold *hold)
{
    map_remove(&q->holds, &hold->node);
    q->ops->on_lost(q->ctx, hold);
}

static void on_checked(void *ctx, int err, const struct resp *reply)
{
    struct check *check = ctx;
    struct queue *q = check->queue;
    bool current = check->round == q->check_round && q->state == QUEUE_CHECKING;

    if (err == 0 && current && (reply->type != RESP_STRING || reply->text.len != check->count)) {
        redis_reset(q->redis, ERR_AGAIN,
                    reply->type == RESP_ERROR ? reply->text.ptr : "check: unexpected answer");
        current = false;
    }
    if (err == 0 && current) {
        for (size_t i = 0; i < check->count; i++) {
            struct map_node *node = map_find(&q->holds, slice_of(check->id[i], check->len[i]));
            if (reply->text.ptr[i] == '0' && node != NULL) {
                queue_hold_lose(q, CONTAINER_OF(node, struct queue_hold, node));
            }
        }
        if (--q->checks == 0) {
            queue_go_up(q);
        }
    }
    mem_free(check);
}

static void check_send(struct queue *q, struct check *check)
{
    struct buf *out = redis_begin(q->redis);

    fcall_begin(out, SLICE("check"), 1, check->count);
    keys_put_arg2(out, &q->keys, SLICE("owned:"), slice_cstr(q->life));
    for (size_t i = 0; i < check->count; i++) {
        resp_put_arg(out, slice_of(check->id[i], check->len[i]));
    }
    q->checks++;
    redis_end(q->redis, 0, on_checked, check);
}

void queue_check_begin(struct queue *q)
{
    struct check *check = NULL;

    q->state = QUEUE_CHECKING;
    q->checks = 0;
    q->check_round++;
    MAP_EACH (node, &q->holds) {
        struct queue_hold *hold = CONTAINER_OF(node, struct queue_hold, node);
        if (check == NULL) {
            check = mem_alloc(sizeof(*check));
            check->queue = q;
            check->round = q->check_round;
            check->count = 0;
        }
        check->len[check->count] = hold->id_len;
        memcpy(check->id[check->count++], hold->id, hold->id_len);
        if (check->count == CHECK_JOBS) {
            check_send(q, check);
            check = NULL;
        }
    }
    if (check != NULL) {
        check_send(q, check);
    }
    queue_orders_check(q);
}

/* ---- strays ---- */

static bool is_held(void *ctx, struct slice id)
{
    return map_find(&((struct queue *)ctx)->holds, id) != NULL;
}

/* Wherever it stands in the line: one that is refused goes to its end each time. */
static bool outcomes_stuck(const struct queue *q)
{
    LIST_EACH (link, &q->outbox.batches) {
        const struct outbox_batch *b = CONTAINER_OF(link, struct outbox_batch, link);
        if (b->jobs > 0 && io_now_us(q->io) - b->since_us > QUEUE_SETTLED_US) {
            return true;
        }
    }
    return false;
}

/* Not while outcomes are stuck here: their jobs are held no more, and owned still. */
void queue_strays_answer(struct queue *q)
{
    struct strays *strays = node_strays(q->node);

    if (!strays_asked(strays, q->strays_answered) || q->state != QUEUE_UP ||
        node_epoch(q->node) != q->life_number || outcomes_stuck(q)) {
        return;
    }
    strays_answer(strays, &q->strays_answered, is_held, q);
}
