/*
 * mailing.h - a letter and a list that fit together (for `volley send`).
 */
#ifndef VOLLEY_CLI_MAILING_H
#define VOLLEY_CLI_MAILING_H

#include "engine/base/args.h"
#include "engine/cli/recipients.h"
#include "engine/cli/rejects.h"
#include "engine/cli/submit.h"
#include "engine/message/letter.h"

/* What the command line says. */
struct send_options {
    const char *config, *redis;
    const char *from, *list, *letter, *id;
    const char *campaign, *tenant, *pool, *source, *route, *window;
    const char *rejects, *checkpoint;
    int class; /* SEND_CLASS_* */
    int64_t at_us, spread_us, expires_us;
    struct args_list vars;
    uint64_t preview;
    bool dry_run, follow, strict, again, json, quiet;
};

enum { SEND_CLASS_HIGH, SEND_CLASS_NORMAL, SEND_CLASS_BULK };

enum { MAILING_ID_MAX = 64 };

struct mailing {
    const struct send_options *options;
    struct buf bytes; /* the letter as it stands in its file */
    struct letter *letter;
    struct recipients *list;
    struct buf names;     /* "v:<column>" */
    struct slice *column; /* of the jobs: "to", then merge values that the letter uses */
    size_t *source;       /* where each comes from in the list */
    size_t column_count;
    struct letter_value *own;    /* the same columns but `to`, for rendering */
    struct letter_value *common; /* --var */
    struct submit_field *shared;
    size_t shared_count;
    struct buf shared_text;
    char message[MAILING_ID_MAX + 1];
    char digest[MAILING_ID_MAX + 1];
    struct letter_copy copy;
    int64_t now_us; /* wall time, for the Date of letters shown */
    struct buf why; /* why the last row was refused */
};

/* Reads and checks letter, list and what joins them; complains on standard error.  -1 to go
 * on, or the exit code.  Always followed by mailing_close(). */
int mailing_open(struct mailing *m, const struct send_options *options);
void mailing_close(struct mailing *m);

/* Fields that every job has; `sending` is put in as x:sending unless NULL. */
void mailing_share(struct mailing *m, const char *sending);

/* The next row, with its letter finished in m->copy; a bad one is put among the rejects. */
enum recipients_result mailing_next(struct mailing *m, struct recipients_row *row,
                                    struct rejects *rejects);

/* The values of a row, in the order of m->column. */
void mailing_values(const struct mailing *m, const struct recipients_row *row,
                    struct slice *values);

#endif
