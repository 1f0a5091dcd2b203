/*
 * site.h - where mail for many domains really goes, and the paths to it.
 *
 * A site is a provider (a rule of the configuration), a route, or a normalised set of MX
 * hosts; its key is the same on every worker and node.  It holds what belongs to the
 * destination as a whole: hosts with their health, limits over all sources.  A path is (site,
 * source, level of TLS): it holds the lanes of waiting jobs and the connections; the limits of
 * (site, source) are shared by the levels.
 *
 * Both live on the site's home worker only, so their limits are exact without any sharing.
 * An empty path without connections is dropped after a while; its pacing state is kept as
 * long as a rate could still be exceeded by forgetting it.
 */
#ifndef VOLLEY_DELIVER_SITE_H
#define VOLLEY_DELIVER_SITE_H

#include "conf/conf.h"
#include "engine/base/map.h"
#include "engine/base/wheel.h"
#include "engine/deliver/hosts.h"
#include "engine/deliver/lane.h"
#include "engine/deliver/learned.h"
#include "engine/smtp/session.h"
#include "throttle/limiter.h"

struct deliver;
struct job;

enum {
    SITE_KEY_MAX = 160,
    PATH_TXN_GUESS_US = 20000, /* a transaction's time before one was seen */
};

/* What its bins of one class, one for each tenant and pool, share (intake.c). */
struct site_credit {
    uint32_t asked;        /* jobs asked for and not here yet */
    uint32_t left;         /* while a claim is made: what they may still give */
    uint32_t lists;        /* and how many of them have not had their share of it */
    uint32_t overflows;    /* claimed jobs in a row that their path had no place for */
    int64_t rest_until_us; /* after such ones: nothing is claimed from the bins */
};

struct site {
    struct map_node node; /* key: `key` */
    char key[SITE_KEY_MAX];
    struct deliver *d;
    const struct conf *conf;        /* a reference: owns `rule` and `route` */
    const struct conf_site *rule;   /* NULL: the defaults hold */
    const struct conf_route *route; /* NULL: not a route */
    struct hosts hosts;
    int64_t hosts_expire_us; /* INT64_MAX: fixed */
    struct limiter_scope total;
    struct list sources; /* struct site_source */
    struct learned learned;
    struct list paths;
    struct route_lookup *lookup; /* of the hosts of a route, while it runs */
    bool down;                   /* every host rests: told once as an event */
    bool proven; /* a session got ready since the last trouble: more than one may be opened */
    struct site_credit credit[LANE_CLASSES];
};

/* The limits of (site, source): one for all paths of the pair, which differ in TLS only. */
struct site_source {
    struct list link; /* in site->sources */
    const struct conf_source *source;
    struct limiter_scope scope;
    uint32_t paths; /* freed with the last one */
};

struct path {
    struct list site_link; /* in site->paths */
    struct list run_link;  /* in deliver->runnable, or alone */
    struct list idle_link; /* in deliver->idle_paths while it has neither jobs nor connections */
    struct list room_link; /* in deliver->roomless while it waits for a connection's place */
    struct site *site;
    const struct conf *conf; /* a reference: owns `source` and `limits` */
    const struct conf_source *source;
    enum smtp_tls_level tls;
    struct hosts_want want; /* by the source's addresses and the configuration */
    const struct limits *limits;
    struct site_source *pair;
    struct list lane[LANE_CLASSES]; /* jobs that wait, oldest first */
    uint32_t waiting[LANE_CLASSES];
    uint32_t awaited;      /* jobs that wait for their letter, for an answer or in `elsewhere` */
    struct list elsewhere; /* jobs to be offered to a second host, see elsewhere.h */
    uint32_t elsewhere_count;
    struct list ready_second; /* connections with room that are for those alone */
    uint32_t second_conns;    /* all of these connections */
    struct lane_turn turn;
    struct list ready;    /* connections with room */
    uint32_t opening;     /* connections that are not ready yet */
    uint32_t connections; /* all, opening ones included */
    struct timer timer;   /* looks again when a limit or a host lets go on */
    int64_t moved_us;     /* when a transaction ended last, or a connection was opened */
    bool blocked;         /* a limit or a resting host holds up what waits: path_block() */
    int64_t blocked_until_us;
    int64_t txn_us;       /* moving mean of what a transaction holds a connection */
    int64_t rate_from_us; /* start of the second being counted */
    uint32_t rate_count;  /* transactions in it */
    uint32_t rate_last;   /* a second, moving mean */
    int64_t idle_since_us;
};

/* A claimed job found no place on its path, or found one.  There may be place on another path of
 * the site, and only jobs in its bins that go by this one: without a pause they would be claimed
 * and parked as fast as Redis can. */
void site_overflow(struct site *s, enum lane_class class, int64_t now_us);
void site_takes(struct site *s, enum lane_class class);

/* The site with this key, made when it is new. */
struct site *site_get(struct deliver *d, struct slice key);
struct site *site_find(struct deliver *d, struct slice key);

/* Sets the rule or route of a site, from the present configuration. */
void site_bind(struct site *s, const struct conf_site *rule, const struct conf_route *route);

/* Takes over the hosts of `fresh`, which is empty afterwards, under the limits of the paths. */
void site_set_hosts(struct site *s, struct hosts *fresh, int64_t expire_us);

/* The configuration changed: sites and paths go over to it, and jobs that wait in lanes find
 * their way anew, so that new rules hold at once.  What the configuration does not name any
 * more gets no new work. */
void site_configure_all(struct deliver *d);

/* The path from `source` to the site at this level of TLS, made when it is new. */
struct path *site_path(struct site *s, const struct conf_source *source, enum smtp_tls_level tls);

uint32_t path_waiting(const struct path *p); /* over all lanes */

/* How many jobs of a class the path can use soon: what it may keep waiting in memory. */
uint32_t path_capacity(const struct path *p, int64_t now_us);

/* Counts a finished transaction that held a connection for `us`. */
void path_count(struct path *p, int64_t us, int64_t now_us);

/* Lanes: a job enters at the back, or in front when it was taken out too early; path_drop()
 * takes it out. */
void path_put(struct path *p, struct job *j);
void path_put_back(struct path *p, struct job *j);
void path_drop(struct path *p, struct job *j);

/* Nothing of what waits can go before until_us; or it may be possible now. */
void path_block(struct path *p, int64_t until_us);
void path_unblock(struct path *p);

/* Puts the path among the idle ones when it has neither jobs nor connections any more. */
void path_rest(struct path *p);

/* The row of limits of a path, for limiter_*(). */
enum { PATH_SCOPES = 2 };
void path_scopes(struct path *p, struct limiter_scope *row[PATH_SCOPES]);

/* More connections are open than the limits allow by now: a reload lowered them. */
bool path_over_limit(struct path *p);

/* Asks for a pump of this path at the end of the tick. */
void path_wake(struct path *p);

/* A connection to the site was given back: its paths share limits, so each that waits looks. */
void site_wake(struct site *s);

/* Frees paths that have been empty for long, and sites without paths. */
void site_reap(struct deliver *d, int64_t now_us);
void site_free_all(struct deliver *d);

#endif
