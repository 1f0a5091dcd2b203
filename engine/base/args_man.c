/*
 * args_man.c - command lines, described once: the manual page.
 *
 * man(7) macros only: man-db, mandoc and groff all know them.  Text is escaped, so a table
 * can hold anything.
 */
#include "engine/base/args_value.h"

#include <string.h>

static void put_text(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool line_start = out->len == 0 || out->ptr[out->len - 1] == '\n';
        if (line_start && (c == '.' || c == '\'')) {
            BUF_LIT(out, "\\&"); /* a control character only at the start of a line */
        }
        if (c == '\\') {
            BUF_LIT(out, "\\e");
        } else if (c == '-') {
            BUF_LIT(out, "\\-"); /* a minus that can be pasted into a shell, not a hyphen */
        } else {
            buf_putc(out, c);
        }
    }
}

static void put_cstr(struct buf *out, const char *text)
{
    put_text(out, slice_cstr(text));
}

static void put_section(struct buf *out, const char *title)
{
    buf_printf(out, ".SH %s\n", title);
}

static void put_paragraph(struct buf *out, const char *text, bool first)
{
    if (!first) {
        BUF_LIT(out, ".PP\n"); /* a section starts one by itself */
    }
    if (text[0] == ' ') {
        BUF_LIT(out, ".nf\n");
        put_cstr(out, text);
        BUF_LIT(out, "\n.fi\n");
    } else {
        put_cstr(out, text);
        buf_putc(out, '\n');
    }
}

static void put_pairs(struct buf *out, const char *title, const struct args_pair *pairs)
{
    if (pairs == NULL) {
        return;
    }
    put_section(out, title);
    for (; pairs->term != NULL; pairs++) {
        BUF_LIT(out, ".TP\n\\fB");
        put_cstr(out, pairs->term);
        BUF_LIT(out, "\\fR\n");
        put_cstr(out, pairs->text);
        buf_putc(out, '\n');
    }
}

static void put_option(struct buf *out, const struct args_option *o)
{
    BUF_LIT(out, ".TP\n\\fB");
    if (o->letter != '\0') {
        const char short_name[] = {'-', o->letter, '\0'};
        put_cstr(out, short_name);
        BUF_LIT(out, "\\fR, \\fB");
    }
    put_cstr(out, "--");
    put_cstr(out, o->name);
    BUF_LIT(out, "\\fR");
    if (o->kind != ARGS_FLAG) {
        BUF_LIT(out, " \\fI");
        put_cstr(out, o->value);
        BUF_LIT(out, "\\fR");
    }
    buf_putc(out, '\n');
    put_cstr(out, o->help);
    buf_putc(out, '\n');
}

static void put_options(struct buf *out, const struct args_option *o)
{
    put_section(out, "OPTIONS");
    for (; o != NULL && args_option_present(o); o++) {
        if (o->heading != NULL) {
            BUF_LIT(out, ".SS ");
            put_cstr(out, o->heading);
            buf_putc(out, '\n');
        } else if (!o->hidden) {
            put_option(out, o);
        }
    }
    BUF_LIT(out, ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nPrints a summary.\n");
    BUF_LIT(out, ".TP\n\\fB\\-\\-version\\fR\nPrints the version.\n");
}

static void put_examples(struct buf *out, const struct args_pair *pairs)
{
    if (pairs == NULL) {
        return;
    }
    put_section(out, "EXAMPLES");
    for (bool first = true; pairs->term != NULL; pairs++, first = false) {
        if (!first) {
            BUF_LIT(out, ".PP\n");
        }
        put_cstr(out, pairs->text);
        BUF_LIT(out, "\n.RS 4\n.nf\n");
        put_cstr(out, pairs->term);
        BUF_LIT(out, "\n.fi\n.RE\n");
    }
}

/* "volley send" is the page volley-send(1). */
static void put_page_name(struct buf *out, const char *name, bool upper)
{
    for (; *name != '\0'; name++) {
        char c = *name == ' ' ? '-' : *name;
        if (c == '-') {
            BUF_LIT(out, "\\-");
        } else {
            buf_putc(out, upper && c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c);
        }
    }
}

void args_put_man(struct buf *out, const struct args_command *command, const char *date)
{
    BUF_LIT(out, ".TH ");
    put_page_name(out, command->name, true);
    buf_printf(out, " 1 \"%s\" \"volley " VOLLEY_VERSION "\" \"Volley manual\"\n", date);
    put_section(out, "NAME");
    put_page_name(out, command->name, false);
    BUF_LIT(out, " \\- ");
    put_cstr(out, command->summary);
    buf_putc(out, '\n');
    put_section(out, "SYNOPSIS");
    BUF_LIT(out, "\\fB");
    put_cstr(out, command->name);
    BUF_LIT(out, "\\fR ");
    put_cstr(out, command->synopsis);
    buf_putc(out, '\n');
    put_section(out, "DESCRIPTION");
    for (size_t i = 0; command->description != NULL && command->description[i] != NULL; i++) {
        put_paragraph(out, command->description[i], i == 0);
    }
    put_pairs(out, "COMMANDS", command->commands);
    put_options(out, command->options);
    for (const struct args_section *s = command->sections; s != NULL && s->title != NULL; s++) {
        put_pairs(out, s->title, s->pairs);
    }
    put_pairs(out, "EXIT STATUS", args_exit_codes(command));
    put_pairs(out, "FILES", command->files);
    put_pairs(out, "ENVIRONMENT", command->environment);
    put_examples(out, command->examples);
    if (command->see_also != NULL) {
        put_section(out, "SEE ALSO");
        put_cstr(out, command->see_also);
        buf_putc(out, '\n');
    }
}
