/*
 * test_yaml.c - the tree, and everything of YAML that a configuration must not have.
 */
#include "conf/private.h"
#include "engine/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static void test_tree(void **state)
{
    struct conf_store store;
    struct conf_problems problems;

    (void)state;
    conf_store_init(&store);
    conf_problems_init(&problems, "t");
    struct conf_node *root = conf_yaml_read(
        SLICE("a: 1\nlist:\n  - x\n  - \"y z\"\nmap: {k: null, q: \"null\"}\n"), &store, &problems);
    assert_non_null(root);
    assert_int_equal(problems.count, 0);
    assert_int_equal(root->kind, CONF_NODE_MAP);
    assert_int_equal(root->count, 3);
    const struct conf_node *a = root->first, *list = a->next, *map = list->next;
    assert_true(slice_eq(a->key->text, SLICE("a")) && slice_eq(a->text, SLICE("1")));
    assert_true(a->line == 1 && a->column == 4);
    assert_int_equal(list->kind, CONF_NODE_LIST);
    assert_int_equal(list->count, 2);
    assert_true(slice_eq(list->first->next->text, SLICE("y z")));
    assert_true(list->first->next->line == 4 && list->first->next->column == 5);
    assert_true(conf_node_empty(map->first));
    assert_false(conf_node_empty(map->first->next)); /* in quotes it is a word */
    conf_problems_fini(&problems);
    conf_store_fini(&store);
}

struct refused {
    const char *text, *problem;
    unsigned line, column;
};

static void check_refused(const struct refused *row, struct slice text)
{
    struct conf_store store;
    struct conf_problems problems;

    conf_store_init(&store);
    conf_problems_init(&problems, "t");
    struct conf_node *root = conf_yaml_read(text, &store, &problems);
    (void)root;
    if (problems.errors == 0 || strstr(problems.items[0].text, row->problem) == NULL ||
        problems.items[0].line != row->line || problems.items[0].column != row->column) {
        fail_msg("%.60s: %u:%u %s", text.ptr, problems.items[0].line, problems.items[0].column,
                 problems.errors > 0 ? problems.items[0].text : "no problem");
    }
    conf_problems_fini(&problems);
    conf_store_fini(&store);
}

static void test_refused(void **state)
{
    static const struct refused rows[] = {
        {"a: *x", "aliases such as *x are not used here", 1, 4},
        {"a: &x 1\nb: *x", "anchors such as &x are not used here", 1, 4},
        {"a: &x {b: 1}", "anchors such as &x", 1, 4},
        {"a: &x [1]", "anchors such as &x", 1, 4},
        {"mx: [*.google.com]", "put a value that starts with * or & in quotes", 1, 7},
        {"a: !!int 5", "tags such as", 1, 4},
        {"a: !x [5]", "tags such as", 1, 4},
        {"a: !x {b: 5}", "tags such as", 1, 4},
        {"---\na: 1\n---\nb: 2", "a second document starts here", 3, 1},
        {"a: 1\nb: 2\na: 3", "\"a\" is given twice, first on line 1", 3, 1},
        {"{b: 0, a: 1, c: 2, a: 1}", "\"a\" is given twice", 1, 20},
        {"? [a]\n: 1", "a key must be a word", 1, 3},
        {"? {a: 1}\n: 1", "a key must be a word", 1, 3},
        {"a:\n\tb: 1", "indent with spaces, not with tabs", 2, 1},
        {"a: @b", "put the value in quotes", 1, 4},
        {"a: b: c", "put a value that contains", 1, 5},
        {"a: [1, 2\n", "not valid YAML", 2, 1},
        {"a: \"b", "not valid YAML", 1, 6},
        {"a: 1\nb: \xff", "the file must be UTF-8 text", 2, 4},
        {"a: \x01", "the file must be UTF-8 text", 1, 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_refused(&rows[i], slice_cstr(rows[i].text));
    }
}

static void test_bounds(void **state)
{
    const struct refused deep = {
        .problem = "nested deeper than 16 levels", .line = 1, .column = 17};
    const struct refused many = {.problem = "more than 200000 values", .line = 1, .column = 400000};
    const struct refused large = {.problem = "larger than 4 MB"};
    char *text = mem_alloc(CONF_FILE_MAX + 2);

    (void)state;
    memset(text, '[', 100000);
    check_refused(&deep, slice_of(text, 100000));
    for (size_t i = 0; i < 1000000; i += 2) {
        memcpy(text + i, i == 0 ? "[a" : ",a", 2);
    }
    check_refused(&many, slice_of(text, 1000000));
    memset(text, ' ', CONF_FILE_MAX + 1);
    check_refused(&large, slice_of(text, CONF_FILE_MAX + 1));
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
