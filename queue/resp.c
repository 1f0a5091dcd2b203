/*
 * resp.c - what Redis answers, as a small tree.  The one file that includes hiredis.
 *
 * hiredis builds replies through a table of functions: ours put them into an arena.  Blocks
 * of the arena are kept between replies, so that nothing is allocated once it has grown.
 * A reply of which only the first part has come lives in the arena too, so the arena is
 * emptied only when the previous whole reply was handed out.
 */
#include "queue/resp.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <hiredis/hiredis.h>

#include <string.h>

enum { ARENA_BLOCK = 128 * 1024 };

#define ITEMS_MAX (128 * 1024) /* in one array: far more than any call of ours asks for */

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t cap;
    _Alignas(16) char bytes[];
};

struct resp_reader {
    redisReader *hiredis;
    struct arena_block *first;
    struct arena_block *current;
    bool given; /* the reply in the arena was handed out */
};

static struct arena_block *arena_block_new(size_t cap)
{
    struct arena_block *b = mem_alloc(sizeof(*b) + cap);

    b->next = NULL;
    b->used = 0;
    b->cap = cap;
    return b;
}

static void *arena_take(struct resp_reader *r, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (r->current->cap - r->current->used < size) {
        r->current->next = arena_block_new(size > ARENA_BLOCK ? size : ARENA_BLOCK);
        r->current = r->current->next;
    }
    void *p = r->current->bytes + r->current->used;
    r->current->used += size;
    return p;
}

/* One large answer (a letter of 25 MB) must not keep its memory for ever. */
static void arena_reset(struct resp_reader *r)
{
    struct arena_block *next = r->first->next;

    while (next != NULL) {
        struct arena_block *b = next;
        next = b->next;
        mem_free(b);
    }
    r->first->next = NULL;
    r->first->used = 0;
    r->current = r->first;
}

/* ---- what hiredis calls ---- */

/* The place of a new element: in its parent's array, or on its own. */
static struct resp *element_place(const redisReadTask *task)
{
    if (task->parent != NULL) {
        struct resp *parent = task->parent->obj;
        return (struct resp *)&parent->items[task->idx];
    }
    return arena_take(task->privdata, sizeof(struct resp));
}

static void *create_string(const redisReadTask *task, char *str, size_t len)
{
    struct resp *e = element_place(task);
    char *copy = arena_take(task->privdata, len + 1);

    memcpy(copy, str, len);
    copy[len] = '\0';
    *e = (struct resp){.type = RESP_STRING, .text = slice_of(copy, len)};
    if (task->type == REDIS_REPLY_ERROR) {
        e->type = RESP_ERROR;
    } else if (task->type == REDIS_REPLY_STATUS) {
        e->type = RESP_STATUS;
    }
    return e;
}

static void *create_array_of(const redisReadTask *task, size_t count)
{
    struct resp *e = element_place(task);

    if (count > ITEMS_MAX) {
        return NULL; /* hiredis ends with an out-of-memory error */
    }
    struct resp *items = arena_take(task->privdata, count * sizeof(struct resp));
    memset(items, 0, count * sizeof(struct resp));
    *e = (struct resp){.type = RESP_ARRAY, .count = count, .items = items};
    return e;
}

#if HIREDIS_MAJOR >= 1
static void *create_array(const redisReadTask *task, size_t count)
{
    return create_array_of(task, count);
}
#else
static void *create_array(const redisReadTask *task, int count)
{
    return create_array_of(task, count < 0 ? 0 : (size_t)count);
}
#endif

static void *create_integer(const redisReadTask *task, long long value)
{
    struct resp *e = element_place(task);

    *e = (struct resp){.type = RESP_INTEGER, .integer = value};
    return e;
}

static void *create_nil(const redisReadTask *task)
{
    struct resp *e = element_place(task);

    *e = (struct resp){.type = RESP_NIL};
    return e;
}

#if HIREDIS_MAJOR >= 1
/* RESP3 was never asked for.  Without these two hiredis would hand out its type number as the
 * object; NULL ends the stream with an error. */
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)task, (void)value, (void)text, (void)len;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#endif

static void free_object(void *object)
{
    (void)object; /* the arena's */
}

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .freeObject = free_object,
};

/* ---- reader ---- */

struct resp_reader *resp_reader_new(void)
{
    struct resp_reader *r = mem_zalloc(sizeof(*r));

    r->first = arena_block_new(ARENA_BLOCK);
    r->current = r->first;
    r->hiredis = redisReaderCreateWithFunctions(&functions);
    ASSERT(r->hiredis != NULL);
    r->hiredis->privdata = r;
    r->hiredis->maxbuf = 0; /* keeps its buffer: 16 KB would be given back all the time */
    return r;
}

void resp_reader_free(struct resp_reader *r)
{
    if (r == NULL) {
        return;
    }
    redisReaderFree(r->hiredis);
    arena_reset(r);
    mem_free(r->first);
    mem_free(r);
}

int resp_reader_feed(struct resp_reader *r, struct slice data)
{
    return redisReaderFeed(r->hiredis, data.ptr, data.len) == REDIS_OK ? 0 : ERR_PROTO;
}

int resp_reader_next(struct resp_reader *r, const struct resp **reply, const char **why)
{
    void *got = NULL;

    if (r->given) {
        arena_reset(r);
        r->given = false;
    }
    if (redisReaderGetReply(r->hiredis, &got) != REDIS_OK) {
        *why = r->hiredis->errstr;
        return ERR_PROTO;
    }
    if (got == NULL) {
        return 0;
    }
    r->given = true;
    *reply = got;
    return 1;
}

/* ---- writing ---- */

void resp_put_command(struct buf *out, const struct slice *argv, size_t argc)
{
    const char **ptrs = mem_array(argc, sizeof(*ptrs));
    size_t *lens = mem_array(argc, sizeof(*lens));
    char *formatted = NULL;

    for (size_t i = 0; i < argc; i++) {
        ptrs[i] = argv[i].len > 0 ? argv[i].ptr : "";
        lens[i] = argv[i].len;
    }
    long long len = redisFormatCommandArgv(&formatted, (int)argc, ptrs, lens);
    ASSERT(len > 0);
    buf_put(out, formatted, (size_t)len);
    redisFreeCommand(formatted);
    mem_free(ptrs);
    mem_free(lens);
}

void resp_put_count(struct buf *out, size_t argc)
{
    buf_putc(out, '*');
    buf_putu(out, argc);
    BUF_LIT(out, "\r\n");
}

void resp_put_arg(struct buf *out, struct slice arg)
{
    buf_reserve(out, arg.len + 32);
    buf_putc(out, '$');
    buf_putu(out, arg.len);
    BUF_LIT(out, "\r\n");
    buf_puts(out, arg);
    BUF_LIT(out, "\r\n");
}

void resp_put_u64(struct buf *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    resp_put_arg(out, slice_of(digits + at, sizeof(digits) - at));
}

/* ---- reading the tree ---- */

bool resp_is_ok(const struct resp *r)
{
    return r->type == RESP_STATUS && slice_eq(r->text, SLICE("OK"));
}

bool resp_is_error(const struct resp *r, struct slice word)
{
    return r->type == RESP_ERROR && slice_starts(r->text, word) &&
           (r->text.len == word.len || r->text.ptr[word.len] == ' ');
}

int resp_int(const struct resp *r, int64_t *out)
{
    uint64_t value;

    if (r->type == RESP_INTEGER) {
        *out = r->integer;
        return 0;
    }
    if ((r->type != RESP_STRING && r->type != RESP_STATUS) || slice_u64(r->text, &value) != 0 ||
        value > INT64_MAX) {
        return ERR_INVALID;
    }
    *out = (int64_t)value;
    return 0;
}
