/*
 * elsewhere.h - a second host for recipients that the first one did not want now.
 *
 * A refusal for now at MAIL or RCPT, a connection that broke in a transaction, or an extension
 * that is missing may be one host's business (verdict.h: SMTP_HOST_NEXT).  Before such a
 * recipient is deferred or bounced, one other host of its site is asked: two sessions a delivery,
 * as Postfix does.  Both together are one attempt with one event, that of the second host; when
 * no second host can be had in time, the answer of the first one stands.
 *
 * While a job waits here it stands in path->elsewhere, its first answer in job->second, and it
 * counts in path->awaited: the path is kept, and so is its place in the intake's credit.
 */
#ifndef VOLLEY_DELIVER_ELSEWHERE_H
#define VOLLEY_DELIVER_ELSEWHERE_H

#include "engine/deliver/hosts.h"
#include "engine/smtp/session.h"

struct deliver;
struct job;
struct path;
struct transaction;

struct second {
    struct smtp_rcpt answer; /* of the first host; its slices are not valid */
    int64_t until_us;        /* then it stands */
    struct sockaddr_storage address;
    socklen_t address_len;
    char *host; /* the first one; owned */
    char ip[HOST_IP_MAX];
    uint16_t text_len;
    char text[SMTP_TEXT_MAX];
};

/* Takes the job over when another host shall be asked; false: its outcome is final.  A bounce for
 * what this host lacks becomes a deferral when others are there, but not now. */
bool elsewhere_take(struct job *j, struct transaction *t, size_t index);

/* After a transaction with a second host: true when the first one's answer stands, and the job is
 * gone. */
bool elsewhere_stands(struct job *j, const struct transaction *t, size_t index);

/* Sends what waits, or opens connections for it.  Part of the pump. */
void elsewhere_pump(struct path *p);

/* All that wait end with what they have; for a drain. */
void elsewhere_end(struct path *p);

/* Frees job->second. */
void elsewhere_forget(struct job *j);

#endif
