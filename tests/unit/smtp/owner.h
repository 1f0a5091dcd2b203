/*
 * owner.h - an owner of a session, for its unit tests.
 */
#ifndef VOLLEY_TEST_SMTP_OWNER_H
#define VOLLEY_TEST_SMTP_OWNER_H

#include "engine/base/err.h"
#include "engine/smtp/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define PIPELINING "250-mx.y.example\r\n250 PIPELINING\r\n"
#define CHUNKING   "250-mx.y.example\r\n250-CHUNKING\r\n250 PIPELINING\r\n"
#define ENVELOPE   "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
#define CONTENT    "Subject: x\r\n\r\nx\r\n.\r\n"

struct owner {
    struct smtp_config config;
    struct smtp_session session;
    struct smtp_txn txn[4];
    struct smtp_rcpt rcpt[4];
    unsigned done; /* bit n: transaction n came back */
    bool starttls, ready, ended;
    int64_t now_us;
    char heard[8192];
};

static const struct iovec dotted = {"Subject: x\r\n\r\nx\r\n.\r\n", 20};
static const struct iovec raw = {"Subject: x\r\n\r\nx\r\n", 17};

static inline void events(struct owner *o)
{
    struct smtp_event e;

    while (smtp_session_event(&o->session, &e)) {
        assert_false(o->ended);
        o->starttls = o->starttls || e.type == SMTP_EVENT_STARTTLS;
        o->ready = o->ready || e.type == SMTP_EVENT_READY;
        o->ended = e.type == SMTP_EVENT_END;
        if (e.type == SMTP_EVENT_TXN_DONE) {
            o->done |= 1u << (e.txn - o->txn);
            assert_false(e.lent && smtp_session_end(&o->session)->reason == SMTP_END_NONE);
        }
    }
}

/* What the client says now. */
static inline const char *hear(struct owner *o)
{
    struct iovec iov[SMTP_IOV_MIN];
    size_t len = 0, count;

    events(o);
    while ((count = smtp_session_output(&o->session, iov, SMTP_IOV_MIN, o->now_us)) > 0) {
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++) {
            assert_true(len + iov[i].iov_len < sizeof(o->heard));
            memcpy(o->heard + len, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
            bytes += iov[i].iov_len;
        }
        smtp_session_sent(&o->session, bytes, o->now_us);
        events(o);
    }
    o->heard[len] = '\0';
    return o->heard;
}

static inline const char *say(struct owner *o, const char *bytes)
{
    smtp_session_feed(&o->session, slice_cstr(bytes), o->now_us);
    return hear(o);
}

static inline void submit(struct owner *o, int n)
{
    struct smtp_txn *t = &o->txn[n];

    o->rcpt[n] = (struct smtp_rcpt){.address = SLICE("b@y.example")};
    smtp_txn_reset(t);
    t->mail_from = SLICE("a@x.example");
    t->rcpts = &o->rcpt[n];
    t->rcpt_count = 1;
    t->content = (struct smtp_content){&dotted, 1, 20, &raw, 1, 17};
    smtp_session_submit(&o->session, t, o->now_us);
}

static inline void begin(struct owner *o)
{
    memset(o, 0, sizeof(*o));
    smtp_config_init(&o->config, SLICE("mta.example.com"));
    o->now_us = 1000000;
    for (int i = 0; i < 4; i++) {
        smtp_txn_init(&o->txn[i]);
    }
}

static inline void finish(struct owner *o)
{
    smtp_session_fini(&o->session);
    for (int i = 0; i < 4; i++) {
        smtp_txn_fini(&o->txn[i]);
    }
}

static inline void start(struct owner *o)
{
    smtp_session_init(&o->session, &o->config, o->now_us);
    assert_string_equal(hear(o), "");
}

/* READY with these extensions. */
static inline void ready(struct owner *o, const char *ehlo)
{
    start(o);
    say(o, "220 mx.y.example\r\n");
    say(o, ehlo);
    assert_true(o->ready);
}

#endif
