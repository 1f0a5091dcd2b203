/* modules: smtp base */
/*
 * fuzz_ehlo.c - any text is an EHLO reply of some kind, and what is ignored stays out.
 */
#include "engine/base/panic.h"
#include "engine/smtp/ehlo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_ehlo all, some;
    uint32_t ignore = size > 0 ? data[0] : 0;
    struct slice text = slice_of((const char *)data + (size > 0), size - (size > 0));
    struct slice name = smtp_ehlo_name(text);

    smtp_ehlo_parse(&all, text, 0);
    smtp_ehlo_parse(&some, text, ignore);
    ASSERT(some.ext == (all.ext & ~ignore));
    ASSERT(all.auth == 0 || (all.ext & SMTP_EXT_AUTH) != 0);
    ASSERT(all.size_max == 0 || (all.ext & SMTP_EXT_SIZE) != 0);
    ASSERT(all.rcpt_max == 0 || (all.ext & SMTP_EXT_LIMITS) != 0);
    ASSERT(slice_find(name, ' ') == name.len && slice_find(name, '\n') == name.len);
    return 0;
}
