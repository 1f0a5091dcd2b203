/*
 * demo_events.c - reading the events of the demonstration as they are written.
 *
 * The lines are our own, so looking for a field by its name is enough: quotes inside values
 * are escaped, and cannot look like the start of a field.
 */
#include "engine/cli/demo_events.h"

#include "engine/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16 };

int demo_events_open(struct demo_events *e, const char *path)
{
    *e = (struct demo_events){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    return e->fd >= 0 ? 0 : err_from_errno(errno);
}

void demo_events_close(struct demo_events *e)
{
    if (e->fd >= 0) {
        close(e->fd);
        e->fd = -1;
    }
    buf_fini(&e->rest);
    buf_fini(&e->times);
}

/* What follows `name` in the line, or an empty slice. */
static struct slice field_after(struct slice line, struct slice name)
{
    const char *at = memmem(line.ptr, line.len, name.ptr, name.len);

    return at != NULL ? slice_from(line, (size_t)(at - line.ptr) + name.len) : SLICE_NONE;
}

static void count_line(struct demo_events *e, struct slice line)
{
    struct slice type = field_after(line, SLICE("\"type\":\""));
    struct slice time = field_after(line, SLICE("\"t_queue_us\":"));

    if (slice_starts(type, SLICE("delivered\""))) {
        int64_t us = time.len > 0 ? strtoll(time.ptr, NULL, 10) : 0;
        buf_put(&e->times, &us, sizeof(us));
        e->delivered++;
    } else if (slice_starts(type, SLICE("deferred\""))) {
        e->deferred++;
    } else if (slice_starts(type, SLICE("bounced\"")) || slice_starts(type, SLICE("expired\""))) {
        e->failed++;
    }
}

void demo_events_read(struct demo_events *e)
{
    ssize_t got;

    do {
        buf_reserve(&e->rest, READ_SIZE + 1);
        got = read(e->fd, e->rest.ptr + e->rest.len, READ_SIZE);
        e->rest.len += got > 0 ? (size_t)got : 0;
        e->rest.ptr[e->rest.len] = '\0'; /* strtoll() stops there */
        size_t used = 0;
        for (;;) {
            struct slice left = slice_from(buf_slice(&e->rest), used);
            size_t len = slice_find(left, '\n');
            if (len == left.len) {
                break;
            }
            count_line(e, slice_of(left.ptr, len));
            used += len + 1;
        }
        buf_consume(&e->rest, used);
    } while (got > 0);
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int64_t demo_events_percentile(struct demo_events *e, double share)
{
    size_t count = e->times.len / sizeof(int64_t), at;
    int64_t *times = (int64_t *)(void *)e->times.ptr;

    if (count == 0) {
        return 0;
    }
    qsort(times, count, sizeof(times[0]), compare_times);
    at = (size_t)((double)count * share);
    return times[at < count ? at : count - 1];
}
