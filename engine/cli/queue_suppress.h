/*
 * queue_suppress.h - what the commands of `volley queue suppress` have in common.
 */
#ifndef VOLLEY_CLI_QUEUE_SUPPRESS_H
#define VOLLEY_CLI_QUEUE_SUPPRESS_H

#include "engine/cli/commands.h"
#include "engine/cli/desk.h"

struct suppress_options {
    struct desk_options desk;
    const char *tenant, *scope, *reason, *expires, *rejects, *cursor;
    uint64_t limit;
    bool tenants, quiet;
};

extern const struct args_command queue_suppress_list_command, queue_suppress_export_command,
    queue_suppress_import_command;

int cmd_queue_suppress_list(int argc, char **argv);
int cmd_queue_suppress_export(int argc, char **argv);
int cmd_queue_suppress_import(int argc, char **argv);

/* FCALL volley_suppress_<name>: whoever calls appends `args` arguments to the buffer and then
 * calls sync_end(). */
struct buf *queue_suppress_begin(struct desk *d, const char *name, size_t args);
/* The same with them. */
void queue_suppress_ask(struct desk *d, const char *name, const struct slice *args, size_t count);

/* Fields that options say for all addresses: names and values by turns, at most
 * QUEUE_SUPPRESS_SHARED_MAX of them.  Their number. */
enum { QUEUE_SUPPRESS_SHARED_MAX = 8 };
size_t queue_suppress_shared(const struct suppress_options *o, struct slice *args);

/* An entry of an answer: [tenant, address, scope, reason, since, expires]. */
struct suppress_entry {
    struct slice tenant, to, scope, reason;
    int64_t since_s, expires_s; /* 0: never */
};

/* False when it is none. */
bool queue_suppress_entry(struct suppress_entry *e, const struct resp *reply);

#endif
