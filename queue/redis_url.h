/*
 * redis_url.h - where Redis is, and as whom we come.
 *
 *     redis://[user:pass@]host[:port][/db]
 *     rediss://...                                          the same over TLS
 *     unix:/path[?db=n]  or a path that starts with "/"
 *     redis-sentinel://[user:pass@]host[:port],.../master[/db]
 *     redis-cluster://[user:pass@]host[:port],...
 *
 * Behind all but unix: may come ?name=value&...: `ca`, `cert`, `key` (PEM files) and `name`
 * (what the certificate must be for; the host unless said) are for TLS, which `tls=on` turns
 * on for Sentinel and Cluster; `sentinel_user` and `sentinel_password` are for Sentinels that
 * ask for them.  Signs such as @ : / & stand in names and passwords as %40 %3A %2F %26.
 */
#ifndef VOLLEY_QUEUE_REDIS_URL_H
#define VOLLEY_QUEUE_REDIS_URL_H

#include "queue/secure.h"
#include "queue/topology.h"

enum { REDIS_SEEDS_MAX = 64 };

enum redis_kind {
    REDIS_SINGLE,
    REDIS_SENTINEL, /* seeds are Sentinels, who know the master by a name */
    REDIS_CLUSTER,  /* seeds are any nodes of it */
};

struct redis_url {
    enum redis_kind kind;
    char *path;         /* of a unix socket, or NULL: */
    struct place *seed; /* one host, or those to ask who is master */
    size_t seed_count;
    char *user; /* NULL: the default user */
    char *password;
    unsigned db;
    unsigned partition; /* whose keys are asked for: in a Cluster it decides where to connect */
    bool suppression;   /* those of the suppression list instead */
    char *master;       /* SENTINEL: its name */
    char *sentinel_user;
    char *sentinel_password;
    bool tls;
    struct secure_files files; /* for TLS; the strings are ours */
    struct secure *secure;     /* what is read from them: redis_url_open() */
};

/* 0, or ERR_INVALID with a sentence about it appended to *why. */
int redis_url_parse(struct redis_url *url, struct slice text, struct buf *why);

/* What comes from elsewhere than the address: passwords (NULL: none) take effect where it has
 * none.  Then reads the files for TLS.  Call once before the first connection.  0, or
 * ERR_INVALID with a sentence: a user without a password, a file that cannot be used. */
int redis_url_open(struct redis_url *url, const char *password, const char *sentinel_password,
                   struct buf *why);

void redis_url_copy(struct redis_url *to, const struct redis_url *from);
void redis_url_fini(struct redis_url *url);

/* That of one server, found by `url`: `sentinel` takes the login for Sentinels. */
void redis_url_single(struct redis_url *to, const struct redis_url *url, const struct place *place,
                      bool sentinel);

/* For people and logs: never with a password. */
void redis_url_put(struct buf *b, const struct redis_url *url);

#endif
