/* See json.h. */
#include "stages/listing/json.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 1 << 16 };

/* *line is where the text stands. */
static enum status feed(yajl_handle parser, FILE *file, const void *user,
                        const char *(*wanted)(const void *user), int64_t *line, struct error *err)
{
    unsigned char block[BLOCK];
    for (;;) {
        size_t size = fread(block, 1, sizeof block, file);
        yajl_status status = size ? yajl_parse(parser, block, size) : yajl_complete_parse(parser);
        size_t used = status == yajl_status_ok ? size : yajl_get_bytes_consumed(parser);
        for (size_t i = 0; i < used && i < size; i++)
            *line += block[i] == '\n';
        const char *what = wanted(user);
        if (status == yajl_status_client_canceled)
            return err->status;
        if (status != yajl_status_ok)
            return error_set(err, STATUS_INVALID, "no JSON, or it ends too early: %s is wanted",
                             what ? what : "the end");
        if (size)
            continue;
        if (ferror(file))
            return error_set(err, STATUS_IO, "%s", strerror(errno));
        return STATUS_OK;
    }
}

enum status json_read(const char *path, const yajl_callbacks *events, void *user,
                      const char *(*wanted)(const void *user), struct error *err)
{
    int64_t line = 1;
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    yajl_handle parser = yajl_alloc(events, NULL, user);
    ASSERT(parser);
    enum status status = feed(parser, file, user, wanted, &line, err);
    yajl_free(parser);
    fclose(file);
    return status == STATUS_OK ? status : error_prefix(err, "%s: line %lld", path, (long long)line);
}
