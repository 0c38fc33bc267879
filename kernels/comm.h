/* Sums over ranks, for a model of which every rank holds a replica. One table of functions a way of
 * travel (`none`: one rank alone; `meeting`: over the regions of engine/base/meet.h, on one host or
 * several), so that the trainer is the same for all. Sums are taken in the order of the ranks in
 * fixed buckets: the same bits on every rank and in every run, and on however many hosts. When a
 * rank fails, all calls fail with its number, and the ranks have to be started again. */
#ifndef FOLDMILL_KERNELS_COMM_H
#define FOLDMILL_KERNELS_COMM_H

#include "engine/base/meet.h"
#include "kernels/backend.h"

enum {
    COMM_RANKS_MAX = MEET_MAX,
    COMM_SHARE_MAX = 512,        /* bytes that a rank may share at once */
    COMM_EXTRA_MAX = COMM_SHARE_MAX / 8 - 1,
    COMM_BUCKET_BYTES = 1 << 20, /* of a region that has room for whole buckets */
};
/* Bytes of a rank's region that comm_open is best given: three buckets and what is shared. */
#define COMM_REGION_BYTES ((size_t)3 * COMM_BUCKET_BYTES + 2 * COMM_SHARE_MAX)

struct comm;

/* Over the members of the meeting, with bytes [from, from + bytes) of their regions, 64-byte
 * aligned; all ranks give the same. NULL: one rank alone. Neither waits nor fails. */
struct comm *comm_open(struct meet *meet, size_t from, size_t bytes);
void comm_close(struct comm *comm);

int comm_rank(const struct comm *comm);
int comm_ranks(const struct comm *comm);

/* data[count] (reals in backend memory) and extra[extra_count] (doubles on the host: losses,
 * numbers of samples) become their sums over the ranks. All ranks call it with the same counts.
 * STATUS_BUSY: as meet_wait; data may then be half done. */
enum status comm_sum(struct comm *comm, struct backend *backend, void *data, int64_t count,
                     double *extra, int extra_count, struct error *err);

/* own[bytes] of each rank, in order, into all[ranks * bytes]; at most COMM_SHARE_MAX bytes. */
enum status comm_share(struct comm *comm, const void *own, size_t bytes, void *all,
                       struct error *err);

/* This rank cannot go on: the others' calls fail with its number. */
void comm_break(struct comm *comm);

#endif
