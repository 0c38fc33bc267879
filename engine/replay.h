/* Makes one step's batch again, in this process: reads the head, runs the line's work stages and
 * its gather stage, and skips what the run's ledger says. The bytes are those of the run, because
 * everything random depends on (seed, epoch, position, stage) alone. */
#ifndef FOLDMILL_REPLAY_H
#define FOLDMILL_REPLAY_H

#include "engine/job.h"

struct replay {
    struct sample batch; /* lies in the arena */
    uint64_t digest, epoch, position;
    uint32_t recycles, samples, skipped; /* positions with a sample, and with weight 0 */
};

/* The line whose sink has that name; NULL: "train" if there is one, else the first ordered sink.
 * -1 with a text in err. */
int replay_line(const struct job *job, const char *sink, struct error *err);

/* STATUS_EMPTY: no sample of the step is left; STATUS_MISS: a record is not in the store. */
enum status replay_step(struct job *job, int line, uint64_t step, struct replay *replay,
                        struct arena *arena, struct error *err);

#endif
