/*
 * kinds.c - one value of a configuration: read, and written as it would be read again.
 */
#include "conf/kinds.h"
#include "engine/base/err.h"
#include "engine/base/units.h"

#include <string.h>

/* The word that stands for 0: "auto", "unlimited". */
static bool is_zero_word(const struct conf_key *key, struct slice text)
{
    return key->words != NULL && slice_eq(text, slice_cstr(key->words));
}

/* 0, ERR_RANGE, or ERR_AGAIN where larger values are for a later version. */
static int within(const struct conf_key *key, uint64_t value)
{
    if (key->max == 0) {
        return 0;
    }
    if (value > key->max && key->later_words != NULL) {
        return ERR_AGAIN;
    }
    return value < key->min || value > key->max ? ERR_RANGE : 0;
}

/* ---- yes or no, words ---- */

static int read_bool(struct conf_store *store, const struct conf_key *key, struct slice text,
                     void *field, const char **hint)
{
    static const struct {
        struct slice word;
        bool value;
    } words[] = {{{"true", 4}, true},   {{"yes", 3}, true}, {{"on", 2}, true},
                 {{"false", 5}, false}, {{"no", 2}, false}, {{"off", 3}, false}};

    (void)store, (void)key, (void)hint;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (slice_ieq(text, words[i].word)) {
            *(bool *)field = words[i].value;
            return 0;
        }
    }
    return ERR_INVALID;
}

static void put_bool(struct buf *out, const struct conf_key *key, const void *field)
{
    (void)key;
    buf_puts(out, slice_cstr(*(const bool *)field ? "true" : "false"));
}

static int read_word(struct conf_store *store, const struct conf_key *key, struct slice text,
                     void *field, const char **hint)
{
    struct slice rest = slice_cstr(key->words), word;

    (void)store, (void)hint;
    for (int i = 0; slice_next(&rest, '|', &word); i++) {
        if (slice_eq(text, word)) {
            *(int *)field = i;
            return 0;
        }
    }
    rest = slice_cstr(key->later_words);
    while (slice_next(&rest, '|', &word)) {
        if (slice_eq(text, word)) {
            return ERR_AGAIN;
        }
    }
    return ERR_INVALID;
}

static void put_word(struct buf *out, const struct conf_key *key, const void *field)
{
    struct slice rest = slice_cstr(key->words), word;

    for (int i = 0; slice_next(&rest, '|', &word); i++) {
        if (i == *(const int *)field) {
            buf_puts(out, word);
        }
    }
}

/* ---- numbers ---- */

static int read_number(const struct conf_key *key, struct slice text, uint64_t *value)
{
    if (is_zero_word(key, text)) {
        *value = 0;
        return 0;
    }
    int err = slice_u64(text, value);
    return err != 0 ? err : within(key, *value);
}

static int read_count(struct conf_store *store, const struct conf_key *key, struct slice text,
                      void *field, const char **hint)
{
    uint64_t value;
    int err = read_number(key, text, &value);

    (void)store, (void)hint;
    if (err == 0) {
        *(uint32_t *)field = (uint32_t)value;
    }
    return err;
}

static int read_count64(struct conf_store *store, const struct conf_key *key, struct slice text,
                        void *field, const char **hint)
{
    (void)store, (void)hint;
    uint64_t value;
    int err = read_number(key, text, &value);
    if (err == 0) {
        *(uint64_t *)field = value;
    }
    return err;
}

static int read_percent(struct conf_store *store, const struct conf_key *key, struct slice text,
                        void *field, const char **hint)
{
    if (text.len == 0 || text.ptr[text.len - 1] != '%') {
        *hint = "has no %; write a part of the whole, such as 20%";
        return ERR_INVALID;
    }
    return read_count(store, key, slice_of(text.ptr, text.len - 1), field, hint);
}

static void put_percent(struct buf *out, const struct conf_key *key, const void *field)
{
    (void)key;
    buf_printf(out, "%u%%", *(const uint32_t *)field);
}

static void put_number(struct buf *out, const struct conf_key *key, uint64_t value)
{
    if (value == 0 && key->words != NULL) {
        buf_puts(out, slice_cstr(key->words));
    } else {
        buf_putu(out, value);
    }
}

static void put_count(struct buf *out, const struct conf_key *key, const void *field)
{
    put_number(out, key, *(const uint32_t *)field);
}

static void put_count64(struct buf *out, const struct conf_key *key, const void *field)
{
    put_number(out, key, *(const uint64_t *)field);
}

static int read_duration(struct conf_store *store, const struct conf_key *key, struct slice text,
                         void *field, const char **hint)
{
    int64_t us = 0;
    uint64_t number;
    int err = is_zero_word(key, text) ? 0 : units_duration(text, &us);

    (void)store;
    if (err != 0 && slice_u64(text, &number) == 0) {
        *hint = "has no unit; write s, m, h or d behind the number, such as 90s";
        return ERR_INVALID;
    }
    if (err == 0 && !is_zero_word(key, text)) {
        err = within(key, (uint64_t)us);
    }
    if (err == 0) {
        *(int64_t *)field = us;
    }
    return err;
}

static void put_duration(struct buf *out, const struct conf_key *key, const void *field)
{
    int64_t us = *(const int64_t *)field;

    if (us == 0 && key->words != NULL) {
        buf_puts(out, slice_cstr(key->words));
    } else {
        units_put_duration(out, us);
    }
}

static int read_bytes(struct conf_store *store, const struct conf_key *key, struct slice text,
                      void *field, const char **hint)
{
    uint64_t bytes = 0;
    int err = 0;

    (void)store, (void)hint;
    if (!is_zero_word(key, text)) {
        err = units_bytes(text, &bytes);
        err = err == 0 ? within(key, bytes) : err;
    }
    if (err == 0) {
        *(uint64_t *)field = bytes;
    }
    return err;
}

static void put_bytes(struct buf *out, const struct conf_key *key, const void *field)
{
    uint64_t bytes = *(const uint64_t *)field;

    if (bytes == 0 && key->words != NULL) {
        buf_puts(out, slice_cstr(key->words));
    } else {
        units_put_bytes(out, bytes);
    }
}

/* ---- rates ---- */

static int read_rate(struct conf_store *store, const struct conf_key *key, struct slice text,
                     void *field, const char **hint)
{
    uint64_t number;
    int err = units_rate(text, field);

    (void)store, (void)key;
    if (err == ERR_INVALID && slice_u64(text, &number) == 0) {
        *hint = "has no unit of time; write a rate such as 100/s, 6000/m or 5000/h";
    }
    return err;
}

static void put_rate(struct buf *out, const struct conf_key *key, const void *field)
{
    (void)key;
    units_put_rate(out, field);
}

/* "10MB/s": the rate's reader knows the units of time, the one for sizes the rest. */
static int read_byte_rate(struct conf_store *store, const struct conf_key *key, struct slice text,
                          void *field, const char **hint)
{
    struct slice size = slice_of(text.ptr, slice_find(text, '/'));
    struct buf unit = BUF_EMPTY;
    struct rate rate;
    uint64_t bytes = 0;
    int err;

    (void)store, (void)key, (void)hint;
    if (size.len == text.len) {
        return units_rate(text, field); /* "unlimited" */
    }
    BUF_LIT(&unit, "1");
    buf_puts(&unit, slice_from(text, size.len));
    err = units_rate(buf_slice(&unit), &rate);
    buf_fini(&unit);
    if (err == 0 && rate.burst != 1) {
        err = ERR_INVALID; /* a letter goes in one piece as it is */
    }
    err = err == 0 ? units_bytes(size, &bytes) : err;
    if (err == 0 && (bytes == 0 || bytes > UINT64_C(1) << 40)) {
        err = ERR_RANGE;
    }
    if (err == 0) {
        rate.count = bytes;
        *(struct rate *)field = rate;
    }
    return err;
}

static void put_byte_rate(struct buf *out, const struct conf_key *key, const void *field)
{
    struct rate rate = *(const struct rate *)field;
    struct buf unit = BUF_EMPTY;

    (void)key;
    if (rate.count == 0) {
        units_put_rate(out, &rate);
        return;
    }
    units_put_bytes(out, rate.count);
    rate.count = 1;
    units_put_rate(&unit, &rate);
    buf_puts(out, slice_from(buf_slice(&unit), 1));
    buf_fini(&unit);
}

/* ---- the table ---- */

const struct conf_kind_info conf_kinds[CONF_KINDS] = {
    [CONF_BOOL] = {"true or false", NULL, read_bool, put_bool},
    [CONF_COUNT] = {"a whole number", NULL, read_count, put_count},
    [CONF_COUNT64] = {"a whole number", NULL, read_count64, put_count64},
    [CONF_PERCENT] = {"a part of the whole", "20%", read_percent, put_percent},
    [CONF_DURATION] = {"a duration", "90s, 15m or 2h", read_duration, put_duration},
    [CONF_BYTES] = {"a size", "64KB, 25MB or 1GB", read_bytes, put_bytes},
    [CONF_RATE] = {"a rate", "100/s, 5000/h, 20/m burst 5 or unlimited", read_rate, put_rate},
    [CONF_BYTE_RATE] = {"a rate of bytes", "10MB/s or unlimited", read_byte_rate, put_byte_rate},
    [CONF_WORD] = {"one of the words", NULL, read_word, put_word},
    [CONF_TEXT] = {"text on one line", NULL, conf_read_text, conf_put_text},
    [CONF_NAME] = {"a name of letters, digits, dots, dashes and underscores", NULL, conf_read_name,
                   conf_put_text},
    [CONF_HOST] = {"a host name", "mta1.example.com", conf_read_host, conf_put_text},
    [CONF_PATTERN] = {"a domain", "example.com or \"*.example.com\"", conf_read_pattern,
                      conf_put_text},
    [CONF_PATH] = {"a path, from the directory of this file where it is relative", NULL,
                   conf_read_path, conf_put_text},
    [CONF_REDIS] = {"where Redis is", "embedded, redis://127.0.0.1:6379/0 or unix:/run/redis.sock",
                    conf_read_redis, conf_put_text},
    [CONF_ENDPOINT] = {"a host or address, perhaps with a port",
                       "smtp.example.net:587, 192.0.2.1:25 or [2001:db8::1]:25", conf_read_endpoint,
                       conf_put_endpoint},
    [CONF_ADDRESS] = {"an IP address", "192.0.2.10 or 2001:db8::10", conf_read_address,
                      conf_put_address},
};

static void put_limit(struct buf *out, const struct conf_key *key, uint64_t value)
{
    if (key->kind == CONF_PERCENT) {
        buf_putu(out, value);
        buf_putc(out, '%');
    } else if (key->kind == CONF_DURATION) {
        units_put_duration(out, (int64_t)value);
    } else if (key->kind == CONF_BYTES) {
        units_put_bytes(out, value);
    } else {
        buf_putu(out, value);
    }
}

/* "auto|uring|epoll" as "auto, uring or epoll" */
static void put_words(struct buf *out, struct slice words)
{
    struct slice word;

    for (bool first = true; slice_next(&words, '|', &word); first = false) {
        if (!first) {
            buf_puts(out, slice_cstr(words.ptr != NULL ? ", " : " or "));
        }
        buf_puts(out, word);
    }
}

void conf_put_expected(struct buf *out, const struct conf_key *key)
{
    if (key->kind == CONF_WORD) {
        put_words(out, slice_cstr(key->words));
        return;
    }
    if (key->max > 0 && key->min == key->max) {
        put_limit(out, key, key->min);
        return;
    }
    buf_puts(out, slice_cstr(conf_kinds[key->kind].what));
    if (key->kind == CONF_NAME && key->max > 0) {
        buf_printf(out, ", at most %u of them", (unsigned)key->max);
    } else if (key->max > 0) {
        BUF_LIT(out, " from ");
        put_limit(out, key, key->min);
        BUF_LIT(out, " to ");
        put_limit(out, key, key->max);
    }
    if (key->words != NULL) {
        buf_printf(out, ", or %s", key->words);
    }
}
