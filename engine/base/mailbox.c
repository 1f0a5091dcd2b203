/*
 * mailbox.c - handing things from any thread to one thread, without locks.
 */
#include "engine/base/mailbox.h"

void mailbox_init(struct mailbox *m)
{
    atomic_init(&m->newest, NULL);
}

bool mailbox_push(struct mailbox *m, struct mailbox_node *node)
{
    struct mailbox_node *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);

    do {
        node->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&m->newest, &newest, node, memory_order_release,
                                                    memory_order_relaxed));
    return newest == NULL;
}

struct mailbox_node *mailbox_take(struct mailbox *m)
{
    struct mailbox_node *node = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    struct mailbox_node *oldest = NULL;

    while (node != NULL) {
        struct mailbox_node *next = node->next;
        node->next = oldest;
        oldest = node;
        node = next;
    }
    return oldest;
}
