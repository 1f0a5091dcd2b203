/*
 * world.c - the simulated world: one clock, one list of what happens when, one seed.
 */
#include "tests/sim/world.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

/* What the linker puts in place of functions of the C library and of engine/base (Makefile). */
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);
void __wrap_log_at(struct log_site *site, enum log_level level, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void *__real_mem_alloc(size_t size);
void *__real_mem_zalloc(size_t size);
void *__real_mem_array(size_t count, size_t size);
void *__real_mem_realloc(void *ptr, size_t size);
char *__real_mem_dup(const void *ptr, size_t len);
void __real_mem_free(void *ptr);
void *__wrap_mem_alloc(size_t size);
void *__wrap_mem_zalloc(size_t size);
void *__wrap_mem_array(size_t count, size_t size);
void *__wrap_mem_realloc(void *ptr, size_t size);
char *__wrap_mem_dup(const void *ptr, size_t len);
void __wrap_mem_free(void *ptr);

enum { US_PER_S = 1000000 };

static const int64_t wall_start_s = INT64_C(1790000000);
static const int64_t mono_start_us = INT64_C(5000) * US_PER_S;

struct world world;

void world_init(uint64_t seed, bool tracing)
{
    world = (struct world){.seed = seed, .now_us = mono_start_us, .tracing = tracing};
    world.hash = UINT64_C(1469598103934665603);
    rng_seed(&world.rng, seed);
    rng_seed(&world.os, ~seed);
}

void world_fini(void)
{
    free(world.heap);
    for (unsigned w = 0; w < WORLD_WORKERS_MAX; w++) {
        free(world.ready[w][0]);
        free(world.ready[w][1]);
    }
    world.heap = NULL;
}

/* ---- what happens when: a binary heap ---- */

static bool before(const struct world_event *a, const struct world_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void *grown(void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap) {
        return array;
    }
    *cap = *cap > 0 ? *cap * 2 : 64;
    array = realloc(array, *cap * size);
    ASSERT(array != NULL);
    return array;
}

void world_at(int64_t in_us, enum world_when when, unsigned worker, world_fn *fn, void *ctx,
              int64_t arg)
{
    struct world_event e = {.at_us = world.now_us + (in_us > 0 ? in_us : 0),
                            .number = world_number(),
                            .fn = fn,
                            .ctx = ctx,
                            .arg = arg,
                            .when = (uint8_t)when,
                            .worker = (uint8_t)worker};
    size_t at = world.heap_count;

    world.heap = grown(world.heap, world.heap_count, &world.heap_cap, sizeof(e));
    world.heap_count++;
    while (at > 0 && before(&e, &world.heap[(at - 1) / 2])) {
        world.heap[at] = world.heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world.heap[at] = e;
}

static struct world_event heap_pop(void)
{
    struct world_event first = world.heap[0];
    struct world_event last = world.heap[--world.heap_count];
    size_t at = 0;

    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= world.heap_count) {
            break;
        }
        if (child + 1 < world.heap_count && before(&world.heap[child + 1], &world.heap[child])) {
            child++;
        }
        if (!before(&world.heap[child], &last)) {
            break;
        }
        world.heap[at] = world.heap[child];
        at = child;
    }
    if (world.heap_count > 0) {
        world.heap[at] = last;
    }
    return first;
}

int64_t world_next_us(void)
{
    return world.heap_count > 0 ? world.heap[0].at_us : INT64_MAX;
}

void world_turn(void)
{
    while (world_next_us() <= world.now_us) {
        struct world_event e = heap_pop();
        if (e.when == WORLD_OUTSIDE) {
            e.fn(e.ctx, e.arg);
            continue;
        }
        int after = e.when == WORLD_AFTER;
        struct world_event **list = &world.ready[e.worker][after];
        *list = grown(*list, world.ready_count[e.worker][after], &world.ready_cap[e.worker][after],
                      sizeof(e));
        (*list)[world.ready_count[e.worker][after]++] = e;
    }
}

bool world_is_ready(unsigned worker)
{
    return world.ready_count[worker][0] > 0 || world.ready_count[worker][1] > 0;
}

void world_run_ready(unsigned worker, enum world_when when)
{
    int after = when == WORLD_AFTER;

    for (size_t i = 0; i < world.ready_count[worker][after]; i++) {
        struct world_event e = world.ready[worker][after][i];
        e.fn(e.ctx, e.arg);
    }
    world.ready_count[worker][after] = 0;
}

uint64_t world_number(void)
{
    return ++world.number;
}

/* ---- chance ---- */

uint64_t draw(uint64_t bound)
{
    return rng_below(&world.rng, bound);
}

int64_t draw_between(int64_t low, int64_t high)
{
    return low + (int64_t)draw((uint64_t)(high - low) + 1);
}

bool chance(unsigned percent)
{
    return draw(100) < percent;
}

/* ---- words ---- */

static void say(const char *fmt, va_list args)
{
    char text[2000];
    int64_t us = world.now_us - mono_start_us;
    int len = snprintf(text, sizeof(text), "%6lld.%06lld ", (long long)(us / US_PER_S),
                       (long long)(us % US_PER_S));

    len += vsnprintf(text + len, sizeof(text) - (size_t)len, fmt, args);
    for (int i = 0; i < len && i < (int)sizeof(text) - 1; i++) {
        world.hash = (world.hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    }
    if (world.tracing) {
        puts(text);
        fflush(stdout);
    }
}

void trace(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
}

void world_fail(const char *fmt, ...)
{
    va_list args;

    if (world.failed) {
        return;
    }
    world.failed = true;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    printf("seed %llu: ", (unsigned long long)world.seed);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

/* ---- in place of the system ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    int64_t us = world.now_us;

    if (id == CLOCK_REALTIME) {
        us = us - mono_start_us + wall_start_s * US_PER_S;
    }
    ts->tv_sec = us / US_PER_S;
    ts->tv_nsec = us % US_PER_S * 1000;
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
    char *at = out;

    (void)flags;
    for (size_t i = 0; i < len; i++) {
        at[i] = (char)rng_next(&world.os);
    }
    return (ssize_t)len;
}

void __wrap_log_at(struct log_site *site, enum log_level level, const char *fmt, ...)
{
    char text[1500];
    va_list args;

    (void)site;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    trace("log %d: %s", (int)level, text);
}

void *__wrap_mem_alloc(size_t size)
{
    world.allocations++;
    return __real_mem_alloc(size);
}

void *__wrap_mem_zalloc(size_t size)
{
    world.allocations++;
    return __real_mem_zalloc(size);
}

void *__wrap_mem_array(size_t count, size_t size)
{
    world.allocations++;
    return __real_mem_array(count, size);
}

void *__wrap_mem_realloc(void *ptr, size_t size)
{
    world.allocations += ptr == NULL;
    return __real_mem_realloc(ptr, size);
}

char *__wrap_mem_dup(const void *ptr, size_t len)
{
    world.allocations++;
    return __real_mem_dup(ptr, len);
}

void __wrap_mem_free(void *ptr)
{
    world.allocations -= ptr != NULL;
    __real_mem_free(ptr);
}
