/*
 * test_libcheck.c - a second libcrypto in the process is seen and named.
 */
#include "engine/base/err.h"
#include "engine/tls/libcheck.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <string.h>

static void test_alone(void **state)
{
    struct buf error = BUF_EMPTY;

    (void)state;
    assert_int_equal(tls_libcrypto_check(&error), 0);
    assert_int_equal(error.len, 0);
    buf_fini(&error);
}

/* As a plugin or a library of somebody else's would bring it in. */
static void test_second(void **state)
{
    static const char *const names[] = {"libcrypto.so.3", "libssl.so.3", "libcrypto.so.1.1"};
    struct buf error = BUF_EMPTY;
    void *library = NULL;
    const char *name = NULL;

    (void)state;
    for (size_t i = 0; library == NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        name = names[i];
        library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    }
    if (library == NULL) {
        print_message("not run: no OpenSSL here that could come in (%s)\n", dlerror());
        skip();
    }
    assert_int_equal(tls_libcrypto_check(&error), ERR_EXISTS);
    buf_terminate(&error);
    assert_non_null(strstr(error.ptr, "/lib"));
    assert_non_null(strstr(error.ptr, "LD_PRELOAD"));
    print_message("%s\n", error.ptr);
    dlclose(library);
    buf_fini(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alone), cmocka_unit_test(test_second)};

    return cmocka_run_group_tests_name("tls/libcheck", tests, NULL, NULL);
}
