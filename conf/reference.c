/*
 * reference.c - the reference of all keys, in Markdown, for the README.
 */
#include "conf/schema.h"

#include <string.h>

static void put_rows(struct buf *out, struct buf *path, const struct conf_key *keys);

/* A bar inside a table's cell would end it. */
static void put_cell(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '|') {
            buf_putc(out, '\\');
        }
        buf_putc(out, text.ptr[i]);
    }
}

static void put_default(struct buf *out, const struct conf_key *key)
{
    if (key->required) {
        BUF_LIT(out, "required");
    } else if (key->fallback != NULL && key->kind == CONF_LIST) {
        struct slice rest = slice_cstr(key->fallback), word;
        for (char sep = '['; slice_next(&rest, ' ', &word); sep = ',') {
            buf_puts(out, slice_cstr(sep == '[' ? "`[" : ", "));
            buf_puts(out, word);
        }
        BUF_LIT(out, "]`");
    } else if (key->fallback != NULL) {
        buf_printf(out, "`%s`", key->fallback);
    } else if (key->none != NULL) {
        buf_puts(out, slice_cstr(key->none));
    }
}

static void put_row(struct buf *out, struct slice path, const struct conf_key *key)
{
    struct buf expected = BUF_EMPTY;

    BUF_LIT(out, "| `");
    put_cell(out, path);
    BUF_LIT(out, "` | ");
    if (key->kind == CONF_LIST) {
        BUF_LIT(&expected, "list: ");
        conf_put_expected(&expected, key->keys);
    } else if (key->kind < CONF_KINDS) {
        conf_put_expected(&expected, key);
    }
    put_cell(out, buf_slice(&expected));
    BUF_LIT(out, " | ");
    put_default(out, key);
    BUF_LIT(out, " | ");
    put_cell(out, slice_cstr(key->help));
    BUF_LIT(out, " |\n");
    buf_fini(&expected);
}

static void put_key(struct buf *out, struct buf *path, const struct conf_key *key)
{
    size_t before = path->len;

    if (before > 0) {
        buf_putc(path, '.');
    }
    buf_puts(path, slice_cstr(strcmp(key->name, "*") == 0 ? "NAME" : key->name));
    put_row(out, buf_slice(path), key);
    if (key->kind == CONF_GROUP) {
        put_rows(out, path, key->keys);
    }
    path->len = before;
}

static void put_rows(struct buf *out, struct buf *path, const struct conf_key *keys)
{
    for (; conf_key_present(keys); keys++) {
        if (keys->later) {
            continue;
        }
        if (keys->kind != CONF_INCLUDE) {
            put_key(out, path, keys);
        } else if (keys->help == NULL) {
            put_rows(out, path, keys->keys);
        } else {
            /* Said once, under limits.default. */
            size_t before = path->len;
            BUF_LIT(path, ".KEY");
            put_row(out, buf_slice(path), keys);
            path->len = before;
        }
    }
}

void conf_put_reference(struct buf *out)
{
    struct buf path = BUF_EMPTY;

    BUF_LIT(out, "| key | value | default | what it does |\n|---|---|---|---|\n");
    put_rows(out, &path, conf_schema);
    buf_fini(&path);
}
