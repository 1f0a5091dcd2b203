/*
 * scan.c - one pass over the bytes of a message.
 *
 * In every mask bit i stands for byte i of the block, so "the byte before" is a shift by one
 * with the top bit of the previous block coming in.  Before each block the previous masks are
 * aligned so that the byte just before the block is in bit 63, however short it was.
 *
 * Nearly all blocks are plain: every LF has its CR and no line starts with a dot.  That is
 * seen with two masks in place of five, and then nothing else can be the matter.
 */
#include "bench/scan.h"

#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
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

/* What two masks tell of a block, and whether it has 8-bit and NUL bytes. */
struct glance {
    uint64_t cr, lf;
    bool nul, high;
};

#ifdef __SSE2__
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline uint64_t mask_eq_avx2(__m256i a, __m256i b, char c)
{
    const __m256i want = _mm256_set1_epi8(c);

    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, want)) << 32 |
           (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, want));
}

AVX2 static inline struct glance glance_avx2(const char *block)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)block);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(block + 32));
    __m256i zero = _mm256_cmpeq_epi8(_mm256_min_epu8(a, b), _mm256_setzero_si256());

    return (struct glance){mask_eq_avx2(a, b, '\r'), mask_eq_avx2(a, b, '\n'),
                           _mm256_movemask_epi8(zero) != 0,
                           _mm256_movemask_epi8(_mm256_or_si256(a, b)) != 0};
}
/* A whole block behind at least two bytes of the same piece.  False when it has to be looked
 * at closely; then nothing was noted. */
static inline __attribute__((always_inline)) bool judge_plain(struct scan *s, const char *block,
                                                              struct glance g)
{
    uint64_t starts = g.lf << 1 | (uint64_t)(block[-1] == '\n');

    if (g.lf != (g.cr << 1 | (uint64_t)(block[-1] == '\r')) || block[-1] == '.' ||
        block[-2] == '.') {
        return false;
    }
    for (; starts != 0; starts &= starts - 1) {
        if (block[__builtin_ctzll(starts)] == '.') {
            return false;
        }
    }
    s->found |= (g.nul ? SCAN_NUL : 0u) | (g.high ? SCAN_8BIT : 0u);
    line_lengths(s, g.lf, BLOCK);
    return true;
}

AVX2 static size_t plain_avx2(struct scan *s, const char *text, size_t from, size_t to)
{
    size_t at = from;

    while (to - at >= BLOCK && judge_plain(s, text + at, glance_avx2(text + at))) {
        at += BLOCK;
    }
    return at - from;
}
#endif

/* How many bytes of whole plain blocks stand at text[from..to); 0 where there is no fast way
 * to tell. */
static size_t scan_plain(struct scan *s, const char *text, size_t from, size_t to)
{
#ifdef __SSE2__
    if (__builtin_cpu_supports("avx2")) {
        return plain_avx2(s, text, from, to);
    }
#endif
    (void)s, (void)text, (void)from, (void)to;
    return 0;
}

/* The masks as scan_block() would have left them, as far as it looks back. */
static void look_back(struct scan *s, const char *end)
{
    s->cr = s->lf = s->dot = 0;
    for (unsigned i = 1; i <= 4; i++) {
        uint64_t bit = UINT64_C(1) << (BLOCK - i);
        s->cr |= end[-(int)i] == '\r' ? bit : 0;
        s->lf |= end[-(int)i] == '\n' ? bit : 0;
        s->dot |= end[-(int)i] == '.' ? bit : 0;
    }
}

size_t scan_body(struct scan *s, struct slice in, bool dotted, bool *end)
{
    size_t at = 0;

    *end = false;
    while (!*end && in.len - at >= BLOCK) {
        at += scan_block(s, in.ptr + at, BLOCK, dotted, end);
        if (!*end) {
            size_t plain = scan_plain(s, in.ptr, at, in.len);
            if (plain > 0) {
                at += plain;
                look_back(s, in.ptr + at);
            }
        }
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
