/*
 * test_random.c - whatever letter and whatever values: what comes out may be sent, and says
 * what was meant.
 *
 * The generator writes a template and, beside it, the text that a reader must see.  The part
 * is then found and decoded by code that shares nothing with the product.
 */
#include "tests/unit/message/letters.h"

#include "engine/base/err.h"
#include "engine/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 4000, VALUES = 6 };

struct made {
    struct buf text;     /* the template */
    struct buf expected; /* what it shows */
    struct letter_value value[VALUES];
    struct buf bytes[VALUES];
    bool html;
    bool multipart;
};

static const char *const pieces[] = {
    "a",
    "b c",
    " ",
    "\n",
    "\n\n",
    ".",
    "..",
    "\n.",
    "\n.\n",
    "--",
    "\n--b",
    "\n--b--\n",
    "=",
    "=3D",
    "\t",
    "  \n",
    "From ",
    "x{y",
    "}}",
    "}",
    "{",
    "Zo\xc3\xab",
    "\xe2\x82\xac",
    "\xf0\x9f\x98\x80",
    "&amp;",
    "<p>",
    "</p>\n",
    "long words without any end or break to speak of, ",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *random_piece(struct rng *rng)
{
    return pieces[rng_below(rng, COUNT(pieces))];
}

/* Text as a reader sees it: CRLF line ends. */
static void put_seen(struct buf *out, struct slice text, bool html)
{
    for (size_t i = 0; i < text.len; i++) {
        static const char specials[] = "&<>\"'";
        static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
        char c = text.ptr[i];
        const char *special = html && c != '\0' ? strchr(specials, c) : NULL;
        if (c == '\n' || c == '\r') {
            i += c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n' ? 1 : 0;
            buf_puts(out, SLICE("\r\n"));
        } else if (special != NULL) {
            buf_puts(out, slice_cstr(entities[special - specials]));
        } else {
            buf_putc(out, c);
        }
    }
}

static void make_values(struct made *m, struct rng *rng)
{
    static const char *const names[VALUES] = {"a", "bb", "c", "d", "e", "f"};

    for (size_t i = 0; i < VALUES; i++) {
        m->bytes[i].len = 0;
        for (uint64_t n = rng_below(rng, 5); n > 0; n--) {
            buf_puts(&m->bytes[i], slice_cstr(random_piece(rng)));
        }
        if (rng_below(rng, 8) == 0) {
            buf_puts(&m->bytes[i], SLICE("\r\nBcc: x@y.z\r.\r\n<&>\"'\n\r"));
        }
        m->value[i] = (struct letter_value){slice_cstr(names[i]), buf_slice(&m->bytes[i])};
    }
}

static bool shown(struct slice value)
{
    return value.len > 0; /* no piece is "0" or "false" */
}

/* Appends literal text, values and sections; `visible`: a reader sees it. */
static void make_text(struct made *m, struct rng *rng, unsigned depth, bool visible)
{
    struct buf nothing = BUF_EMPTY;
    struct buf *seen = visible ? &m->expected : &nothing;

    for (uint64_t n = rng_below(rng, depth == 0 ? 30 : 5) + 1; n > 0; n--) {
        const struct letter_value *v = &m->value[rng_below(rng, VALUES)];
        uint64_t kind = rng_below(rng, 10);
        if (kind < 6) {
            const char *piece = random_piece(rng);
            if (m->multipart && strstr(piece, "--b") != NULL) {
                piece = "-b"; /* the source must not hold its own boundary; values may */
            }
            /* a tag must not become standalone: something else has to stand on its line */
            buf_printf(&m->text, "%s,", piece);
            put_seen(seen, slice_cstr(piece), false);
            buf_putc(seen, ',');
        } else if (kind < 8) {
            buf_printf(&m->text, "{{" SLICE_FMT "}}", SLICE_ARG(v->name));
            put_seen(seen, v->value, m->html);
        } else if (kind == 8) {
            buf_printf(&m->text, "{{{" SLICE_FMT "|none}}}", SLICE_ARG(v->name));
            put_seen(seen, shown(v->value) ? v->value : SLICE("none"), false);
        } else if (depth < 3) {
            bool positive = rng_below(rng, 2) == 0;
            buf_printf(&m->text, "{{%c" SLICE_FMT "}},", positive ? '#' : '^', SLICE_ARG(v->name));
            bool inner = visible && shown(v->value) == positive;
            if (inner) {
                buf_putc(seen, ',');
            }
            make_text(m, rng, depth + 1, inner);
            buf_printf(&m->text, "{{/" SLICE_FMT "}},", SLICE_ARG(v->name));
            buf_putc(seen, ',');
        }
    }
    buf_fini(&nothing);
}

/* ---- reading, independently ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *read_qp(struct slice body, struct buf *out)
{
    size_t column = 0;

    for (size_t i = 0; i < body.len; i++) {
        char c = body.ptr[i];
        if (c == '\r') {
            if (i > 0 && (body.ptr[i - 1] == ' ' || body.ptr[i - 1] == '\t')) {
                return "a blank at the end of a line";
            }
            buf_puts(out, SLICE("\r\n"));
            i++;
            column = 0;
            continue;
        }
        if ((unsigned char)c >= 0x7f || (c < ' ' && c != '\t')) {
            return "a byte that needs coding";
        }
        if (column == 0 && (c == '.' || (c == '-' && i + 1 < body.len && body.ptr[i + 1] == '-'))) {
            return "a dot or two hyphens at the start of a line";
        }
        if (++column > 76) {
            return "a line is too long";
        }
        if (c != '=') {
            buf_putc(out, c);
        } else if (i + 2 < body.len && body.ptr[i + 1] == '\r') {
            i += 2;
            column = 0;
        } else if (i + 2 < body.len && hex(body.ptr[i + 1]) >= 0 && hex(body.ptr[i + 2]) >= 0) {
            buf_putc(out, (char)(hex(body.ptr[i + 1]) * 16 + hex(body.ptr[i + 2])));
            i += 2;
            column += 2;
        } else {
            return "a lone =";
        }
    }
    return NULL;
}

static const char *read_base64(struct slice body, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, have = 0, pads = 0, count = 0;
    size_t column = 0;

    for (size_t i = 0; i < body.len; i++) {
        char c = body.ptr[i];
        if (c == '\r' || c == '\n') {
            column = 0;
            continue;
        }
        if (++column > 76) {
            return "a line is too long";
        }
        count++;
        if (c == '=') {
            pads++;
            continue;
        }
        const char *at = strchr(digits, c);
        if (c == '\0' || at == NULL || pads > 0) {
            return "not of the alphabet, or behind the padding";
        }
        bits = (bits << 6 | (unsigned)(at - digits)) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_putc(out, (char)(bits >> have & 0xff));
        }
    }
    return count % 4 == 0 && pads < 3 ? NULL : "wrong padding";
}

/* ---- the test ---- */

enum shape { SHAPE_PLAIN, SHAPE_QP, SHAPE_BASE64, SHAPE_8BIT, SHAPES };

static void encode_base64(struct buf *out, struct slice text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < text.len; i += 3) {
        unsigned v = 0;
        for (size_t k = 0; k < 3; k++) {
            v = v << 8 | (i + k < text.len ? (unsigned char)text.ptr[i + k] : 0);
        }
        for (size_t k = 0; k < 4; k++) {
            bool pad = i + k > text.len;
            buf_putc(out, pad ? '=' : digits[v >> (18 - 6 * k) & 63]);
        }
        if (i % 57 == 54) {
            buf_putc(out, '\n');
        }
    }
    buf_putc(out, '\n');
}

static void encode_qp(struct buf *out, struct slice text, struct rng *rng)
{
    size_t column = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n') {
            buf_putc(out, c);
            column = 0;
        } else if ((unsigned char)c >= 0x7f || c == '=' || c <= ' ' || rng_below(rng, 9) == 0) {
            buf_printf(out, "=%02X", (unsigned)(unsigned char)c);
            column += 3;
        } else {
            buf_putc(out, c);
            column++;
        }
        if (column > 60) {
            buf_puts(out, SLICE("=\n"));
            column = 0;
        }
    }
}

static void put_part(struct buf *out, const struct made *m, enum shape shape, struct rng *rng)
{
    static const char *const encodings[SHAPES] = {NULL, "Quoted-Printable", "base64", "8bit"};

    buf_printf(out, "Content-Type: text/%s; charset=%s\n", m->html ? "html" : "plain",
               shape == SHAPE_PLAIN ? "utf-8" : "\"UTF-8\"");
    if (encodings[shape] != NULL) {
        buf_printf(out, "Content-Transfer-Encoding: %s\n", encodings[shape]);
    }
    buf_putc(out, '\n');
    if (shape == SHAPE_QP) {
        encode_qp(out, buf_slice(&m->text), rng);
    } else if (shape == SHAPE_BASE64) {
        encode_base64(out, buf_slice(&m->text));
    } else {
        buf_puts(out, buf_slice(&m->text));
    }
}

/* The body of the personal part in what came out: between the marks, or to the end. */
static struct slice find_body(struct slice raw, bool multipart, struct buf *encoding)
{
    const char *from = memmem(raw.ptr, raw.len, "Content-Transfer-Encoding: ", 27);
    assert_non_null(from);
    struct slice rest = slice_from(raw, (size_t)(from - raw.ptr) + 27);
    buf_puts(encoding, slice_of(rest.ptr, slice_find(rest, '\r')));
    const char *body = memmem(rest.ptr, rest.len, "\r\n\r\n", 4);
    assert_non_null(body);
    rest = slice_from(rest, (size_t)(body - rest.ptr) + 4);
    if (multipart) {
        const char *end = memmem(rest.ptr, rest.len, "\r\n--b--\r\nepilogue", 17);
        assert_non_null(end);
        rest.len = (size_t)(end - rest.ptr);
    }
    return rest;
}

static void check_round(struct rng *rng, uint64_t round, struct made *m)
{
    bool multipart = rng_below(rng, 2) == 0;
    enum shape shape = (enum shape)rng_below(rng, SHAPES);
    struct buf in = BUF_EMPTY, out = BUF_EMPTY, seen = BUF_EMPTY, error = BUF_EMPTY;
    struct buf encoding = BUF_EMPTY;
    struct letter *letter;
    struct letter_copy copy;

    m->html = rng_below(rng, 2) == 0;
    m->multipart = multipart;
    m->text.len = m->expected.len = 0;
    make_values(m, rng);
    make_text(m, rng, 0, true);
    buf_puts(&m->text, SLICE("{{a}}!\n"));
    put_seen(&m->expected, m->value[0].value, m->html);
    buf_puts(&m->expected, SLICE("!\r\n"));
    buf_printf(&in,
               "From: {{a|x}} <a@b.cd>\nTo: \"{{bb}}\" <{{to}}>\nSubject: {{c}}{{d}} and {{e}}\n");
    if (multipart) {
        buf_puts(&in, SLICE("Content-Type: multipart/mixed; boundary=b\n\n--b\n"));
    }
    put_part(&in, m, shape, rng);
    if (multipart) {
        buf_puts(&in, SLICE("\n--b--\nepilogue\n"));
    }
    struct letter_values values = {.to = SLICE("anna@example.com"),
                                   .id = SLICE("7.1"),
                                   .item = m->value,
                                   .item_count = VALUES};
    if (letter_compile(buf_slice(&in), NULL, &letter, &error) != 0) {
        fail_msg("round %lu: %.*s\n%.*s", (unsigned long)round, (int)error.len, error.ptr,
                 (int)in.len, in.ptr);
    }
    letter_copy_init(&copy);
    assert_int_equal(letter_render(letter, &values, &copy, &error), 0);
    flatten(&out, &copy.raw);
    const char *fault = copy_fault(&copy);
    if (fault == NULL) {
        struct slice body = find_body(buf_slice(&out), multipart, &encoding);
        bool qp = slice_eq(buf_slice(&encoding), SLICE("quoted-printable"));
        fault = qp ? read_qp(body, &seen) : read_base64(body, &seen);
    }
    if (fault == NULL && !slice_eq(buf_slice(&seen), buf_slice(&m->expected))) {
        fault = "a reader sees something else";
    }
    if (fault != NULL) {
        fail_msg(
            "round %lu: %s\n---- letter\n%.*s\n---- copy\n%.*s\n---- seen\n%.*s\n---- wanted\n%.*s",
            (unsigned long)round, fault, (int)in.len, in.ptr, (int)out.len, out.ptr, (int)seen.len,
            seen.ptr, (int)m->expected.len, m->expected.ptr);
    }
    letter_copy_fini(&copy);
    letter_unref(letter);
    buf_fini(&in);
    buf_fini(&out);
    buf_fini(&seen);
    buf_fini(&error);
    buf_fini(&encoding);
}

static void test_random_letters(void **state)
{
    struct made m = {.html = false};
    struct rng rng;

    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        rng_seed(&rng, round);
        check_round(&rng, round, &m);
    }
    buf_fini(&m.text);
    buf_fini(&m.expected);
    for (size_t i = 0; i < VALUES; i++) {
        buf_fini(&m.bytes[i]);
    }
}

/* Random bytes put together from what letters are made of: refused with a line number, or
 * correct. */
static void test_random_rubble(void **state)
{
    static const char *const rubble[] = {
        "From: a@b.cd\n",
        "Subject: ",
        "Content-Type: ",
        "text/html",
        "multipart/mixed; boundary=b",
        "\n",
        "\n\n",
        "--b\n",
        "--b--\n",
        "Content-Transfer-Encoding: ",
        "base64\n",
        "quoted-printable\n",
        "8bit\n",
        "{{a}}",
        "{{#a}}",
        "{{/a}}",
        "{{",
        "}}",
        "\r",
        "\xff",
        "\xc3\xa4",
        "=?utf-8?Q?=41?=",
        "<a@b.cd>",
        "\"",
        ",",
        ":",
        " ",
        "\t",
        "x",
        ".",
        "=\n",
        "=41",
        "To: ",
        "message/rfc822",
        "charset=latin1",
        ";",
        "(",
    };
    struct buf in = BUF_EMPTY, error = BUF_EMPTY;
    size_t good = 0;
    struct rng rng;

    (void)state;
    for (uint64_t round = 0; round < 4 * ROUNDS; round++) {
        struct letter_value v = {SLICE("a"), SLICE("\r\n.\r\n\xff--b\r\n")};
        struct letter_values values = {
            .to = SLICE("x@y.zz"), .id = SLICE("1"), .own = &v, .own_count = 1};
        struct letter *letter;
        struct letter_copy copy;
        rng_seed(&rng, round);
        in.len = error.len = 0;
        buf_puts(&in, SLICE("From: a@b.cd\n"));
        for (uint64_t n = rng_below(&rng, 40); n > 0; n--) {
            buf_puts(&in, slice_cstr(rubble[rng_below(&rng, COUNT(rubble))]));
        }
        if (letter_compile(buf_slice(&in), NULL, &letter, &error) != 0) {
            assert_true(slice_starts(buf_slice(&error), SLICE("line ")));
            continue;
        }
        letter_copy_init(&copy);
        if (letter_render(letter, &values, &copy, &error) == 0) {
            const char *fault = copy_fault(&copy);
            if (fault != NULL) {
                fail_msg("round %lu: %s\n%.*s", (unsigned long)round, fault, (int)in.len, in.ptr);
            }
            good++;
        }
        letter_copy_fini(&copy);
        letter_unref(letter);
    }
    assert_true(good > ROUNDS / 10);
    buf_fini(&in);
    buf_fini(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_letters),
        cmocka_unit_test(test_random_rubble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
