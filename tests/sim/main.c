/*
 * main.c - runs seeds.
 *
 *     sim --seed S [--seeds N] [--trace] [--twice]
 *
 * Seeds run one after the other in one child, so that a crash is told with its seed; after it
 * the next child goes on.  TAP lines, so that tests/run.py counts them.
 */
#include "engine/base/map.h"
#include "tests/sim/oracle.h"
#include "tests/sim/run.h"
#include "tests/sim/world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FAILURES_MAX = 20,
    SEED_CPU_S = 60 /* a seed that takes longer goes round in a circle: SIGPROF ends it */
};

struct progress {
    uint64_t seed; /* being run */
    uint64_t done;
    struct oracle_counts counts;
};

struct options {
    uint64_t first;
    uint64_t count;
    bool tracing;
    bool twice;
};

static struct progress *progress;

static bool run_one(const struct options *o, uint64_t seed)
{
    uint64_t hash, again;

    progress->seed = seed;
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = SEED_CPU_S}, NULL);
    if (!run_seed(seed, o->tracing, &hash)) {
        return false;
    }
    if (o->twice && (!run_seed(seed, false, &again) || again != hash)) {
        printf("seed %llu: two runs differ\n", (unsigned long long)seed);
        return false;
    }
    progress->done++;
    return true;
}

/* From `seed` on; the exit code is that of a child. */
static int run_some(const struct options *o, uint64_t seed)
{
    world_init(0, false); /* the hash key of this process is drawn here, and always the same */
    (void)map_hash(SLICE("sim"));
    oracle_counts = progress->counts;
    for (; seed < o->first + o->count; seed++) {
        if (!run_one(o, seed)) {
            fflush(stdout);
            return 1;
        }
        progress->counts = oracle_counts;
    }
    return 0;
}

static int run_children(const struct options *o)
{
    unsigned failures = 0;
    uint64_t seed = o->first;

    while (seed < o->first + o->count && failures < FAILURES_MAX) {
        fflush(stdout);
        pid_t child = fork();
        int status = 0;
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            int code = run_some(o, seed);
            fflush(stdout);
            exit(code); /* leaks are looked for there */
        }
        if (child < 0 || waitpid(child, &status, 0) != child) {
            perror("fork");
            return 1;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            break;
        }
        failures++;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1) {
            printf("seed %llu: the process died, status %d\n", (unsigned long long)progress->seed,
                   status);
        }
        printf("not ok - seed %llu\n", (unsigned long long)progress->seed);
        seed = progress->seed + 1;
    }
    return failures > 0;
}

static void print_counts(void)
{
    const struct oracle_counts *c = &progress->counts;

    printf("# %llu seeds:", (unsigned long long)progress->done);
    for (int word = 0; word < WORD_COUNT; word++) {
        printf(" %s %llu", word_name((enum word)word), (unsigned long long)c->words[word]);
    }
    printf(", taken %llu, links %llu\n", (unsigned long long)c->taken,
           (unsigned long long)c->links);
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (strcmp(argv[i], "--seed") == 0 && value) {
            o->first = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && value) {
            o->count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--trace") == 0) {
            o->tracing = true;
        } else if (strcmp(argv[i], "--twice") == 0) {
            o->twice = true;
        } else {
            fprintf(stderr, "usage: sim [--seed S] [--seeds N] [--trace] [--twice]\n");
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {.first = 1, .count = 1};

    if (!parse(argc, argv, &o)) {
        return 2;
    }
    progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    int code = run_children(&o);
    print_counts();
    if (code == 0) {
        printf("ok - seeds %llu to %llu\n", (unsigned long long)o.first,
               (unsigned long long)(o.first + o.count - 1));
    }
    return code;
}
