/*
 * test_map.c - the hash table against an array, and SipHash against its published values.
 */
#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Test values of SipHash-2-4 with 64-bit output from its authors: key 00 01 .. 0f, input
 * 00 01 .. of the given length. */
static void test_siphash(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {
        {0, 0x726fdb47dd0e0e31ULL}, {1, 0x74f839c593dc67fdULL}, {2, 0x0d6c8009d9a94f5aULL},
        {7, 0xab0200f58b01d137ULL}, {8, 0x93f5f5799a932462ULL}, {15, 0xa129ca6149be45e5ULL},
    };
    const uint64_t key[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    char input[16];

    (void)state;
    for (size_t i = 0; i < sizeof(input); i++) {
        input[i] = (char)i;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t hash = map_siphash(slice_of(input, rows[i].len), key);
        if (hash != rows[i].hash) {
            fail_msg("length %zu: %016llx", rows[i].len, (unsigned long long)hash);
        }
    }
    assert_true(map_hash(SLICE("gmail.com")) == map_hash(SLICE("gmail.com")));
    assert_true(map_hash(SLICE("gmail.com")) != map_hash(SLICE("gmail.con")));
}

enum { KEYS = 700 };

struct item {
    struct map_node node;
    char key[16];
    size_t key_len;
    bool in;
    bool seen;
};

static void check_walk(struct map *m, struct item *items, size_t count)
{
    size_t walked = 0;

    for (size_t i = 0; i < KEYS; i++) {
        items[i].seen = false;
    }
    MAP_EACH (node, m) {
        struct item *item = CONTAINER_OF(node, struct item, node);
        assert_true(item->in);
        assert_false(item->seen);
        item->seen = true;
        walked++;
    }
    assert_int_equal(walked, count);
    assert_int_equal(m->count, count);
}

static void test_against_model(void **state)
{
    struct item *items = mem_array(KEYS, sizeof(*items));
    struct rng rng;
    struct map m;
    size_t count = 0;

    (void)state;
    rng_seed(&rng, 11);
    map_init(&m);
    assert_null(map_find(&m, SLICE("nobody")));
    assert_null(map_next(&m, NULL));
    for (size_t i = 0; i < KEYS; i++) {
        /* Among them the empty key and keys with NUL inside. */
        items[i].key_len = (size_t)snprintf(items[i].key, sizeof(items[i].key), "%zu", i);
        items[i].key[items[i].key_len++] = '\0';
        items[i].key_len = i == 0 ? 0 : items[i].key_len;
    }
    for (int step = 0; step < 20000; step++) {
        struct item *item = &items[rng_below(&rng, KEYS)];
        struct slice key = slice_of(item->key, item->key_len);
        struct map_node *found = map_find(&m, key);
        assert_ptr_equal(found, item->in ? &item->node : NULL);
        if (item->in) {
            map_remove(&m, &item->node);
            count--;
        } else {
            map_insert(&m, &item->node, key);
            count++;
        }
        item->in = !item->in;
        if (step % 1000 == 0) {
            check_walk(&m, items, count);
        }
    }
    /* Removing while walking, the next one fetched first. */
    for (struct map_node *node = map_next(&m, NULL), *next; node != NULL; node = next) {
        next = map_next(&m, node);
        CONTAINER_OF(node, struct item, node)->in = false;
        map_remove(&m, node);
    }
    check_walk(&m, items, 0);
    map_fini(&m);
    assert_null(map_find(&m, SLICE("1")));
    mem_free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),
        cmocka_unit_test(test_against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
