/*
 * mailbox.h - handing things from any thread to one thread, without locks.
 *
 * Senders push onto a stack with one compare-and-swap; the owner takes the whole stack with
 * one exchange and turns it round, so what one sender pushed arrives in its order.  There is
 * no ABA problem: nothing is ever popped singly.
 */
#ifndef VOLLEY_BASE_MAILBOX_H
#define VOLLEY_BASE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mailbox_node { /* embedded in what is handed over */
    struct mailbox_node *next;
};

struct mailbox {
    _Atomic(struct mailbox_node *) newest;
};

void mailbox_init(struct mailbox *m);

/* From any thread.  The node belongs to the owner of the mailbox from now on.  Returns true
 * when the mailbox was empty: the caller then wakes the owner. */
bool mailbox_push(struct mailbox *m, struct mailbox_node *node);

/* By the owner only: everything pushed so far, oldest first, linked by `next`; or NULL. */
struct mailbox_node *mailbox_take(struct mailbox *m);

#endif
