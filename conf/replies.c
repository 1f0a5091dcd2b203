/*
 * replies.c - what the words of refusals mean: the shipped table and the configuration's own.
 */
#include "conf/private.h"
#include "engine/base/panic.h"
#include "engine/smtp/words.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { REPLIES_MAX = 256 * 1024 };

__asm__(".pushsection .rodata\n"
        "conf_replies_table: .incbin \"conf/replies.table\"\n"
        "conf_replies_table_end: .byte 0\n"
        ".popsection\n");
extern const char conf_replies_table[], conf_replies_table_end[];

struct slice conf_replies_shipped(void)
{
    return slice_of(conf_replies_table, (size_t)(conf_replies_table_end - conf_replies_table));
}

/* The file's bytes; false with the reason in *why. */
static bool read_table(const char *path, struct buf *text, const char **why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t n = fd;

    while (n >= 0 && text->len <= REPLIES_MAX) {
        buf_reserve(text, 65536);
        n = read(fd, text->ptr + text->len, 65536);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno == EINTR) {
            n = 0;
        }
        text->len += n > 0 ? (size_t)n : 0;
    }
    *why = n < 0 ? strerror(errno) : "is larger than 256 KB";
    if (fd >= 0) {
        close(fd);
    }
    return n == 0;
}

static void load_own(struct conf *conf, struct conf_problems *problems)
{
    struct conf_place at = conf_place_of(conf, &conf->replies_file);
    struct buf text = BUF_EMPTY, sentence = BUF_EMPTY;
    const char *why;
    unsigned line;

    if (!read_table(conf->replies_file, &text, &why)) {
        conf_problem(problems, at.line, at.column, "replies file %s: %s", conf->replies_file, why);
    } else if (smtp_words_add(conf->words, buf_slice(&text), &line, &sentence) != 0) {
        conf_problem(problems, at.line, at.column, "replies file %s, line %u: " SLICE_FMT,
                     conf->replies_file, line, SLICE_ARG(buf_slice(&sentence)));
    }
    buf_fini(&text);
    buf_fini(&sentence);
}

void conf_load_replies(struct conf *conf, struct conf_problems *problems)
{
    struct buf why = BUF_EMPTY;
    unsigned line;

    conf->words = smtp_words_new();
    if (conf->replies_file != NULL) {
        load_own(conf, problems);
    }
    if (smtp_words_add(conf->words, conf_replies_shipped(), &line, &why) != 0) {
        PANIC("conf/replies.table:%u: " SLICE_FMT, line, SLICE_ARG(buf_slice(&why)));
    }
    buf_fini(&why);
}
