/*
 * stray.c - jobs that Redis says are ours, and that nobody here knows.
 */
#include "queue/stray.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/record.h"
#include "queue/takeover.h"

#include <stdlib.h>
#include <string.h>

enum {
    STRAY_LOOKS = 3,
    FIRST_LOOK_US = 1000 * 1000,
    NEXT_LOOK_US = 1500 * 1000, /* more than an outcome may be under way: QUEUE_SETTLED_US */
    ASK_AGAIN_US = 50 * 1000,
};

struct stray_id {
    bool held;
    uint8_t len;
    char id[RECORD_ID_LEN_MAX];
};

/* ---- the ids ---- */

static int compare(const void *a, const void *b)
{
    const struct stray_id *x = a, *y = b;

    return slice_cmp(slice_of(x->id, x->len), slice_of(y->id, y->len));
}

static bool known(const struct strays *s, struct slice id)
{
    struct stray_id key = {.len = (uint8_t)id.len};

    if (id.len > sizeof(key.id)) {
        return false;
    }
    memcpy(key.id, id.ptr, id.len);
    return s->count > 0 && bsearch(&key, s->ids, s->count, sizeof(key), compare) != NULL;
}

static void note(struct strays *s, struct slice id)
{
    if (id.len > RECORD_ID_LEN_MAX || s->count == STRAY_IDS_MAX) {
        return; /* what is left is for the next break, or the end of this life */
    }
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 256;
        s->ids = mem_realloc(s->ids, s->cap * sizeof(*s->ids));
    }
    struct stray_id *entry = &s->ids[s->count++];
    entry->held = false;
    entry->len = (uint8_t)id.len;
    memcpy(entry->id, id.ptr, id.len);
}

/* Those that nobody holds stay, in order. */
static void drop_held(struct strays *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (!s->ids[i].held) {
            s->ids[kept++] = s->ids[i];
        }
    }
    s->count = kept;
}

/* ---- asked by any thread ---- */

void strays_join(struct strays *s)
{
    atomic_fetch_add(&s->queues, 1);
}

void strays_leave(struct strays *s)
{
    atomic_fetch_sub(&s->queues, 1);
}

bool strays_asked(const struct strays *s, uint64_t answered)
{
    uint64_t question = atomic_load_explicit(&s->question, memory_order_acquire);

    return question != 0 && question != answered;
}

void strays_answer(struct strays *s, uint64_t *answered, bool (*holds)(void *ctx, struct slice id),
                   void *ctx)
{
    pthread_mutex_lock(&s->lock);
    uint64_t question = atomic_load_explicit(&s->question, memory_order_relaxed);
    if (question != 0 && question != *answered) { /* it may have been taken back meanwhile */
        for (size_t i = 0; i < s->count; i++) {
            struct stray_id *entry = &s->ids[i];
            entry->held = entry->held || holds(ctx, slice_of(entry->id, entry->len));
        }
        *answered = question;
        s->answers++;
    }
    pthread_mutex_unlock(&s->lock);
}

static void question_put(struct strays *s)
{
    pthread_mutex_lock(&s->lock);
    s->answers = 0;
    atomic_store_explicit(&s->question, ++s->questions, memory_order_release);
    pthread_mutex_unlock(&s->lock);
    s->phase = STRAY_ASKING;
    wheel_arm(io_wheel(s->io), &s->timer, io_now_us(s->io) + ASK_AGAIN_US);
}

/* True when it was open and all have answered; it is closed then. */
static bool question_take(struct strays *s)
{
    pthread_mutex_lock(&s->lock);
    bool all = s->answers >= atomic_load(&s->queues);
    if (all) {
        atomic_store_explicit(&s->question, 0, memory_order_release);
    }
    pthread_mutex_unlock(&s->lock);
    return all;
}

/* ---- looking ---- */

static void look_over(struct strays *s)
{
    s->phase = STRAY_IDLE;
    s->count = 0;
    s->cap = 0;
    mem_free(s->ids);
    s->ids = NULL;
}

static void wait_for(struct strays *s, int64_t in_us)
{
    s->phase = STRAY_BEFORE;
    wheel_arm(io_wheel(s->io), &s->timer, io_now_us(s->io) + in_us);
}

/* Of each id that is owned: the first walk takes note, the last one gives back. */
static bool pick(void *ctx, struct slice id)
{
    struct strays *s = ctx;

    if (s->look == 0) {
        note(s, id);
    }
    return s->look > STRAY_LOOKS && known(s, id);
}

static void on_walked(void *ctx, int err, uint64_t returned)
{
    struct strays *s = ctx;

    if (s->phase != STRAY_WALKING) {
        return; /* stopped meanwhile */
    }
    if (returned > 0) {
        log_warn("queue: Redis had forgotten what became of %lu jobs; they are sent again",
                 (unsigned long)returned);
    }
    if (err != 0 || s->count == 0 || s->look > STRAY_LOOKS) {
        look_over(s); /* an error is a break, after which it is looked again */
        return;
    }
    qsort(s->ids, s->count, sizeof(*s->ids), compare);
    s->look = 1;
    question_put(s);
}

static void walk(struct strays *s)
{
    if (!redis_up(s->redis)) {
        look_over(s);
        return;
    }
    s->phase = STRAY_WALKING;
    takeover_start_picked(s->redis, s->keys, slice_cstr(s->life), pick, on_walked, s);
}

/* All have answered. */
static void look_next(struct strays *s)
{
    drop_held(s);
    s->look++;
    if (s->count == 0) {
        look_over(s);
    } else if (s->look > STRAY_LOOKS) {
        walk(s); /* what has got its outcome meanwhile is not there any more */
    } else {
        wait_for(s, NEXT_LOOK_US);
    }
}

static void on_timer(struct timer *t, int64_t now_us)
{
    struct strays *s = CONTAINER_OF(t, struct strays, timer);

    if (s->phase == STRAY_BEFORE && s->look == 0) {
        walk(s);
    } else if (s->phase == STRAY_BEFORE) {
        question_put(s);
    } else if (s->phase == STRAY_ASKING && question_take(s)) {
        look_next(s);
    } else if (s->phase == STRAY_ASKING) {
        wheel_arm(io_wheel(s->io), t, now_us + ASK_AGAIN_US);
    }
}

void strays_start(struct strays *s, struct slice life)
{
    ASSERT(life.len < sizeof(s->life));
    strays_stop(s);
    memcpy(s->life, life.ptr, life.len);
    s->life[life.len] = '\0';
    s->look = 0;
    wait_for(s, FIRST_LOOK_US);
}

void strays_stop(struct strays *s)
{
    wheel_disarm(io_wheel(s->io), &s->timer);
    pthread_mutex_lock(&s->lock);
    atomic_store_explicit(&s->question, 0, memory_order_release);
    pthread_mutex_unlock(&s->lock);
    look_over(s);
}

void strays_init(struct strays *s, struct io *io, struct redis *redis, const struct keys *keys)
{
    memset(s, 0, sizeof(*s));
    s->io = io;
    s->redis = redis;
    s->keys = keys;
    pthread_mutex_init(&s->lock, NULL);
    timer_init(&s->timer, on_timer);
}

void strays_fini(struct strays *s)
{
    wheel_disarm(io_wheel(s->io), &s->timer);
    mem_free(s->ids);
    pthread_mutex_destroy(&s->lock);
}
