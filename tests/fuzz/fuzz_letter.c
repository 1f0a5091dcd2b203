/* modules: message base */
/*
 * fuzz_letter.c - any bytes as a letter, with values from the same bytes: refused with a line
 * number, or what comes out may be sent and its two forms agree.
 */
#include "tests/unit/message/letters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The input: options, a value, NUL, the letter. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_of((const char *)data, len);

    if (len < 2) {
        return 0;
    }
    struct letter_options options = {.literal = (data[0] & 1) != 0,
                                     .strict = (data[0] & 2) != 0,
                                     .seven_bit = (data[0] & 4) != 0};
    struct slice value = slice_of(in.ptr + 1, slice_find(slice_from(in, 1), '\0'));
    struct slice text = slice_from(in, value.len + 2);
    struct letter_value item[] = {{SLICE("a"), value}, {SLICE("name"), value}, {SLICE("b"), value}};
    struct letter_values values = {.to = SLICE("anna@example.com"),
                                   .id = value,
                                   .campaign = value,
                                   .item = item,
                                   .item_count = 3};
    struct buf error = BUF_EMPTY;
    struct letter *letter;
    struct letter_copy copy;

    if (letter_compile(text, &options, &letter, &error) != 0) {
        ASSERT(slice_starts(buf_slice(&error), SLICE("line ")));
        buf_fini(&error);
        return 0;
    }
    letter_copy_init(&copy);
    if (letter_render(letter, &values, &copy, &error) == 0) {
        const char *fault = copy_fault(&copy);
        if (fault != NULL) {
            PANIC("%s", fault);
        }
        if (options.seven_bit) {
            ASSERT(!letter_needs_8bit(letter));
        }
    }
    letter_copy_fini(&copy);
    letter_unref(letter);
    buf_fini(&error);
    return 0;
}
