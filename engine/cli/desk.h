/*
 * desk.h - what the commands of `volley queue` have in common: the way to Redis, what its
 * errors mean to people, and where the result goes.
 *
 *     struct desk d;
 *     int code = desk_open(&d, &command, &o.desk);
 *     if (code < 0) { code = ...desk_ask(), desk_take(), d.out... }
 *     return desk_close(&d, code);
 *
 * Functions that return an int give -1 to go on, or an exit code after they have said why on
 * standard error.  None of them reads a big key whole: callers ask in steps.
 */
#ifndef VOLLEY_CLI_DESK_H
#define VOLLEY_CLI_DESK_H

#include "conf/conf.h"
#include "engine/base/args.h"
#include "queue/keys.h"
#include "queue/sync.h"

enum { DESK_STEP = 100, DESK_NUMBER_MAX = 24 };

/* The first member of each command's options. */
struct desk_options {
    const char *config, *redis;
    bool json;
};

/* Rows of each command's table. */
#define DESK_OPTIONS                                                                  \
    {.heading = "Where the queue is"},                                                \
        {.name = "config",                                                            \
         .letter = 'c',                                                               \
         .kind = ARGS_TEXT,                                                           \
         .value = "FILE",                                                             \
         .target = offsetof(struct desk_options, config),                             \
         .help = "The configuration, which says where the queue is. Default: none."}, \
    {                                                                                 \
        .name = "redis", .kind = ARGS_TEXT, .value = "URL",                           \
        .target = offsetof(struct desk_options, redis),                               \
        .help = "The queue's Redis, such as redis://127.0.0.1:6379/0 or "             \
                "unix:/run/redis.sock, in place of the configuration's."              \
    }
#define DESK_JSON_OPTION                                                                  \
    {                                                                                     \
        .name = "json", .kind = ARGS_FLAG, .target = offsetof(struct desk_options, json), \
        .help = "Prints the result as one JSON object, for programs."                     \
    }

struct desk {
    const struct args_command *command;
    const char *redis_option;
    struct conf *conf;
    struct redis_url url;
    struct sync *redis;
    struct keys keys; /* of the partition that is asked */
    unsigned partitions;
    bool json;
    struct buf out;      /* the result; printed by desk_close() */
    unsigned complaints; /* things that could not be read */
};

/* Reads the configuration and connects.  Always followed by desk_close(). */
int desk_open(struct desk *d, const struct args_command *command, const struct desk_options *o);
/* Prints what is left of the result and frees.  `code` -1: 0, or 1 when something could not be
 * read. */
int desk_close(struct desk *d, int code);
/* Prints what is there, to go on.  -1, or the exit code when it cannot be written. */
int desk_print(struct desk *d);

void desk_partition(struct desk *d, unsigned partition);

/* "volley queue stats: ..." on standard error. */
void desk_say(const struct desk *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same for something that could not be read: the result is not whole. */
void desk_complain(struct desk *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Gives a command on the key that ends in `rest`; `more` are its arguments behind the key. */
void desk_ask(struct desk *d, const char *command, struct slice rest, const struct slice *more,
              size_t count);
/* A command without a key. */
void desk_ask_plain(struct desk *d, const struct slice *argv, size_t argc);
/* FCALL of a function whose one key is `meta`. */
void desk_ask_function(struct desk *d, const char *name, const struct slice *args, size_t count);
#define DESK_ARGS(...)                   \
    (const struct slice[]){__VA_ARGS__}, \
        sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice)

/* The next reply; an error that Redis answered is a reply. */
int desk_take(struct desk *d, const struct resp **reply);
/* The same, where an error is the end. */
int desk_take_good(struct desk *d, const struct resp **reply);
/* Says what an error answer means.  The exit code: 75 for what passes. */
int desk_refused(struct desk *d, const struct resp *reply);

/* The decimal number as a slice into `text`. */
struct slice desk_number(char text[DESK_NUMBER_MAX], uint64_t value);

/* Redis' clock, unix ms: the one that counts. */
int desk_now_ms(struct desk *d, int64_t *now_ms);

/* ---- for people; pure ---- */

/* A time in ms from anybody: what no clock says is taken as the nearest that one could. */
int64_t desk_sane_ms(int64_t ms);
/* The same for the score of a sorted set. */
int64_t desk_score_ms(const struct resp *score);

/* "12s", "3m", "4h 12m", "2d 3h"; "-" when negative. */
void desk_put_age(struct buf *out, int64_t ms);
/* "512 B", "12.3 MB". */
void desk_put_bytes(struct buf *out, uint64_t bytes);
/* "2026-01-31 23:59:59 UTC" */
void desk_put_time(struct buf *out, int64_t unix_ms);

/* The time in a job's id in unix ms, and its partition.  0, or ERR_INVALID: not an id. */
int desk_id_parse(struct slice job, int64_t *time_ms, unsigned *partition);

#endif
