/*
 * test_replies.c - the shipped table of words, on replies as servers give them.
 *
 * The texts are short forms of what the named servers say: codes and words as they come, names
 * and addresses made up.
 */
#include "conf/conf.h"
#include "engine/base/err.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFER  SMTP_DEFERRED
#define BOUNCE SMTP_REJECTED
#define BACK   SMTP_NOT_TRIED
#define STAY   SMTP_HOST_OK
#define NEXT   SMTP_HOST_NEXT
#define DOWN   SMTP_HOST_DOWN
#define SLOW   SMTP_SITE_SLOW
#define FINE   SMTP_SITE_OK
#define HOLD   SMTP_SITE_HOLD

struct sample {
    enum smtp_stage stage;
    const char *reply;
    enum smtp_failure failure;
    enum smtp_outcome outcome;
    int retry_s;
    enum smtp_host_fate host;
    enum smtp_site_fate site;
};

#define MAIL      SMTP_STAGE_MAIL
#define RCPT      SMTP_STAGE_RCPT
#define DOT       SMTP_STAGE_DOT
#define HELO      SMTP_STAGE_EHLO
#define HI        SMTP_STAGE_BANNER
#define WHY(name) SMTP_FAILURE_##name

static const struct sample samples[] = {
    /* Greylisting. */
    {RCPT,
     "450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see "
     "http://postgrey.schweikert.ch/help/b.example.html",
     WHY(POLICY), DEFER, 0, STAY, FINE},
    {RCPT, "451 4.7.1 Greylisting in action, please come back in 00:05:00", WHY(POLICY), DEFER, 310,
     STAY, FINE},
    {RCPT, "451 4.7.1 Greylisting in action, please come back later", WHY(POLICY), DEFER, 0, STAY,
     FINE},
    {RCPT, "450 4.7.1 <a@b.example>: Recipient address rejected: Greylisted for 5 minutes",
     WHY(POLICY), DEFER, 310, STAY, FINE},
    {RCPT, "450 4.7.0 <a@b.example>: Greylisted, try again in 300 seconds", WHY(POLICY), DEFER, 310,
     STAY, FINE},
    {RCPT, "451 Temporarily greylisted, please retry again in 1 hour", WHY(POLICY), DEFER, 3610,
     STAY, FINE},
    {DOT, "451 4.7.1 Greylisted, please try again after 120s", WHY(POLICY), DEFER, 130, STAY, FINE},
    {RCPT, "451 4.7.1 Try again later", WHY(POLICY), DEFER, 0, NEXT, FINE},
    {RCPT, "421 4.3.2 System busy, try again in 15 min.", WHY(OTHER), DEFER, 910, NEXT, FINE},
    {RCPT, "450 4.3.2 Service not available, retry in 30 secs", WHY(OTHER), DEFER, 40, NEXT, FINE},
    {RCPT, "451 4.7.1 Greylisted, session 4711 at 192.0.2.1", WHY(POLICY), DEFER, 0, STAY, FINE},

    /* Too many recipients: without one accepted before it, it waits like any other. */
    {RCPT, "452 4.5.3 Your message has too many recipients", WHY(RATE), DEFER, 0, NEXT, FINE},
    {RCPT,
     "452-4.5.3 Domain policy size per transaction exceeded, please try this\r\n452 4.5.3 "
     "recipient in a separate transaction",
     WHY(RATE), DEFER, 0, NEXT, FINE},
    {RCPT, "550 5.5.3 Too many recipients", WHY(RATE), DEFER, 0, STAY, FINE},
    {RCPT,
     "451 4.3.0 Multiple destination domains per transaction is unsupported. Please try again.",
     WHY(RATE), DEFER, 0, NEXT, FINE},

    /* Google. */
    {DOT,
     "421-4.7.28 [192.0.2.1] Our system has detected an unusual rate of unsolicited mail\r\n421 "
     "4.7.28 originating from your IP address. mail has been temporarily rate limited - gsmtp",
     WHY(RATE), DEFER, 0, STAY, SLOW},
    {DOT,
     "550-5.7.1 [192.0.2.1] Our system has detected an unusual rate of unsolicited mail\r\n550 "
     "5.7.1 originating from your IP address. - gsmtp",
     WHY(RATE), DEFER, 0, STAY, SLOW},
    {RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly. - gsmtp",
     WHY(RATE), DEFER, 0, STAY, FINE},
    {RCPT,
     "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents "
     "additional messages",
     WHY(RATE), DEFER, 0, STAY, FINE},
    {DOT,
     "550-5.7.1 Our system has detected that this message is likely suspicious due to "
     "the\r\n550 5.7.1 very low reputation of the sending domain. - gsmtp",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {DOT,
     "421 4.7.0 [192.0.2.1] this message is suspicious due to the nature of the content and/or "
     "the links within - gsmtp",
     WHY(CONTENT), DEFER, 0, STAY, SLOW},
    {DOT,
     "550-5.7.1 Our system has detected that this message is likely unsolicited mail.\r\n550 "
     "5.7.1 To reduce the amount of spam sent to Gmail, this message has been blocked.",
     WHY(CONTENT), BOUNCE, 0, STAY, SLOW},
    {RCPT,
     "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n550 "
     "5.1.1 double-checking the recipient's email address - gsmtp",
     WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {RCPT,
     "552-5.2.2 The email account that you tried to reach is over quota. - gsmtp\r\n552 5.2.2 "
     "Please direct the recipient to",
     WHY(FULL), BOUNCE, 0, STAY, FINE},
    {RCPT,
     "452-4.2.2 The recipient's inbox is out of storage space. Please direct the\r\n452 4.2.2 "
     "recipient to - gsmtp",
     WHY(FULL), DEFER, 0, STAY, FINE},
    {DOT,
     "550-5.7.26 Unauthenticated email from x.example is not accepted due to domain's\r\n550 "
     "5.7.26 DMARC policy. - gsmtp",
     WHY(AUTH), BOUNCE, 0, STAY, FINE},
    {DOT,
     "550-5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR "
     "record\r\n550 5.7.25 setup. - gsmtp",
     WHY(CONFIG), BOUNCE, 0, STAY, FINE},
    {RCPT, "550 5.4.5 Daily user sending limit exceeded. - gsmtp", WHY(RATE), DEFER, 3600, STAY,
     HOLD},
    {HI, "421 4.7.0 IP not in whitelist for RCPT domain, closing connection. - gsmtp", WHY(CONFIG),
     BACK, 0, DOWN, SLOW},

    /* Microsoft. */
    {MAIL,
     "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP "
     "reputation. (S775)",
     WHY(RATE), DEFER, 0, STAY, SLOW},
    {MAIL,
     "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your "
     "Internet service provider since part of their network is on our block list (S3150).",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal visit",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {MAIL,
     "421 RP-001 (SNT004) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try "
     "again.",
     WHY(RATE), DEFER, 0, STAY, SLOW},
    {RCPT, "550 5.4.1 Recipient address rejected: Access denied. [x.protection.outlook.com]",
     WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {DOT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
     WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {MAIL, "451 4.7.500 Server busy. Please try again later from [192.0.2.1].", WHY(RATE), DEFER, 0,
     NEXT, SLOW},
    {RCPT, "550 5.2.2 STOREDRV; mailbox full; recipient over quota", WHY(FULL), BOUNCE, 0, STAY,
     FINE},
    {DOT,
     "550 5.7.515 Access denied, sending domain x.example does not meet the required "
     "authentication level.",
     WHY(AUTH), BOUNCE, 0, STAY, SLOW},
    {RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", WHY(OTHER),
     BOUNCE, 0, STAY, FINE},

    /* Yahoo, AOL. */
    {MAIL,
     "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume "
     "or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
     WHY(RATE), DEFER, 3600, STAY, SLOW},
    {MAIL,
     "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred; Retrying will "
     "NOT succeed.",
     WHY(REPUTATION), DEFER, 14400, STAY, SLOW},
    {HI,
     "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in "
     "Spamhaus's list",
     WHY(REPUTATION), BACK, 0, DOWN, SLOW},
    {DOT, "554 delivery error: dd This user doesn't have a yahoo.com account (a@yahoo.com) [0]",
     WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {RCPT, "451 VS1-IP Excessive unknown recipients - possible Open Relay (#4.1.8)",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {MAIL, "554 5.7.9 Message not accepted for policy reasons. See", WHY(POLICY), BOUNCE, 0, STAY,
     FINE},

    /* Apple, Comcast, Charter, Cox, AT&T, Orange, GMX, T-Online, QQ. */
    {DOT,
     "554 5.7.1 [CS01] Message rejected due to local policy. Please visit "
     "https://support.apple.com/en-us/HT204137",
     WHY(CONTENT), BOUNCE, 0, STAY, FINE},
    {RCPT, "450 4.2.2 [HM07] Message delayed, rate limit", WHY(RATE), DEFER, 0, STAY, SLOW},
    {HI, "421 resimta-a1p.sys.comcast.net 192.0.2.1 Too many sessions opened", WHY(RATE), BACK, 0,
     DOWN, SLOW},
    {MAIL, "421 4.1.0 192.0.2.1 Throttled - try again later. RL000010", WHY(RATE), DEFER, 0, STAY,
     SLOW},
    {HI, "554 resimta-p.sys.comcast.net 192.0.2.1 Comcast block for spam. BL000000",
     WHY(REPUTATION), BACK, 0, DOWN, SLOW},
    {MAIL,
     "553 5.3.0 flpd575 DNSBL:RBL 521< 192.0.2.1 >_is_blocked. For assistance forward this "
     "error to abuse_rbl@abuse-att.net",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {RCPT,
     "421 mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration. Too many "
     "connections, slow down. OFR004_104 [104]",
     WHY(RATE), DEFER, 0, STAY, SLOW},
    {HI,
     "554-gmx.net (mxgmx114) Nemesis ESMTP Service not available\r\n554-No SMTP "
     "service\r\n554-IP address is block listed.\r\n554 For explanation visit "
     "http://postmaster.gmx.com/en/error-messages?ip=192.0.2.1&c=bip",
     WHY(REPUTATION), BACK, 0, DOWN, SLOW},
    {MAIL,
     "550-Requested action not taken: mailbox unavailable\r\n550 For explanation visit "
     "http://postmaster.gmx.com/en/error-messages?ip=192.0.2.1&c=rep",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {HI,
     "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact "
     "tosa@rx.t-online.de to clarify.)",
     WHY(REPUTATION), BACK, 0, DOWN, SLOW},
    {DOT, "550 Ip frequency limited [IPstring]. http://service.mail.qq.com/cgi-bin/help", WHY(RATE),
     DEFER, 0, STAY, SLOW},

    /* Block lists and appliances. */
    {RCPT,
     "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; "
     "https://www.spamhaus.org/query/ip/192.0.2.1",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {RCPT,
     "550-192.0.2.1 is listed at b.barracudacentral.org\r\n550 see "
     "http://www.barracudacentral.org/rbl",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {HI,
     "554 mx1 Your access to this mail system has been rejected due to the sending MTA's poor "
     "reputation.",
     WHY(REPUTATION), BACK, 0, DOWN, SLOW},
    {HI, "550 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", WHY(REPUTATION), BACK, 0,
     DOWN, SLOW},
    {MAIL, "554 5.7.1 Mail appears to be unsolicited. IP listed by dnsbl-1.uceprotect.net",
     WHY(REPUTATION), DEFER, 0, STAY, SLOW},
    {RCPT, "550 5.7.1 Found on one or more RBLs, see abusix.org", WHY(REPUTATION), DEFER, 0, STAY,
     SLOW},

    /* Limits in general. */
    {HI, "421 4.7.0 mx.example Error: too many connections from 192.0.2.1", WHY(RATE), BACK, 0,
     DOWN, SLOW},
    {MAIL, "450 4.7.1 Error: too much mail from 192.0.2.1", WHY(RATE), DEFER, 0, NEXT, SLOW},
    {RCPT, "451 4.7.1 Sender is ratelimited, slow down", WHY(RATE), DEFER, 0, NEXT, SLOW},
    {DOT, "452 4.7.1 You have exceeded the limit of messages per hour", WHY(RATE), DEFER, 0, STAY,
     SLOW},

    /* Who we are. */
    {RCPT, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", WHY(CONFIG),
     DEFER, 0, NEXT, FINE},
    {RCPT, "504 5.5.2 <mta>: Helo command rejected: need fully-qualified hostname", WHY(CONFIG),
     BOUNCE, 0, STAY, FINE},
    {MAIL, "550 5.7.23 SPF check failed for x.example", WHY(AUTH), BOUNCE, 0, STAY, FINE},
    {RCPT, "550 Sender verify failed", WHY(CONFIG), BOUNCE, 0, STAY, FINE},

    /* Content. */
    {DOT, "554 5.7.1 Spam message rejected", WHY(CONTENT), BOUNCE, 0, STAY, FINE},
    {DOT, "550 This message contains a virus (Eicar-Test-Signature)", WHY(CONTENT), BOUNCE, 0, STAY,
     FINE},

    /* Mailboxes. */
    {RCPT,
     "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in local recipient table",
     WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {RCPT, "550 Unrouteable address", WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {RCPT, "550 sorry, no mailbox here by that name (#5.1.1)", WHY(BAD_MAILBOX), BOUNCE, 0, STAY,
     FINE},
    {RCPT, "550 No such user here", WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {RCPT, "554 5.7.1 <a@b.example>: Relay access denied", WHY(BAD_DOMAIN), BOUNCE, 0, STAY, FINE},
    {RCPT, "452 4.2.2 <a@b.example> Mailbox full", WHY(FULL), DEFER, 0, STAY, FINE},
    {RCPT, "550 5.2.1 The account has been suspended", WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {RCPT, "550 Requested action not taken: mailbox unavailable", WHY(OTHER), BOUNCE, 0, STAY,
     FINE},

    /* Words in addresses are nobody's words. */
    {RCPT, "550 5.1.1 <spamhaus@b.example>: no mailbox", WHY(BAD_MAILBOX), BOUNCE, 0, STAY, FINE},
    {DOT, "550 rejected for spam.is.dmarc@b.example", WHY(CONTENT), BOUNCE, 0, STAY, FINE},
    {RCPT, "450 <greylist@b.example> busy", WHY(OTHER), DEFER, 0, NEXT, FINE},
};

static struct smtp_verdict judge(const struct smtp_words *w, const struct sample *s)
{
    struct smtp_reply_parser parser;
    struct smtp_reply reply;
    struct buf text = BUF_EMPTY;
    char bytes[1024];

    snprintf(bytes, sizeof(bytes), "%s\r\n", s->reply);
    struct slice rest = slice_cstr(bytes);
    smtp_reply_init(&parser);
    assert_int_equal(smtp_reply_next(&parser, &rest, &reply), SMTP_PARSE_DONE);
    smtp_reply_print(&reply, &text);
    struct smtp_fact fact = {.cause = SMTP_CAUSE_REPLY,
                             .stage = s->stage,
                             .code = reply.code,
                             .enhanced = reply.enhanced};
    struct smtp_verdict v = smtp_words_verdict(w, &fact, buf_slice(&text));
    smtp_reply_fini(&parser);
    buf_fini(&text);
    return v;
}

static void test_replies_of_real_servers(void **state)
{
    struct conf_problems problems;
    struct conf *conf = conf_load(NULL, &problems);
    unsigned wrong = 0;

    (void)state;
    assert_non_null(conf);
    assert_true(smtp_words_count(conf->words) >= 150);
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const struct sample *s = &samples[i];
        struct smtp_verdict v = judge(conf->words, s);
        if (v.failure != s->failure || v.outcome != s->outcome ||
            v.retry_us != s->retry_s * INT64_C(1000000) || v.host != s->host || v.site != s->site) {
            print_error("%s\n    is %s %s retry %d host %d site %d\n", s->reply,
                        smtp_failure_name(v.failure), smtp_outcome_name(v.outcome),
                        (int)(v.retry_us / 1000000), (int)v.host, (int)v.site);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    conf_unref(conf);
    conf_problems_fini(&problems);
}

/* ---- a table of one's own ---- */

struct files {
    char config[64];
    char table[64];
};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static struct conf *load(const char *table, struct conf_problems *problems)
{
    struct files f;
    char text[160];

    snprintf(f.table, sizeof(f.table), "/tmp/volley-replies-%d", (int)getpid());
    snprintf(f.config, sizeof(f.config), "/tmp/volley-replies-%d.yaml", (int)getpid());
    snprintf(text, sizeof(text), "hostname: mta.test.example\nreplies: %s\n", f.table);
    write_file(f.table, table);
    write_file(f.config, text);
    struct conf *conf = conf_load(f.config, problems);
    unlink(f.table);
    unlink(f.config);
    return conf;
}

static void test_own_lines_come_first(void **state)
{
    static const struct sample sample = {
        RCPT, "550 5.7.1 listed at zen.spamhaus.org", WHY(POLICY), BOUNCE, 0, STAY, SLOW};
    struct conf_problems problems;
    struct conf *conf =
        load("# ours\n\n5xx  rcpt \"zen.spamhaus\" policy bounce # no second try\n", &problems);

    (void)state;
    assert_non_null(conf);
    struct smtp_verdict v = judge(conf->words, &sample);
    assert_int_equal(v.failure, SMTP_FAILURE_POLICY);
    assert_int_equal(v.outcome, SMTP_REJECTED);
    assert_int_equal(v.site, SMTP_SITE_SLOW); /* not asked by our line: the shipped one says */
    conf_unref(conf);
    conf_problems_fini(&problems);
}

static void test_errors_name_file_line_and_cure(void **state)
{
    struct conf_problems problems;

    (void)state;
    assert_null(load("4xx any \"grey\" policy\n4xx any \"grey\" polizy\n", &problems));
    assert_int_equal(problems.count, 1);
    assert_int_equal(problems.items[0].line, 2); /* of the configuration */
    assert_non_null(strstr(problems.items[0].text, "line 2: \"polizy\" is no meaning; write "));
    conf_problems_fini(&problems);
}

static void test_a_missing_file(void **state)
{
    struct conf_problems problems;
    char path[64];

    (void)state;
    snprintf(path, sizeof(path), "/tmp/volley-replies-%d.yaml", (int)getpid());
    write_file(path, "hostname: mta.test.example\nreplies: /nonexistent/table\n");
    assert_null(conf_load(path, &problems));
    unlink(path);
    assert_non_null(strstr(problems.items[0].text, "/nonexistent/table: No such file"));
    conf_problems_fini(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_of_real_servers),
        cmocka_unit_test(test_own_lines_come_first),
        cmocka_unit_test(test_errors_name_file_line_and_cure),
        cmocka_unit_test(test_a_missing_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
