/* The delivery journal of one rank of a line in the order overtake: which positions each of its
 * steps took. RUN/SINK.order.RANK.tsv, a row a step: the step, and the seqs, ascending, as ranges
 * ("0-5,7-8"). Rows are written before their step is made and synced with its checkpoint, so that
 * steps can be made again, resumed and audited as they were; rows behind the checkpoint say what
 * the steps that are made again take. */
#ifndef FOLDMILL_DELIVERY_H
#define FOLDMILL_DELIVERY_H

#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

enum {
    DELIVERY_RANKS_MAX = 64,
    DELIVERY_TAKEN_MAX = 4096, /* positions of one row */
    DELIVERY_NOTE_BYTES = 24,  /* what a checkpoint keeps: steps, bytes and digest, little-endian */
};
#define DELIVERY_BYTES_MAX ((size_t)4 << 30)

struct delivery;

/* RUN/SINK.order.RANK.tsv in buffer (PATH_MAX bytes), which is returned. */
char *delivery_path(const char *run_dir, const char *sink, uint32_t rank, char *buffer);

/* Reads the journal at path: the rows from step 0 on, up to the first that is torn or no row.
 * write: to be written too, made if it is not there; else STATUS_MISS when there is none.
 * STATUS_IO, STATUS_LIMIT. */
enum status delivery_open(struct delivery **delivery, const char *path, bool write,
                          struct error *err);
void delivery_close(struct delivery *delivery);

uint64_t delivery_steps(const struct delivery *delivery);
/* The seqs of a step, ascending, and how many (at most DELIVERY_TAKEN_MAX); 0: there is no row. */
uint32_t delivery_read(const struct delivery *delivery, uint64_t step,
                       uint64_t seqs[DELIVERY_TAKEN_MAX]);

/* Notes what the step takes, ascending: in place of another row of it and of all that follow. The
 * step is at most one beyond the last. Status: STATUS_IO, STATUS_FULL. */
enum status delivery_write(struct delivery *delivery, uint64_t step, const uint64_t *seqs,
                           uint32_t count, struct error *err);

/* Makes the rows of steps below `steps` durable; note is what their checkpoint keeps. */
enum status delivery_sync(struct delivery *delivery, uint64_t steps,
                          unsigned char note[DELIVERY_NOTE_BYTES], struct error *err);
/* STATUS_CORRUPT: the journal does not begin with the rows that the note is of. */
enum status delivery_check(const struct delivery *delivery, struct span note, struct error *err);

/* Forgets the rows from step `steps` on. */
enum status delivery_cut(struct delivery *delivery, uint64_t steps, struct error *err);

/* The journals of all ranks that a run has had, to read. */
struct deliveries {
    struct delivery *of[DELIVERY_RANKS_MAX]; /* NULL: there is none */
};
enum status deliveries_open(struct deliveries *all, const char *run_dir, const char *sink,
                            struct error *err);
void deliveries_close(struct deliveries *all);
/* What a step took, rank by rank, into seqs[max]; returns how many, more than max if there are. */
uint64_t deliveries_read(const struct deliveries *all, uint64_t step, uint64_t *seqs, uint64_t max);

#endif
