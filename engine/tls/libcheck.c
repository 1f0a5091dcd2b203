/*
 * libcheck.c - no second libcrypto in this process.
 *
 * The objects that two functions known to BoringSSL alone live in (its libraries, or this
 * program when it is linked statically) are the ones we know; any other that is called libssl
 * or libcrypto is a stranger, however it came in (a library that needs it, a plugin,
 * LD_PRELOAD).
 */
#include "engine/tls/libcheck.h"

#include "engine/base/err.h"

#include <openssl/pool.h>
#include <openssl/ssl.h>

#include <link.h>
#include <string.h>

struct libcheck {
    uintptr_t ours[2]; /* an address in our libssl, one in our libcrypto */
    struct buf *error;
    bool found;
};

static bool object_holds(const struct dl_phdr_info *info, uintptr_t address)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = (uintptr_t)info->dlpi_addr + (uintptr_t)p->p_vaddr;

        if (p->p_type == PT_LOAD && address >= start && address - start < p->p_memsz) {
            return true;
        }
    }
    return false;
}

static int object_look(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct libcheck *check = arg;
    const char *path = info->dlpi_name != NULL ? info->dlpi_name : "";
    const char *slash = strrchr(path, '/');
    struct slice base = slice_cstr(slash != NULL ? slash + 1 : path);

    (void)size;
    if (!slice_starts(base, SLICE("libcrypto.so")) && !slice_starts(base, SLICE("libssl.so")) &&
        !slice_starts(base, SLICE("libcrypto-")) && !slice_starts(base, SLICE("libssl-"))) {
        return 0;
    }
    if (object_holds(info, check->ours[0]) || object_holds(info, check->ours[1])) {
        return 0;
    }
    check->found = true;
    buf_printf(check->error,
               "a second TLS library came into this process: %s. It and BoringSSL would call each "
               "other's functions and corrupt memory. Find what brings it in with ldd on the "
               "program, or look at LD_PRELOAD and at NSS modules in /etc/nsswitch.conf, and "
               "remove it or use a build of it without OpenSSL",
               path);
    return 1;
}

int tls_libcrypto_check(struct buf *error)
{
    struct libcheck check = {
        .ours = {(uintptr_t)&TLS_with_buffers_method, (uintptr_t)&CRYPTO_BUFFER_new},
        .error = error,
    };

    dl_iterate_phdr(object_look, &check);
    return check.found ? ERR_EXISTS : 0;
}
