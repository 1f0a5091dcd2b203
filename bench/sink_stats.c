/*
 * sink_stats.c - what the sink counts, and how it is printed.
 */
#include "bench/sink_stats.h"
#include "engine/base/json.h"

/* One line for each counter: the same table prints text and JSON.  `group` is the object that
 * a counter stands in; NULL: the outer one. */
static const struct {
    const char *group, *key, *text;
} rows[STAT_COUNT] = {
    [STAT_CONNECTIONS] = {NULL, "connections", "connections"},
    [STAT_CLOSED] = {NULL, "closed", "connections closed"},
    [STAT_REFUSED] = {NULL, "refused", "connections refused"},
    [STAT_TLS] = {NULL, "tls", "TLS handshakes"},
    [STAT_MESSAGES] = {NULL, "messages", "messages"},
    [STAT_RECIPIENTS] = {NULL, "recipients", "recipients"},
    [STAT_BYTES] = {NULL, "bytes", "bytes of content"},
    [STAT_CHUNKED] = {NULL, "chunked", "messages by BDAT"},
    [STAT_FAULTS] = {NULL, "faults", "answers changed by rules"},
    [STAT_REJECTED_CONNECT] = {"rejected", "connect", "rejected at connect"},
    [STAT_REJECTED_EHLO] = {"rejected", "ehlo", "rejected at EHLO"},
    [STAT_REJECTED_STARTTLS] = {"rejected", "starttls", "rejected at STARTTLS"},
    [STAT_REJECTED_MAIL] = {"rejected", "mail", "rejected at MAIL"},
    [STAT_REJECTED_RCPT] = {"rejected", "rcpt", "rejected at RCPT"},
    [STAT_REJECTED_DATA] = {"rejected", "data", "rejected at DATA or BDAT"},
    [STAT_REJECTED_MESSAGE] = {"rejected", "message", "rejected at the end of the message"},
    [STAT_ERR_SYNTAX] = {"errors", "syntax", "error: arguments that do not parse"},
    [STAT_ERR_UNKNOWN] = {"errors", "unknown", "error: unknown command"},
    [STAT_ERR_SEQUENCE] = {"errors", "sequence", "error: command at the wrong time"},
    [STAT_ERR_LINE] = {"errors", "line", "error: command line too long"},
    [STAT_ERR_BARE_LF] = {"errors", "bare_lf", "error: command line ends with bare LF"},
    [STAT_ERR_PIPELINING] = {"errors", "pipelining", "error: sent ahead of a needed answer"},
    [STAT_ERR_SIZE] = {"errors", "size", "error: message over the size limit"},
    [STAT_ERR_TLS] = {"errors", "tls", "error: TLS failed"},
    [STAT_ERR_LOST] = {"errors", "lost", "error: lost within a transaction"},
    [STAT_ERR_LOST_BODY] = {"errors", "lost_body", "error: lost within a body"},
    [STAT_ERR_TIMEOUT] = {"errors", "timeout", "error: client silent for too long"},
    [STAT_ERR_SOCKET] = {"errors", "socket", "error: connection broken"},
    [STAT_BODY_BARE_LF] = {"content", "bare_lf", "content with bare LF"},
    [STAT_BODY_BARE_CR] = {"content", "bare_cr", "content with bare CR"},
    [STAT_BODY_SMUGGLE] = {"content", "smuggle", "content that smuggles (false end of data)"},
    [STAT_BODY_LONG_LINE] = {"content", "long_line", "content with lines over 998 octets"},
    [STAT_BODY_NUL] = {"content", "nul", "content with NUL"},
    [STAT_BODY_8BIT] = {"content", "8bit", "content 8-bit without BODY=8BITMIME"},
};

static void put_max(uint64_t *to, uint64_t value)
{
    if (value > __atomic_load_n(to, __ATOMIC_RELAXED)) {
        __atomic_store_n(to, value, __ATOMIC_RELAXED);
    }
}

void sink_stats_message(struct sink_stats *s, uint64_t recipients, uint64_t bytes, int64_t now_us)
{
    sink_stats_inc(s, STAT_MESSAGES);
    sink_stats_add(s, STAT_RECIPIENTS, recipients);
    sink_stats_add(s, STAT_BYTES, bytes);
    if (__atomic_load_n(&s->first_us, __ATOMIC_RELAXED) == 0) {
        __atomic_store_n(&s->first_us, now_us, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&s->last_us, now_us, __ATOMIC_RELAXED);
}

void sink_stats_opened(struct sink_stats *s)
{
    sink_stats_inc(s, STAT_CONNECTIONS);
    put_max(&s->open_peak, sink_stats_get(s, STAT_CONNECTIONS) - sink_stats_get(s, STAT_CLOSED));
}

void sink_stats_closed(struct sink_stats *s)
{
    sink_stats_inc(s, STAT_CLOSED);
}

void sink_stats_merge(struct sink_stats *to, const struct sink_stats *from)
{
    int64_t first = __atomic_load_n(&from->first_us, __ATOMIC_RELAXED);
    int64_t last = __atomic_load_n(&from->last_us, __ATOMIC_RELAXED);

    for (size_t i = 0; i < STAT_COUNT; i++) {
        to->n[i] += sink_stats_get(from, (enum sink_stat)i);
    }
    to->open_peak += __atomic_load_n(&from->open_peak, __ATOMIC_RELAXED);
    if (first != 0 && (to->first_us == 0 || first < to->first_us)) {
        to->first_us = first;
    }
    if (last > to->last_us) {
        to->last_us = last;
    }
}

uint64_t sink_stats_rate(const struct sink_stats *s)
{
    int64_t span_us = s->last_us - s->first_us;

    if (s->n[STAT_MESSAGES] < 2 || span_us <= 0) {
        return 0;
    }
    return (uint64_t)((double)(s->n[STAT_MESSAGES] - 1) * 1e6 / (double)span_us);
}

static void put_row(struct buf *out, const char *text, uint64_t value)
{
    buf_printf(out, "%-42s %12llu\n", text, (unsigned long long)value);
}

void sink_stats_put_text(struct buf *out, const struct sink_summary *sum)
{
    const struct sink_stats *s = sum->stats;

    for (size_t i = 0; i < STAT_COUNT; i++) {
        /* Zeros are left out, save for what everybody looks for. */
        if (s->n[i] > 0 || i == STAT_CONNECTIONS || i == STAT_MESSAGES || i == STAT_RECIPIENTS) {
            put_row(out, rows[i].text, s->n[i]);
        }
    }
    put_row(out, "connections at once", s->open_peak);
    if (sum->ids_counted) {
        put_row(out, "distinct ids", sum->ids_distinct);
        put_row(out, "duplicates", sum->ids_duplicates);
    }
    put_row(out, "messages a second, first to last", sink_stats_rate(s));
    put_row(out, "CPU milliseconds", (uint64_t)((sum->cpu_user_us + sum->cpu_sys_us) / 1000));
}

void sink_stats_put_json(struct buf *out, const struct sink_summary *sum)
{
    const struct sink_stats *s = sum->stats;
    const char *group = NULL;

    for (size_t i = 0; i < STAT_COUNT; i++) {
        if (rows[i].group != group) {
            if (group != NULL) {
                json_object_close(out);
            }
            group = rows[i].group;
            json_key(out, group);
            json_object_open(out);
        }
        json_put_u64(out, rows[i].key, s->n[i]);
    }
    json_object_close(out);
    json_put_u64(out, "open_peak", s->open_peak);
    if (sum->ids_counted) {
        json_put_u64(out, "distinct", sum->ids_distinct);
        json_put_u64(out, "duplicates", sum->ids_duplicates);
    }
    json_put_i64(out, "span_us", s->last_us - s->first_us);
    json_put_u64(out, "messages_per_s", sink_stats_rate(s));
    json_put_i64(out, "cpu_user_us", sum->cpu_user_us);
    json_put_i64(out, "cpu_sys_us", sum->cpu_sys_us);
    json_put_cstr(out, "io", sum->io);
}
