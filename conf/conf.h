/*
 * conf.h - the configuration, loaded and checked.
 *
 *     struct conf_problems problems;
 *     struct conf *conf = conf_load(path_or_NULL, &problems);
 *     if (conf == NULL) { print the problems; exit 2 }
 *
 * A struct conf never changes after it was loaded; a reload makes another one.  Threads share
 * it by conf_ref() and conf_unref(); everything reached from it lives as long as it does.
 * Without a file every value is its default, and the engine runs.
 *
 * Loading, checking, `volley check --print` and the reference in the README all read one table,
 * conf/schema.c.  A new key is a field here and a row there.
 */
#ifndef VOLLEY_CONF_CONF_H
#define VOLLEY_CONF_CONF_H

#include "throttle/limits.h"
#include "engine/base/buf.h"
#include "engine/base/log.h"
#include "engine/base/map.h"

#include <netinet/in.h>
#include <stddef.h>

/* An array of the configuration: what the schema table fills. */
#define CONF_ARRAY(type) \
    struct {             \
        type *items;     \
        size_t count;    \
    }

enum conf_io { CONF_IO_AUTO, CONF_IO_URING, CONF_IO_EPOLL };
enum conf_tls_level { CONF_TLS_NONE, CONF_TLS_MAY, CONF_TLS_ENCRYPT, CONF_TLS_VERIFY };
enum conf_families {
    CONF_FAMILIES_BOTH,
    CONF_FAMILIES_IPV4,
    CONF_FAMILIES_IPV6,
    CONF_FAMILIES_PREFER_IPV4,
    CONF_FAMILIES_PREFER_IPV6
};
enum conf_ambiguous { CONF_AMBIGUOUS_RETRY, CONF_AMBIGUOUS_ASSUME, CONF_AMBIGUOUS_GIVE_UP };
enum conf_on_full { CONF_ON_FULL_DROP };
enum conf_attempts { CONF_ATTEMPTS_ALL, CONF_ATTEMPTS_FINAL };

/* "mx.example.com:25", "192.0.2.1", "[2001:db8::1]:2525".  Unset: host is NULL. */
struct conf_endpoint {
    const char *host; /* without brackets */
    uint16_t port;
    bool is_address; /* host is an IP address: nothing to look up */
};

/* An IP address as the socket calls want it.  Unset: sa.sa_family is AF_UNSPEC. */
union conf_address {
    struct sockaddr sa;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

struct conf_queue {
    const char *redis;         /* "embedded", "redis://…", ...; holds no password */
    const char *password_file; /* NULL: none */
    const char *password;      /* read from the file; never print it */
    const char *sentinel_password_file;
    const char *sentinel_password; /* read from the file; never print it */
    const char *prefix;            /* of all key names */
    uint32_t partitions;           /* 1 */
    uint64_t max_memory;           /* bytes; 0: 90 % of Redis' maxmemory */
    uint64_t max_jobs;             /* 0: unlimited */
    uint32_t high_share;           /* percent of a tenant's mail; 100: all of it */
    bool single_node;              /* no other engine shares this queue */
    int64_t lease;                 /* us */
    bool journal;                  /* what is on the wire outlives a crash */
    const char *state_directory;   /* NULL: $STATE_DIRECTORY, else ~/.local/share/volley */
};

/* sources.<name>: an address to send from. */
struct conf_source {
    const char *name;
    union conf_address address;  /* unset: the kernel's choice */
    union conf_address address6; /* for IPv6 where `address` is IPv4; unset: none */
    const char *ehlo;            /* never NULL: the hostname unless said */
    size_t index;                /* in conf->sources */
};

struct conf_pool_member {
    const char *name;
    uint32_t weight; /* at least 1 */
    const struct conf_source *source;
};

/* pools.<name>: sources to choose among, by weight. */
struct conf_pool {
    const char *name;
    CONF_ARRAY(struct conf_pool_member) members; /* at least one */
    uint64_t weight_sum;
};

/* limits.<site>.sources.<source> */
struct conf_site_source {
    const char *name;
    struct limits limits; /* merged: nothing is left unset */
};

/* limits.<site>: a provider or any other group of destinations. */
struct conf_site {
    const char *name;
    CONF_ARRAY(const char *) mx;      /* as written; "*." in front matches what is below */
    CONF_ARRAY(const char *) domains; /* likewise */
    struct limits limits;             /* of (site, source); merged */
    struct limits total;              /* over all sources; merged; unset keys are unlimited */
    CONF_ARRAY(struct conf_site_source) sources;
};

struct conf_limits {
    struct limits base;  /* limits.default, merged with what is built in */
    struct limits total; /* limits.default.total */
    CONF_ARRAY(struct conf_site) sites;
};

/* routes.<name>: fixed hosts instead of the MX of the recipient's domain. */
struct conf_route {
    const char *name;
    CONF_ARRAY(struct conf_endpoint) hosts; /* at least one, in order of preference */
    struct {
        const char *user;          /* NULL: no AUTH */
        const char *password_file; /* as written */
        const char *password;      /* read from the file; never print it */
    } auth;
    int tls; /* enum conf_tls_level; the general one unless said */
};

struct conf_sink {
    struct conf_endpoint address; /* unset: no sink, mail goes out */
    bool dns;                     /* look MX up all the same, for the names of sites */
};

struct conf_events {
    uint64_t redis_max_bytes;
    int redis_on_full; /* enum conf_on_full */
    const char *file;  /* NULL: none */
    int attempts;      /* enum conf_attempts */
};

struct conf_suppress {
    bool bad_mailbox; /* put recipients that do not exist on the list */
    int64_t expires;  /* microseconds; 0: never */
};

/* Microseconds, each for one reply or one step. */
struct conf_timeouts {
    int64_t connect, banner, ehlo, tls, auth, mail, rcpt, data, body, dot, quit, idle;
};

struct conf {
    const char *file; /* as given to conf_load(); NULL: none */
    const char *hostname;
    struct conf_queue queue;
    uint32_t workers;                       /* 0: one per core */
    int io;                                 /* enum conf_io */
    CONF_ARRAY(struct conf_source) sources; /* at least one: "default" when none is written */
    CONF_ARRAY(struct conf_pool) pools;     /* at least one: "default" has all the sources */
    struct conf_limits limits;
    CONF_ARRAY(struct conf_route) routes;
    CONF_ARRAY(int64_t) retry; /* microseconds; at least one */
    int64_t expires;           /* microseconds */
    int tls_level;             /* enum conf_tls_level */
    struct conf_sink sink;
    struct conf_events events;
    struct conf_suppress suppress;
    int log_level;                                /* enum log_level */
    CONF_ARRAY(struct conf_endpoint) dns_servers; /* empty: those of /etc/resolv.conf */
    int dns_families;                             /* enum conf_families */
    bool dns_literals;                            /* user@[192.0.2.1] is delivered */
    struct conf_timeouts timeouts;
    int ambiguous;            /* enum conf_ambiguous */
    int64_t shutdown_timeout; /* microseconds */
    const char *replies_file; /* table of words that comes before the shipped one; NULL: none */
    struct smtp_words *words; /* both, compiled; NULL after conf_load_bytes() */

    struct conf_private *own; /* memory, indexes, origins */
};

/* The table of words that is part of the program. */
struct slice conf_replies_shipped(void);

/* ---- loading ---- */

enum { CONF_PROBLEMS_MAX = 20, CONF_FILE_MAX = 4 << 20 };

struct conf_problem {
    unsigned line, column; /* from 1; 0: not about a place in the file */
    bool warning;          /* it loads all the same */
    char *text;            /* what, and what to write instead */
};

struct conf_problems {
    char *file; /* the name to print */
    struct conf_problem items[CONF_PROBLEMS_MAX];
    size_t count;  /* of items, warnings among them */
    size_t errors; /* without the warnings */
    size_t more;   /* found beyond those kept */
};

/* Reads, checks and completes a configuration; NULL as path gives all defaults.  Returns it with
 * one reference (there may be warnings), or NULL with at least one error.  Also reads the secrets
 * it names and the host's name.  `problems` need not be initialised; free it with
 * conf_problems_fini() always. */
struct conf *conf_load(const char *path, struct conf_problems *problems);

/* The pure part of it, for tests and fuzzing: no file is opened; passwords stay NULL and
 * `hostname` is the default host name. */
struct conf *conf_load_bytes(const char *name, struct slice text, const char *hostname,
                             struct conf_problems *problems);

/* Whether the engine will be able to write where the configuration says, as far as that can be
 * seen without writing; false with a problem. */
bool conf_check_paths(const struct conf *conf, struct conf_problems *problems);

struct conf *conf_ref(const struct conf *conf);
void conf_unref(struct conf *conf); /* NULL is fine; the last one wipes the secrets */

/* A mistake that only others can see, in the value that `field` (&conf->queue.redis) points to. */
void conf_problem_of(const struct conf *conf, struct conf_problems *problems, const void *field,
                     struct slice text);

/* One line a problem: "file:line:column: text". */
void conf_problems_put(struct buf *out, const struct conf_problems *problems);
void conf_problems_fini(struct conf_problems *problems);

/* ---- asking ---- */

/* By name; NULL when there is none. */
const struct conf_source *conf_source_find(const struct conf *conf, struct slice name);
const struct conf_pool *conf_pool_find(const struct conf *conf, struct slice name);
const struct conf_route *conf_route_find(const struct conf *conf, struct slice name);
const struct conf_site *conf_site_find(const struct conf *conf, struct slice name);

/* What is known of a destination when its site is decided. */
struct conf_site_facts {
    struct slice domain;    /* of the recipient, or empty; any case, no trailing dot */
    const struct slice *mx; /* host names, the most preferred first; likewise */
    size_t mx_count;
};

/* The local address for connections to this family; NULL: the kernel's choice. */
const union conf_address *conf_source_address(const struct conf_source *source, int family);

/* The only family (AF_INET, AF_INET6) that a source has an address of; AF_UNSPEC: it has both, or
 * none of its own. */
int conf_source_family(const struct conf_source *source);

/* The site whose `match` fits; NULL: none, limits.default holds.  One wins: exact domain, then
 * domain suffix, then MX host, then MX suffix; the longest first, then the more preferred host. */
const struct conf_site *conf_site_for(const struct conf *conf, const struct conf_site_facts *facts);

/* The merged limits of (site, source): default < site < (site, source).  `site` may be NULL. */
const struct limits *conf_limits_for(const struct conf *conf, const struct conf_site *site,
                                     const struct conf_source *source);

/* The limits of the site over all its sources.  `site` may be NULL. */
const struct limits *conf_limits_total(const struct conf *conf, const struct conf_site *site);

/* ---- showing ---- */

/* Every effective value with where it came from; as YAML that loads to the same again, or as a
 * JSON array of {key, value, origin}.  Secrets are not in a configuration, only their files. */
void conf_print_yaml(const struct conf *conf, struct buf *out);
void conf_print_json(const struct conf *conf, struct buf *out);

/* The reference of all keys in Markdown. */
void conf_put_reference(struct buf *out);

#endif
