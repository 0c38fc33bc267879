/* The table that people compare runs by, computed from a run's own files: a step table (train.tsv)
 * and metrics.tsv. Every figure is therefore one that anybody can compute again. */
#ifndef FOLDMILL_SUMMARY_H
#define FOLDMILL_SUMMARY_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

enum { SUMMARY_EPOCHS_MAX = 1000000, SUMMARY_TABLE_BYTES_MAX = 1 << 30, SUMMARY_FIRST_STEPS = 10 };

/* What the rows of a step table say. Times are seconds. */
struct step_figures {
    uint64_t steps, epochs;      /* rows; epochs that began */
    double computed, waited;     /* sums */
    double per_step;             /* mean of computed + waited */
    double per_epoch;            /* mean over whole epochs; all steps when none is whole */
    double epoch_start;          /* mean wait of the first step of each epoch */
    double second_epoch_start;   /* mean wait of the first ten steps of the second epoch */
    double elsewhere;            /* mean wait of all steps but those and the run's first one */
    uint64_t second_epoch_steps; /* 0: there was no second epoch */
};

/* Reads a table written with the columns "step", "epoch", "waited_s" and "computed_s" among others.
 * STATUS_CORRUPT: a row is not of that form, with its line number. */
enum status summary_steps(struct span table, struct step_figures *figures, struct error *err);

/* Mean over the rows of the column of that name, -1 when there is none. */
double summary_mean(struct span table, const char *column);

/* "  name .......... value" lines for the figures, into arena. */
char *summary_text(struct arena *arena, const char *sink, const struct step_figures *figures);

#endif
