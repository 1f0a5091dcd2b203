/*
 * test_print.c - what is printed loads again to the same values, and the reference is whole.
 */
#include "conf/conf.h"
#include "conf/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static struct conf *load(struct slice text)
{
    struct conf_problems problems;
    struct conf *conf = conf_load_bytes("t.yaml", text, "host.example", &problems);

    if (conf == NULL) {
        struct buf out = BUF_EMPTY;
        conf_problems_put(&out, &problems);
        buf_puts(&out, text);
        buf_terminate(&out);
        fail_msg("%s", out.ptr);
    }
    conf_problems_fini(&problems);
    return conf;
}

/* The lines without their origins, which are other lines the second time. */
static void strip_origins(struct buf *text)
{
    struct buf out = BUF_EMPTY;
    struct slice rest = buf_slice(text), line;

    while (slice_next(&rest, '\n', &line)) {
        size_t at = line.len;
        for (size_t i = 0; i + 1 < line.len; i++) {
            if (line.ptr[i] == ' ' && line.ptr[i + 1] == '#') {
                at = i;
            }
        }
        line.len = at;
        buf_puts(&out, slice_trim(line));
        buf_putc(&out, '\n');
    }
    buf_fini(text);
    *text = out;
}

static const char full[] =
    "queue: {redis: \"unix:/run/a b.sock\", max_memory: 3GB, max_jobs: 77}\n"
    "workers: 2\n"
    "sources: {a: {address: 192.0.2.1}, b-c.d: {address: \"::1\", ehlo: b.example}}\n"
    "pools: {p: {b-c.d: 4}}\n"
    "limits:\n"
    "  default: {rate: 20/m burst 5, total: {connections: 99}}\n"
    "  g:\n"
    "    match: {mx: [\"*.google.com\"], domains: [gmail.com, \"*.x.org\"]}\n"
    "    connection_rate: 5000/h\n"
    "    bytes_rate: 1500KB/m\n"
    "    total: {rate: unlimited, bytes_rate: 10MB/s}\n"
    "    sources: {a: {connection_age: 90s}}\n"
    "routes: {r: {hosts: [\"[2001:db8::1]:465\", h.example], auth: {user: \"null\", "
    "password_file: /etc/x}}}\n"
    "retry: [90s, 1h30m]\n"
    "sink: {address: \"[::1]:2525\", dns: yes}\n"
    "events: {file: \"/var/log/\\\"odd\\\\ name\"}\n"
    "dns: {servers: [127.0.0.1]}\n"
    "ambiguous: assume-delivered\n";

static void test_round_trip(void **state)
{
    static const char *const texts[] = {"", full};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct buf once = BUF_EMPTY, twice = BUF_EMPTY;
        struct conf *conf = load(slice_cstr(texts[i]));
        conf_print_yaml(conf, &once);
        conf_unref(conf);
        conf = load(buf_slice(&once));
        conf_print_yaml(conf, &twice);
        conf_unref(conf);
        strip_origins(&once);
        strip_origins(&twice);
        if (!slice_eq(buf_slice(&once), buf_slice(&twice))) {
            buf_terminate(&once);
            buf_terminate(&twice);
            fail_msg("%s\nbecame\n%s", once.ptr, twice.ptr);
        }
        buf_fini(&once);
        buf_fini(&twice);
    }
}

static void test_origins(void **state)
{
    static const char *const lines[] = {
        "workers: 2                                   # t.yaml:2\n",
        "expires: 2d                                  # default\n",
        "    rate: \"20/m burst 5\"                     # limits.default.rate, t.yaml:6\n",
        "    connection_rate: 5000/h                  # limits.g.connection_rate, t.yaml:9\n",
        "    bytes_rate: 1500KB/m                     # limits.g.bytes_rate, t.yaml:10\n",
        "        connection_age: \"",
        "      # connections_per_host",
        "      user: \"null\"                           # t.yaml:13\n",
        "  file: \"/var/log/\\\"odd\\\\ name\"",
        "  # password_file: none                      # default\n",
        "ambiguous: assume-delivered                  # t.yaml:18\n",
    };
    struct buf out = BUF_EMPTY;
    struct conf *conf = load(slice_cstr(full));

    (void)state;
    conf_print_yaml(conf, &out);
    buf_terminate(&out);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        /* Two of the rows must not be there: values that need no quotes, keys that are set. */
        bool wanted = i != 5 && i != 6;
        if ((strstr(out.ptr, lines[i]) != NULL) != wanted) {
            fail_msg("%s %s in\n%s", lines[i], wanted ? "is not" : "is", out.ptr);
        }
    }
    buf_reset(&out);
    conf_print_json(conf, &out);
    buf_terminate(&out);
    assert_non_null(strstr(out.ptr, "{\"key\":\"retry\",\"value\":[\"1m30s\",\"1h30m\"],"
                                    "\"origin\":\"t.yaml:14\"}"));
    assert_non_null(strstr(out.ptr, "{\"key\":\"limits.g.rate\",\"value\":\"20/m burst 5\","
                                    "\"origin\":\"limits.default.rate, t.yaml:6\"}"));
    assert_non_null(strstr(out.ptr, "{\"key\":\"queue.state_directory\",\"value\":null,"));
    buf_fini(&out);
    conf_unref(conf);
}

/* Every row is documented, and every default stands where a default may stand. */
static void check_rows(const struct conf_key *keys)
{
    for (; conf_key_present(keys); keys++) {
        if (keys->later) {
            continue;
        }
        if (keys->kind != CONF_INCLUDE && keys->name[0] != '\0') {
            assert_non_null(keys->help);
            assert_true(keys->help[strlen(keys->help) - 1] == '.');
        }
        if (keys->kind == CONF_LIST) {
            assert_true(keys->size > 0);
            assert_true(conf_key_present(keys->keys));
        } else if (keys->kind >= CONF_KINDS) {
            check_rows(keys->keys);
        } else {
            assert_true(keys->min <= keys->max);
        }
    }
}

static void test_reference(void **state)
{
    static const char *const rows[] = {
        "| `queue.redis` | where Redis is | `embedded` | ",
        "| `workers` | a whole number from 1 to 256, or auto | `auto` | ",
        "| `limits.default.rate` | a rate | `100/s` | ",
        "| `limits.NAME.KEY` |  |  | Any key of `limits.default`",
        "| `routes.NAME.hosts` | list: a host or address",
        "| `retry` | list: a duration from 1s to 30d | `[5m, 10m, 30m, 1h, 2h, 4h]` | ",
        "| `tls.level` | none, may, encrypt or verify | `may` |",
    };
    struct buf out = BUF_EMPTY;
    struct slice rest, line;

    (void)state;
    check_rows(conf_schema);
    conf_put_reference(&out);
    buf_terminate(&out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strstr(out.ptr, rows[i]) == NULL) {
            fail_msg("not in the reference: %s", rows[i]);
        }
    }
    assert_null(strstr(out.ptr, "`dkim`"));
    rest = buf_slice(&out);
    while (slice_next(&rest, '\n', &line) && line.len > 0) {
        size_t bars = 0;
        for (size_t i = 0; i < line.len; i++) {
            bars += line.ptr[i] == '|' && (i == 0 || line.ptr[i - 1] != '\\');
        }
        assert_int_equal(bars, 5);
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
