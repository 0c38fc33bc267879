/* The ranks of a sink: processes of one host that make the same steps, each from its own share of
 * every batch. Between making their batches and feeding them they agree that all have the step, or
 * that none makes it; and each tells the others what its share holds, so that rank 0 writes the
 * run's tables of whole steps. One rank alone agrees with itself. Part of the sink's process. */
#ifndef FOLDMILL_RANKS_H
#define FOLDMILL_RANKS_H

#include "engine/base/meet.h"
#include "engine/sink_process.h"

enum {
    RANKS_PATH_MAX = 64,
    RANKS_OPEN_MS = 60000,  /* longest wait for the others at the start */
    RANKS_PLACE_MAX = 255,  /* letters of the text that says where each rank is */
    RANKS_LISTEN_MS = 5000, /* for the address of the meeting to become free */
    RANKS_LIMIT_MS = 30000, /* a rank may be late by this, or five times the longest step so far */
};

/* Where the ranks of a line meet while they open: rank 0 makes the file and removes its name. The
 * agent removes what a killed one left. Returns path. */
char *ranks_path(const struct job *job, int line, char path[RANKS_PATH_MAX]);

/* Joins the others of this generation; what a stage asked for (terms.meet_bytes) comes behind the
 * engine's own part of the regions. Status as meet_open. */
enum status ranks_open(struct sink_process *process, uint32_t gen, struct error *err);

/* All go on from the same step, or STATUS_BUSY. */
enum status ranks_begin(struct sink_process *process, uint64_t step, struct error *err);

/* has: this rank has batch, whose samples' digests are digests[batch->count], and record->last is
 * the one of them that came last. *all is true when every rank has; then record is that of the
 * step of all ranks. STATUS_BUSY: a rank has failed. */
enum status ranks_agree(struct sink_process *process, bool has, const struct sink_batch *batch,
                        const uint64_t *digests, struct step_record *record, bool *all,
                        struct error *err);

/* Waits until all have come so far (the end). */
enum status ranks_meet(struct sink_process *process, struct error *err);

#endif
