/*
 * print.c - every effective value of a configuration, and where it came from.
 *
 * What is printed as YAML loads again, to the same values: a test holds that.
 */
#include "conf/schema.h"
#include "engine/base/json.h"

#include <string.h>

enum { INDENT = 2, ORIGIN_COLUMN = 44 };

struct printer {
    const struct conf *conf;
    struct buf *out;
    bool json;
    size_t depth;
    struct buf path;
    struct buf value;
};

static void put_rows(struct printer *p, const struct conf_key *keys, const char *base);

/* ---- one value ---- */

/* Plain where that is safe beyond doubt, else in quotes. */
static void put_quoted(struct buf *out, struct slice text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-";
    bool plain = text.len > 0 && text.ptr[0] != '-' && !slice_eq(text, SLICE("null"));

    for (size_t i = 0; plain && i < text.len; i++) {
        plain = memchr(safe, text.ptr[i], sizeof(safe) - 1) != NULL;
    }
    if (plain) {
        buf_puts(out, text);
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') {
            buf_putc(out, '\\');
        }
        buf_putc(out, text.ptr[i]);
    }
    buf_putc(out, '"');
}

static void put_origin(struct printer *p, struct buf *out, const struct conf_key *key,
                       const char *base)
{
    struct conf_place at = conf_place_of(p->conf, base + key->offset);

    if (key->limit > 0) {
        const char *origin = ((const struct limits *)(const void *)base)->origin[key->limit - 1];
        buf_puts(out, slice_cstr(origin != NULL ? origin : "not written"));
    } else if (at.line > 0) {
        buf_printf(out, "%s:%u", p->conf->file, at.line);
    } else {
        BUF_LIT(out, "default");
    }
}

/* The value as text into p->value, lists in brackets; false when there is none. */
static bool format_value(struct printer *p, const struct conf_key *key, const char *base)
{
    struct buf item = BUF_EMPTY;
    const char *field = base + key->offset;

    buf_reset(&p->value);
    if (key->limit > 0 &&
        ((const struct limits *)(const void *)base)->origin[key->limit - 1] == NULL) {
        return false;
    }
    if (key->kind != CONF_LIST) {
        conf_kinds[key->kind].put(&item, key, field);
        if (item.len > 0) {
            put_quoted(&p->value, buf_slice(&item));
        }
        buf_fini(&item);
        return p->value.len > 0;
    }
    const struct conf_items *array = (const struct conf_items *)(const void *)field;
    for (size_t i = 0; i < array->count; i++) {
        buf_reset(&item);
        conf_kinds[key->keys->kind].put(&item, key->keys, array->items + i * key->size);
        buf_puts(&p->value, slice_cstr(i == 0 ? "[" : ", "));
        put_quoted(&p->value, buf_slice(&item));
    }
    buf_fini(&item);
    if (array->count > 0) {
        buf_putc(&p->value, ']');
    }
    return array->count > 0;
}

static void put_json_value(struct printer *p, const struct conf_key *key, const char *base,
                           bool present)
{
    struct buf origin = BUF_EMPTY;
    const char *field = base + key->offset;

    json_object_open(p->out);
    json_put_str(p->out, "key", buf_slice(&p->path));
    json_key(p->out, "value");
    if (!present) {
        json_null(p->out);
    } else if (key->kind == CONF_LIST) {
        const struct conf_items *array = (const struct conf_items *)(const void *)field;
        json_array_open(p->out);
        for (size_t i = 0; i < array->count; i++) {
            buf_reset(&p->value);
            conf_kinds[key->keys->kind].put(&p->value, key->keys, array->items + i * key->size);
            json_str(p->out, buf_slice(&p->value));
        }
        json_array_close(p->out);
    } else {
        buf_reset(&p->value);
        conf_kinds[key->kind].put(&p->value, key, field);
        json_str(p->out, buf_slice(&p->value));
    }
    put_origin(p, &origin, key, base);
    json_put_str(p->out, "origin", buf_slice(&origin));
    json_object_close(p->out);
    buf_fini(&origin);
}

static void put_yaml_value(struct printer *p, const struct conf_key *key, struct slice name,
                           const char *base, bool present)
{
    size_t start = p->out->len;

    buf_printf(p->out, "%*s%s", (int)(p->depth * INDENT), "", present ? "" : "# ");
    put_quoted(p->out, name);
    BUF_LIT(p->out, ": ");
    if (present) {
        buf_puts(p->out, buf_slice(&p->value));
    } else {
        /* The reference's Markdown, without its marks. */
        for (const char *c = key->none != NULL ? key->none : "unlimited"; *c != '\0'; c++) {
            if (*c != '`') {
                buf_putc(p->out, *c);
            }
        }
    }
    size_t width = p->out->len - start;
    buf_printf(p->out, "%*s # ", width < ORIGIN_COLUMN ? (int)(ORIGIN_COLUMN - width) : 0, "");
    put_origin(p, p->out, key, base);
    buf_putc(p->out, '\n');
}

static void put_value(struct printer *p, const struct conf_key *key, struct slice name,
                      const char *base)
{
    bool present = format_value(p, key, base);

    if (p->json) {
        put_json_value(p, key, base, present);
    } else {
        put_yaml_value(p, key, name, base, present);
    }
}

/* ---- groups ---- */

static void put_key(struct printer *p, const struct conf_key *key, struct slice name,
                    const char *base)
{
    size_t path = p->path.len;

    if (path > 0) {
        buf_putc(&p->path, '.');
    }
    buf_puts(&p->path, name);
    if (key->kind == CONF_GROUP) {
        size_t start = p->out->len, inside;
        if (!p->json) {
            buf_printf(p->out, "%*s", (int)(p->depth * INDENT), "");
            put_quoted(p->out, name);
            BUF_LIT(p->out, ":\n");
        }
        inside = p->out->len;
        p->depth++;
        put_rows(p, key->keys, base + key->offset);
        p->depth--;
        if (p->out->len == inside) {
            p->out->len = start; /* nothing in it: names of the user's, and there are none */
        }
    } else {
        put_value(p, key, name, base);
    }
    p->path.len = path;
}

static void put_items(struct printer *p, const struct conf_key *any, const char *base)
{
    const struct conf_items *array = (const struct conf_items *)(const void *)(base + any->offset);
    struct conf_key item = *any;

    item.offset = any->item_offset;
    for (size_t i = 0; i < array->count; i++) {
        const char *at = array->items + i * any->size;
        put_key(p, &item, slice_cstr(*(const char *const *)(const void *)at), at);
    }
}

static void put_rows(struct printer *p, const struct conf_key *keys, const char *base)
{
    for (; conf_key_present(keys); keys++) {
        if (keys->later) {
            continue;
        }
        if (keys->kind == CONF_INCLUDE) {
            put_rows(p, keys->keys, base + keys->offset);
        } else if (strcmp(keys->name, "*") == 0) {
            put_items(p, keys, base);
        } else {
            put_key(p, keys, slice_cstr(keys->name), base);
        }
    }
}

static void print(const struct conf *conf, struct buf *out, bool json)
{
    struct printer p = {.conf = conf, .out = out, .json = json};

    put_rows(&p, conf_schema, (const char *)conf);
    buf_fini(&p.path);
    buf_fini(&p.value);
}

void conf_print_yaml(const struct conf *conf, struct buf *out)
{
    print(conf, out, false);
}

void conf_print_json(const struct conf *conf, struct buf *out)
{
    json_array_open(out);
    print(conf, out, true);
    json_array_close(out);
}
