/*
 * schema.c - the table of all keys.
 *
 * How to add one: give struct conf a field (conf.h), add a row here, act on it in the engine.
 * The row's `help` is the reference in the README, so write it for somebody who does not know
 * the program.  A row with `later` is a promise of design, refused with a clear message.
 */
#include "conf/schema.h"

#define S   UINT64_C(1000000)
#define H   (3600 * S)
#define DAY (24 * H)
#define MB  (UINT64_C(1) << 20)
#define TB  (UINT64_C(1) << 40)

#define IN(type, member) .offset = offsetof(type, member)
#define ARRAY(type, member) \
    .offset = offsetof(type, member), .size = sizeof(*((type *)0)->member.items)

static const char TLS_WORDS[] = "none|may|encrypt|verify";

static const struct conf_key item_duration[] = {
    {.name = "", .kind = CONF_DURATION, .min = S, .max = 30 * DAY},
    {.name = NULL},
};
static const struct conf_key item_pattern[] = {{.name = "", .kind = CONF_PATTERN}, {.name = NULL}};
static const struct conf_key item_route_host[] = {{.name = "", .kind = CONF_ENDPOINT, .port = 25},
                                                  {.name = NULL}};
static const struct conf_key item_server[] = {{.name = "", .kind = CONF_ENDPOINT, .port = 53},
                                              {.name = NULL}};

static const struct conf_key queue_keys[] = {
    {.name = "redis",
     .kind = CONF_REDIS,
     IN(struct conf_queue, redis),
     .fallback = "embedded",
     .help =
         "Where the queue is: `redis://HOST:PORT/DB`, `rediss://HOST:PORT/DB` (TLS), "
         "`unix:/PATH`, `redis-sentinel://HOST:PORT,HOST:PORT/MASTER`, "
         "`redis-cluster://HOST:PORT,HOST:PORT`, or `embedded`: a private `redis-server` in the "
         "state directory, for trying things out and small systems."},
    {.name = "password_file",
     .kind = CONF_PATH,
     IN(struct conf_queue, password_file),
     .none = "none",
     .help = "File with the password for Redis, on one line."},
    {.name = "sentinel_password_file",
     .kind = CONF_PATH,
     IN(struct conf_queue, sentinel_password_file),
     .none = "none",
     .help = "File with the password for the Sentinels, where they ask for one."},
    {.name = "prefix",
     .kind = CONF_NAME,
     IN(struct conf_queue, prefix),
     .fallback = "volley",
     .max = 32,
     .help = "What the names of all keys in Redis start with."},
    {.name = "partitions",
     .kind = CONF_COUNT,
     IN(struct conf_queue, partitions),
     .fallback = "1",
     .min = 1,
     .max = 1,
     .later_words = "",
     .help = "Parts that Redis Cluster can spread; more than 1 comes later."},
    {.name = "max_memory",
     .kind = CONF_BYTES,
     IN(struct conf_queue, max_memory),
     .fallback = "auto",
     .min = MB,
     .max = 1024 * TB,
     .words = "auto",
     .help = "Redis memory from which new jobs are refused; `auto` is 90 % of its `maxmemory`."},
    {.name = "max_jobs",
     .kind = CONF_COUNT64,
     IN(struct conf_queue, max_jobs),
     .fallback = "unlimited",
     .min = 1,
     .max = UINT64_C(1000000000000),
     .words = "unlimited",
     .help = "Waiting jobs from which new ones are refused."},
    {.name = "single_node",
     .kind = CONF_BOOL,
     IN(struct conf_queue, single_node),
     .fallback = "false",
     .help = "No other engine ever uses this queue: sending goes on while Redis is away."},
    {.name = "journal",
     .kind = CONF_BOOL,
     IN(struct conf_queue, journal),
     .fallback = "true",
     .help =
         "Note in the state directory what is on the wire and what was replied, so that after a "
         "crash only letters without a reply are sent again, if `ambiguous` says so."},
    {.name = "state_directory",
     .kind = CONF_PATH,
     IN(struct conf_queue, state_directory),
     .none = "`$STATE_DIRECTORY`, else `~/.local/share/volley`",
     .help = "Where this engine keeps its identity and the embedded Redis its data."},
    {.name = NULL},
};

static const struct conf_key source_keys[] = {
    {.name = "address",
     .kind = CONF_ADDRESS,
     IN(struct conf_source, address),
     .none = "the kernel's choice",
     .help = "Local IP address that connections are made from.  Hosts of the other family are "
             "called only where a site has no others."},
    {.name = "address6",
     .kind = CONF_ADDRESS,
     IN(struct conf_source, address6),
     .none = "none",
     .help = "The same for IPv6, where `address` is an IPv4 one."},
    {.name = "ehlo",
     .kind = CONF_HOST,
     IN(struct conf_source, ehlo),
     .none = "`hostname`",
     .help = "Name it gives in EHLO; it should resolve to the address, and back."},
    {.name = NULL},
};
static const struct conf_key sources_keys[] = {
    {.name = "*",
     .kind = CONF_GROUP,
     ARRAY(struct conf, sources),
     .keys = source_keys,
     .help = "A source: something to send from, under a name of yours."},
    {.name = NULL},
};

static const struct conf_key pool_keys[] = {
    {.name = "*",
     .kind = CONF_COUNT,
     ARRAY(struct conf_pool, members),
     .item_offset = offsetof(struct conf_pool_member, weight),
     .min = 1,
     .max = 1000000,
     .help = "A source and its weight: one with 3 sends three times as much as one with 1."},
    {.name = NULL},
};
static const struct conf_key pools_keys[] = {
    {.name = "*",
     .kind = CONF_GROUP,
     ARRAY(struct conf, pools),
     .keys = pool_keys,
     .help = "A pool: sources that share the work.  Jobs name a pool or take `default`, which has "
             "all sources in equal parts unless written."},
    {.name = NULL},
};

/* ---- limits ---- */

#define LIMIT(name, key) IN(struct limits, name), .limit = key + 1

/* What can be said of a site over all its sources, too. */
static const struct conf_key total_keys[] = {
    {.name = "connections",
     .kind = CONF_COUNT,
     LIMIT(connections, LIMIT_CONNECTIONS),
     .min = 1,
     .max = 100000,
     .words = "unlimited",
     .help = "Connections at a time."},
    {.name = "rate", .kind = CONF_RATE, LIMIT(rate, LIMIT_RATE), .help = "Recipients in a time."},
    {.name = "connection_rate",
     .kind = CONF_RATE,
     LIMIT(connection_rate, LIMIT_CONNECTION_RATE),
     .help = "Connections opened in a time."},
    {.name = "bytes_rate",
     .kind = CONF_BYTE_RATE,
     LIMIT(bytes_rate, LIMIT_BYTES_RATE),
     .help = "Bytes of letters in a time."},
    {.name = NULL},
};

static const struct conf_key lane_keys[] = {
    {.name = "connections",
     .kind = CONF_COUNT,
     LIMIT(connections, LIMIT_CONNECTIONS),
     .fallback = "10",
     .min = 1,
     .max = 100000,
     .words = "unlimited",
     .help = "Connections at a time, from one source to one site."},
    {.name = "connections_per_host",
     .kind = CONF_COUNT,
     LIMIT(connections_per_host, LIMIT_CONNECTIONS_PER_HOST),
     .fallback = "unlimited",
     .min = 1,
     .max = 100000,
     .words = "unlimited",
     .help = "Connections at a time to one address of the site."},
    {.name = "rate",
     .kind = CONF_RATE,
     LIMIT(rate, LIMIT_RATE),
     .fallback = "100/s",
     .help = "Recipients in a time, evenly spaced: `100/s`, `5000/h`, `20/m burst 5`, "
             "`unlimited`."},
    {.name = "connection_rate",
     .kind = CONF_RATE,
     LIMIT(connection_rate, LIMIT_CONNECTION_RATE),
     .fallback = "unlimited",
     .help = "Connections opened in a time."},
    {.name = "bytes_rate",
     .kind = CONF_BYTE_RATE,
     LIMIT(bytes_rate, LIMIT_BYTES_RATE),
     .fallback = "unlimited",
     .help = "Bytes of letters in a time: `10MB/s`."},
    {.name = "messages_per_connection",
     .kind = CONF_COUNT,
     LIMIT(messages_per_connection, LIMIT_MESSAGES_PER_CONNECTION),
     .fallback = "100",
     .min = 1,
     .max = 1000000,
     .words = "unlimited",
     .help = "Letters after which a connection is closed."},
    {.name = "connection_age",
     .kind = CONF_DURATION,
     LIMIT(connection_age, LIMIT_CONNECTION_AGE),
     .fallback = "5m",
     .min = S,
     .max = DAY,
     .words = "unlimited",
     .help = "Time after which a connection takes no further letter."},
    {.name = "recipients_per_transaction",
     .kind = CONF_COUNT,
     LIMIT(recipients_per_transaction, LIMIT_RECIPIENTS_PER_TRANSACTION),
     .fallback = "50",
     .min = 1,
     .max = 1000,
     .help = "Recipients that one letter may go to at once."},
    {.name = "pipeline",
     .kind = CONF_WORD,
     LIMIT(pipeline, LIMIT_PIPELINE),
     .fallback = "auto",
     .words = "auto|off|commands|messages|chunking",
     .help = "How far commands run ahead of their replies: not at all, within one letter, the "
             "next envelope behind the body, or several letters by BDAT."},
    {.name = "pipeline_depth",
     .kind = CONF_COUNT,
     LIMIT(pipeline_depth, LIMIT_PIPELINE_DEPTH),
     .fallback = "2",
     .min = 1,
     .max = 16,
     .help = "Letters in flight on one connection when `chunking`."},
    {.name = "on", .kind = CONF_LIST, .later = true},
    {.name = "warmup", .kind = CONF_GROUP, .later = true},
    {.name = "window", .kind = CONF_TEXT, .later = true},
    {.name = "spacing", .kind = CONF_TEXT, .later = true},
    {.name = "adapt", .kind = CONF_BOOL, .later = true},
    {.name = "shared", .kind = CONF_BOOL, .later = true},
    {.name = NULL},
};

static const struct conf_key default_keys[] = {
    {.name = "", .kind = CONF_INCLUDE, IN(struct conf_limits, base), .keys = lane_keys},
    {.name = "total",
     .kind = CONF_GROUP,
     IN(struct conf_limits, total),
     .keys = total_keys,
     .help = "The same for a site over all sources; unlimited unless written."},
    {.name = NULL},
};

static const struct conf_key match_keys[] = {
    {.name = "mx",
     .kind = CONF_LIST,
     ARRAY(struct conf_site, mx),
     .keys = item_pattern,
     .none = "none",
     .help = "Names of mail hosts; `\"*.example.com\"` is every name below."},
    {.name = "domains",
     .kind = CONF_LIST,
     ARRAY(struct conf_site, domains),
     .keys = item_pattern,
     .none = "none",
     .help = "Domains of recipients, likewise.  One match wins: exact domain, domain suffix, mail "
             "host, mail host suffix; the longest first."},
    {.name = NULL},
};

static const struct conf_key site_source_keys[] = {
    {.name = "",
     .kind = CONF_INCLUDE,
     IN(struct conf_site_source, limits),
     .keys = lane_keys,
     .partial = true,
     .help = "Any key of `limits.default`, for this source at this site."},
    {.name = NULL},
};
static const struct conf_key site_sources_keys[] = {
    {.name = "*",
     .kind = CONF_GROUP,
     ARRAY(struct conf_site, sources),
     .keys = site_source_keys,
     .help = "Limits of one source at this site."},
    {.name = NULL},
};
static const struct conf_key site_keys[] = {
    {.name = "match", .kind = CONF_GROUP, .keys = match_keys, .help = "Which mail this is about."},
    {.name = "",
     .kind = CONF_INCLUDE,
     IN(struct conf_site, limits),
     .keys = lane_keys,
     .partial = true,
     .help = "Any key of `limits.default`, for this site."},
    {.name = "total",
     .kind = CONF_GROUP,
     IN(struct conf_site, total),
     .keys = total_keys,
     .help = "The keys of `limits.default.total`, for this site."},
    {.name = "sources",
     .kind = CONF_GROUP,
     .keys = site_sources_keys,
     .help = "Exceptions for single sources at this site, by the source's name."},
    {.name = NULL},
};

static const struct conf_key limits_keys[] = {
    {.name = "default",
     .kind = CONF_GROUP,
     .keys = default_keys,
     .help = "What holds where nothing else is said."},
    {.name = "all", .kind = CONF_GROUP, .later = true},
    {.name = "tenants", .kind = CONF_GROUP, .later = true},
    {.name = "campaigns", .kind = CONF_GROUP, .later = true},
    {.name = "*",
     .kind = CONF_GROUP,
     ARRAY(struct conf_limits, sites),
     .keys = site_keys,
     .help = "A site, under a name of yours: a provider, or any other group of destinations."},
    {.name = NULL},
};

/* ---- routes ---- */

static const struct conf_key auth_keys[] = {
    {.name = "user",
     .kind = CONF_TEXT,
     IN(struct conf_route, auth.user),
     .none = "no login",
     .help = "Name to log in with."},
    {.name = "password_file",
     .kind = CONF_PATH,
     IN(struct conf_route, auth.password_file),
     .none = "none",
     .help = "File with the password, on one line."},
    {.name = NULL},
};
static const struct conf_key route_keys[] = {
    {.name = "hosts",
     .kind = CONF_LIST,
     ARRAY(struct conf_route, hosts),
     .keys = item_route_host,
     .required = true,
     .help = "Hosts to hand mail to, the preferred first; port 25 unless written."},
    {.name = "auth", .kind = CONF_GROUP, .keys = auth_keys, .help = "Login, never without TLS."},
    {.name = "tls",
     .kind = CONF_WORD,
     IN(struct conf_route, tls),
     .words = TLS_WORDS,
     .none = "`tls.level`",
     .help = "As `tls.level`, for this route."},
    {.name = "window", .kind = CONF_TEXT, .later = true},
    {.name = "spacing", .kind = CONF_TEXT, .later = true},
    {.name = NULL},
};
static const struct conf_key routes_keys[] = {
    {.name = "*",
     .kind = CONF_GROUP,
     ARRAY(struct conf, routes),
     .keys = route_keys,
     .help = "A route, under a name of yours: jobs that name it go to its hosts instead of the "
             "recipient's."},
    {.name = NULL},
};

/* ---- the rest ---- */

static const struct conf_key tls_keys[] = {
    {.name = "level",
     .kind = CONF_WORD,
     IN(struct conf, tls_level),
     .fallback = "may",
     .words = TLS_WORDS,
     .help = "`may` uses TLS where offered, `encrypt` insists, `verify` also checks the "
             "certificate's chain and name, `none` never uses it."},
    {.name = NULL},
};

static const struct conf_key sink_keys[] = {
    {.name = "address",
     .kind = CONF_ENDPOINT,
     IN(struct conf_sink, address),
     .port = 25,
     .none = "none",
     .help = "Rehearsal: everything runs as configured, only connections go here."},
    {.name = "dns",
     .kind = CONF_BOOL,
     IN(struct conf_sink, dns),
     .fallback = "false",
     .help = "Look MX records up all the same, so that sites are the real ones."},
    {.name = NULL},
};

static const struct conf_key events_redis_keys[] = {
    {.name = "max_bytes",
     .kind = CONF_BYTES,
     IN(struct conf_events, redis_max_bytes),
     .fallback = "1GB",
     .min = MB,
     .max = 1024 * TB,
     .help = "Size at which the oldest events are dropped."},
    {.name = "on_full",
     .kind = CONF_WORD,
     IN(struct conf_events, redis_on_full),
     .fallback = "drop",
     .words = "drop",
     .later_words = "hold",
     .help = "What happens then."},
    {.name = NULL},
};
static const struct conf_key events_keys[] = {
    {.name = "redis",
     .kind = CONF_GROUP,
     .keys = events_redis_keys,
     .help = "The stream of outcomes in Redis."},
    {.name = "file",
     .kind = CONF_PATH,
     IN(struct conf_events, file),
     .none = "none",
     .help = "File that gets the same events, one JSON object a line."},
    {.name = "attempts",
     .kind = CONF_WORD,
     IN(struct conf_events, attempts),
     .fallback = "all",
     .words = "all|final",
     .help = "Events for every attempt, or only for final outcomes."},
    {.name = NULL},
};

static const struct conf_key suppress_keys[] = {
    {.name = "bad_mailbox",
     .kind = CONF_BOOL,
     IN(struct conf_suppress, bad_mailbox),
     .fallback = "off",
     .help = "Put a recipient on the list of its tenant when a server says for good that there is "
             "no such mailbox; nothing else ever does."},
    {.name = "expires",
     .kind = CONF_DURATION,
     IN(struct conf_suppress, expires),
     .fallback = "never",
     .min = H,
     .max = 3650 * DAY,
     .words = "never",
     .help = "How long such a recipient stays there."},
    {.name = NULL},
};

static const struct conf_key log_keys[] = {
    {.name = "level",
     .kind = CONF_WORD,
     IN(struct conf, log_level),
     .fallback = "info",
     .words = "error|warn|info|debug",
     .help = "The least important messages shown."},
    {.name = NULL},
};

static const struct conf_key dns_keys[] = {
    {.name = "servers",
     .kind = CONF_LIST,
     ARRAY(struct conf, dns_servers),
     .keys = item_server,
     .none = "those of `/etc/resolv.conf`",
     .help = "Name servers to ask, by address."},
    {.name = "families",
     .kind = CONF_WORD,
     IN(struct conf, dns_families),
     .fallback = "both",
     .words = "both|ipv4|ipv6|prefer-ipv4|prefer-ipv6",
     .help = "Addresses of hosts to look up and call.  A host that has both kinds and does not "
             "answer by one within 250 ms is called by the other as well."},
    {.name = "literals",
     .kind = CONF_BOOL,
     IN(struct conf, dns_literals),
     .fallback = "true",
     .help = "Deliver to addresses such as `user@[192.0.2.1]`; otherwise they bounce."},
    {.name = NULL},
};

#define TIMEOUT(member, value, text)                                                             \
    .name = #member, .kind = CONF_DURATION, IN(struct conf_timeouts, member), .fallback = value, \
    .min = S / 10, .max = H, .help = text

static const struct conf_key timeouts_keys[] = {
    {TIMEOUT(connect, "30s", "For a TCP connection to stand.")},
    {TIMEOUT(banner, "60s", "For the server's greeting.")},
    {TIMEOUT(ehlo, "5m", "For the reply to EHLO.")},
    {TIMEOUT(tls, "60s", "For STARTTLS and the handshake, each.")},
    {TIMEOUT(auth, "60s", "For each reply while logging in.")},
    {TIMEOUT(mail, "5m", "For the reply to MAIL.")},
    {TIMEOUT(rcpt, "5m", "For the reply to RCPT.")},
    {TIMEOUT(data, "2m", "For the reply to DATA.")},
    {TIMEOUT(body, "3m", "For a block of the letter to be taken.")},
    {TIMEOUT(dot, "10m", "For the reply to a whole letter.")},
    {TIMEOUT(quit, "10s", "For the good-bye.")},
    {TIMEOUT(idle, "5s", "How long a connection without work stays open.")},
    {.name = NULL},
};

const struct conf_key conf_schema[] = {
    {.name = "hostname",
     .kind = CONF_HOST,
     IN(struct conf, hostname),
     .none = "the machine's name",
     .help = "Full name of this machine, as it introduces itself to other servers."},
    {.name = "queue",
     .kind = CONF_GROUP,
     IN(struct conf, queue),
     .keys = queue_keys,
     .help = "The queue of jobs in Redis."},
    {.name = "workers",
     .kind = CONF_COUNT,
     IN(struct conf, workers),
     .fallback = "auto",
     .min = 1,
     .max = 256,
     .words = "auto",
     .help = "Threads that send; `auto` is one for each core."},
    {.name = "io",
     .kind = CONF_WORD,
     IN(struct conf, io),
     .fallback = "auto",
     .words = "auto|uring|epoll",
     .help = "How the kernel is asked; `auto` is io_uring, or epoll where that is refused."},
    {.name = "sources",
     .kind = CONF_GROUP,
     .keys = sources_keys,
     .help = "Addresses to send from."},
    {.name = "pools", .kind = CONF_GROUP, .keys = pools_keys, .help = "Groups of sources."},
    {.name = "limits",
     .kind = CONF_GROUP,
     IN(struct conf, limits),
     .keys = limits_keys,
     .help = "How fast, where.  Merged key by key: default, site, source at the site."},
    {.name = "routes",
     .kind = CONF_GROUP,
     .keys = routes_keys,
     .help = "Fixed ways instead of MX records."},
    {.name = "retry",
     .kind = CONF_LIST,
     ARRAY(struct conf, retry),
     .fallback = "5m 10m 30m 1h 2h 4h",
     .keys = item_duration,
     .help = "Waits after failed attempts, each from the one before; the last one repeats."},
    {.name = "expires",
     .kind = CONF_DURATION,
     IN(struct conf, expires),
     .fallback = "2d",
     .min = S,
     .max = 30 * DAY,
     .help = "Age at which a job that says nothing is given up."},
    {.name = "tls",
     .kind = CONF_GROUP,
     .keys = tls_keys,
     .shorthand = "level",
     .help = "Encryption; `tls: LEVEL` is short for the one key."},
    {.name = "sink",
     .kind = CONF_GROUP,
     IN(struct conf, sink),
     .keys = sink_keys,
     .shorthand = "address",
     .help = "A test destination for all mail; may be written as `sink: ADDRESS`."},
    {.name = "events",
     .kind = CONF_GROUP,
     IN(struct conf, events),
     .keys = events_keys,
     .help = "What became of every recipient."},
    {.name = "suppress",
     .kind = CONF_GROUP,
     IN(struct conf, suppress),
     .keys = suppress_keys,
     .help = "The suppression list: who gets no mail."},
    {.name = "log",
     .kind = CONF_GROUP,
     .keys = log_keys,
     .shorthand = "level",
     .help = "Messages on standard error; `log: LEVEL` is short for the one key."},
    {.name = "dns", .kind = CONF_GROUP, .keys = dns_keys, .help = "Looking names up."},
    {.name = "timeouts",
     .kind = CONF_GROUP,
     IN(struct conf, timeouts),
     .keys = timeouts_keys,
     .help = "How long a server may take."},
    {.name = "ambiguous",
     .kind = CONF_WORD,
     IN(struct conf, ambiguous),
     .fallback = "retry",
     .words = "retry|assume-delivered|give-up",
     .help = "What to do when a letter was sent whole and no reply came: it may have arrived."},
    {.name = "shutdown_timeout",
     .kind = CONF_DURATION,
     IN(struct conf, shutdown_timeout),
     .fallback = "30s",
     .min = S / 10,
     .max = H,
     .help = "How long running deliveries may take to end when the engine stops."},
    {.name = "dkim", .kind = CONF_LIST, .later = true},
    {.name = "metrics", .kind = CONF_GROUP, .later = true},
    {.name = NULL},
};
