/* What a person sees while a run goes on: a table redrawn in place on a terminal, or a few plain
 * lines every so often elsewhere. Lines of the log appear above the table. */
#ifndef FOLDMILL_PROGRESS_H
#define FOLDMILL_PROGRESS_H

#include "engine/base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PROGRESS_ROWS_MAX = 64,
    PROGRESS_DRAW_MS = 250,  /* between two pictures on a terminal */
    PROGRESS_LINE_MS = 5000, /* between two sets of plain lines */
};

/* A row of the table: a stage, or a sink with what it has to say. */
struct progress_row {
    const char *name;
    int workers;          /* processes that are running, shown as "x4" */
    uint64_t done, total; /* total 0: unknown */
    double rate;          /* done per second, lately */
    int64_t queue;        /* samples waiting for it */
    char note[160];       /* what it waits for; of a sink step, loss, ... */
};

struct progress {
    int fd;
    bool terminal, quiet;
    int lines; /* of the table that stands on the screen */
    int64_t drawn_ms;
};

/* fd: where to write (2). quiet: nothing at all but what progress_line is given. */
void progress_open(struct progress *progress, int fd, bool quiet);

/* True when it is time for the next progress_draw. */
bool progress_due(const struct progress *progress, int64_t now_ms);

/* Shows the rows; title is the first line. */
void progress_draw(struct progress *progress, const char *title, const struct progress_row *rows,
                   int count, int64_t now_ms);

/* A line for the person, above the table. */
void progress_line(struct progress *progress, struct span line);

/* Takes the table off the screen. */
void progress_clear(struct progress *progress);

#endif
