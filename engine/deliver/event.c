/*
 * event.c - one outcome as a line of JSON.
 */
#include "engine/deliver/event.h"

#include "engine/base/clock.h"
#include "engine/base/json.h"

static void put_some(struct buf *b, const char *key, struct slice value)
{
    if (value.len > 0) {
        json_put_str(b, key, value);
    }
}

static void put_name(struct buf *b, const char *key, const char *value)
{
    if (value != NULL) {
        json_put_cstr(b, key, value);
    }
}

static void put_time(struct buf *b, const char *key, int64_t wall_us)
{
    char stamp[CLOCK_RFC3339_LEN + 1];

    clock_format(stamp, wall_us);
    json_put_str(b, key, slice_of(stamp, CLOCK_RFC3339_LEN));
}

static void put_duration(struct buf *b, const char *key, int64_t us)
{
    if (us >= 0) {
        json_put_i64(b, key, us);
    }
}

static void put_identity(struct buf *b, const struct event *e)
{
    json_put_u64(b, "v", EVENT_VERSION);
    if (e->id.len > 0) {
        json_key(b, "event");
        /* The id is ours (base 32 and dots): nothing in it needs escaping. */
        buf_putc(b, '"');
        buf_puts(b, e->id);
        buf_putc(b, '.');
        buf_putu(b, e->rcpt);
        buf_putc(b, '.');
        buf_putu(b, e->attempt);
        buf_putc(b, '"');
    }
    put_time(b, "time", e->wall_us);
    put_some(b, "node", e->node);
}

static void put_job(struct buf *b, const struct event *e)
{
    struct slice rest = e->tags, tag;

    if (e->id.len == 0) {
        return;
    }
    json_put_str(b, "id", e->id);
    json_put_u64(b, "rcpt", e->rcpt);
    put_some(b, "to", e->to);
    if (e->has_from) {
        json_put_str(b, "from", e->from);
    }
    put_some(b, "tenant", e->tenant);
    put_some(b, "campaign", e->campaign);
    if (e->tags.len > 0) {
        json_key(b, "tags");
        json_array_open(b);
        while (slice_next(&rest, ',', &tag)) {
            json_str(b, tag);
        }
        json_array_close(b);
    }
    put_some(b, "message", e->message);
    put_some(b, "job_class", e->job_class);
    put_name(b, "asked_class", e->asked_class);
    put_some(b, "pool", e->pool);
    if (e->x_count > 0) {
        json_key(b, "x");
        json_object_open(b);
        for (size_t i = 0; i < e->x_count; i++) {
            json_key_slice(b, e->x[i].name);
            json_str(b, e->x[i].value);
        }
        json_object_close(b);
    }
}

static void put_said(struct buf *b, const struct event *e)
{
    put_name(b, "failure", e->failure);
    if (e->attempt > 0) {
        json_put_u64(b, "attempt", e->attempt);
    }
    put_name(b, "stage", e->stage);
    if (e->code > 0) {
        json_put_i64(b, "code", e->code);
    }
    put_some(b, "enhanced", e->enhanced);
    put_some(b, "text",
             slice_of(e->text.ptr, e->text.len < EVENT_TEXT_MAX ? e->text.len : EVENT_TEXT_MAX));
    if (e->next_wall_us > 0) {
        put_time(b, "next", e->next_wall_us);
    }
}

static void put_where(struct buf *b, const struct event *e)
{
    put_some(b, "site", e->site);
    put_some(b, "mx", e->mx);
    put_some(b, "ip", e->ip);
    put_some(b, "source", e->source);
    if (e->tls_version.len > 0) {
        json_key(b, "tls");
        json_object_open(b);
        json_put_str(b, "version", e->tls_version);
        put_some(b, "cipher", e->tls_cipher);
        json_put_bool(b, "verified", e->tls_verified);
        json_object_close(b);
    }
    if (e->bytes > 0) {
        json_put_u64(b, "bytes", e->bytes);
    }
}

void event_put(struct buf *b, const struct event *e)
{
    json_object_open(b);
    put_identity(b, e);
    put_job(b, e);
    json_put_cstr(b, "type", e->type);
    if (e->id.len > 0) {
        json_put_bool(b, "final", e->final);
    }
    put_name(b, "state", e->state);
    put_said(b, e);
    put_where(b, e);
    put_duration(b, "t_queue_us", e->times.queue_us);
    put_duration(b, "t_dns_us", e->times.dns_us);
    put_duration(b, "t_connect_us", e->times.connect_us);
    put_duration(b, "t_tls_us", e->times.tls_us);
    put_duration(b, "t_mail_us", e->times.mail_us);
    put_duration(b, "t_dot_us", e->times.dot_us);
    json_object_close(b);
    buf_putc(b, '\n');
}
