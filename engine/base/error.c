/* Error texts and assertions; see error.h. */
#include "engine/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Input reaches error texts (names, lines of files): keep terminals safe from it. */
static void text_clean(char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\n') || *text == 0x7f)
            *text = '?';
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    if (!err)
        return status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    text_clean(err->text);
    err->status = status;
    return status;
}

enum status error_prefix(struct error *err, const char *format, ...)
{
    if (!err)
        return STATUS_INVALID;
    char prefix[ERROR_TEXT_MAX / 2], text[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    text_clean(prefix);
    memcpy(text, err->text, sizeof text);
    text[sizeof text - 1] = 0;
    snprintf(err->text, sizeof err->text, "%s: %.*s", prefix,
             (int)(sizeof err->text - strlen(prefix) - 3), text);
    return err->status;
}

const char *status_name(enum status status)
{
    static const char *const names[STATUS_COUNT] = {
        [STATUS_OK] = "ok",           [STATUS_EMPTY] = "empty",   [STATUS_REFUSED] = "refused",
        [STATUS_MISS] = "miss",       [STATUS_INVALID] = "invalid", [STATUS_CORRUPT] = "corrupt",
        [STATUS_IO] = "io",           [STATUS_FULL] = "full",     [STATUS_LIMIT] = "limit",
        [STATUS_BUSY] = "busy",
    };
    return (unsigned)status < STATUS_COUNT ? names[status] : "unknown";
}

void assert_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}
