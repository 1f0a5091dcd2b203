/*
 * hosts.h - who lives in the simulated network, and how well it behaves.
 *
 * A host is one address with an SMTP server.  Its character is drawn once from the seed: what
 * its EHLO offers, how fast it is, how its links treat bytes, and how often a connection to it
 * goes wrong.  What goes wrong with one connection is its fault: one of the list below, at a
 * place drawn for that connection.  An innocent host has no faults at all: what it does not
 * get in time, somebody else's trouble has held up.
 */
#ifndef VOLLEY_TESTS_SIM_HOSTS_H
#define VOLLEY_TESTS_SIM_HOSTS_H

#include "tests/sim/net.h"

#include <sys/socket.h>

enum { SIM_HOSTS_MAX = 24 };

enum fault {
    FAULT_NONE,
    /* before the greeting */
    FAULT_REFUSED,
    FAULT_SILENT, /* no answer to SYN */
    FAULT_UNREACHABLE,
    FAULT_DOOR_554,
    FAULT_DOOR_421,
    FAULT_DOOR_NEVER, /* no greeting */
    FAULT_DOOR_LATE,
    FAULT_DOOR_GARBAGE,
    FAULT_DOOR_CLOSE,
    FAULT_DOOR_RESET,
    /* EHLO and STARTTLS */
    FAULT_EHLO_500,
    FAULT_EHLO_421,
    FAULT_EHLO_CLOSE,
    FAULT_STARTTLS_454,
    FAULT_STARTTLS_GARBAGE,
    FAULT_STARTTLS_CLOSE,
    /* at a place in the bytes */
    FAULT_IN_CLOSE, /* after so many bytes were read */
    FAULT_IN_RESET,
    FAULT_IN_STALL,
    FAULT_OUT_CLOSE, /* after so many bytes were said, in the middle of a reply perhaps */
    FAULT_OUT_RESET,
    FAULT_OUT_STALL,
    /* at a command */
    FAULT_COMMAND_421,
    FAULT_COMMAND_421_STAY, /* says 421 and does not close */
    FAULT_COMMAND_451,
    FAULT_COMMAND_500,
    FAULT_COMMAND_GARBAGE,
    FAULT_COMMAND_LATE,    /* after our time for it */
    FAULT_COMMAND_EXTRA,   /* one reply too many: lies */
    FAULT_COMMAND_MISSING, /* one too few: lies */
    FAULT_COMMAND_CLOSE,
    /* in the content */
    FAULT_BODY_552,
    FAULT_BODY_451,
    FAULT_BODY_421,
    FAULT_BODY_250, /* lies */
    FAULT_BODY_STALL,
    /* at the end of the content */
    FAULT_END_LATE,
    FAULT_END_NEVER,
    FAULT_END_TAKEN_RESET, /* accepted, and the connection is reset */
    FAULT_END_TAKEN_CLOSE,
    FAULT_END_TAKEN_GARBAGE,
    FAULT_END_TAKEN_421, /* accepted, 250, then 421 at once */
    FAULT_END_451,
    FAULT_END_554,
    FAULT_END_421,
    FAULT_BDAT_500,
    /* between transactions */
    FAULT_IDLE_421,
    FAULT_IDLE_CLOSE,
    FAULT_IDLE_RESET,
    FAULT_COUNT
};

enum sim_ext {
    EXT_PIPELINING = 1 << 0,
    EXT_CHUNKING = 1 << 1,
    EXT_8BITMIME = 1 << 2,
    EXT_SIZE = 1 << 3,
    EXT_ENHANCED = 1 << 4,
    EXT_DSN = 1 << 5,
    EXT_STARTTLS = 1 << 6,
    EXT_LIMITS = 1 << 7
};

struct sim_host {
    unsigned index;
    char name[32];
    char ip[32];
    uint16_t port;
    struct manners manners;
    unsigned ext;
    unsigned rcpt_max;       /* 0: as many as you like; more get 452 */
    int64_t think_us;        /* for each command, up to */
    unsigned faults_percent; /* of its connections */
    bool innocent;
    int64_t down_from_us; /* refuses, or says nothing, in this time */
    int64_t down_until_us;
    bool down_silent;
};

enum hosts_call { HOSTS_ANSWERS, HOSTS_SAYS_NOTHING, HOSTS_FAILS_AT_ONCE };

/* Draws `count` hosts; all of them the same endpoint when it is not NULL (a sink). */
void hosts_make(unsigned count, const char *only_ip, uint16_t only_port);
unsigned hosts_count(void);
struct sim_host *hosts_at(unsigned i);

/* From now on nobody does anything wrong. */
void hosts_heal(void);
bool hosts_healed(void);

/* What becomes of a call: the link gets its host, manners, and server.  `err` in *in_us. */
enum hosts_call hosts_call(struct link *l, const struct sockaddr *to, socklen_t len, int64_t *in_us,
                           int *err);

/* The kernel has nothing left for us, now and then. */
bool hosts_local_error(void);

const char *fault_name(enum fault fault);

#endif
