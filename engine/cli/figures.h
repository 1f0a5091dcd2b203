/*
 * figures.h - what is in a queue, in numbers (for `volley queue stats`).
 *
 * Everything comes from commands whose cost does not depend on the size of a key, so numbers
 * are exact; between the first and the last of them the queue goes on.
 */
#ifndef VOLLEY_CLI_FIGURES_H
#define VOLLEY_CLI_FIGURES_H

#include "engine/base/map.h"
#include "engine/cli/desk.h"

enum { FIGURES_SITES_MAX = 200000, FIGURES_LANES_MAX = 100000, FIGURES_LIVES_MAX = 10000 };

/* Jobs in lists, and when the oldest of those at the heads was submitted (0: no job). */
struct figures_pile {
    uint64_t waiting; /* in intakes */
    uint64_t parked;  /* in bins */
    uint64_t lists;
    int64_t oldest_ms;
};

/* A lane ("class:pool:tenant") or a site, under its name. */
struct figures_group {
    struct map_node node;
    char *name;
    struct figures_pile pile;
};

struct figures_class {
    struct figures_pile pile;
    uint64_t due; /* deferred and scheduled, */
    uint64_t due_now;
    int64_t next_due_ms; /* 0: none */
};

struct figures_life {
    char *name; /* "<node>:<epoch>" */
    char *holder;
    int64_t lease_ms; /* when it ends; 0: it ended */
    uint64_t jobs;
};

struct figures_consumers {
    char *name;
    int64_t pending;
    int64_t lag; /* entries; -1: Redis cannot tell */
};

struct figures {
    int64_t now_ms;
    struct figures_class class[JOB_CLASSES];
    struct map lanes, sites;
    struct figures_group other_lanes, other_sites; /* beyond the limits above; no name */
    struct figures_life *life;
    size_t life_count;
    uint64_t owned, held;
    uint64_t broken; /* records put aside because nobody could read them */
    uint64_t submitted, ended, max_jobs, max_memory;

    uint64_t event_entries;
    int64_t event_first_ms, event_last_ms; /* 0: none */
    struct figures_consumers *consumers;
    size_t consumer_count;

    uint64_t used_memory, maxmemory; /* Redis' own */
    char redis_version[24], role[16], policy[24];
    bool loading, aof;
    uint64_t suppressed;    /* addresses */
    bool has_suppressed;    /* false: it could not be asked */
    uint64_t unknown_lists; /* in the index, and no list of ours */
};

/* Reads everything of all partitions.  -1, or the exit code. */
int figures_read(struct figures *f, struct desk *d);
void figures_fini(struct figures *f);

/* Parts of figures_read() in figures_server.c: Redis and the suppression list; then of one
 * partition limits and what stands aside, and the stream of events. */
int figures_read_server(struct figures *f, struct desk *d);
int figures_read_meta(struct figures *f, struct desk *d);
int figures_read_events(struct figures *f, struct desk *d);

/* The groups of a map by number of jobs, the most first; `count` of them, free with mem_free(). */
const struct figures_group **figures_sorted(const struct map *groups, size_t *count);

#endif
