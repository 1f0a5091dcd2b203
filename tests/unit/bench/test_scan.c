/*
 * test_scan.c - the scanner finds the same in one piece, in two, and byte by byte.
 */
#include "bench/scan.h"
#include "engine/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

struct result {
    size_t used;
    uint32_t found;
    bool end;
};

/* What scan_body() must find, said one byte at a time. */
static struct result reference(struct slice in, bool dotted)
{
    struct result r = {0};
    char text[4096] = "\r\n";
    size_t len = 2, line = 0;

    for (size_t i = 0; i < in.len && !r.end; i++) {
        char c = in.ptr[i], previous = text[len - 1];
        text[len++] = c;
        r.used++;
        r.found |= c == '\n' && previous != '\r' ? SCAN_BARE_LF : 0u;
        r.found |= c != '\n' && previous == '\r' ? SCAN_BARE_CR : 0u;
        r.found |= c == '\0' ? SCAN_NUL : 0u;
        r.found |= (unsigned char)c > 127 ? SCAN_8BIT : 0u;
        r.found |= c == '\n' && line > SCAN_LINE_MAX + 1 ? SCAN_LONG_LINE : 0u;
        line = c == '\n' ? 0 : line + 1;
        if (!dotted) {
            continue;
        }
        r.end = len >= 5 && memcmp(text + len - 5, "\r\n.\r\n", 5) == 0;
        if (!r.end && len >= 4 && text[len - 3] == '.' && strchr("\r\n", text[len - 2]) != NULL &&
            strchr("\r\n", text[len - 4]) != NULL && text[len - 2] != '\0' &&
            text[len - 4] != '\0') {
            r.found |= SCAN_SMUGGLE;
        }
    }
    return r;
}

/* Scans in pieces of at most `piece` bytes, the first one of `first`. */
static struct result scanned(struct slice in, bool dotted, size_t first, size_t piece)
{
    struct result r = {0};
    struct scan s;

    scan_init(&s);
    while (r.used < in.len && !r.end) {
        size_t len = r.used == 0 && first > 0 ? first : piece;
        if (len > in.len - r.used) {
            len = in.len - r.used;
        }
        size_t used = scan_body(&s, slice_of(in.ptr + r.used, len), dotted, &r.end);
        r.used += used;
        assert_true(r.end || used == len);
    }
    r.found = s.found;
    return r;
}

static void check(struct slice in, bool dotted, size_t first, size_t piece)
{
    struct result want = reference(in, dotted), got = scanned(in, dotted, first, piece);

    if (want.used != got.used || want.found != got.found || want.end != got.end) {
        fail_msg("first %zu, pieces of %zu: used %zu for %zu, found %x for %x, end %d for %d",
                 first, piece, got.used, want.used, got.found, want.found, got.end, want.end);
    }
}

static void test_named_cases(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool end;
        size_t used;
        uint32_t found;
    } rows[] = {
#define ROW(text, end, used, found) {text, sizeof(text) - 1, end, used, found}
        ROW(".\r\n", true, 3, 0),
        ROW("a\r\n.\r\nMAIL", true, 6, 0),
        ROW("a\r\n..\r\n.\r\n", true, 10, 0),
        ROW("a\r\n.b\r\n.\r\n", true, 10, 0),
        ROW("a\r\n.", false, 4, 0),
        ROW("a.\r\n.\r\n", true, 7, 0),
        ROW("a\n.\nb\r\n.\r\n", true, 10, SCAN_BARE_LF | SCAN_SMUGGLE),
        ROW("a\n.\r\nb\r\n.\r\n", true, 11, SCAN_BARE_LF | SCAN_SMUGGLE),
        ROW("a\r\n.\nb\r\n.\r\n", true, 11, SCAN_BARE_LF | SCAN_SMUGGLE),
        ROW("a\r.\rb\r\n.\r\n", true, 10, SCAN_BARE_CR | SCAN_SMUGGLE),
        ROW("a\r\n.\rb\r\n.\r\n", true, 11, SCAN_BARE_CR | SCAN_SMUGGLE),
        ROW("a\r.\r\nb\r\n.\r\n", true, 11, SCAN_BARE_CR | SCAN_SMUGGLE),
        ROW("a\rb\nc\r\n.\r\n", true, 10, SCAN_BARE_CR | SCAN_BARE_LF),
        ROW("a\0b\r\n.\r\n", true, 8, SCAN_NUL),
        ROW("\xc3\xa4\r\n.\r\n", true, 7, SCAN_8BIT),
        ROW("\r\r\n.\r\n", true, 6, SCAN_BARE_CR),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice in = slice_of(rows[i].text, rows[i].len);
        struct result got = scanned(in, true, 0, in.len);
        if (got.end != rows[i].end || got.used != rows[i].used || got.found != rows[i].found) {
            fail_msg("row %zu: end %d, used %zu, found %x", i, got.end, got.used, got.found);
        }
        for (size_t first = 1; first < in.len; first++) {
            check(in, true, first, in.len);
        }
        check(in, true, 1, 1);
    }
}

static void test_long_lines(void **state)
{
    char text[2100];

    (void)state;
    for (size_t len = 990; len < 1010; len++) {
        memset(text, 'x', sizeof(text));
        memcpy(text + len, "\r\n.\r\n", 5);
        struct slice in = slice_of(text, len + 5);
        struct result got = scanned(in, true, 0, in.len);
        assert_int_equal(got.found, len > SCAN_LINE_MAX ? SCAN_LONG_LINE : 0);
        check(in, true, 77, 13);
    }
}

/* Random text made of what matters and what does not, in random pieces. */
static void test_random(void **state)
{
#define WORD(text)             \
    {                          \
        text, sizeof(text) - 1 \
    }
    static const struct slice words[] = {WORD("\r\n"),    WORD("\r\n."), WORD("\r\n.\r\n"),
                                         WORD("."),       WORD("\n"),    WORD("\r"),
                                         WORD("\n.\r\n"), WORD("\0"),    WORD("\xff")};
#undef WORD
    enum { USUAL = 2, WORDS = sizeof(words) / sizeof(words[0]) };
    struct rng rng;
    char text[700];

    (void)state;
    rng_seed(&rng, 42);
    for (int round = 0; round < 20000; round++) {
        size_t len = 1 + rng_below(&rng, sizeof(text)), at = 0;
        uint64_t rarity = 2 + rng_below(&rng, 100), oddity = 1 + rng_below(&rng, 40);
        memset(text, 'x', sizeof(text));
        while (at < len) {
            uint64_t choice = rng_below(&rng, rng_below(&rng, oddity) == 0 ? WORDS : USUAL);
            struct slice word = words[choice];
            if (rng_below(&rng, rarity) == 0 && word.len <= len - at) {
                memcpy(text + at, word.ptr, word.len);
                at += word.len;
            } else {
                at++;
            }
        }
        check(slice_of(text, len), rng_below(&rng, 4) > 0, rng_below(&rng, 70),
              1 + rng_below(&rng, 700));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_cases),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
