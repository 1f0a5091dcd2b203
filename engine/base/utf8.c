/*
 * utf8.c - is it UTF-8?
 */
#include "engine/base/utf8.h"

static bool continues(struct slice s, size_t at)
{
    return at < s.len && ((unsigned char)s.ptr[at] & 0xc0) == 0x80;
}

size_t utf8_valid_prefix(struct slice s)
{
    if (s.len == 0) {
        return 0;
    }
    unsigned char first = (unsigned char)s.ptr[0];
    unsigned char second = s.len > 1 ? (unsigned char)s.ptr[1] : 0;

    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return continues(s, 1) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef) {
        bool overlong = first == 0xe0 && second < 0xa0;
        bool surrogate = first == 0xed && second > 0x9f;
        return !overlong && !surrogate && continues(s, 1) && continues(s, 2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        bool overlong = first == 0xf0 && second < 0x90;
        bool beyond = first == 0xf4 && second > 0x8f;
        return !overlong && !beyond && continues(s, 1) && continues(s, 2) && continues(s, 3) ? 4
                                                                                             : 0;
    }
    return 0;
}

bool utf8_valid(struct slice s)
{
    while (s.len > 0) {
        size_t len = utf8_valid_prefix(s);
        if (len == 0) {
            return false;
        }
        s = slice_of(s.ptr + len, s.len - len);
    }
    return true;
}

bool utf8_is_ascii(struct slice s)
{
    unsigned char seen = 0;

    for (size_t i = 0; i < s.len; i++) {
        seen |= (unsigned char)s.ptr[i];
    }
    return seen < 0x80;
}
