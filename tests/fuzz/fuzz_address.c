/* modules: smtp base */
/*
 * fuzz_address.c - what passes as an address can not hurt the protocol.
 */
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/base/utf8.h"
#include "engine/smtp/address.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct slice text, const struct smtp_address *a)
{
    char domain[SMTP_DOMAIN_MAX + 1];
    struct smtp_address again;

    ASSERT(text.len <= SMTP_ADDRESS_MAX && utf8_valid(text));
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        ASSERT(c >= ' ' && c != 0x7f);
        ASSERT(a->quoted || (c != ' ' && c != '<' && c != '>' && c != '"'));
    }
    ASSERT(a->local.len + 1 + a->domain.len == text.len);
    ASSERT(text.ptr[a->local.len] == '@');
    ASSERT(a->local.len > 0 && a->local.len <= SMTP_LOCAL_MAX && a->domain.len > 0);
    ASSERT(a->utf8_local || utf8_is_ascii(a->local));
    ASSERT(a->utf8_domain || utf8_is_ascii(a->domain));

    /* The domain in lower case is the same domain, and stays as it is. */
    struct slice lower = smtp_address_domain(a, domain);
    ASSERT(slice_ieq(lower, a->domain) && strlen(domain) == lower.len);
    ASSERT(smtp_domain_parse(lower, &again, NULL) == 0 && again.kind == a->kind);
    ASSERT(memcmp(again.ip, a->ip, sizeof(a->ip)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_dup(data, size);
    struct slice text = slice_of(copy, size);
    struct smtp_address a;
    const char *why = NULL;
    int err = smtp_address_parse(text, &a, &why);

    ASSERT(err == 0 || ((err == ERR_INVALID || err == ERR_LIMIT) && why != NULL));
    if (err == 0) {
        check(text, &a);
    }
    mem_free(copy);
    return 0;
}
