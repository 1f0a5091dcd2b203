/*
 * submit.h - giving a long list of jobs to the queue, each row exactly once.
 *
 * Rows go in parts of up to SUBMIT_ROWS; several parts are under way at a time.  Redis takes
 * each numbered part of a sending once and in order (volley_submit_part), so whatever breaks,
 * a part may be given again.  The caller fills parts and waits:
 *
 *     part = submit_free(s);  submit_row(part, ...) ...;  submit_give(s, part);
 *     switch (submit_wait(s)) ...
 */
#ifndef VOLLEY_CLI_SUBMIT_H
#define VOLLEY_CLI_SUBMIT_H

#include "engine/cli/recipients.h"
#include "queue/redis.h"

enum { SUBMIT_ROWS = 200, SUBMIT_BYTES = 256 * 1024, SUBMIT_WINDOW = 8 };

struct submit;

struct submit_field {
    struct slice name;
    struct slice value;
};

/* What it borrows must stay. */
struct submit_options {
    const struct redis_url *url;
    struct slice prefix;
    unsigned partitions;
    struct slice sending; /* by which Redis tells this sending from others */
    struct slice message; /* id of the letter, which is stored first */
    struct slice letter;
    struct slice from; /* stored with it; NULL pointer: Redis reads From */
    const struct submit_field *shared;
    size_t shared_count;
    const struct slice *columns; /* "to", "v:name", ... */
    size_t column_count;
};

/* A row that Redis did not take. */
struct submit_fault {
    uint64_t line;
    struct slice what; /* valid as long as the part */
};

struct submit_part {
    uint64_t number;               /* in the sending, from 1 */
    struct recipients_place start; /* of its first row */
    struct recipients_place place; /* behind its last row */
    uint64_t bad;                  /* rows before `place` that were not given */
    size_t rows;
    uint64_t line[SUBMIT_ROWS];
    bool seen; /* Redis had taken it before */
    size_t taken;
    size_t fault_count;
    struct submit_fault fault[SUBMIT_ROWS];
    struct buf values; /* private from here on */
    struct buf text;
    unsigned state;
    uint64_t wanted;
};

/* `first` is the number of the first part to be given. */
struct submit *submit_new(const struct submit_options *options, uint64_t first);
void submit_free_all(struct submit *s);

/* Connects, loads the functions, stores the letter.  0; ERR_INVALID: no use to try again
 * (wrong password, message id taken); other errors: later.  A sentence in *why. */
int submit_open(struct submit *s, struct buf *why);

/* An empty part to fill, or NULL when the window is full. */
struct submit_part *submit_free(struct submit *s);
void submit_row(struct submit_part *part, uint64_t line, const struct slice *values, size_t count);
bool submit_part_is_full(const struct submit_part *part);
/* It goes on its way.  A part without rows is dropped: it gets no number. */
void submit_give(struct submit *s, struct submit_part *part);

enum submit_event {
    SUBMIT_IDLE,    /* nothing is under way */
    SUBMIT_TAKEN,   /* the oldest part is in the queue: submit_oldest(), then submit_drop() */
    SUBMIT_STALLED, /* Redis is full or away (submit_why()): wait a little, submit_retry() */
    SUBMIT_BACK,    /* Redis has lost parts (it was restarted): go on with submit_wanted() */
    SUBMIT_FAILED,  /* it refuses; submit_why() says why */
};

enum submit_event submit_wait(struct submit *s);

struct submit_part *submit_oldest(struct submit *s);
void submit_drop(struct submit *s);
const char *submit_why(const struct submit *s);

/* Tries again what stalled.  0, or an error as submit_open() gives. */
int submit_retry(struct submit *s, struct buf *why);

/* After SUBMIT_FAILED: Redis refused what all jobs share, so that nothing of the sending is in
 * the queue. */
bool submit_was_refused(const struct submit *s);

/* After SUBMIT_BACK: the part that Redis wants next, and starting over from there. */
uint64_t submit_wanted(const struct submit *s);
void submit_rewind(struct submit *s, uint64_t first);

#endif
