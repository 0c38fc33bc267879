/* The sum of one flat buffer over the ranks of a node, through shared memory. Rank r adds slice r
 * of all ranks, in the order of the ranks, so that the result is the same bits on every rank and
 * in every run. A rank that dies or does not come makes the others fail with its number, and the
 * group is of no use afterwards. One rank alone: nothing is shared, nothing happens.
 *
 * The shared memory is a file whose path all ranks know, best on /dev/shm or in the run's
 * directory on it; rank 0 makes it, and removes the name as soon as all have come. */
#ifndef FOLDMILL_KERNELS_COMM_H
#define FOLDMILL_KERNELS_COMM_H

#include "kernels/backend.h"

enum { COMM_RANKS_MAX = 64, COMM_EXTRA_MAX = 64 };

struct comm;

/* Joins the group `token` (a number of this run and start, so that a file left by another is not
 * taken for ours) as rank of ranks, for buffers of up to bytes bytes. Waits until all have come.
 * STATUS_IO: the file; STATUS_BUSY: not all came within timeout_ms; STATUS_INVALID: numbers out of
 * range, or the ranks do not agree on them. */
enum status comm_open(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                      int timeout_ms, struct comm **comm, struct error *err);
void comm_close(struct comm *comm);

int comm_rank(const struct comm *comm);
int comm_ranks(const struct comm *comm);

/* data[count] (reals in backend memory) and extra[extra_count] (doubles on the host: losses,
 * numbers of samples) become their sums over the ranks. All ranks call it with the same counts.
 * STATUS_BUSY: a rank has exited or did not come in time; data may then be half done. */
enum status comm_sum(struct comm *comm, struct backend *backend, void *data, int64_t count,
                     double *extra, int extra_count, struct error *err);

/* Waits until all ranks are here. */
enum status comm_barrier(struct comm *comm, struct error *err);

#endif
