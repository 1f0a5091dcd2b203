/*
 * people.c - recipients, letters, and what became of them.
 */
#include "tests/sim/people.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rcpt *people[PEOPLE_MAX];
unsigned people_count;
struct sim_letter sim_letters[LETTERS_MAX];
unsigned sim_letter_count;

void people_init(void)
{
    people_count = 0;
    sim_letter_count = 0;
}

void people_fini(void)
{
    for (unsigned i = 0; i < people_count; i++) {
        buf_fini(&people[i]->record);
        mem_free(people[i]->log);
        mem_free(people[i]->taken);
        mem_free(people[i]);
    }
    for (unsigned i = 0; i < sim_letter_count; i++) {
        buf_fini(&sim_letters[i].eml);
        buf_fini(&sim_letters[i].body);
    }
    people_init();
}

struct rcpt *people_add(void)
{
    ASSERT(people_count < PEOPLE_MAX);
    struct rcpt *r = mem_zalloc(sizeof(*r));
    list_init(&r->link);
    r->index = people_count;
    snprintf(r->id, sizeof(r->id), "01j%023u.1", r->index);
    people[people_count++] = r;
    return r;
}

struct rcpt *people_by_id(struct slice id)
{
    unsigned index = id.len > 26 ? (unsigned)strtoul(id.ptr + 3, NULL, 10) : PEOPLE_MAX;

    ASSERT(index < people_count && slice_eq(id, slice_cstr(people[index]->id)));
    return people[index];
}

/* Addresses are "r<index>@...". */
struct rcpt *people_by_address(struct slice address)
{
    unsigned index = 0;

    if (address.len < 2 || address.ptr[0] != 'r') {
        return NULL;
    }
    for (size_t i = 1; i < address.len && address.ptr[i] >= '0' && address.ptr[i] <= '9'; i++) {
        index = index * 10 + (unsigned)(address.ptr[i] - '0');
    }
    if (index >= people_count || !slice_eq(address, slice_cstr(people[index]->to))) {
        return NULL;
    }
    return people[index];
}

void people_owned_lost(uint64_t life)
{
    for (unsigned i = 0; i < people_count; i++) {
        struct rcpt *r = people[i];
        r->lost = r->lost || (r->place == PLACE_OWNED && r->life == life);
    }
}

/* ---- letters ---- */

static void put_lines(struct buf *b, unsigned letter, unsigned lines)
{
    for (unsigned i = 0; i < lines; i++) {
        if (i % 7 == 3) {
            BUF_LIT(b, ".");
        }
        if (i % 11 == 5) {
            BUF_LIT(b, "..\r\n.\r\n");
        }
        buf_printf(b, "line %u of letter %u, and some words to make it longer\r\n", i, letter);
    }
}

void letters_make(unsigned count)
{
    static const unsigned lines[] = {1, 3, 10, 40, 200, 3000};

    for (unsigned i = 0; i < count; i++) {
        struct sim_letter *l = &sim_letters[sim_letter_count++];
        *l = (struct sim_letter){.personal = chance(50)};
        snprintf(l->id, sizeof(l->id), "letter%u", i);
        BUF_LIT(&l->eml, "From: Sender <news@sender.test>\r\nTo: everybody@sender.test\r\n"
                         "Subject: hello\r\nDate: Mon, 21 Sep 2026 12:00:00 +0000\r\n"
                         "Message-ID: <1@sender.test>\r\n\r\n");
        if (l->personal) {
            BUF_LIT(&l->eml, "for {{to}}\r\n");
        }
        size_t from = l->eml.len;
        put_lines(&l->eml, i, lines[draw(chance(10) ? 6 : 4)]);
        buf_put(&l->body, l->eml.ptr + from, l->eml.len - from);
    }
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 0;
}

/* Quoted-printable (RFC 2045 6.7), as the engine writes merged letters. */
static void put_decoded(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '=' || i + 2 >= s.len) {
            buf_putc(out, s.ptr[i]);
        } else {
            if (s.ptr[i + 1] != '\r') {
                buf_putc(out, (char)(hex_of(s.ptr[i + 1]) * 16 + hex_of(s.ptr[i + 2])));
            }
            i += 2;
        }
    }
}

static void put_wanted(struct buf *out, const struct rcpt *r)
{
    const struct sim_letter *l = &sim_letters[r->letter];

    if (l->personal) {
        /* A body of the job's own is literal: braces are its own. */
        buf_printf(out, "for %s\r\n", r->own_body ? "{{to}}" : r->to);
    }
    buf_puts(out, buf_slice(&l->body));
}

bool letter_matches(const struct rcpt *r, struct slice content)
{
    const char *end = memmem(content.ptr, content.len, "\r\n\r\n", 4);
    struct buf wanted = BUF_EMPTY, got = BUF_EMPTY;

    if (end == NULL) {
        return false;
    }
    struct slice body = slice_from(content, (size_t)(end - content.ptr) + 4);
    if (memmem(content.ptr, content.len - body.len, "quoted-printable", 16) != NULL) {
        put_decoded(&got, body);
    } else {
        buf_puts(&got, body);
    }
    put_wanted(&wanted, r);
    bool same = slice_eq(buf_slice(&got), buf_slice(&wanted));
    buf_fini(&got);
    buf_fini(&wanted);
    return same;
}

const char *word_name(enum word word)
{
    static const char *const names[WORD_COUNT] = {
        "delivered", "bounced", "deferred", "ambiguous", "expired", "suppressed", "back"};
    return names[word];
}
