/*
 * people.h - recipients, letters, and what became of them.
 *
 * A recipient is one submitted job.  His address is his own, so whoever meets it knows whom it
 * is about.  His fate is what every server says of him: the mailbox is there, is not, or is
 * only there later.  The log has what the engine decided, in order; the acceptances, what the
 * servers truly took.
 */
#ifndef VOLLEY_TESTS_SIM_PEOPLE_H
#define VOLLEY_TESTS_SIM_PEOPLE_H

#include "engine/base/buf.h"
#include "engine/base/list.h"
#include "queue/record.h"

enum { PEOPLE_MAX = 400, LETTERS_MAX = 8, DOMAINS_MAX_SIM = 24 };

enum fate {
    FATE_GOOD,
    FATE_BAD,  /* 550 at RCPT */
    FATE_GREY, /* 450 at RCPT until the n-th time */
    FATE_FULL, /* 452 4.2.2 likewise */
    FATE_SPAM  /* 554 to his letters, when he is the only one */
};

enum word { /* what the engine said of him */
            WORD_DELIVERED,
            WORD_BOUNCED,
            WORD_DEFERRED,
            WORD_AMBIGUOUS,
            WORD_EXPIRED,
            WORD_SUPPRESSED,
            WORD_BACK, /* parked, returned or postponed: no event */
            WORD_COUNT
};

struct said {
    enum word word;
    bool final;
    uint32_t attempt;
    uint64_t number;
    int64_t at_us;
};

/* A server took his letter. */
struct taken {
    uint64_t written; /* world.number when the engine wrote the last byte */
    uint32_t link;
};

enum rcpt_place { PLACE_NOWHERE, PLACE_LIST, PLACE_OWNED, PLACE_DUE, PLACE_DONE };

struct rcpt {
    struct list link; /* in a list of the store, or in `due` */
    unsigned index;
    char id[RECORD_ID_LEN_MAX + 1];
    char to[64];
    unsigned domain;
    unsigned letter;
    enum fate fate;
    unsigned patience; /* FATE_GREY, FATE_FULL: times */
    unsigned asked;    /* RCPT commands for him */
    bool innocent;     /* none of his hosts does anything wrong */
    bool lied;         /* somebody lied about him */
    bool lost;         /* his job changed hands: two engines may have had him at once */
    bool own_body;
    bool suppressed; /* on the list from the beginning */

    struct buf record;
    char lane[96];
    enum rcpt_place place;
    uint64_t life; /* PLACE_OWNED: whose */
    int64_t due_ms;

    struct said *log;
    size_t log_count;
    size_t log_cap;
    struct taken *taken;
    size_t taken_count;
    size_t taken_cap;
    uint32_t attempts; /* the last attempt that an event told of */
    unsigned finals;
    unsigned lates;
    unsigned backs; /* times that it went back without an attempt */
    unsigned notes; /* that his letter is about to be sent whole */
    int64_t submitted_us;
    int64_t done_us;
};

struct sim_letter {
    char id[24];
    struct buf eml;
    struct buf body; /* what follows the line of the address, when it is personal */
    bool personal;
    bool missing; /* comes into the store only later */
};

extern struct rcpt *people[PEOPLE_MAX];
extern unsigned people_count;
extern struct sim_letter sim_letters[LETTERS_MAX];
extern unsigned sim_letter_count;

void people_init(void);
void people_fini(void);

struct rcpt *people_add(void); /* with index, id and no more */
struct rcpt *people_by_id(struct slice id);
struct rcpt *people_by_address(struct slice address);

/* What this life owns may be in two hands from now on. */
void people_owned_lost(uint64_t life);

/* Draws the letters. */
void letters_make(unsigned count);
/* Whether this is what he should get. */
bool letter_matches(const struct rcpt *r, struct slice content);

const char *word_name(enum word word);

#endif
