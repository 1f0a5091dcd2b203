/*
 * test_names.c - addresses of Redis, names of keys and lists.
 */
#include "engine/base/err.h"
#include "queue/keys.h"
#include "queue/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static void assert_text(const char *got, const char *want)
{
    if (want == NULL) {
        assert_null(got);
    } else {
        assert_non_null(got);
        assert_string_equal(got, want);
    }
}

static void test_urls(void **state)
{
    static const struct {
        const char *text, *host, *path, *user, *password;
        unsigned port, db;
        const char *shown;
    } rows[] = {
        {"redis://127.0.0.1:6379/0", "127.0.0.1", NULL, NULL, NULL, 6379, 0,
         "redis://127.0.0.1:6379"},
        {"REDIS://db", "db", NULL, NULL, NULL, 6379, 0, "redis://db:6379"},
        {"redis://db:7000/5", "db", NULL, NULL, NULL, 7000, 5, "redis://db:7000/5"},
        {"redis://:secret@db", "db", NULL, NULL, "secret", 6379, 0, "redis://db:6379"},
        {"redis://joe:p%40s%2Fs@db:1/", "db", NULL, "joe", "p@s/s", 1, 0, "redis://db:1"},
        {"redis://joe:a@b@[::1]:7", "::1", NULL, "joe", "a@b", 7, 0, "redis://[::1]:7"},
        {"redis://[2001:db8::1]", "2001:db8::1", NULL, NULL, NULL, 6379, 0,
         "redis://[2001:db8::1]:6379"},
        {"unix:/run/redis.sock", NULL, "/run/redis.sock", NULL, NULL, 0, 0, "unix:/run/redis.sock"},
        {"unix:///run/redis.sock?db=3", NULL, "/run/redis.sock", NULL, NULL, 0, 3,
         "unix:/run/redis.sock?db=3"},
        {" /run/r ", NULL, "/run/r", NULL, NULL, 0, 0, "unix:/run/r"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct redis_url url, again;
        struct buf b = BUF_EMPTY;
        assert_int_equal(redis_url_parse(&url, slice_cstr(rows[i].text), &b), 0);
        redis_url_copy(&again, &url);
        redis_url_fini(&url);
        assert_text(again.seed_count > 0 ? again.seed[0].host : NULL, rows[i].host);
        assert_text(again.path, rows[i].path);
        assert_text(again.user, rows[i].user);
        assert_text(again.password, rows[i].password);
        assert_int_equal(again.seed_count > 0 ? again.seed[0].port : 0, rows[i].port);
        assert_int_equal(again.db, rows[i].db);
        redis_url_put(&b, &again);
        buf_terminate(&b);
        assert_string_equal(b.ptr, rows[i].shown);
        buf_fini(&b);
        redis_url_fini(&again);
    }
}

static void test_urls_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "localhost:6379",
        "http://x",
        "rediss://",
        "redis://a,b",
        "redis://::1",
        "redis://db?ca=/x",
        "rediss://db?tls=on",
        "rediss://db?ca",
        "rediss://db?ca=",
        "rediss://db?ca=/a&ca=/b",
        "rediss://db?ca=%zz",
        "rediss://db?colour=blue",
        "rediss://db?sentinel_user=x",
        "redis-sentinel://a",
        "redis-sentinel://a/",
        "redis-sentinel://a//1",
        "redis-sentinel://a,/m",
        "redis-sentinel://a/m/x",
        "redis-sentinel://a/m?ca=/x",
        "redis-cluster://",
        "redis-cluster://a,,b",
        "redis-cluster://a/1",
        "redis-cluster://a?sentinel_user=x",
        "redis://",
        "redis://:6379",
        "redis://db:0",
        "redis://db:65536",
        "redis://db:x",
        "redis://db/x",
        "redis://db/9999",
        "redis://@db",
        "redis://u:%zz@db",
        "redis://u:%00@db",
        "redis://u:%4@db",
        "redis://[::1",
        "redis://[::1]x",
        "unix:relative",
        "unix:",
        "unix:/a?x=1",
        "unix:/a?db=x",
        "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct redis_url url;
        struct buf why = BUF_EMPTY;
        if (redis_url_parse(&url, slice_cstr(rows[i]), &why) != ERR_INVALID) {
            fail_msg("%s was taken", rows[i]);
        }
        assert_true(slice_starts(buf_slice(&why), SLICE("queue.redis: ")));
        buf_fini(&why);
    }
}

static void test_urls_of_many(void **state)
{
    static const struct {
        const char *text, *shown, *master;
        enum redis_kind kind;
        size_t seeds;
        bool tls;
    } rows[] = {
        {"redis-sentinel://joe:pw@a,b:5,[::1]/my%20master/2",
         "redis-sentinel://a:26379,b:5,[::1]:26379/my master/2", "my master", REDIS_SENTINEL, 3,
         false},
        {"redis-sentinel://a/m?tls=on&ca=/ca.pem&sentinel_user=w&sentinel_password=x%26y",
         "redis-sentinel://a:26379/m", "m", REDIS_SENTINEL, 1, true},
        {"redis-cluster://a:7000, b", "redis-cluster://a:7000,b:6379", NULL, REDIS_CLUSTER, 2,
         false},
        {"redis-cluster://a/0", "redis-cluster://a:6379", NULL, REDIS_CLUSTER, 1, false},
        {"rediss://:pw@db?name=redis.example.com", "rediss://db:6379", NULL, REDIS_SINGLE, 1, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct redis_url url, again;
        struct buf b = BUF_EMPTY;
        assert_int_equal(redis_url_parse(&url, slice_cstr(rows[i].text), &b), 0);
        redis_url_copy(&again, &url);
        redis_url_fini(&url);
        assert_int_equal(again.kind, rows[i].kind);
        assert_int_equal(again.seed_count, rows[i].seeds);
        assert_int_equal(again.tls, rows[i].tls);
        assert_text(again.master, rows[i].master);
        if (i == 1) {
            assert_text(again.files.ca, "/ca.pem");
            assert_text(again.sentinel_user, "w");
            assert_text(again.sentinel_password, "x&y");
        }
        redis_url_put(&b, &again);
        buf_terminate(&b);
        assert_string_equal(b.ptr, rows[i].shown);
        buf_fini(&b);
        redis_url_fini(&again);
    }
}

/* What the configuration adds to an address, and what has to be there by then. */
static void test_url_open(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"redis://joe@db", "user joe has no password; name its file in queue.password_file"},
        {"redis-sentinel://a/m?sentinel_user=w", "queue.sentinel_password_file"},
        {"rediss://db?ca=/no/such.pem", "/no/such.pem"},
        {"rediss://db?cert=/a", "`cert` and `key` go together"},
        {"rediss://db?cert=/no/such.pem&key=/b", "certificate /no/such.pem"},
        {"redis-cluster://db?tls=on&ca=/dev/null", "/dev/null"},
    };
    struct redis_url url;
    struct buf why = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(redis_url_parse(&url, slice_cstr(rows[i].text), &why), 0);
        assert_int_equal(redis_url_open(&url, NULL, NULL, &why), ERR_INVALID);
        buf_terminate(&why);
        if (strstr(why.ptr, rows[i].why) == NULL) {
            fail_msg("%s: %s", rows[i].text, why.ptr);
        }
        buf_fini(&why);
        redis_url_fini(&url);
    }
    assert_int_equal(redis_url_parse(&url, SLICE("redis-sentinel://joe@a/m"), &why), 0);
    assert_int_equal(redis_url_open(&url, "one", "two", &why), 0);
    assert_text(url.password, "one");
    assert_text(url.sentinel_password, "two");
    redis_url_fini(&url);
    assert_int_equal(redis_url_parse(&url, SLICE("redis://:own@a"), &why), 0);
    assert_int_equal(redis_url_open(&url, "one", NULL, &why), 0);
    assert_text(url.password, "own");
    redis_url_fini(&url);
    buf_fini(&why);
}

static void test_keys(void **state)
{
    struct keys k;
    struct buf b = BUF_EMPTY;

    (void)state;
    assert_int_equal(keys_init(&k, SLICE("volley"), 12), 0);
    keys_put(&b, &k, SLICE("meta"));
    keys_put_arg(&b, &k, SLICE("bins"));
    keys_put_arg2(&b, &k, SLICE("msg:"), SLICE("a"));
    buf_terminate(&b);
    assert_string_equal(b.ptr,
                        "volley:{12}:meta$16\r\nvolley:{12}:bins\r\n$17\r\nvolley:{12}:msg:a\r\n");
    assert_int_equal(keys_init(&k, SLICE("a:b"), 0), ERR_INVALID);
    assert_int_equal(keys_init(&k, SLICE(""), 0), ERR_INVALID);
    assert_int_equal(keys_init(&k, SLICE("a{"), 0), ERR_INVALID);
    assert_int_equal(keys_init(&k, SLICE("v"), 1024), ERR_RANGE);
    buf_fini(&b);
}

static void test_list_names(void **state)
{
    static const struct {
        const char *name, *lane, *pool, *tenant, *site;
        enum job_class class;
        enum job_via via;
    } rows[] = {
        {"in:normal:default:default", "normal:default:default", "default", "default", "",
         JOB_NORMAL, JOB_VIA_POOL},
        {"in:high:source=a.b:t-1", "high:source=a.b:t-1", "a.b", "t-1", "", JOB_HIGH,
         JOB_VIA_SOURCE},
        {"bin:bulk:route=r:t:google", "bulk:route=r:t", "r", "t", "google", JOB_BULK,
         JOB_VIA_ROUTE},
        {"bin:bulk:p:t:[::1]:25", "bulk:p:t", "p", "t", "[::1]:25", JOB_BULK, JOB_VIA_POOL},
    };
    static const char *const bad[] = {
        "",
        "in:",
        "in:normal:default",
        "in:normal:default:t:x",
        "bin:bulk:p:t",
        "bin:bulk:p:t:",
        "in:low:p:t",
        "in:bulk::t",
        "in:bulk:p:",
        "in:bulk:a=b:t",
        "bin:bulk:p:t:a b",
        "meta",
        "in:bulk:source=:t",
        "bin:bulk:p:t:a\n",
    };
    struct list_name n;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = BUF_EMPTY;
        assert_int_equal(list_name_parse(&n, slice_cstr(rows[i].name)), 0);
        assert_true(slice_eq(n.lane, slice_cstr(rows[i].lane)));
        assert_true(slice_eq(n.pool, slice_cstr(rows[i].pool)));
        assert_true(slice_eq(n.tenant, slice_cstr(rows[i].tenant)));
        assert_true(slice_eq(n.site, slice_cstr(rows[i].site)));
        assert_int_equal(n.class, rows[i].class);
        assert_int_equal(n.via, rows[i].via);
        assert_int_equal(n.bin, rows[i].site[0] != '\0');
        if (n.bin) {
            list_name_put_bin(&b, n.lane, n.site);
            assert_true(slice_eq(buf_slice(&b), slice_cstr(rows[i].name)));
        }
        buf_fini(&b);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (list_name_parse(&n, slice_cstr(bad[i])) != ERR_INVALID) {
            fail_msg("%s was taken", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),         cmocka_unit_test(test_urls_refused),
        cmocka_unit_test(test_urls_of_many), cmocka_unit_test(test_url_open),
        cmocka_unit_test(test_keys),         cmocka_unit_test(test_list_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
