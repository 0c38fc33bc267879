/* Errors, in three classes. (1) The outside is wrong: a function returns an enum status and fills
 * a struct error whose text says what was wanted, what was found, and where. (2) We are wrong:
 * ASSERT prints the values and aborts, on in release too; the supervisor restarts the process.
 * (3) The device is wrong: see kernels/cuda. Part of engine/base: every room may use it. */
#ifndef FOLDMILL_BASE_ERROR_H
#define FOLDMILL_BASE_ERROR_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

enum status {
    STATUS_OK,
    STATUS_EMPTY,   /* nothing to give for this item: a filter dropped it, or the end was reached */
    STATUS_REFUSED, /* the input itself is unusable, for ever; the text is the reason */
    STATUS_MISS,    /* the key is not in the store (yet) */
    STATUS_INVALID, /* malformed input: graph, frame, record, argument */
    STATUS_CORRUPT, /* a checksum or a structure check failed */
    STATUS_IO,      /* the operating system said no; the text carries strerror */
    STATUS_FULL,    /* disk, map or queue is full */
    STATUS_LIMIT,   /* a stated limit was exceeded */
    STATUS_BUSY,    /* somebody else holds it, or try again later */
    STATUS_COUNT
};

enum { ERROR_TEXT_MAX = 1024 };

struct error {
    enum status status;
    char text[ERROR_TEXT_MAX];
};

/* Fills err (may be NULL) with a formatted text and returns status, so that callers can write
 * `return error_set(err, STATUS_INVALID, "...")`. Control characters are replaced by '?'. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the text of err, keeping its status, which is returned. */
enum status error_prefix(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A status in one lower-case word, for logs: "refused". */
const char *status_name(enum status status);

/* Prints "file:line: message" to standard error and aborts. */
__attribute__((noreturn)) void assert_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A programmer's error: aborts, in release too. */
#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            assert_fail(__FILE__, __LINE__, "assertion failed: %s", #condition);                   \
    } while (0)

/* Compares two integers and prints both when the comparison fails: ASSERT_INT(n, <=, limit). */
#define ASSERT_INT(a, op, b)                                                                       \
    do {                                                                                           \
        long long assert_a_ = (long long)(a), assert_b_ = (long long)(b);                          \
        if (__builtin_expect(!(assert_a_ op assert_b_), 0))                                        \
            assert_fail(__FILE__, __LINE__, "assertion failed: %s %s %s (%lld, %lld)", #a, #op,    \
                        #b, assert_a_, assert_b_);                                                 \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
