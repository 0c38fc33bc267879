/* Sums over the ranks; see comm.h. In a meeting rank r adds slice r of all ranks, so a rank's slice
 * r is said to be for r, and the sums for all. Two buckets and two places for what is shared take
 * turns, so that one barrier tells both "all have written this" and "all have read the one
 * before". */
#include "kernels/comm.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

struct comm_kind {
    enum status (*sum)(struct comm *comm, struct backend *backend, char *data, int64_t count,
                       struct error *err);
    enum status (*share)(struct comm *comm, const void *own, size_t bytes, void *all,
                         struct error *err);
};

struct comm {
    const struct comm_kind *kind;
    struct meet *meet;
    size_t from, bucket; /* of a member's region */
    unsigned turn, share_turn;
};

/* ---- none ---- */

static enum status none_sum(struct comm *comm, struct backend *backend, char *data, int64_t count,
                            struct error *err)
{
    (void)comm, (void)backend, (void)data, (void)count, (void)err;
    return STATUS_OK;
}

static enum status none_share(struct comm *comm, const void *own, size_t bytes, void *all,
                              struct error *err)
{
    (void)comm, (void)err;
    memcpy(all, own, bytes);
    return STATUS_OK;
}

static const struct comm_kind none = {none_sum, none_share};

/* ---- meeting ---- */

static char *place_of(const struct comm *comm, int rank, size_t at)
{
    return (char *)meet_region(comm->meet, rank) + comm->from + at;
}

static size_t bucket_at(const struct comm *comm)
{
    return 2 * COMM_SHARE_MAX + comm->bucket * (comm->turn & 1);
}

static char *bucket_of(const struct comm *comm, int rank)
{
    return place_of(comm, rank, bucket_at(comm));
}

static enum status share_all(struct comm *comm, const void *own, size_t bytes, void *all,
                             struct error *err)
{
    size_t at = COMM_SHARE_MAX * (comm->share_turn++ & 1);
    memcpy(place_of(comm, meet_rank(comm->meet), at), own, bytes);
    meet_wrote(comm->meet, meet_rank(comm->meet), comm->from + at, bytes, MEET_ALL);
    enum status status = meet_wait(comm->meet, NULL, NULL, err);
    for (int r = 0; r < meet_ranks(comm->meet) && status == STATUS_OK; r++)
        memcpy((char *)all + (size_t)r * bytes, place_of(comm, r, at), bytes);
    return status;
}

/* Elements [first, end) of rank 0's bucket become the sum of those of all ranks, in their order. */
static void sum_float(const struct comm *comm, int64_t first, int64_t end)
{
    float *restrict to = (void *)bucket_of(comm, 0);
    for (int r = 1; r < meet_ranks(comm->meet); r++) {
        const float *restrict from = (const void *)bucket_of(comm, r);
        for (int64_t i = first; i < end; i++)
            to[i] += from[i];
    }
}

static void sum_double(const struct comm *comm, int64_t first, int64_t end)
{
    double *restrict to = (void *)bucket_of(comm, 0);
    for (int r = 1; r < meet_ranks(comm->meet); r++) {
        const double *restrict from = (const void *)bucket_of(comm, r);
        for (int64_t i = first; i < end; i++)
            to[i] += from[i];
    }
}

/* Elements that rank adds, of a bucket's count: [first, end). */
static void slice_of(const struct comm *comm, int64_t count, int rank, int64_t *first, int64_t *end)
{
    *first = count * rank / meet_ranks(comm->meet);
    *end = count * (rank + 1) / meet_ranks(comm->meet);
}

/* This rank's bucket, or (to MEET_ALL) its slice of the sums in that of rank 0, has been written.
 */
static void wrote_slice(const struct comm *comm, int64_t count, size_t size, int slice, int to)
{
    int64_t first, end;
    slice_of(comm, count, slice, &first, &end);
    meet_wrote(comm->meet, to == MEET_ALL ? 0 : meet_rank(comm->meet),
               comm->from + bucket_at(comm) + (size_t)first * size, (size_t)(end - first) * size,
               to);
}

static enum status sum_bucket(struct comm *comm, struct backend *backend, char *data, int64_t count,
                              struct error *err)
{
    int rank = meet_rank(comm->meet);
    int64_t first, end;
    size_t size = tensor_kind_bytes(backend->real), bytes = (size_t)count * size;
    backend->copy_out(backend, bucket_of(comm, rank), data, bytes);
    for (int r = 0; r < meet_ranks(comm->meet); r++)
        wrote_slice(comm, count, size, r, r);
    enum status status = meet_wait(comm->meet, NULL, NULL, err);
    if (status != STATUS_OK)
        return status;
    slice_of(comm, count, rank, &first, &end);
    if (backend->real == TENSOR_F32)
        sum_float(comm, first, end);
    else
        sum_double(comm, first, end);
    wrote_slice(comm, count, size, rank, MEET_ALL);
    status = meet_wait(comm->meet, NULL, NULL, err);
    if (status == STATUS_OK)
        backend->copy_in(backend, data, bucket_of(comm, 0), bytes);
    comm->turn++;
    return status;
}

static enum status sum_all(struct comm *comm, struct backend *backend, char *data, int64_t count,
                           struct error *err)
{
    size_t size = tensor_kind_bytes(backend->real);
    int64_t most = (int64_t)(comm->bucket / size);
    enum status status = STATUS_OK;
    for (int64_t at = 0; at < count && status == STATUS_OK; at += most)
        status = sum_bucket(comm, backend, data + (size_t)at * size,
                            count - at < most ? count - at : most, err);
    return status;
}

static const struct comm_kind meeting = {sum_all, share_all};

/* ---- both ---- */

struct comm *comm_open(struct meet *meet, size_t from, size_t bytes)
{
    struct comm *comm = calloc(1, sizeof *comm);
    ASSERT(comm);
    comm->kind = meet && meet_ranks(meet) > 1 ? &meeting : &none;
    if (comm->kind == &none)
        return comm;
    ASSERT(from % ALIGN == 0 && bytes > 2 * COMM_SHARE_MAX + 2 * ALIGN &&
           from + bytes <= meet_bytes(meet));
    comm->meet = meet;
    comm->from = from;
    comm->bucket = (bytes - 2 * COMM_SHARE_MAX) / 2 / ALIGN * ALIGN;
    return comm;
}

void comm_close(struct comm *comm)
{
    free(comm);
}

void comm_break(struct comm *comm)
{
    if (comm->meet)
        meet_break(comm->meet);
}

int comm_rank(const struct comm *comm)
{
    return comm->meet ? meet_rank(comm->meet) : 0;
}

int comm_ranks(const struct comm *comm)
{
    return comm->meet ? meet_ranks(comm->meet) : 1;
}

enum status comm_share(struct comm *comm, const void *own, size_t bytes, void *all,
                       struct error *err)
{
    ASSERT_INT(bytes, <=, COMM_SHARE_MAX);
    return comm->kind->share(comm, own, bytes, all, err);
}

enum status comm_sum(struct comm *comm, struct backend *backend, void *data, int64_t count,
                     double *extra, int extra_count, struct error *err)
{
    ASSERT(extra_count >= 0 && extra_count <= COMM_EXTRA_MAX);
    size_t words = (size_t)extra_count + 1;
    double own[COMM_EXTRA_MAX + 1], all[COMM_RANKS_MAX * (COMM_EXTRA_MAX + 1)];
    own[0] = (double)count;
    if (extra_count)
        memcpy(own + 1, extra, (size_t)extra_count * sizeof *extra);
    enum status status = comm_share(comm, own, words * sizeof *own, all, err);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < extra_count; i++) {
        extra[i] = 0;
        for (int r = 0; r < comm_ranks(comm); r++)
            extra[i] += all[(size_t)r * words + 1 + (size_t)i];
    }
    for (int r = 0; r < comm_ranks(comm); r++)
        ASSERT((int64_t)all[(size_t)r * words] == count);
    return comm->kind->sum(comm, backend, data, count, err);
}
