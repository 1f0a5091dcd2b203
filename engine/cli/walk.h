/*
 * walk.h - through all jobs of a queue, a hundred or so at a time.
 *
 * The order is: lists in the order in which they became non-empty, due jobs by class and time,
 * what nodes own, what orders hold.  Where a walk stands is a cursor that can be written down:
 * a later walk goes on from there.  The queue works meanwhile, so a job that moves may be
 * seen twice or not at all; one that stays where it is is seen once.
 */
#ifndef VOLLEY_CLI_WALK_H
#define VOLLEY_CLI_WALK_H

#include "engine/cli/desk.h"
#include "engine/cli/filter.h"

enum { WALK_NAME_MAX = 160 };

enum walk_part { WALK_LISTS, WALK_DUE, WALK_OWNED, WALK_HELD, WALK_END };

struct walk_cursor {
    unsigned partition;
    enum walk_part part;
    uint64_t major;               /* a list's number in the index, or a class */
    uint64_t minor;               /* place in it: offset, rank, cursor of HSCAN */
    uint64_t skip;                /* jobs of a page of HSCAN that were seen */
    char name[WALK_NAME_MAX + 1]; /* life or order; empty: before the first */
};

void walk_cursor_put(struct buf *out, const struct walk_cursor *c);
/* 0, or ERR_INVALID. */
int walk_cursor_parse(struct walk_cursor *c, struct slice text);

struct walk_item {
    struct slice record;
    int64_t due_ms; /* of WALK_DUE */
};

/* Jobs of one place. */
struct walk_page {
    enum job_state state;
    char source[KEYS_LIST_MAX + 1]; /* "in:...", "due:high", "owned:<life>", "held:<order>" */
    struct walk_cursor at;          /* the place of the first one */
    struct walk_item *item;
    size_t count, cap;
    struct buf bytes;
};

struct walk {
    struct desk *desk;
    const struct filter *filter;
    struct walk_cursor cursor;
    struct walk_page page;
    struct buf names; /* lists to come: "number name\n" ... */
    size_t names_at;
    bool names_end;
};

/* `start` NULL: from the beginning. */
void walk_init(struct walk *w, struct desk *d, const struct filter *filter,
               const struct walk_cursor *start);
void walk_fini(struct walk *w);

/* Fills w->page (perhaps with nothing).  -1 to go on, or the exit code.  At the end
 * w->cursor.part is WALK_END. */
int walk_step(struct walk *w);

/* The place of item i of the page; i may be one behind the last. */
struct walk_cursor walk_place(const struct walk_page *page, size_t i);

#endif
