/*
 * schema.h - what a configuration may hold, as a table.
 *
 * A new key is a field in conf.h and a row in schema.c: reading, ranges, messages, --print and
 * the reference follow from the row.  A key that the engine does not act on yet has no field; its
 * row says `later`, so that people are told instead of fooled.
 */
#ifndef VOLLEY_CONF_SCHEMA_H
#define VOLLEY_CONF_SCHEMA_H

#include "conf/private.h"

enum conf_kind {
    /* One value; the type of the field behind it. */
    CONF_BOOL,      /* bool */
    CONF_COUNT,     /* uint32_t in min..max */
    CONF_COUNT64,   /* uint64_t in min..max */
    CONF_PERCENT,   /* uint32_t in min..max */
    CONF_DURATION,  /* int64_t microseconds in min..max */
    CONF_BYTES,     /* uint64_t in min..max */
    CONF_RATE,      /* struct rate */
    CONF_BYTE_RATE, /* struct rate */
    CONF_WORD,      /* int: which of `words` */
    CONF_TEXT,      /* const char *, as are the next four */
    CONF_NAME,      /* [A-Za-z0-9._-]{1,64} */
    CONF_HOST,      /* a domain name */
    CONF_PATTERN,   /* a domain name, perhaps with "*." in front */
    CONF_PATH,      /* an absolute path */
    CONF_REDIS,     /* const char *: where the queue is */
    CONF_ENDPOINT,  /* struct conf_endpoint; `port` unless written */
    CONF_ADDRESS,   /* union conf_address */
    CONF_KINDS,     /* how many kinds of values there are */
    /* More than a value. */
    CONF_GROUP,  /* `keys`, in the structure at `offset` */
    CONF_LIST,   /* a CONF_ARRAY of `size` bytes an item; keys[0] says what one is */
    CONF_INCLUDE /* the rows of `keys` stand here as well, for the structure at `offset` */
};

/* A table ends with a row without a name.  The row "*" takes every name that no other row takes:
 * its items go to the CONF_ARRAY at `offset`, `size` bytes each, the name first; the value of an
 * item lies at `item_offset` within it. */
struct conf_key {
    const char *name;
    enum conf_kind kind;
    size_t offset;
    const char *fallback; /* the default, as one would write it; NULL: nothing */
    const char *help;
    uint64_t min, max;
    const char *words;       /* CONF_WORD: "auto|uring"; numbers: the word that stands for 0 */
    const char *later_words; /* words that a later version will know */
    uint16_t port;
    const struct conf_key *keys;
    size_t size, item_offset;
    bool required;
    const char *shorthand; /* a group that may be one value: which key that is */
    const char *none;      /* what it means when nothing is written, for --print and reference */
    int limit;             /* enum limit_key + 1: the structure is a struct limits */
    bool partial;          /* CONF_INCLUDE: what is not written stays unset */
    bool later;            /* not in this version */
};

extern const struct conf_key conf_schema[];

/* ---- values ---- */

struct conf_kind_info {
    const char *what;    /* "a duration" */
    const char *example; /* "90s or 2h"; NULL: none helps */
    /* 0, ERR_INVALID, ERR_RANGE, or ERR_AGAIN for what a later version will know.  May set *hint
     * to a sentence that takes the place of the usual message. */
    int (*read)(struct conf_store *store, const struct conf_key *key, struct slice text,
                void *field, const char **hint);
    /* Appends the value as one would write it; nothing when it is unset. */
    void (*put)(struct buf *out, const struct conf_key *key, const void *field);
};

extern const struct conf_kind_info conf_kinds[CONF_KINDS];

/* "a duration from 1s to 30d, or never": what may stand there. */
void conf_put_expected(struct buf *out, const struct conf_key *key);

/* ---- walking ---- */

static inline bool conf_key_present(const struct conf_key *key)
{
    return key->name != NULL;
}

/* The row for a name, the "*" row if there is one, or NULL.  *base becomes the structure that the
 * row's offset counts from. */
const struct conf_key *conf_key_find(const struct conf_key *keys, struct slice name, char **base);

/* The array at `offset`, whatever its items are. */
struct conf_items {
    char *items;
    size_t count;
};

/* Fills `conf` from the tree (NULL: all defaults). */
void conf_read(struct conf *conf, const struct conf_node *root, struct conf_problems *problems);

#endif
