/* modules: smtp base */
/*
 * fuzz_words.c - any bytes as a table of words, and as a reply that is read by it.
 *
 * The first line is the reply, what follows the table.
 */
#include "engine/base/panic.h"
#include "engine/smtp/words.h"

#include <stddef.h>
#include <stdint.h>

static void judge(const struct smtp_words *w, struct slice text, uint16_t code,
                  enum smtp_stage stage)
{
    struct smtp_fact fact = {
        .cause = SMTP_CAUSE_REPLY, .stage = stage, .code = code, .position = SMTP_POS_TAKEN};
    struct smtp_verdict v = smtp_words_verdict(w, &fact, text);

    ASSERT(v.outcome != SMTP_ACCEPTED && v.outcome != SMTP_AMBIGUOUS);
    ASSERT(v.retry_us >= 0 && v.retry_us <= SMTP_WORDS_RETRY_US);
    ASSERT(!v.later || v.outcome == SMTP_DEFERRED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size), text = SLICE_NONE, line;
    struct smtp_words *w = smtp_words_new();
    struct buf why = BUF_EMPTY;
    unsigned number;

    if (!slice_next(&rest, '\n', &text)) {
        text = SLICE_NONE;
    }
    while (slice_next(&rest, '\n', &line)) { /* one by one: an error does not end it */
        (void)smtp_words_add(w, line, &number, &why);
    }
    judge(w, text, 450, SMTP_STAGE_RCPT);
    judge(w, text, 554, SMTP_STAGE_DOT);
    judge(w, text, 421, SMTP_STAGE_BANNER);
    buf_fini(&why);
    smtp_words_free(w);
    return 0;
}
