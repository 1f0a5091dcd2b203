/*
 * idna.c - U-labels to A-labels and back, by libidn2.
 *
 * Almost every domain is plain ASCII and never reaches the library.
 */
#include "engine/dns/idna.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "engine/dns/packet.h"

#include <idn2.h>

enum { IDNA_INPUT_MAX = 1024 };

static int ascii_put(struct slice domain, struct buf *out)
{
    if (domain.len > 0 && domain.ptr[domain.len - 1] == '.') {
        domain.len--;
    }
    if (!dns_name_valid(domain)) {
        return ERR_INVALID;
    }
    buf_reserve(out, domain.len);
    slice_lower(out->ptr + out->len, domain);
    out->len += domain.len;
    return 0;
}

int idna_to_ascii(struct slice domain, struct buf *out)
{
    uint8_t *ascii = NULL;
    char *text;
    int rc, err = ERR_INVALID;

    if (utf8_is_ascii(domain)) {
        return ascii_put(domain, out);
    }
    if (domain.len > IDNA_INPUT_MAX || !utf8_valid(domain) ||
        slice_find(domain, '\0') < domain.len) {
        return ERR_INVALID;
    }
    text = slice_dup(domain);
    rc = idn2_lookup_u8((const uint8_t *)text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (rc == IDN2_OK) {
        err = ascii_put(slice_cstr((const char *)ascii), out);
        idn2_free(ascii);
    }
    mem_free(text);
    return err;
}

int idna_to_unicode(struct slice domain, struct buf *out)
{
    char *text, *unicode = NULL;
    int err = ERR_INVALID;

    if (!utf8_is_ascii(domain) || !dns_name_valid(domain)) {
        return ERR_INVALID;
    }
    text = slice_dup(domain);
    slice_lower(text, domain);
    if (idn2_to_unicode_8z8z(text, &unicode, 0) == IDN2_OK) {
        buf_puts(out, slice_cstr(unicode));
        idn2_free(unicode);
        err = 0;
    }
    mem_free(text);
    return err;
}
