/* modules: conf smtp throttle base */
/*
 * fuzz_conf.c - any bytes as a configuration.
 *
 * Never a crash or a leak; what loads prints as something that loads to the same again, and a
 * refusal always says why.
 */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

static struct conf *load(struct slice text)
{
    struct conf_problems problems;
    struct conf *conf = conf_load_bytes("f.yaml", text, "host.example", &problems);
    struct buf out = BUF_EMPTY;

    conf_problems_put(&out, &problems);
    if ((conf == NULL) != (problems.errors > 0) || (conf == NULL && out.len == 0)) {
        abort();
    }
    buf_fini(&out);
    conf_problems_fini(&problems);
    return conf;
}

/* Values alone: the second time all of them are written, on other lines. */
static void put_values(const struct conf *conf, struct buf *out)
{
    struct buf text = BUF_EMPTY;
    struct slice rest, line;

    conf_print_yaml(conf, &text);
    rest = buf_slice(&text);
    while (slice_next(&rest, '\n', &line)) {
        struct slice trimmed = slice_trim(line);
        if (!slice_starts(trimmed, SLICE("#"))) {
            for (size_t i = line.len; i > 1; i--) {
                if (line.ptr[i - 2] == ' ' && line.ptr[i - 1] == '#') {
                    line.len = i - 2;
                }
            }
            buf_puts(out, slice_trim(line));
            buf_putc(out, '\n');
        }
    }
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct conf *conf = load(slice_of((const char *)data, len));

    if (conf != NULL) {
        struct buf once = BUF_EMPTY, twice = BUF_EMPTY, text = BUF_EMPTY;
        const struct slice mx[] = {SLICE("mx.google.com"), SLICE("a.b")};
        const struct conf_site_facts facts = {
            .domain = SLICE("gmail.com"), .mx = mx, .mx_count = 2};
        const struct conf_site *site = conf_site_for(conf, &facts);
        if (conf_limits_for(conf, site, &conf->sources.items[0])->recipients_per_transaction == 0 ||
            conf_limits_total(conf, site) == NULL) {
            abort();
        }
        conf_print_yaml(conf, &text);
        struct conf *again = load(buf_slice(&text));
        if (again == NULL) {
            abort();
        }
        put_values(conf, &once);
        put_values(again, &twice);
        if (!slice_eq(buf_slice(&once), buf_slice(&twice))) {
            abort();
        }
        conf_unref(again);
        conf_unref(conf);
        buf_fini(&text);
        buf_fini(&once);
        buf_fini(&twice);
    }
    return 0;
}
