/*
 * test_idna.c - domains as people write them.
 */
#include "tests/unit/dns/packets.h"

#include "engine/dns/idna.h"

static void test_idna(void **state)
{
    static const struct {
        struct slice in;
        const char *out; /* NULL: refused */
    } rows[] = {
        {SLICE("Example.COM"), "example.com"},
        {SLICE("example.com."), "example.com"},
        {SLICE("b\xc3\xbc"
               "cher.example"),
         "xn--bcher-kva.example"},
        {SLICE("B\xc3\x9c"
               "CHER.example"),
         "xn--bcher-kva.example"},
        /* u and a combining diaeresis are the same letter. */
        {SLICE("bu\xcc\x88"
               "cher.example"),
         "xn--bcher-kva.example"},
        /* Non-transitional: the sharp s stays itself. */
        {SLICE("stra\xc3\x9f"
               "e.example"),
         "xn--strae-oqa.example"},
        {SLICE("\xe4\xbe\x8b\xe3\x81\x88.jp"), "xn--r8jz45g.jp"},
        {SLICE("xn--bcher-kva.example"), "xn--bcher-kva.example"},
        {SLICE("_dmarc.example"), "_dmarc.example"},
        {SLICE(""), NULL},
        {SLICE("."), NULL},
        {SLICE("a..b"), NULL},
        {SLICE(".a"), NULL},
        {SLICE("a b"), NULL},
        {SLICE("a\0b"), NULL},
        {SLICE("b\xc3\xbc\0x"), NULL},
        {SLICE("a:b"), NULL},
        {SLICE("\xc3\x28.example"), NULL}, /* not UTF-8 */
        {SLICE("\xe2\x80\x8e.example"), NULL},
        {SLICE("b\xc3\xbc"
               "cher..example"),
         NULL},
        {SLICE("0123456789012345678901234567890123456789012345678901234567890123.de"), NULL},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err;

        buf_reset(&out);
        BUF_LIT(&out, "@");
        err = idna_to_ascii(rows[i].in, &out);
        if ((err == 0) != (rows[i].out != NULL)) {
            fail_msg("row %zu: %d '" SLICE_FMT "'", i, err, SLICE_ARG(buf_slice(&out)));
        }
        assert_slice(slice_from(buf_slice(&out), 1), rows[i].out != NULL ? rows[i].out : "");
    }
    buf_fini(&out);
}

static void test_unicode(void **state)
{
    static const struct {
        struct slice in;
        const char *out; /* NULL: refused */
    } rows[] = {
        {SLICE("xn--bcher-kva.example"), "b\xc3\xbc"
                                         "cher.example"},
        {SLICE("XN--BCHER-KVA.example"), "b\xc3\xbc"
                                         "cher.example"},
        {SLICE("xn--bcher-kva..example"), NULL},
        {SLICE("b\xc3\xbc"
               "cher.example"),
         NULL},
        {SLICE(""), NULL},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_reset(&out);
        assert_int_equal(idna_to_unicode(rows[i].in, &out) == 0, rows[i].out != NULL);
        assert_slice(buf_slice(&out), rows[i].out != NULL ? rows[i].out : "");
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_idna), cmocka_unit_test(test_unicode)};

    return cmocka_run_group_tests_name("dns/idna", tests, NULL, NULL);
}
