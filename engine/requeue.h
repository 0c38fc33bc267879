/* Takes a sample out of quarantine: what was set aside after three strikes, in every line, and what
 * a stage refused, in every store that the graph fills. */
#ifndef FOLDMILL_REQUEUE_H
#define FOLDMILL_REQUEUE_H

#include "engine/ledger.h"

#include <stdio.h>

/* What was done in each line of the graph. */
struct requeued {
    uint32_t aside[GRAPH_LINES_MAX]; /* positions of it that were set aside */
    bool refused[GRAPH_LINES_MAX];   /* a store's refusal is taken back */
    bool fills[GRAPH_LINES_MAX];
    bool any;
};

/* Durable when it returns. STATUS_MISS: nothing holds the sample back; STATUS_INVALID: no line has
 * such a sample. */
enum status requeue(const struct job *job, struct ledger *ledger, const char *key,
                    struct requeued *requeued, struct error *err);

/* The same for a run that no engine runs; its lock is held meanwhile. STATUS_BUSY: one does. */
enum status requeue_stopped(struct job *job, const char *key, struct requeued *requeued,
                            struct error *err);

/* What was done, in words. */
void requeue_print(const struct job *job, const struct requeued *requeued, FILE *out);

#endif
