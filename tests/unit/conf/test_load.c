/*
 * test_load.c - what is written is what is loaded, and what is wrong is told with its place.
 */
#include "conf/conf.h"
#include "engine/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct conf *load(const char *text)
{
    struct conf_problems problems;
    struct conf *conf = conf_load_bytes("t.yaml", slice_cstr(text), "host.example", &problems);

    if (conf == NULL) {
        struct buf out = BUF_EMPTY;
        conf_problems_put(&out, &problems);
        buf_terminate(&out);
        fail_msg("%s", out.ptr);
    }
    assert_int_equal(problems.count, 0);
    conf_problems_fini(&problems);
    return conf;
}

static void test_defaults(void **state)
{
    struct conf *conf = load("");

    (void)state;
    assert_string_equal(conf->hostname, "host.example");
    assert_string_equal(conf->queue.redis, "embedded");
    assert_string_equal(conf->queue.prefix, "volley");
    assert_null(conf->queue.state_directory);
    assert_int_equal(conf->workers, 0);
    assert_int_equal(conf->sources.count, 1);
    assert_string_equal(conf->sources.items[0].name, "default");
    assert_string_equal(conf->sources.items[0].ehlo, "host.example");
    assert_int_equal(conf->sources.items[0].address.sa.sa_family, AF_UNSPEC);
    assert_int_equal(conf->pools.count, 1);
    assert_ptr_equal(conf->pools.items[0].members.items[0].source, &conf->sources.items[0]);
    assert_int_equal(conf->limits.base.connections, 10);
    assert_int_equal(conf->limits.base.rate.count, 100);
    assert_int_equal(conf->limits.base.connection_age, INT64_C(300000000));
    assert_string_equal(conf->limits.base.origin[LIMIT_RATE], "limits.default.rate, built in");
    assert_int_equal(conf->limits.total.rate.count, 0);
    assert_int_equal(conf->retry.count, 6);
    assert_int_equal(conf->retry.items[0], INT64_C(300000000));
    assert_int_equal(conf->expires, INT64_C(172800000000));
    assert_int_equal(conf->tls_level, CONF_TLS_MAY);
    assert_null(conf->sink.address.host);
    assert_int_equal(conf->events.redis_max_bytes, UINT64_C(1) << 30);
    assert_null(conf->events.file);
    assert_int_equal(conf->log_level, LOG_LEVEL_INFO);
    assert_int_equal(conf->dns_servers.count, 0);
    assert_int_equal(conf->timeouts.dot, INT64_C(600000000));
    assert_int_equal(conf->ambiguous, CONF_AMBIGUOUS_RETRY);
    conf_unref(conf);
}

static void test_everything_written(void **state)
{
    struct conf *conf =
        load("hostname: MTA1.example.com\n"
             "queue: {redis: \"unix:/run/redis.sock\", prefix: x, max_memory: 2GB, max_jobs: 5,\n"
             "        high_share: 20%, single_node: yes, state_directory: /var/lib/v}\n"
             "workers: 3\n"
             "io: epoll\n"
             "sources:\n"
             "  a: {address: 192.0.2.10, ehlo: a.example.com}\n"
             "  b: {address: \"2001:db8::1\"}\n"
             "pools:\n"
             "  quick: {b: 1, a: 3}\n"
             "routes:\n"
             "  r: {hosts: [\"Smtp.Example.net:587\", 192.0.2.1, \"[2001:db8::2]:26\", "
             "\"2001:db8::3\"], tls: verify}\n"
             "retry: [1m, 1h30m]\n"
             "expires: 3h\n"
             "tls: {level: encrypt}\n"
             "sink: {address: \"127.0.0.1:2525\", dns: true}\n"
             "events: {redis: {max_bytes: 5MB, on_full: drop}, file: /tmp/e, attempts: final}\n"
             "log: {level: debug}\n"
             "dns: {servers: [127.0.0.1, \"[::1]:5353\"]}\n"
             "timeouts: {connect: 5s, idle: 100ms}\n"
             "ambiguous: give-up\n"
             "shutdown_timeout: 1m\n");

    (void)state;
    assert_string_equal(conf->hostname, "mta1.example.com");
    assert_string_equal(conf->queue.redis, "unix:/run/redis.sock");
    assert_int_equal(conf->queue.max_memory, UINT64_C(2) << 30);
    assert_int_equal(conf->queue.max_jobs, 5);
    assert_int_equal(conf->queue.high_share, 20);
    assert_true(conf->queue.single_node);
    assert_int_equal(conf->workers, 3);
    assert_int_equal(conf->io, CONF_IO_EPOLL);

    const struct conf_source *b = conf_source_find(conf, SLICE("b"));
    assert_non_null(b);
    assert_int_equal(b->index, 1);
    assert_int_equal(b->address.sa.sa_family, AF_INET6);
    assert_string_equal(b->ehlo, "mta1.example.com");
    assert_int_equal(conf->sources.items[0].address.in4.sin_addr.s_addr, inet_addr("192.0.2.10"));
    assert_null(conf_source_find(conf, SLICE("c")));

    const struct conf_pool *quick = conf_pool_find(conf, SLICE("quick"));
    const struct conf_pool *rest = conf_pool_find(conf, SLICE("default"));
    assert_int_equal(quick->members.count, 2);
    assert_ptr_equal(quick->members.items[0].source, b);
    assert_int_equal(quick->weight_sum, 4);
    assert_int_equal(rest->members.count, 2);
    assert_int_equal(rest->weight_sum, 2);

    const struct conf_route *r = conf_route_find(conf, SLICE("r"));
    static const struct conf_endpoint hosts[] = {{"smtp.example.net", 587, false},
                                                 {"192.0.2.1", 25, true},
                                                 {"2001:db8::2", 26, true},
                                                 {"2001:db8::3", 25, true}};
    assert_int_equal(r->hosts.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(r->hosts.items[i].host, hosts[i].host);
        assert_int_equal(r->hosts.items[i].port, hosts[i].port);
        assert_int_equal(r->hosts.items[i].is_address, hosts[i].is_address);
    }
    assert_int_equal(r->tls, CONF_TLS_VERIFY);
    assert_int_equal(conf->retry.count, 2);
    assert_int_equal(conf->retry.items[1], INT64_C(5400000000));
    assert_string_equal(conf->sink.address.host, "127.0.0.1");
    assert_int_equal(conf->sink.address.port, 2525);
    assert_true(conf->sink.dns);
    assert_int_equal(conf->events.attempts, CONF_ATTEMPTS_FINAL);
    assert_int_equal(conf->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(conf->dns_servers.items[1].port, 5353);
    assert_int_equal(conf->dns_servers.items[0].port, 53);
    assert_int_equal(conf->timeouts.idle, 100000);
    assert_int_equal(conf->ambiguous, CONF_AMBIGUOUS_GIVE_UP);
    conf_unref(conf);
}

static void test_shorthands(void **state)
{
    struct conf *conf = load("sink: 127.0.0.1:2525\n"
                             "queue:\n"
                             "sources: {a: }\n" /* nothing but a name */
                             "events: null\n"
                             "log: debug\n"
                             "tls: encrypt\n"
                             "routes: {r: {hosts: [h.example], auth: }}\n");

    (void)state;
    assert_int_equal(conf->sink.address.port, 2525);
    assert_false(conf->sink.dns);
    assert_string_equal(conf->queue.prefix, "volley");
    assert_string_equal(conf->sources.items[0].name, "a");
    assert_int_equal(conf->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(conf->tls_level, CONF_TLS_ENCRYPT);
    assert_int_equal(conf->routes.items[0].tls, CONF_TLS_ENCRYPT);
    conf_unref(conf);
    /* A password in clear may go to this machine, and no farther. */
    conf =
        load("routes: {r: {hosts: [127.0.0.1, \"::1\"], tls: none, auth: {user: u, password_file: "
             "/p}}}");
    assert_int_equal(conf->routes.items[0].tls, CONF_TLS_NONE);
    conf_unref(conf);
}

/* ---- what is wrong ---- */

static void test_problems(void **state)
{
    static const struct {
        const char *text, *problem;
    } rows[] = {
        {"a: 1", "t.yaml:1:1: unknown key \"a\""},
        {"queue: {prefx: a}",
         "t.yaml:1:9: unknown key \"prefx\" in queue; did you mean \"prefix\"?"},
        {"workers: many",
         "t.yaml:1:10: workers is \"many\"; it must be a whole number from 1 to 256, "
         "or auto"},
        {"workers: 0", "a whole number from 1 to 256"},
        {"workers: 257", "a whole number from 1 to 256"},
        {"workers: [1]", "t.yaml:1:10: workers must be a single value, not a list"},
        {"workers: {a: 1}", "workers must be a single value, not a group of keys"},
        {"workers:", "workers has no value; write one, or remove the key"},
        {"io: \"\"", "io is \"\"; it must be auto, uring or epoll"},
        {"queue: 5", "t.yaml:1:8: queue must be a group of keys, not a single value"},
        {"retry: 5m", "retry must be a list; write it in brackets: [5m"},
        {"retry: [5m, 9]", "t.yaml:1:13: retry has no unit"},
        {"retry: []", "retry is empty"},
        {"retry: [100d]", "a duration from 1s to 30d"},
        {"queue: {high_share: 20}", "has no %; write a part of the whole, such as 20%"},
        {"queue: {high_share: 0%}", "1% to 100%"},
        {"queue: {high_share: 101%}", "1% to 100%"},
        {"expires: 90", "expires has no unit; write s, m, h or d behind the number"},
        {"expires: 5x", "expires is \"5x\"; it must be a duration from 1s to 30d, such as 90s"},
        {"limits: {default: {rate: 5}}", "limits.default.rate has no unit of time"},
        {"limits: {default: {rate: 0/s}}", "limits.default.rate is \"0/s\""},
        {"limits: {default: {bytes_rate: 5MB}}", "a rate of bytes, such as 10MB/s or unlimited"},
        {"limits: {default: {bytes_rate: 5XB/s}}", "a rate of bytes"},
        {"limits: {default: {bytes_rate: 5MB/y}}", "a rate of bytes"},
        {"limits: {default: {bytes_rate: 0/s}}", "a rate of bytes"},
        {"limits: {default: {bytes_rate: 100/s burst 5}}", "a rate of bytes"},
        {"limits: {default: {pipeline: fast}}", "auto, off, commands, messages or chunking"},
        {"limits: {default: {match: {domains: [a.b]}}}", "unknown key \"match\" in limits.default"},
        {"limits: {g: {connections: 5}}", "limits.g does not say which mail it is about"},
        {"limits: {defualt: {rate: 5/s}}", "did you mean limits.default?"},
        {"limits: {g: {match: {mx: [\"*.a.*\"]}}}", "may have a * only in front"},
        {"limits: {g: {match: {domains: [\"a..b\"]}}}", "limits.g.match.domains is \"a..b\""},
        {"limits: {g: {match: {domains: [a.b]}, sources: {x: {rate: 1/s}}}}",
         "t.yaml:1:49: limits.g.sources.x is not the name of a source"},
        {"limits:\n  g: {match: {domains: [a.b]}}\n  h: {match: {domains: [A.B]}}",
         "t.yaml:3:25: the domain a.b belongs to limits.g already"},
        {"limits: {g: {match: {domains: [a.b], mx: [\"*.c.d\", \"*.C.d\"]}}}",
         "the mail host *.c.d belongs to limits.g already"},
        {"limits: {tenants: {a: {rate: 1/s}}}", "limits.tenants is not in this version yet"},
        {"dkim: []", "t.yaml:1:1: dkim is not in this version yet; leave it out"},
        {"queue: {partitions: 2}", "is not in this version yet; it must be 1"},
        {"queue: {redis: \"rediss://\"}", "needs a host, host:port"},
        {"queue: {redis: \"redis://a,b\"}", "needs a host, host:port"},
        {"queue: {redis: \"redis-sentinel://a:1,b:x/m\"}", "needs a host, host:port"},
        {"queue: {redis: \"redis-cluster://a:1,\"}", "needs a host, host:port"},
        {"queue: {redis: ftp}", "it must be where Redis is, such as embedded"},
        {"queue: {prefix: \"a b\"}", "a name of letters, digits, dots, dashes and underscores"},
        {"queue: {prefix: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}", "at most 32"},
        {"queue: {state_directory: \"\"}", "a path, from the directory of this file"},
        {"events: {file: \"/a\\nb\"}", "events.file is"},
        {"events: {file: \"/a\\Lb\"}", "events.file is"},
        {"events: {file: \"/a\\0b\"}", "events.file is"},
        {"events: {redis: {on_full: hold}}", "which is not in this version yet"},
        {"hostname: a_b..c", "it must be a host name"},
        {"hostname: -a.b", "it must be a host name"},
        {"sources: {a: {address: 192.0.2.256}}", "sources.a.address is \"192.0.2.256\""},
        {"sources: {\"a b\": }", "a name of letters, digits"},
        {"sources: {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: }",
         "a name of letters, digits"},
        {"sources: {a: }\npools: {p: {b: 1}}",
         "t.yaml:2:13: pools.p.b is not the name of a source"},
        {"sources: {alpha: }\npools: {p: {alhpa: 1}}", ", perhaps alpha;"},
        {"sources: {a: }\npools: {p: }", "pools.p has no source"},
        {"sources: {a: }\npools: {p: {a: 0}}", "pools.p.a is \"0\""},
        {"routes: {r: }", "t.yaml:1:10: routes.r.hosts is missing"},
        {"routes: {r: {hosts: []}}", "routes.r.hosts is empty"},
        {"routes: {r: {hosts: [\"h:0\"]}}", "has a port that is no number from 1 to 65535"},
        {"routes: {r: {hosts: [\"h:\"]}}", "a host or address, perhaps with a port"},
        {"routes: {r: {hosts: [192.0.2]}}", "a host or address, perhaps with a port"},
        {"routes: {r: {hosts: [\"[::1\"]}}", "a host or address, perhaps with a port"},
        {"routes: {r: {hosts: [h], auth: {user: u}}}", "needs both user and password_file"},
        {"routes: {r: {hosts: [h], auth: {user: u, password: p}}}",
         "unknown key \"password\" in routes.r.auth; did you mean \"password_file\"?"},
        {"routes: {r: {hosts: [h], tls: may, auth: {user: u, password_file: /p}}}",
         "its tls must be encrypt or verify"},
        {"sink: {dns: true}", "sink has no address"},
        {"sink: [a]", "sink must be a group of keys, not a list"},
        {"dns: {servers: [ns.example]}", "must be an IP address"},
        {"hello", "a configuration is keys with values"},
        {"[1]", "a configuration is keys with values"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct conf_problems problems;
        struct buf out = BUF_EMPTY;
        struct conf *conf =
            conf_load_bytes("t.yaml", slice_cstr(rows[i].text), "h.example", &problems);
        conf_problems_put(&out, &problems);
        buf_terminate(&out);
        if (conf != NULL || strstr(out.ptr, rows[i].problem) == NULL) {
            fail_msg("%s: %s", rows[i].text, out.ptr);
        }
        buf_fini(&out);
        conf_problems_fini(&problems);
    }
}

static void test_a_password_is_not_repeated(void **state)
{
    struct conf_problems problems;
    struct buf out = BUF_EMPTY;

    (void)state;
    assert_null(conf_load_bytes("t.yaml", SLICE("queue: {redis: \"redis://u:sesame@h/\"}"), "h.e",
                                &problems));
    conf_problems_put(&out, &problems);
    buf_terminate(&out);
    assert_non_null(strstr(out.ptr, "queue.password_file"));
    assert_null(strstr(out.ptr, "sesame"));
    conf_problems_fini(&problems);
    buf_reset(&out);
    assert_null(conf_load_bytes(
        "t.yaml", SLICE("queue: {redis: \"redis-sentinel://h/m?sentinel_password=sesame\"}"), "h.e",
        &problems));
    conf_problems_put(&out, &problems);
    buf_terminate(&out);
    assert_non_null(strstr(out.ptr, "queue.sentinel_password_file"));
    assert_null(strstr(out.ptr, "sesame"));
    buf_fini(&out);
    conf_problems_fini(&problems);
}

static void test_addresses_of_redis(void **state)
{
    static const char *const rows[] = {
        "redis://db",
        "redis://joe@db:1/2",
        "rediss://db:6380/0?ca=/etc/ca.pem&name=redis.example.com",
        "redis-sentinel://a:26379,b,[::1]:26380/mymaster/3",
        "redis-sentinel://joe@a/m?sentinel_user=watch&tls=on",
        "redis-cluster://a:7000,b:7001?tls=on&ca=/x",
        "unix:/run/redis.sock",
        "embedded",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct conf_problems problems;
        struct buf text = BUF_EMPTY;
        buf_printf(&text, "queue: {redis: \"%s\"}", rows[i]);
        struct conf *conf = conf_load_bytes("t.yaml", buf_slice(&text), "h.e", &problems);
        assert_non_null(conf);
        assert_string_equal(conf->queue.redis, rows[i]);
        conf_unref(conf);
        conf_problems_fini(&problems);
        buf_fini(&text);
    }
}

/* All of them in one run, from the top of the file, and the count of the rest. */
static void test_many_problems(void **state)
{
    struct conf_problems problems;
    struct buf text = BUF_EMPTY;

    (void)state;
    for (int i = 0; i < 50; i++) {
        buf_printf(&text, "nothing%d: 1\n", i);
    }
    BUF_LIT(&text, "workers: many\n"); /* found first, stands last */
    assert_null(conf_load_bytes("t.yaml", buf_slice(&text), "h.e", &problems));
    assert_int_equal(problems.count, CONF_PROBLEMS_MAX);
    assert_int_equal(problems.errors, 51);
    assert_int_equal(problems.more, 31);
    for (size_t i = 0; i < problems.count; i++) {
        assert_int_equal(problems.items[i].line, i + 1);
    }
    conf_problems_fini(&problems);
    /* A key given twice does not hide what else is wrong. */
    assert_null(
        conf_load_bytes("t.yaml", SLICE("workers: 1\nworkers: 2\nio: x\n"), "h.e", &problems));
    assert_int_equal(problems.errors, 2);
    buf_fini(&text);
    conf_problems_fini(&problems);
}

/* ---- files ---- */

static char directory[] = "/tmp/volley-conf-XXXXXX";

static void put_file(const char *name, const char *text, mode_t mode)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct conf *load_route(const char *password_file, struct conf_problems *problems)
{
    char path[256], text[512];

    snprintf(path, sizeof(path), "%s/c.yaml", directory);
    snprintf(text, sizeof(text),
             "hostname: a.example\nroutes:\n  r:\n    hosts: [h.example]\n    auth: {user: u, "
             "password_file: %s}\n",
             password_file); /* from the directory of the configuration */
    put_file("c.yaml", text, 0600);
    return conf_load(path, problems);
}

static void test_secrets(void **state)
{
    static const struct {
        const char *file, *text, *problem;
        mode_t mode;
    } bad[] = {
        {"empty", "\n", "is empty", 0600},
        {"lines", "a\nb\n", "on one line", 0600},
    };
    struct conf_problems problems;
    struct buf out = BUF_EMPTY;

    (void)state;
    put_file("pw", "open sesame\r\n", 0600);
    struct conf *conf = load_route("pw", &problems);
    assert_non_null(conf);
    assert_int_equal(problems.count, 0);
    assert_string_equal(conf->routes.items[0].auth.password, "open sesame");
    assert_int_equal(conf->routes.items[0].tls, CONF_TLS_ENCRYPT); /* logging in insists */
    conf_print_yaml(conf, &out);
    conf_print_json(conf, &out);
    buf_terminate(&out);
    assert_null(strstr(out.ptr, "sesame"));
    assert_non_null(strstr(out.ptr, "password_file"));
    conf_problems_fini(&problems);
    conf_unref(conf);
    buf_fini(&out);

    put_file("open", "x", 0644);
    conf = load_route("open", &problems);
    assert_non_null(conf);
    assert_int_equal(problems.errors, 0);
    assert_true(problems.count == 1 && problems.items[0].warning);
    assert_non_null(strstr(problems.items[0].text, "can be read or changed by others"));
    conf_problems_fini(&problems);
    conf_unref(conf);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_file(bad[i].file, bad[i].text, bad[i].mode);
        assert_null(load_route(bad[i].file, &problems));
        assert_int_equal(problems.items[0].line, 5);
        assert_non_null(strstr(problems.items[0].text, bad[i].problem));
        conf_problems_fini(&problems);
    }
    assert_null(load_route("none", &problems));
    assert_non_null(strstr(problems.items[0].text, "No such file"));
    conf_problems_fini(&problems);
    assert_null(load_route(".", &problems));
    assert_non_null(strstr(problems.items[0].text, "not a regular file"));
    conf_problems_fini(&problems);
}

static void test_files(void **state)
{
    struct conf_problems problems;
    struct conf *conf;
    char path[256];

    (void)state;
    conf = conf_load(NULL, &problems);
    assert_non_null(conf);
    assert_null(conf->file);
    conf_problems_fini(&problems);
    conf_unref(conf);

    assert_null(conf_load("/nowhere/volley.yaml", &problems));
    assert_int_equal(problems.items[0].line, 0);
    assert_non_null(strstr(problems.items[0].text, "No such file"));
    conf_problems_fini(&problems);
    assert_null(conf_load("/tmp", &problems));
    conf_problems_fini(&problems);

    put_file("host.yaml", "workers: 1\n", 0600);
    snprintf(path, sizeof(path), "%s/host.yaml", directory);
    conf = conf_load(path, &problems);
    assert_non_null(conf);
    assert_true(conf->hostname[0] != '\0');
    struct conf *again = conf_ref(conf);
    conf_unref(conf);
    assert_string_equal(again->file, path); /* still there */
    conf_unref(again);
    conf_problems_fini(&problems);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    static const char *const names[] = {"c.yaml", "pw", "open", "empty", "lines", "host.yaml"};
    char path[256];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything_written),
        cmocka_unit_test(test_shorthands),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_a_password_is_not_repeated),
        cmocka_unit_test(test_addresses_of_redis),
        cmocka_unit_test(test_many_problems),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
