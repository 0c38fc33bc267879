/* Text files line by line, plain or gzip (told by their first bytes), whole or a part of a larger
 * file, in the memory of a buffer and the longest line: for files that need not be in memory at
 * once. */
#ifndef FOLDMILL_BASE_LINES_H
#define FOLDMILL_BASE_LINES_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

struct lines {
    struct arena *arena;
    const char *path;
    const char *text; /* the buffer, or a text in memory; begin to end was not taken yet */
    char *buffer;     /* [capacity] */
    size_t capacity, begin, end;
    size_t bytes, bytes_max;     /* unpacked so far, and at most */
    uint64_t left;               /* bytes of the file that are still to be read */
    int fd;                      /* -1: a text in memory */
    struct lines_packed *packed; /* NULL: plain */
    bool ended;                  /* the buffer holds all that is left */
};

/* Opens the file at path, or `length` bytes of it from `offset` (length UINT64_MAX: to its end).
 * Buffers lie in arena; path must stay. Close it also after errors of lines_next. Errors name the
 * path. STATUS_IO: cannot be opened or read; STATUS_LIMIT: no memory. */
enum status lines_open(struct lines *lines, const char *path, uint64_t offset, uint64_t length,
                       size_t bytes_max, struct arena *arena, struct error *err);

/* The lines of a text in memory; needs no close, and lines_next cannot fail. */
void lines_open_text(struct lines *lines, struct span text);

/* The next line without its "\n" or "\r\n", good until the next call. STATUS_EMPTY: no more.
 * STATUS_IO; STATUS_CORRUPT: broken or truncated gzip; STATUS_LIMIT: more than bytes_max unpacked
 * bytes, or no memory for a line. */
enum status lines_next(struct lines *lines, struct span *line, struct error *err);

/* All that was read and not taken yet, and more of the file if that is nothing, whatever lines it
 * holds; good until the next call. Status as lines_next. */
enum status lines_piece(struct lines *lines, struct span *piece, struct error *err);

void lines_close(struct lines *lines);

#endif
