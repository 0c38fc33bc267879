/* Sums over the ranks; see comm.h. In a meeting rank r adds slice r of all ranks, so a rank's slice
 * r is said to be for r, and the sums for all. Between two barriers a rank writes its next bucket,
 * adds its slice of the one before, and takes the sums of the one before that: three buckets take
 * turns, and what goes to other hosts is under way meanwhile. */
#include "kernels/comm.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, TURNS = 3 };

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

static size_t bucket_at(const struct comm *comm, unsigned turn)
{
    return 2 * COMM_SHARE_MAX + comm->bucket * (turn % TURNS);
}

static char *bucket_of(const struct comm *comm, int rank, unsigned turn)
{
    return place_of(comm, rank, bucket_at(comm, turn));
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
static void sum_float(const struct comm *comm, unsigned turn, int64_t first, int64_t end)
{
    float *restrict to = (void *)bucket_of(comm, 0, turn);
    for (int r = 1; r < meet_ranks(comm->meet); r++) {
        const float *restrict from = (const void *)bucket_of(comm, r, turn);
        for (int64_t i = first; i < end; i++)
            to[i] += from[i];
    }
}

static void sum_double(const struct comm *comm, unsigned turn, int64_t first, int64_t end)
{
    double *restrict to = (void *)bucket_of(comm, 0, turn);
    for (int r = 1; r < meet_ranks(comm->meet); r++) {
        const double *restrict from = (const void *)bucket_of(comm, r, turn);
        for (int64_t i = first; i < end; i++)
            to[i] += from[i];
    }
}

/* A bucket of data on its way. */
struct part {
    unsigned turn;
    int64_t count;
    char *data;
};

/* Elements of a part that rank adds: [first, end). */
static void slice_of(const struct comm *comm, const struct part *part, int rank, int64_t *first,
                     int64_t *end)
{
    *first = part->count * rank / meet_ranks(comm->meet);
    *end = part->count * (rank + 1) / meet_ranks(comm->meet);
}

/* A slice has been written: of this rank's bucket, or (to MEET_ALL) of the sums in that of rank 0.
 */
static void wrote_slice(const struct comm *comm, const struct part *part, size_t size, int slice,
                        int to)
{
    int64_t first, end;
    slice_of(comm, part, slice, &first, &end);
    meet_wrote(comm->meet, to == MEET_ALL ? 0 : meet_rank(comm->meet),
               comm->from + bucket_at(comm, part->turn) + (size_t)first * size,
               (size_t)(end - first) * size, to);
}

static void part_write(const struct comm *comm, struct backend *backend, const struct part *part)
{
    size_t size = tensor_kind_bytes(backend->real);
    backend->copy_out(backend, bucket_of(comm, meet_rank(comm->meet), part->turn), part->data,
                      (size_t)part->count * size);
    for (int r = 0; r < meet_ranks(comm->meet); r++)
        wrote_slice(comm, part, size, r, r);
}

static void part_add(const struct comm *comm, struct backend *backend, const struct part *part)
{
    int rank = meet_rank(comm->meet);
    int64_t first, end;
    slice_of(comm, part, rank, &first, &end);
    if (backend->real == TENSOR_F32)
        sum_float(comm, part->turn, first, end);
    else
        sum_double(comm, part->turn, first, end);
    wrote_slice(comm, part, tensor_kind_bytes(backend->real), rank, MEET_ALL);
}

static void part_take(const struct comm *comm, struct backend *backend, const struct part *part)
{
    backend->copy_in(backend, part->data, bucket_of(comm, 0, part->turn),
                     (size_t)part->count * tensor_kind_bytes(backend->real));
}

static struct part part_of(const struct comm *comm, char *data, int64_t count, int64_t number,
                           size_t size)
{
    int64_t most = (int64_t)(comm->bucket / size), at = number * most;
    return (struct part){.turn = (comm->turn + (unsigned)(number % TURNS)) % TURNS,
                         .count = count - at < most ? count - at : most,
                         .data = data + (size_t)at * size};
}

static enum status sum_all(struct comm *comm, struct backend *backend, char *data, int64_t count,
                           struct error *err)
{
    size_t size = tensor_kind_bytes(backend->real);
    int64_t most = (int64_t)(comm->bucket / size), parts = (count + most - 1) / most;
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < parts + 2 && parts && status == STATUS_OK; i++) {
        struct part part;
        if (i < parts) {
            part = part_of(comm, data, count, i, size);
            part_write(comm, backend, &part);
        }
        if (i >= 1 && i <= parts) {
            part = part_of(comm, data, count, i - 1, size);
            part_add(comm, backend, &part);
        }
        if (i >= 2) {
            part = part_of(comm, data, count, i - 2, size);
            part_take(comm, backend, &part);
        }
        if (i <= parts)
            status = meet_wait(comm->meet, NULL, NULL, err);
    }
    comm->turn = (comm->turn + (unsigned)(parts % TURNS)) % TURNS;
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
    ASSERT(from % ALIGN == 0 && bytes > 2 * COMM_SHARE_MAX + TURNS * ALIGN &&
           from + bytes <= meet_bytes(meet));
    comm->meet = meet;
    comm->from = from;
    comm->bucket = (bytes - 2 * COMM_SHARE_MAX) / TURNS / ALIGN * ALIGN;
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
