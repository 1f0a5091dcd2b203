/*
 * test_codings.c - quoted-printable, base64, encoded words, addresses, lines.
 */
#include "engine/base/err.h"
#include "engine/base/rng.h"
#include "engine/message/address.h"
#include "engine/message/base64.h"
#include "engine/message/lines.h"
#include "engine/message/qp.h"
#include "engine/message/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void check(const char *what, const struct buf *got, const char *wanted)
{
    if (!slice_eq(buf_slice(got), slice_cstr(wanted))) {
        fail_msg("%s:\n%.*s\nwanted:\n%s", what, (int)got->len, got->ptr, wanted);
    }
}

static void test_lines(void **state)
{
    static const struct {
        const char *in, *normal, *dotted;
        size_t count, longest;
    } rows[] = {
        {"", "", "", 0, 0},
        {"a", "a", "a", 0, 1},
        {"a\nbb\r\nc\rd", "a\r\nbb\r\nc\r\nd", "a\r\nbb\r\nc\r\nd", 3, 2},
        {"\r\r\n\n\r", "\r\n\r\n\r\n\r\n", "\r\n\r\n\r\n\r\n", 4, 0},
        {".\n..\na.\n.b", ".\r\n..\r\na.\r\n.b", "..\r\n...\r\na.\r\n..b", 3, 2},
        {"\n.", "\r\n.", "\r\n..", 1, 1},
    };
    struct buf normal = BUF_EMPTY, dotted = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_reset(&normal);
        buf_reset(&dotted);
        lines_normalise(&normal, slice_cstr(rows[i].in));
        lines_stuff(&dotted, buf_slice(&normal), true);
        check(rows[i].in, &normal, rows[i].normal);
        check(rows[i].in, &dotted, rows[i].dotted);
        assert_int_equal(lines_count(buf_slice(&normal)), rows[i].count);
        assert_int_equal(lines_longest(buf_slice(&normal)), rows[i].longest);
        assert_int_equal(lines_have_dot(buf_slice(&normal), true), dotted.len != normal.len);
    }
    assert_false(lines_have_dot(SLICE(".a\r\nb"), false));
    buf_fini(&normal);
    buf_fini(&dotted);
}

static void test_qp_decode(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"a=3Db=c3=A4\r\n", "a=b\xc3\xa4\r\n"}, {"a=\r\nb", "ab"},
        {"a= \t\r\nb  \r\nc ", "ab\r\nc"},      {"a=", "a"},
        {"=4 =zz ==41=\r\n", "=4 =zz =A"},      {"=0D=0A", "\r\n"},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_reset(&out);
        qp_decode(&out, slice_cstr(rows[i].in));
        check(rows[i].in, &out, rows[i].out);
    }
    buf_fini(&out);
}

/* Pieces may be cut anywhere: what is decoded is the same. */
static void test_flows(void **state)
{
    static const char alphabet[] = "ab .-=\t\xc3\xa4";
    struct rng rng;
    struct buf text = BUF_EMPTY, out = BUF_EMPTY, back = BUF_EMPTY;

    (void)state;
    for (uint64_t round = 0; round < 2000; round++) {
        rng_seed(&rng, round);
        text.len = out.len = back.len = 0;
        struct qp_flow qp = {.out = &out};
        for (uint64_t n = rng_below(&rng, 12); n > 0; n--) {
            char piece[64];
            size_t len = 0;
            while (len < rng_below(&rng, sizeof(piece) - 2)) {
                if (rng_below(&rng, 12) == 0) {
                    memcpy(piece + len, "\r\n", 2);
                    len += 2;
                } else {
                    piece[len++] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
                }
            }
            buf_put(&text, piece, len);
            qp_put(&qp, slice_of(piece, len));
            if (rng_below(&rng, 4) == 0) {
                qp_break(&qp);
            }
        }
        qp_finish(&qp);
        qp_decode(&back, buf_slice(&out));
        assert_true(slice_eq(buf_slice(&back), buf_slice(&text)));
        assert_true(lines_longest(buf_slice(&out)) <= 76);
        assert_false(lines_have_dot(buf_slice(&out), true));

        struct b64_flow base64 = {.out = &out};
        out.len = back.len = 0;
        for (struct slice rest = buf_slice(&text); rest.len > 0;) {
            size_t len = rng_below(&rng, rest.len) + 1;
            b64_put(&base64, slice_of(rest.ptr, len));
            rest = slice_from(rest, len);
            if (base64.carry_len == 0 && rng_below(&rng, 4) == 0) {
                b64_break(&base64);
            }
        }
        b64_finish(&base64);
        b64_decode(&back, buf_slice(&out));
        assert_true(slice_eq(buf_slice(&back), buf_slice(&text)));
        assert_true(lines_longest(buf_slice(&out)) <= 76);
    }
    buf_fini(&text);
    buf_fini(&out);
    buf_fini(&back);
}

static void test_base64_vectors(void **state) /* RFC 4648 10 */
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_reset(&out);
        b64_put_line(&out, slice_cstr(rows[i][0]));
        check(rows[i][0], &out, rows[i][1]);
        struct b64_flow flow = {.out = &out};
        buf_reset(&out);
        b64_put(&flow, slice_cstr(rows[i][0]));
        b64_finish(&flow);
        check(rows[i][0], &out, rows[i][1]);
    }
    buf_reset(&out);
    b64_decode(&out, SLICE("Zm\r\n9v *Yg== Zg=="));
    check("sloppy", &out, "foobf");
    buf_fini(&out);
}

static void test_words(void **state)
{
    static const struct {
        const char *text, *out;
    } rows[] = {
        {"", "X:\r\n"},
        {"  plain  text ", "X: plain  text\r\n"},
        {"a\tb\r\nc\x7f"
         "d",
         "X: a b c d\r\n"},
        {"Caf\xc3\xa9 au lait", "X: =?utf-8?B?Q2Fmw6k=?= au lait\r\n"},
        {"d\xc3\xa9j\xc3\xa0 \xc3\xa9t\xc3\xa9 vu", "X: =?utf-8?B?ZMOpasOgIMOpdMOp?= vu\r\n"},
        {"a resum\xc3\xa9 of it all, to be read",
         "X: a =?utf-8?Q?resum=C3=A9?= of it all, to be read\r\n"},
        {"=?x?= y", "X: =?utf-8?B?PT94Pz0=?= y\r\n"},
        {"one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
         "X: one two three four five six seven eight nine ten eleven twelve thirteen"
         "\r\n fourteen\r\n"},
        {"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 "
         "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 "
         "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 "
         "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
         "X: =?utf-8?B?0J/RgNC40LLQtdGCINCf0YDQuNCy0LXRgiDQn9GA0LjQstC10YIg0J/RgNC4?=\r\n"
         " =?utf-8?B?0LLQtdGC?=\r\n"},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct words w;
        buf_reset(&out);
        words_begin(&w, &out, SLICE("X"));
        words_put_text(&w, slice_cstr(rows[i].text));
        words_end(&w);
        check(rows[i].text, &out, rows[i].out);
    }
    buf_fini(&out);
}

static void test_words_decode(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain = ?= =?", "plain = ?= =?"},
        {"=?utf-8?Q?a_b=C3=A4?= c", "a b\xc3\xa4 c"},
        {"=?UTF-8?b?w6Q=?= \t=?utf-8*de?q?=20x?=", "\xc3\xa4 x"},
        {"=?iso-8859-1?Q?=E4?=", "\xc3\xa4"},
        {"=?utf-8?X?a?= =?koi8-r?Q?a?= =?utf-8?Q?a b?=",
         "=?utf-8?X?a?= =?koi8-r?Q?a?= =?utf-8?Q?a b?="},
        {"=?utf-8?Q?a", "=?utf-8?Q?a"},
        {"=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=", "\xc3\xa4"}, /* cut within a character */
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_reset(&out);
        words_decode(&out, slice_cstr(rows[i].in));
        check(rows[i].in, &out, rows[i].out);
    }
    buf_fini(&out);
}

/* Any text, written and read again, is the same but for its blanks; lines are short. */
static void test_words_round_trip(void **state)
{
    static const char *const parts[] = {
        "a", "bc", " ", "  ", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "=?", "?=", "_",
        "=", "\n", ",", "\"", "<x@y>",    "word ",        "0123456789"};
    struct rng rng;
    struct buf text = BUF_EMPTY, out = BUF_EMPTY, flat = BUF_EMPTY, back = BUF_EMPTY;

    (void)state;
    for (uint64_t round = 0; round < 4000; round++) {
        struct words w;
        rng_seed(&rng, round);
        text.len = out.len = flat.len = back.len = 0;
        for (uint64_t n = rng_below(&rng, 60); n > 0; n--) {
            buf_puts(&text, slice_cstr(parts[rng_below(&rng, COUNT(parts))]));
        }
        words_begin(&w, &out, SLICE("Subject"));
        words_put_text(&w, buf_slice(&text));
        words_end(&w);
        struct slice rest = buf_slice(&out), line;
        while (lines_next(&rest, &line)) {
            bool coded = memmem(line.ptr, line.len, "=?utf-8?", 8) != NULL;
            size_t len = lines_bare(line).len;
            assert_true(len > 0 && len <= 998 &&
                        (!coded || len <= 76 || lines_bare(line).ptr[0] != ' '));
            buf_puts(&flat, lines_bare(line));
        }
        words_decode(&back, slice_from(buf_slice(&flat), 8));
        /* compare without blanks: folding and RFC 2047 6.2 may change their number */
        size_t k = 0;
        for (size_t i = 0; i < text.len; i++) {
            if ((unsigned char)text.ptr[i] <= ' ') {
                continue;
            }
            while (k < back.len && back.ptr[k] == ' ') {
                k++;
            }
            if (k == back.len || back.ptr[k] != text.ptr[i]) {
                fail_msg("round %lu: at %zu of:\n%.*s\nwritten:\n%.*s", (unsigned long)round, i,
                         (int)text.len, text.ptr, (int)out.len, out.ptr);
            }
            k++;
        }
    }
    buf_fini(&text);
    buf_fini(&out);
    buf_fini(&flat);
    buf_fini(&back);
}

static void test_phrases(void **state)
{
    static const struct {
        const char *name, *out;
    } rows[] = {
        {"", ""},
        {"Anna Smith", "Anna Smith"},
        {"Anna B. Smith", "\"Anna B. Smith\""},
        {" O'Neil ", "O'Neil"},
        {"a \"b\" \\", "\"a \\\"b\\\" \\\\\""},
        {"a  b", "\"a  b\""},
        {"Smith, Anna", "\"Smith, Anna\""},
        {"Zo\xc3\xab, x", "=?utf-8?B?Wm/DqywgeA==?="},
        {"a\r\nb", "=?utf-8?Q?a__b?="},
        {"=?utf-8?Q?x?=", "=?utf-8?B?PT91dGYtOD9RP3g/PQ==?="},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_reset(&out);
        address_put_name(&out, slice_cstr(rows[i].name));
        check(rows[i].name, &out, rows[i].out);
    }
    buf_fini(&out);
}

static void test_addresses(void **state)
{
    static const char *const good[] = {
        "a@b.cd",
        "A.b+c_d-e@sub.domain.example",
        "!#$%&'*+-/=?^_`{|}~@x.yz",
        "\"a b\"@c.de",
        "\"a@b\\\"c\"@d.ef",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "a@localhost",
        "a@xn--bcher-kva.example",
    };
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "empty"},
        {"anna", "no @"},
        {"@b.cd", "before the @"},
        {"a@", "behind the @"},
        {".a@b.cd", "a dot"},
        {"a.@b.cd", "a dot"},
        {"a..b@c.de", "a dot"},
        {"a b@c.de", "not allowed"},
        {"a\r\n@c.de", "not allowed"},
        {"a@b@c.de", "character"},
        {"a<@c.de", "not allowed"},
        {"\"a@c.de", "no @"},
        {"\"a\"b@c.de", "a quote"},
        {"a@b..cd", "empty label"},
        {"a@b.cd.", "empty label"},
        {"a@-b.cd", "hyphen"},
        {"a@b-.cd", "hyphen"},
        {"a@b c.de", "character"},
        {"a@b_c.de", "character"},
        {"a@b.cd>", "character"},
        {"a@[1.2.3.4", "not closed"},
        {"a@[1 2]", "wrong character"},
        {"\xc3\xa4@b.cd", "not ASCII"},
        {"a@b\xc3\xa4.cd", "not ASCII"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b.cd", "64 characters"},
        {"a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.cd", "63 characters"},
    };
    struct address address;
    const char *why = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (address_parse(slice_cstr(good[i]), &address, &why) != 0) {
            fail_msg("%s: %s", good[i], why);
        }
        assert_int_equal(address.local.len + 1 + address.domain.len, strlen(good[i]));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        why = "";
        int err = address_parse(slice_cstr(bad[i].text), &address, &why);
        if (err != ERR_INVALID || strstr(why, bad[i].why) == NULL) {
            fail_msg("%s: err %d, %s", bad[i].text, err, why);
        }
    }
}

static void test_address_lists(void **state)
{
    static const struct {
        const char *list;
        const char *boxes[4]; /* "name|address" */
    } rows[] = {
        {"a@b.cd", {"|a@b.cd"}},
        {" , <a@b.cd> , ,", {"|a@b.cd"}},
        {"Anna <a@b.cd>, \"Bob, B\" <b@c.de>", {"Anna |a@b.cd", "Bob, B |b@c.de"}},
        {"\"q\\\"\\\\\" <a@b.cd>", {"q\"\\ |a@b.cd"}},
        {"a@b.cd (Anna, (A))", {"|a@b.cd"}},
        {"(x) Anna (y) <a@b.cd> (z)", {" Anna   |a@b.cd"}},
        {"{{n|x, y}} <{{to}}>, z@q.rs", {"{{n|x, y}} |{{to}}", "|z@q.rs"}},
        {"\"{{n}}, {{{m}}}\" < {{to}} >", {"{{n}}, {{{m}}} |{{to}}"}},
        {"\"a,b\"@c.de", {"|\"a,b\"@c.de"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice rest = slice_cstr(rows[i].list), mailbox;
        struct buf got = BUF_EMPTY;
        size_t count = 0;
        while (address_next(&rest, &mailbox)) {
            struct slice addr = SLICE_NONE;
            const char *why = "";
            got.len = 0;
            assert_int_equal(address_split(mailbox, &got, &addr, &why), 0);
            buf_putc(&got, '|');
            buf_puts(&got, addr);
            assert_true(count < 4 && rows[i].boxes[count] != NULL);
            check(rows[i].list, &got, rows[i].boxes[count++]);
        }
        assert_true(count == 4 || rows[i].boxes[count] == NULL);
        buf_fini(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_qp_decode),
        cmocka_unit_test(test_flows),
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_words_decode),
        cmocka_unit_test(test_words_round_trip),
        cmocka_unit_test(test_phrases),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_address_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
