/*
 * libcheck.h - no second libcrypto in this process.
 *
 * BoringSSL and OpenSSL export the same symbols, and the dynamic linker mixes them without
 * a word; the process then crashes much later, inside an innocent function.  So it is
 * refused at the start, and by tests/check_libcrypto.sh at build time.
 */
#ifndef VOLLEY_TLS_LIBCHECK_H
#define VOLLEY_TLS_LIBCHECK_H

#include "engine/base/buf.h"

/* 0, or ERR_EXISTS with a text that names the file and the cure appended to *error. */
int tls_libcrypto_check(struct buf *error);

#endif
