/*
 * test_journal.c - what is noted before a crash is what is read after it.
 */
#include "engine/base/err.h"
#include "queue/journal.h"
#include "queue/journal_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { GENERATION = 7 };

static struct journal_entry dot(const char *id, uint32_t attempt)
{
    return (struct journal_entry){.kind = JOURNAL_DOT,
                                  .life = SLICE("mta:3"),
                                  .id = slice_cstr(id),
                                  .attempt = attempt,
                                  .wall_us = 1700000000000000,
                                  .to = SLICE("ann@example.org"),
                                  .site = SLICE("example.org"),
                                  .mx = SLICE("mx.example.org"),
                                  .ip = SLICE("192.0.2.1"),
                                  .source = SLICE("a")};
}

static struct journal_entry done(const char *id, uint64_t serial)
{
    return (struct journal_entry){.kind = JOURNAL_DONE,
                                  .life = SLICE("mta:3"),
                                  .id = slice_cstr(id),
                                  .serial = serial,
                                  .event = SLICE("{\"type\":\"delivered\"}")};
}

static struct journal_entry defer(const char *id, uint64_t serial)
{
    struct journal_entry e = done(id, serial);

    e.kind = JOURNAL_DEFER;
    e.due_ms = 1700000001000;
    e.record = SLICE("\x01\x00 a record \xff");
    return e;
}

static struct journal_entry undo(const char *id)
{
    return (struct journal_entry){
        .kind = JOURNAL_UNDO, .life = SLICE("mta:3"), .id = slice_cstr(id)};
}

static struct journal_entry floor_at(uint64_t serial)
{
    return (struct journal_entry){.kind = JOURNAL_FLOOR, .serial = serial};
}

static void assert_slice(struct slice got, struct slice want)
{
    assert_true(slice_eq(got, want));
}

static void assert_same(const struct journal_entry *a, const struct journal_entry *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_slice(a->life, b->life);
    assert_slice(a->id, b->id);
    assert_int_equal(a->serial, b->serial);
    assert_int_equal(a->attempt, b->attempt);
    assert_int_equal(a->wall_us, b->wall_us);
    assert_slice(a->to, b->to);
    assert_slice(a->site, b->site);
    assert_slice(a->mx, b->mx);
    assert_slice(a->ip, b->ip);
    assert_slice(a->source, b->source);
    assert_slice(a->event, b->event);
    assert_int_equal(a->due_ms, b->due_ms);
    assert_slice(a->record, b->record);
}

/* ---- the codec ---- */

static void test_round_trip(void **state)
{
    struct journal_entry in[] = {dot("A.1", 2), undo("A.1"), done("B.1", 5), defer("C.12", 6),
                                 floor_at(UINT64_MAX)};
    enum { COUNT = sizeof(in) / sizeof(in[0]) };
    struct buf b = BUF_EMPTY;
    struct journal_entry out;
    uint64_t generation;
    (void)state;

    journal_head_put(&b, GENERATION);
    for (size_t i = 0; i < COUNT; i++) {
        journal_entry_put(&b, GENERATION, &in[i]);
    }
    struct slice rest = buf_slice(&b);
    assert_int_equal(journal_head_take(&rest, &generation), 0);
    assert_int_equal(generation, GENERATION);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(journal_entry_take(&rest, generation, &out));
        assert_same(&out, &in[i]);
    }
    assert_false(journal_entry_take(&rest, generation, &out));
    buf_fini(&b);
}

/* Whatever a crash left of the last write: what stands before it is read, nothing else. */
static void test_torn_at_every_byte(void **state)
{
    struct journal_entry first = dot("A.1", 1), second = defer("B.1", 9), out;
    struct buf b = BUF_EMPTY;
    (void)state;

    journal_entry_put(&b, GENERATION, &first);
    size_t whole = b.len;
    journal_entry_put(&b, GENERATION, &second);
    for (size_t len = whole; len < b.len; len++) {
        char *copy = malloc(b.len); /* of its own, so that sanitizers see a read too far */
        assert_non_null(copy);
        memcpy(copy, b.ptr, len);
        struct slice rest = slice_of(copy, len);
        assert_true(journal_entry_take(&rest, GENERATION, &out));
        assert_false(journal_entry_take(&rest, GENERATION, &out));
        free(copy);
    }
    for (size_t at = whole; at < b.len; at++) {
        b.ptr[at] ^= 1;
        struct slice rest = slice_from(buf_slice(&b), whole);
        assert_false(journal_entry_take(&rest, GENERATION, &out));
        b.ptr[at] ^= 1;
    }
    buf_fini(&b);
}

static void test_stale_entries_end_a_segment(void **state)
{
    struct journal_entry e = dot("A.1", 1), out;
    struct buf b = BUF_EMPTY;
    uint64_t generation;
    (void)state;

    journal_entry_put(&b, GENERATION - 2, &e);
    struct slice rest = buf_slice(&b);
    assert_false(journal_entry_take(&rest, GENERATION, &out));
    assert_int_equal(journal_head_take(&rest, &generation), ERR_INVALID);
    buf_reset(&b);
    journal_head_put(&b, GENERATION);
    b.ptr[7] = 2; /* a later version */
    rest = buf_slice(&b);
    assert_int_equal(journal_head_take(&rest, &generation), ERR_INVALID);
    buf_fini(&b);
}

/* ---- what it means ---- */

static struct journal_read *read_entries(struct buf files[2], const struct journal_entry *first,
                                         size_t first_count, const struct journal_entry *second,
                                         size_t second_count)
{
    struct slice both[2];

    journal_head_put(&files[0], GENERATION + 1); /* the later one in the first file */
    journal_head_put(&files[1], GENERATION);
    for (size_t i = 0; i < first_count; i++) {
        journal_entry_put(&files[1], GENERATION, &first[i]);
    }
    for (size_t i = 0; i < second_count; i++) {
        journal_entry_put(&files[0], GENERATION + 1, &second[i]);
    }
    both[0] = buf_slice(&files[0]);
    both[1] = buf_slice(&files[1]);
    return journal_read_bytes(both, 2);
}

static const struct journal_entry *find(const struct journal_read *r, const char *id)
{
    for (size_t i = 0; i < journal_read_count(r); i++) {
        if (slice_eq(journal_read_at(r, i)->id, slice_cstr(id))) {
            return journal_read_at(r, i);
        }
    }
    return NULL;
}

static void test_last_word(void **state)
{
    struct journal_entry first[] = {dot("ANSWERED", 1), dot("OPEN", 1), dot("UNDONE", 1),
                                    done("KNOWN", 0), done("ANSWERED", 1)};
    struct journal_entry second[] = {undo("UNDONE"),  defer("AGAIN", 2), dot("TWICE", 1),
                                     undo("TWICE"),   dot("TWICE", 1),   floor_at(1),
                                     dot("ACROSS", 4)};
    struct buf files[2] = {BUF_EMPTY, BUF_EMPTY};
    struct journal_read *r = read_entries(files, first, 5, second, 7);
    (void)state;

    assert_int_equal(journal_read_count(r), 5);
    assert_int_equal(find(r, "ANSWERED")->kind, JOURNAL_DONE);
    assert_int_equal(find(r, "OPEN")->kind, JOURNAL_DOT);
    assert_int_equal(find(r, "AGAIN")->kind, JOURNAL_DEFER);
    assert_int_equal(find(r, "TWICE")->kind, JOURNAL_DOT);
    assert_int_equal(find(r, "ACROSS")->attempt, 4);
    assert_null(find(r, "UNDONE"));
    assert_null(find(r, "KNOWN"));
    journal_read_free(r);
    buf_fini(&files[0]);
    buf_fini(&files[1]);
}

/* A job that came back under another life of the same engine is another matter. */
static void test_lives_are_apart(void **state)
{
    struct journal_entry old = done("A.1", 3), fresh = dot("A.1", 2);
    struct buf files[2] = {BUF_EMPTY, BUF_EMPTY};
    (void)state;

    fresh.life = SLICE("mta:4");
    struct journal_read *r = read_entries(files, &old, 1, &fresh, 1);
    assert_int_equal(journal_read_count(r), 2);
    journal_read_free(r);
    buf_fini(&files[0]);
    buf_fini(&files[1]);
}

/* ---- files ---- */

struct dir {
    char path[64];
    struct journal *journal;
    struct journal_entry open; /* on the wire; no id: nothing is */
    unsigned switches;
};

static void on_switch(void *ctx)
{
    struct dir *d = ctx;

    d->switches++;
    if (d->open.id.len > 0) {
        journal_put(d->journal, &d->open);
    }
}

static void dir_make(struct dir *d, size_t segment)
{
    *d = (struct dir){.path = "/tmp/volley-journal-XXXXXX"};
    assert_non_null(mkdtemp(d->path));
    struct journal_options options = {
        .directory = d->path, .worker = 3, .segment = segment, .on_switch = on_switch, .ctx = d};
    d->journal = journal_new(&options);
}

static void dir_remove(struct dir *d)
{
    assert_int_equal(rmdir(d->path), 0);
}

static off_t size_of(const struct dir *d, char file)
{
    char path[96];
    struct stat st;

    snprintf(path, sizeof(path), "%s/3.%c", d->path, file);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void test_killed_and_read(void **state)
{
    struct dir d;
    struct journal_entry entries[] = {dot("A.1", 1), dot("B.1", 1), done("A.1", 0)};
    (void)state;

    dir_make(&d, 0);
    assert_int_equal(size_of(&d, 'a'), -1);
    for (size_t i = 0; i < 3; i++) {
        journal_put(d.journal, &entries[i]);
    }
    journal_flush(d.journal, 0, 1, 0);
    journal_put(d.journal, &entries[0]); /* gathered, not written */
    journal_free(d.journal, false);
    struct journal_read *r = journal_read(d.path);
    assert_int_equal(journal_read_count(r), 2);
    assert_int_equal(find(r, "A.1")->kind, JOURNAL_DONE);
    assert_int_equal(find(r, "B.1")->kind, JOURNAL_DOT);
    journal_read_remove(r);
    journal_read_free(r);
    dir_remove(&d);
}

static void test_a_good_end_leaves_nothing(void **state)
{
    struct dir d;
    struct journal_entry e = done("A.1", 0);
    (void)state;

    dir_make(&d, 0);
    journal_put(d.journal, &e);
    journal_flush(d.journal, 0, 1, 0);
    journal_free(d.journal, true);
    dir_remove(&d);
}

/* A million letters would not make it larger; what stays open is carried along. */
static void test_segments_take_turns(void **state)
{
    enum { SEGMENT = 8192, LETTERS = 2000 };
    struct dir d;
    char id[16];
    (void)state;

    dir_make(&d, SEGMENT);
    d.open = dot("OPEN.1", 1);
    journal_put(d.journal, &d.open);
    for (uint64_t i = 0; i < LETTERS; i++) {
        snprintf(id, sizeof(id), "%u.1", (unsigned)i);
        struct journal_entry on = dot(id, 1), over = done(id, i);
        journal_put(d.journal, &on);
        journal_put(d.journal, &over);
        journal_flush(d.journal, i > 10 ? i - 10 : 0, i + 1, 0);
    }
    assert_true(d.switches > 20);
    assert_true(size_of(&d, 'a') <= SEGMENT && size_of(&d, 'b') <= SEGMENT);
    journal_free(d.journal, false);
    struct journal_read *r = journal_read(d.path);
    assert_int_equal(journal_read_count(r), 12); /* 11 outcomes Redis may not have, and one open */
    assert_int_equal(find(r, "OPEN.1")->kind, JOURNAL_DOT);
    assert_non_null(find(r, "1989.1"));
    assert_null(find(r, "1988.1"));
    journal_read_remove(r);
    journal_read_free(r);
    dir_remove(&d);
}

/* Outcomes that Redis does not take are not overwritten. */
static void test_waiting_outcomes_stay(void **state)
{
    enum { SEGMENT = 4096, LETTERS = 500 };
    struct dir d;
    char id[16];
    (void)state;

    dir_make(&d, SEGMENT);
    for (uint64_t i = 0; i < LETTERS; i++) {
        snprintf(id, sizeof(id), "%u.1", (unsigned)i);
        struct journal_entry over = done(id, i);
        journal_put(d.journal, &over);
        journal_flush(d.journal, 0, i + 1, 0);
    }
    journal_free(d.journal, false);
    struct journal_read *r = journal_read(d.path);
    assert_int_equal(journal_read_count(r), LETTERS);
    journal_read_remove(r);
    journal_read_free(r);
    dir_remove(&d);
}

/* A full disk is no reason to stop, and nothing wrong is read from it afterwards. */
static void test_full_disk(void **state)
{
    struct dir d;
    char path[96];
    struct journal_entry e = dot("A.1", 1);
    (void)state;

    dir_make(&d, 0);
    d.open = dot("OPEN.1", 1);
    snprintf(path, sizeof(path), "%s/3.b", d.path);
    assert_int_equal(symlink("/dev/full", path), 0);
    journal_put(d.journal, &e);
    journal_flush(d.journal, 0, 0, 1000);
    journal_put(d.journal, &e);
    journal_flush(d.journal, 0, 0, 2000);
    struct journal_read *r = journal_read(d.path);
    assert_int_equal(journal_read_count(r), 0);
    journal_read_free(r);
    unlink(path); /* there is room again: what is open by then is noted */
    journal_flush(d.journal, 0, 0, 2000 + JOURNAL_AGAIN_US);
    journal_free(d.journal, false);
    r = journal_read(d.path);
    assert_int_equal(journal_read_count(r), 1);
    assert_non_null(find(r, "OPEN.1"));
    journal_read_remove(r);
    journal_read_free(r);
    dir_remove(&d);
}

static void test_no_directory(void **state)
{
    struct journal_options options = {.directory = "/proc/nowhere", .worker = 0};
    struct journal *j = journal_new(&options);
    struct journal_entry e = dot("A.1", 1);
    (void)state;

    journal_put(j, &e);
    journal_flush(j, 0, 0, 0);
    journal_free(j, true);
    struct journal_read *r = journal_read("/proc/nowhere");
    assert_int_equal(journal_read_count(r), 0);
    journal_read_remove(r);
    journal_read_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_torn_at_every_byte),
        cmocka_unit_test(test_stale_entries_end_a_segment),
        cmocka_unit_test(test_last_word),
        cmocka_unit_test(test_lives_are_apart),
        cmocka_unit_test(test_killed_and_read),
        cmocka_unit_test(test_a_good_end_leaves_nothing),
        cmocka_unit_test(test_segments_take_turns),
        cmocka_unit_test(test_waiting_outcomes_stay),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_no_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
