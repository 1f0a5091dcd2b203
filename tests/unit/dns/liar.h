/*
 * liar.h - a name server that does what the first label of the name says.
 *
 *   ok, alias          an A record (behind a CNAME)
 *   garbage, wrongid, otherq, short   what a broken or hostile server sends; the truth after
 *                      "wrongid" and "otherq", nothing after the others
 *   big                truncated over UDP, whole over TCP
 *   silent             nothing
 *   first              nothing the first time, then as ok
 *   slow               as ok, after 100 ms
 *   fail, nx           SERVFAIL; NXDOMAIN
 *   flip               an A record while liar.failing is not set, else SERVFAIL
 *   mx                 MX records mx1 and mx2 of the same domain
 *   part               a CNAME to the rest of the name, and not what stands there
 *
 * It runs on a thread of its own, on one port of 127.0.0.1, UDP and TCP.
 */
#ifndef VOLLEY_TEST_DNS_LIAR_H
#define VOLLEY_TEST_DNS_LIAR_H

#include "tests/unit/dns/packets.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LIAR_LATER_MAX = 8 };

struct liar_reply {
    struct buf bytes;
    struct sockaddr_in to;
    int64_t due_ms;
};

struct liar {
    pthread_t thread;
    int udp, tcp;
    int stop[2];
    uint16_t port;
    char servers[32]; /* for struct dns_resolver_options */
    _Atomic unsigned asked;
    _Atomic unsigned over_tcp;
    _Atomic unsigned firsts;
    _Atomic bool failing;
    struct liar_reply later[LIAR_LATER_MAX];
};

static inline int64_t liar_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The name asked for, dotted, and the type. */
static inline bool liar_question(struct slice query, char name[256], unsigned *type)
{
    size_t at = 12, len = 0;

    while (at < query.len && query.ptr[at] != 0) {
        size_t label = (uint8_t)query.ptr[at];

        if (at + 1 + label + 5 > query.len) {
            return false;
        }
        memcpy(name + len, query.ptr + at + 1, label);
        len += label;
        name[len++] = '.';
        at += label + 1;
    }
    if (len == 0 || at + 3 > query.len) {
        return false;
    }
    name[len - 1] = '\0';
    *type = (unsigned)(uint8_t)query.ptr[at + 1] << 8 | (uint8_t)query.ptr[at + 2];
    return true;
}

static inline void liar_truth(struct buf *out, unsigned id, const char *name, unsigned type)
{
    const char *rest = strchr(name, '.') != NULL ? strchr(name, '.') + 1 : name;
    char host[300];

    pk_begin(out, id, 0, true, name, type);
    if (type == DNS_MX && strncmp(name, "mx.", 3) == 0) {
        snprintf(host, sizeof(host), "ok.mx1.%s", rest);
        pk_mx(out, name, 300, 10, host);
        snprintf(host, sizeof(host), "ok.mx2.%s", rest);
        pk_mx(out, name, 300, 20, host);
    } else if (strncmp(name, "part.", 5) == 0) {
        pk_cname(out, name, 200, rest);
    } else if (type == DNS_A && strncmp(name, "alias.", 6) == 0) {
        pk_cname(out, name, 300, rest);
        pk_record(out, PK_ANSWER, rest, DNS_A, 300, SLICE("\xc0\0\2\1"));
    } else if (type == DNS_A) {
        pk_record(out, PK_ANSWER, name, DNS_A, 300, SLICE("\xc0\0\2\1"));
    } else {
        pk_soa(out, rest, 300, 300);
    }
}

static inline void liar_send(struct liar *l, const struct buf *b, const struct sockaddr_in *to)
{
    (void)!sendto(l->udp, b->ptr, b->len, 0, (const struct sockaddr *)to, sizeof(*to));
}

static inline void liar_later(struct liar *l, const struct buf *b, const struct sockaddr_in *to)
{
    for (size_t i = 0; i < LIAR_LATER_MAX; i++) {
        if (l->later[i].due_ms == 0) {
            buf_reset(&l->later[i].bytes);
            buf_puts(&l->later[i].bytes, buf_slice(b));
            l->later[i].to = *to;
            l->later[i].due_ms = liar_now_ms() + 100;
            return;
        }
    }
}

/* Prepares the answer; returns whether to send it now. */
static inline bool liar_lie(struct liar *l, struct buf *out, unsigned id, const char *name,
                            unsigned type, const struct sockaddr_in *to)
{
    size_t word = strcspn(name, ".");
    struct slice act = slice_of(name, word);

    liar_truth(out, id, name, type);
    if (slice_eq(act, SLICE("silent"))) {
        return false;
    } else if (slice_eq(act, SLICE("first"))) {
        return atomic_fetch_add(&l->firsts, 1) > 0;
    } else if (slice_eq(act, SLICE("slow"))) {
        liar_later(l, out, to);
        return false;
    } else if (slice_eq(act, SLICE("garbage"))) {
        buf_reset(out);
        pk_u16(out, id);
        BUF_LIT(out, "\x81\x80 this is no DNS message at all");
    } else if (slice_eq(act, SLICE("short"))) {
        pk_begin(out, id, 0, false, name, type);
        out->ptr[PK_ANSWER + 1] = 1;
    } else if (slice_eq(act, SLICE("wrongid"))) {
        pk_begin(out, id ^ 0x5555, 3, false, name, type);
        liar_send(l, out, to);
        liar_truth(out, id, name, type);
    } else if (slice_eq(act, SLICE("otherq"))) {
        pk_begin(out, id, 3, false, "evil.example", type);
        liar_send(l, out, to);
        liar_truth(out, id, name, type);
    } else if (slice_eq(act, SLICE("big"))) {
        pk_begin(out, id, 0, false, name, type);
        out->ptr[2] = (char)(out->ptr[2] | 0x02);
    } else if (slice_eq(act, SLICE("fail")) ||
               (slice_eq(act, SLICE("flip")) && atomic_load(&l->failing))) {
        pk_begin(out, id, 2, false, name, type);
    } else if (slice_eq(act, SLICE("nx"))) {
        pk_begin(out, id, 3, false, name, type);
        pk_soa(out, "example", 300, 300);
    }
    return true;
}

static inline void liar_udp(struct liar *l)
{
    char bytes[2048], name[256];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t len = recvfrom(l->udp, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_len);
    struct buf out = BUF_EMPTY;
    unsigned type;

    if (len < 17 || !liar_question(slice_of(bytes, (size_t)len), name, &type)) {
        return;
    }
    atomic_fetch_add(&l->asked, 1);
    if (liar_lie(l, &out, (unsigned)(uint8_t)bytes[0] << 8 | (uint8_t)bytes[1], name, type,
                 &from)) {
        liar_send(l, &out, &from);
    }
    buf_fini(&out);
}

/* One question on each connection. */
static inline void liar_tcp(struct liar *l)
{
    char bytes[2048], name[256];
    int fd = accept(l->tcp, NULL, NULL);
    ssize_t len = fd >= 0 ? recv(fd, bytes, sizeof(bytes), 0) : -1;
    struct buf answer = BUF_EMPTY, out = BUF_EMPTY;
    unsigned type;

    if (len > 19 && liar_question(slice_of(bytes + 2, (size_t)len - 2), name, &type)) {
        atomic_fetch_add(&l->over_tcp, 1);
        liar_truth(&answer, (unsigned)(uint8_t)bytes[2] << 8 | (uint8_t)bytes[3], name, type);
        pk_u16(&out, (unsigned)answer.len);
        buf_puts(&out, buf_slice(&answer));
        (void)!send(fd, out.ptr, out.len, MSG_NOSIGNAL);
    }
    if (fd >= 0) {
        close(fd);
    }
    buf_fini(&answer);
    buf_fini(&out);
}

static inline int liar_send_due(struct liar *l)
{
    int wait_ms = -1;

    for (size_t i = 0; i < LIAR_LATER_MAX; i++) {
        struct liar_reply *r = &l->later[i];
        int64_t left_ms = r->due_ms - liar_now_ms();

        if (r->due_ms != 0 && left_ms <= 0) {
            liar_send(l, &r->bytes, &r->to);
            r->due_ms = 0;
        } else if (r->due_ms != 0 && (wait_ms < 0 || left_ms < wait_ms)) {
            wait_ms = (int)left_ms;
        }
    }
    return wait_ms;
}

static inline void *liar_run(void *arg)
{
    struct liar *l = arg;
    struct pollfd fds[3] = {{l->udp, POLLIN, 0}, {l->tcp, POLLIN, 0}, {l->stop[0], POLLIN, 0}};

    while (fds[2].revents == 0) {
        if (poll(fds, 3, liar_send_due(l)) <= 0) {
            continue;
        }
        if (fds[0].revents != 0) {
            liar_udp(l);
        }
        if (fds[1].revents != 0) {
            liar_tcp(l);
        }
    }
    return NULL;
}

static inline void liar_start(struct liar *l)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t at_len = sizeof(at);

    memset(l, 0, sizeof(*l));
    /* A port that is free for both: the kernel picks one for TCP, UDP may have to try again. */
    for (int tries = 0;; tries++) {
        assert_true(tries < 50);
        at.sin_port = 0;
        l->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        l->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(l->tcp, (struct sockaddr *)&at, sizeof(at)), 0);
        getsockname(l->tcp, (struct sockaddr *)&at, &at_len);
        if (bind(l->udp, (struct sockaddr *)&at, sizeof(at)) == 0) {
            break;
        }
        close(l->tcp);
        close(l->udp);
    }
    assert_int_equal(listen(l->tcp, 8), 0);
    assert_int_equal(setsockopt(l->udp, SOL_SOCKET, SO_RCVBUF, &(int){1 << 20}, sizeof(int)), 0);
    assert_int_equal(pipe(l->stop), 0);
    l->port = ntohs(at.sin_port);
    snprintf(l->servers, sizeof(l->servers), "127.0.0.1:%u", l->port);
    assert_int_equal(pthread_create(&l->thread, NULL, liar_run, l), 0);
}

static inline void liar_stop(struct liar *l)
{
    (void)!write(l->stop[1], "x", 1);
    pthread_join(l->thread, NULL);
    close(l->udp);
    close(l->tcp);
    close(l->stop[0]);
    close(l->stop[1]);
    for (size_t i = 0; i < LIAR_LATER_MAX; i++) {
        buf_fini(&l->later[i].bytes);
    }
}

#endif
