/*
 * test_mailbox.c - nothing is lost or reordered between threads (also run under TSan).
 */
#include "engine/base/mailbox.h"

#include "engine/base/list.h"
#include "engine/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

enum { SENDERS = 3, EACH = 20000 };

struct letter_box {
    struct mailbox_node node;
    int sender;
    int number;
};

struct sender {
    struct mailbox *to;
    int id;
    struct letter_box *items;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;

    for (int i = 0; i < EACH; i++) {
        s->items[i].sender = s->id;
        s->items[i].number = i;
        mailbox_push(s->to, &s->items[i].node);
    }
    return NULL;
}

static void test_order_and_completeness(void **state)
{
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    int next[SENDERS] = {0};
    struct mailbox m;
    int seen = 0;

    (void)state;
    mailbox_init(&m);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&m, i, mem_array(EACH, sizeof(struct letter_box))};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    while (seen < SENDERS * EACH) {
        struct mailbox_node *node = mailbox_take(&m);
        if (node == NULL) {
            sched_yield();
        }
        for (; node != NULL; node = node->next) {
            struct letter_box *item = CONTAINER_OF(node, struct letter_box, node);
            assert_int_equal(item->number, next[item->sender]);
            next[item->sender]++;
            seen++;
        }
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        mem_free(senders[i].items);
    }
    assert_null(mailbox_take(&m));
}

static void test_first_push_asks_for_a_wake(void **state)
{
    struct mailbox_node a, b;
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    assert_true(mailbox_push(&m, &a));
    assert_false(mailbox_push(&m, &b));
    assert_ptr_equal(mailbox_take(&m), &a);
    assert_true(mailbox_push(&m, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_completeness),
        cmocka_unit_test(test_first_push_asks_for_a_wake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
