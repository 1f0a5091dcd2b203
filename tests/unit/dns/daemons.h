/*
 * daemons.h - Debian's knot and unbound, private and short-lived.
 *
 * knot serves test.example (signed), plain.example and broken.example (signed with a key that
 * unbound was told not to expect); unbound resolves and validates over it.  Ports are picked
 * by the kernel; everything lives in one directory that goes away.
 */
#ifndef VOLLEY_TEST_DNS_DAEMONS_H
#define VOLLEY_TEST_DNS_DAEMONS_H

#include "tests/unit/dns/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct daemons {
    char dir[64];
    pid_t knot, unbound;
    uint16_t knot_port, unbound_port;
    char knot_servers[32], unbound_servers[32];
};

static const char daemons_zone[] =
    "$TTL 300\n"
    "@ SOA ns admin 1 3600 600 86400 120\n"
    "@ NS ns\n"
    "ns A 192.0.2.53\n"
    "@ MX 10 mx1\n"
    "@ MX 20 mx2\n"
    "mx1 A 192.0.2.1\n"
    "mx1 AAAA 2001:db8::1\n"
    "mx2 A 192.0.2.2\n"
    "null MX 0 .\n"
    "implicit A 192.0.2.9\n"
    "nowhere MX 10 nohost\n"
    "alias CNAME target\n"
    "target MX 10 mx1\n"
    "loop1 CNAME loop2\n"
    "loop2 CNAME loop1\n"
    "mxalias MX 10 second\n"
    "second CNAME mx2\n"
    "deaf MX 10 nohost\n"
    "deaf MX 20 mx1\n"
    "short TXT \"60 s\"\n"
    "txtonly TXT \"v=STSv1; \" \"id=1\"\n"
    "xn--bcher-kva MX 10 mx2\n"
    "_25._tcp.mx1 TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

static inline uint16_t daemons_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    close(fd);
    return ntohs(at.sin_port);
}

static inline FILE *daemons_file(const struct daemons *d, const char *name)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", d->dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    return f;
}

/* The big zone file: the common part and a TXT set that no UDP answer holds. */
static inline void daemons_zone_write(const struct daemons *d)
{
    FILE *f = daemons_file(d, "zone");

    fputs(daemons_zone, f);
    for (int i = 0; i < 17; i++) { /* chain17 has 17 CNAMEs before it, chain1 has one */
        fprintf(f, "chain%d CNAME %s%.0d\n", i + 1, i > 0 ? "chain" : "target", i);
    }
    for (int i = 0; i < 40; i++) {
        fprintf(f, "big TXT \"%02d-0123456789012345678901234567890123456789012345678901234567\"\n",
                i);
    }
    fclose(f);
}

static inline void daemons_knot_conf(const struct daemons *d)
{
    FILE *f = daemons_file(d, "knot.conf");

    fprintf(f,
            "server:\n  listen: 127.0.0.1@%u\n  rundir: %s\n"
            "database:\n  storage: %s\n"
            "log:\n - target: stderr\n   any: error\n"
            "policy:\n - id: sign\n   algorithm: ecdsap256sha256\n   nsec3: off\n"
            "template:\n - id: default\n   storage: %s\n   file: %s/zone\n   zonefile-sync: -1\n"
            "   zonefile-load: difference-no-serial\n   journal-content: all\n"
            "zone:\n"
            " - domain: test.example\n   dnssec-signing: on\n   dnssec-policy: sign\n"
            " - domain: broken.example\n   dnssec-signing: on\n   dnssec-policy: sign\n"
            " - domain: plain.example\n",
            d->knot_port, d->dir, d->dir, d->dir, d->dir);
    fclose(f);
}

static inline void daemons_unbound_conf(const struct daemons *d, const char *ds)
{
    FILE *f = daemons_file(d, "unbound.conf");

    fprintf(f,
            "server:\n  interface: 127.0.0.1@%u\n  do-daemonize: no\n  username: \"\"\n"
            "  chroot: \"\"\n  directory: \"%s\"\n  pidfile: \"\"\n  use-syslog: no\n"
            "  logfile: \"%s/unbound.log\"\n  num-threads: 1\n  do-ip6: no\n"
            "  do-not-query-localhost: no\n  module-config: \"validator iterator\"\n"
            "  trust-anchor: \"%s\"\n"
            "  trust-anchor: \"broken.example. DS 1 13 2 "
            "0000000000000000000000000000000000000000000000000000000000000000\"\n"
            "remote-control:\n  control-enable: no\n"
            "stub-zone:\n  name: test.example\n  stub-addr: 127.0.0.1@%u\n"
            "stub-zone:\n  name: plain.example\n  stub-addr: 127.0.0.1@%u\n"
            "stub-zone:\n  name: broken.example\n  stub-addr: 127.0.0.1@%u\n",
            d->unbound_port, d->dir, d->dir, ds, d->knot_port, d->knot_port, d->knot_port);
    fclose(f);
}

static inline pid_t daemons_spawn(const char *const *argv)
{
    pid_t parent = getpid(), pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            execvp(argv[0], (char *const *)argv);
        }
        _exit(127);
    }
    return pid;
}

/* Asks over and over, each time anew, until the answer is there (validated, if `ad`). */
static inline bool daemons_ready(const char *servers, bool ad)
{
    int64_t end = clock_mono_us() + RIG_PATIENCE_US;
    bool ready = false;

    while (!ready && clock_mono_us() < end) {
        struct asked a = {0};
        struct rig r;

        assert_true(rig_open(
            &r, IO_EPOLL,
            &(struct dns_resolver_options){.servers = servers, .timeout_ms = 500, .tries = 1}));
        rig_ask(&r, &a, "mx1.test.example", DNS_A);
        ready = a.answer->status == DNS_FOUND && a.answer->ad == ad;
        dns_answer_unref(a.answer);
        rig_close(&r);
        if (!ready) {
            nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        }
    }
    return ready;
}

static inline int daemons_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void daemons_stop(struct daemons *d)
{
    pid_t pids[2] = {d->unbound, d->knot};

    for (size_t i = 0; i < 2; i++) {
        if (pids[i] > 0) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    }
    nftw(d->dir, daemons_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* "test.example. DS ..." as keymgr prints it; the SHA-256 one. */
static inline bool daemons_ds(const struct daemons *d, char *line, size_t line_size)
{
    char command[256];
    bool found = false;
    FILE *f;

    snprintf(command, sizeof(command), "keymgr -c %s/knot.conf test.example ds", d->dir);
    f = popen(command, "re");
    while (!found && f != NULL && fgets(line, (int)line_size, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = strstr(line, " 13 2 ") != NULL;
    }
    if (f != NULL) {
        pclose(f);
    }
    return found;
}

static inline bool daemons_have(const char *name)
{
    static const char *const places[] = {"/usr/sbin", "/usr/bin", "/usr/local/sbin"};
    char path[64];

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", places[i], name);
        if (access(path, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* Starts knot; false with the reason printed when it is not installed. */
static inline bool daemons_start_knot(struct daemons *d)
{
    char conf[128];

    memset(d, 0, sizeof(*d));
    if (!daemons_have("knotd")) {
        print_message("not run: knotd is not installed (package knot)\n");
        return false;
    }
    strncpy(d->dir, "/tmp/volley-dns-XXXXXX", sizeof(d->dir) - 1);
    assert_non_null(mkdtemp(d->dir));
    d->knot_port = daemons_port();
    d->unbound_port = daemons_port();
    snprintf(d->knot_servers, sizeof(d->knot_servers), "127.0.0.1:%u", d->knot_port);
    snprintf(d->unbound_servers, sizeof(d->unbound_servers), "127.0.0.1:%u", d->unbound_port);
    daemons_zone_write(d);
    daemons_knot_conf(d);
    snprintf(conf, sizeof(conf), "%s/knot.conf", d->dir);
    d->knot = daemons_spawn((const char *const[]){"knotd", "-c", conf, NULL});
    assert_true(daemons_ready(d->knot_servers, false));
    return true;
}

/* Starts unbound over it, when that is installed too. */
static inline bool daemons_start_unbound(struct daemons *d)
{
    char conf[128], ds[512];

    if (!daemons_have("unbound")) {
        print_message("not run: unbound is not installed (package unbound)\n");
        return false;
    }
    assert_true(daemons_ds(d, ds, sizeof(ds)));
    daemons_unbound_conf(d, ds);
    snprintf(conf, sizeof(conf), "%s/unbound.conf", d->dir);
    d->unbound = daemons_spawn((const char *const[]){"unbound", "-d", "-c", conf, NULL});
    assert_true(daemons_ready(d->unbound_servers, true));
    return true;
}

#endif
