/*
 * panic.h - stop on the impossible.
 *
 * ASSERT guards against errors of ours, never against input: a peer, a file or Redis must
 * not be able to reach one.  It stays on in release builds; the checks are cheap and a
 * process that continues with a broken invariant may lose mail, one that stops does not
 * (what it had claimed goes back to the queue).
 */
#ifndef VOLLEY_BASE_PANIC_H
#define VOLLEY_BASE_PANIC_H

#define PRINTF_LIKE(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))

/* Writes "panic: file:line: text" to standard error and aborts. */
_Noreturn void panic_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define PANIC(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

#define ASSERT(cond)                              \
    do {                                          \
        if (__builtin_expect(!(cond), 0)) {       \
            PANIC("assertion failed: %s", #cond); \
        }                                         \
    } while (0)

#endif
