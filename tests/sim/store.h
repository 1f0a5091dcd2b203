/*
 * store.h - a model of what Redis holds: intakes, bins, due, owned, events.
 *
 * Says what queue/README.md says, in memory: a job is in exactly one place; an outcome for a
 * job that its life does not own any more changes nothing and its event is late.  Away means
 * that nobody reaches it: what was asked before may have been done or not.
 */
#ifndef VOLLEY_TESTS_SIM_STORE_H
#define VOLLEY_TESTS_SIM_STORE_H

#include "tests/sim/people.h"

enum { STORE_LISTS_MAX = 400 };

struct store_list {
    char name[200];
    struct list jobs; /* rcpt->link, in order */
    size_t count;
    uint64_t change; /* when it became non-empty last */
};

struct store {
    struct store_list lists[STORE_LISTS_MAX];
    size_t list_count;
    struct list due;
    char mapped[DOMAINS_MAX_SIM][160]; /* domain -> site of its bin; "" */
    uint64_t life;
    uint64_t suppress_number; /* of the suppression list; 0: it is empty */
    bool away;
    bool doubt; /* the lease is in doubt: nothing new may start */
    int64_t away_us;
    int64_t away_since_us;
};

extern struct store store;

void store_init(void);

struct store_list *store_list_find(struct slice name);

/* A new job: into its intake, or the bin of its site. */
void store_submit(struct rcpt *r);
void store_put(struct rcpt *r, struct slice list, bool front);

/* Up to `jobs` from the front of a list into the hands of a life. */
size_t store_claim(struct slice list, uint64_t life, size_t jobs, struct rcpt **out);

bool store_owned(const struct rcpt *r, uint64_t life);
void store_done(struct rcpt *r);
void store_defer(struct rcpt *r, struct slice record, int64_t due_ms);

/* What is due goes back to its intake; runs by itself every second. */
void store_promote(void);

/* What this life owned goes back to where it came from. */
void store_take_over(uint64_t life);

void store_leave(void); /* away */
void store_return(void);

/* Jobs that have not had their final event. */
unsigned store_open(void);
int64_t store_wall_ms(void);

#endif
