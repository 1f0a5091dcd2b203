/*
 * scan.c - one pass over the bytes of a message.
 *
 * In every mask bit i stands for byte i of the block, so "the byte before" is a shift by one
 * with the top bit of the previous block coming in.  Before each block the previous masks are
 * aligned so that the byte just before the block is in bit 63, however short it was.
 */
#include "bench/scan.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 64 };

struct masks {
    uint64_t cr, lf, dot, nul, high;
};

#ifdef __SSE2__
static uint64_t mask_eq(const __m128i v[4], char c)
{
    const __m128i want = _mm_set1_epi8(c);
    uint64_t mask = 0;

    for (unsigned i = 0; i < 4; i++) {
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], want)) << (i * 16);
    }
    return mask;
}

static inline void masks_read(struct masks *m, const char *block)
{
    __m128i v[4];

    for (unsigned i = 0; i < 4; i++) {
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)(block + i * 16));
    }
    m->cr = mask_eq(v, '\r');
    m->lf = mask_eq(v, '\n');
    m->dot = mask_eq(v, '.');
    m->nul = mask_eq(v, '\0');
    m->high = 0;
    for (unsigned i = 0; i < 4; i++) {
        m->high |= (uint64_t)(uint32_t)_mm_movemask_epi8(v[i]) << (i * 16);
    }
}
#else
static inline void masks_read(struct masks *m, const char *block)
{
    *m = (struct masks){0};
    for (unsigned i = 0; i < BLOCK; i++) {
        unsigned char c = (unsigned char)block[i];
        m->cr |= (uint64_t)(c == '\r') << i;
        m->lf |= (uint64_t)(c == '\n') << i;
        m->dot |= (uint64_t)(c == '.') << i;
        m->nul |= (uint64_t)(c == '\0') << i;
        m->high |= (uint64_t)(c >= 0x80) << i;
    }
}
#endif

/* Bit i of the result: what held `by` bytes before byte i. */
static inline uint64_t before(uint64_t now, uint64_t previous, unsigned by)
{
    return now << by | previous >> (BLOCK - by);
}

/* Makes the masks of a block of len bytes the previous ones. */
static inline uint64_t carry(uint64_t now, uint64_t previous, size_t len)
{
    return len == BLOCK ? now : now << (BLOCK - len) | previous >> len;
}

static void line_lengths(struct scan *s, uint64_t lf, size_t len)
{
    if (lf == 0) {
        s->line_len += len;
    } else {
        s->line_len += (uint64_t)__builtin_ctzll(lf);
        /* The CR is counted, too. */
        if (s->line_len > SCAN_LINE_MAX + 1) {
            s->found |= SCAN_LONG_LINE;
        }
        s->line_len = len - 1 - (size_t)(BLOCK - 1 - __builtin_clzll(lf));
    }
}

/* One block of len bytes (1..64), padded to 64 with zero bytes when shorter.  Returns how many
 * of them belong to the message. */
static inline size_t scan_block(struct scan *s, const char *block, size_t len, bool dotted,
                                bool *end)
{
    uint64_t valid = len == BLOCK ? UINT64_MAX : (UINT64_C(1) << len) - 1;
    struct masks m;

    masks_read(&m, block);
    uint64_t cr1 = before(m.cr, s->cr, 1);
    if (dotted) {
        uint64_t lf3 = before(m.lf, s->lf, 3), dot2 = before(m.dot, s->dot, 2);
        uint64_t over = m.lf & cr1 & dot2 & lf3 & before(m.cr, s->cr, 4);
        if (over != 0) {
            len = (size_t)__builtin_ctzll(over) + 1;
            valid = len == BLOCK ? UINT64_MAX : (UINT64_C(1) << len) - 1;
            *end = true;
        }
        /* Judged one byte late, when it is known whether it was the proper end. */
        uint64_t breaks1 = cr1 | before(m.lf, s->lf, 1);
        uint64_t breaks3 = lf3 | before(m.cr, s->cr, 3);
        if ((breaks1 & dot2 & breaks3 & ~over & valid) != 0) {
            s->found |= SCAN_SMUGGLE;
        }
    }
    s->found |= (m.lf & ~cr1 & valid) != 0 ? SCAN_BARE_LF : 0u;
    s->found |= (cr1 & ~m.lf & valid) != 0 ? SCAN_BARE_CR : 0u;
    s->found |= (m.nul & valid) != 0 ? SCAN_NUL : 0u;
    s->found |= (m.high & valid) != 0 ? SCAN_8BIT : 0u;
    line_lengths(s, m.lf & valid, len);
    s->cr = carry(m.cr, s->cr, len);
    s->lf = carry(m.lf, s->lf, len);
    s->dot = carry(m.dot, s->dot, len);
    return len;
}

void scan_init(struct scan *s)
{
    *s = (struct scan){.lf = UINT64_C(1) << 63, .cr = UINT64_C(1) << 62};
}

size_t scan_body(struct scan *s, struct slice in, bool dotted, bool *end)
{
    size_t at = 0;

    *end = false;
    while (!*end && in.len - at >= BLOCK) {
        at += scan_block(s, in.ptr + at, BLOCK, dotted, end);
    }
    if (!*end && at < in.len) {
        char tail[BLOCK] = {0};
        memcpy(tail, in.ptr + at, in.len - at);
        at += scan_block(s, tail, in.len - at, dotted, end);
    }
    return at;
}

void scan_finish(struct scan *s)
{
    if (s->cr >> 63 != 0) {
        s->found |= SCAN_BARE_CR;
    }
    if (s->line_len > SCAN_LINE_MAX) {
        s->found |= SCAN_LONG_LINE;
    }
}
