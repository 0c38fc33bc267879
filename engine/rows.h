/* Rows of a table that processes append to. On a full disk rows wait in memory, in order, until
 * they can be written: nothing is lost and nobody is held up who does not want to be. Rows are
 * written whole, so that a killed process leaves whole rows. */
#ifndef FOLDMILL_ROWS_H
#define FOLDMILL_ROWS_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { ROWS_WAITING_MAX = 64 << 20 }; /* bytes that wait; more are dropped, and said */

struct rows {
    int fd;     /* -1: closed */
    FILE *row;  /* the row that is being made */
    char *text; /* of it */
    size_t text_size;
    char *waiting;
    size_t waiting_size, waiting_room;
    uint64_t dropped; /* bytes */
};

/* Opens for appending. *headed: it has a first line already. STATUS_IO, STATUS_FULL. */
enum status rows_open(struct rows *rows, const char *path, bool *headed, struct error *err);
/* Adds to the row; rows_end ends it, with its newline in it. */
void rows_put(struct rows *rows, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rows_end(struct rows *rows);
/* Tries to write what waits; true when nothing does. */
bool rows_flush(struct rows *rows);
/* Also of rows that were never opened (fd 0 and row NULL) or are closed. */
void rows_close(struct rows *rows);

#endif
