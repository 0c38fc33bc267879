/* All-reduce through a shared file mapping; barriers by futex; see comm.h. */
#include "kernels/comm.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE = 64, POLL_MS = 20, SPINS = 200, SLICE_ALIGN = 64 };

static const uint64_t magic = 0x464f4c44434f4d31u; /* "FOLDCOM1" */

/* One rank's part of the head; it alone writes it. */
struct member {
    _Alignas(LINE) _Atomic uint32_t stage; /* barriers passed into; waited for as a futex */
    _Atomic int32_t pid;
    _Atomic int64_t count;
    double extra[COMM_EXTRA_MAX];
};

struct shared {
    _Alignas(LINE) _Atomic uint64_t ready; /* the magic, once the head is filled */
    uint64_t token, bytes;
    int32_t ranks;
    _Atomic int32_t broken; /* 1 + the rank that failed */
    struct member member[COMM_RANKS_MAX];
};

struct comm {
    int rank, ranks, timeout_ms;
    size_t bytes, mapped;
    uint32_t stage;
    struct shared *shared;
    char *region; /* ranks regions of `bytes` bytes */
    int watch[COMM_RANKS_MAX]; /* pidfds of the others */
};

static size_t head_bytes(void)
{
    return (sizeof(struct shared) + 4095) / 4096 * 4096;
}

static void *region_of(const struct comm *comm, int rank)
{
    return comm->region + (size_t)rank * comm->bytes;
}

/* Waits at most POLL_MS for *word to become other than `seen`. */
static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    struct timespec time = {.tv_nsec = POLL_MS * 1000000L};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &time, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* The process of the rank has ended (also when nobody has waited for it yet). */
static bool rank_gone(struct comm *comm, int rank)
{
    if (comm->watch[rank] < 0) {
        int32_t pid = atomic_load(&comm->shared->member[rank].pid);
        comm->watch[rank] = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
        if (comm->watch[rank] < 0)
            return pid && errno == ESRCH;
    }
    struct pollfd poll_one = {.fd = comm->watch[rank], .events = POLLIN};
    return poll(&poll_one, 1, 0) == 1;
}

static enum status fail(struct comm *comm, int rank, const char *why, struct error *err)
{
    int32_t none = 0;
    atomic_compare_exchange_strong(&comm->shared->broken, &none, rank + 1);
    for (int r = 0; r < comm->ranks; r++)
        futex_wake(&comm->shared->member[r].stage);
    return error_set(err, STATUS_BUSY, "rank %d of %d: rank %d (process %d) %s", comm->rank,
                     comm->ranks, rank, (int)atomic_load(&comm->shared->member[rank].pid), why);
}

/* Waits until rank has entered barrier `stage`. */
static enum status wait_for(struct comm *comm, int rank, uint32_t stage, struct error *err)
{
    _Atomic uint32_t *word = &comm->shared->member[rank].stage;
    int64_t deadline = clock_ms() + comm->timeout_ms;
    for (int spin = 0;; spin++) {
        uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
        if ((int32_t)(seen - stage) >= 0)
            return STATUS_OK;
        if (atomic_load(&comm->shared->broken))
            return error_set(err, STATUS_BUSY, "rank %d of %d: the group has failed at rank %d",
                             comm->rank, comm->ranks, atomic_load(&comm->shared->broken) - 1);
        if (spin < SPINS)
            continue;
        if (rank_gone(comm, rank)) {
            seen = atomic_load_explicit(word, memory_order_acquire);
            if ((int32_t)(seen - stage) >= 0)
                return STATUS_OK; /* it left after this barrier */
            return fail(comm, rank, "has exited", err);
        }
        if (clock_ms() >= deadline)
            return fail(comm, rank, "did not come in time", err);
        futex_wait(word, seen);
    }
}

enum status comm_barrier(struct comm *comm, struct error *err)
{
    if (comm->ranks == 1)
        return STATUS_OK;
    uint32_t stage = ++comm->stage;
    struct member *own = &comm->shared->member[comm->rank];
    atomic_store_explicit(&own->stage, stage, memory_order_release);
    futex_wake(&own->stage);
    for (int rank = 0; rank < comm->ranks; rank++) {
        enum status status = rank == comm->rank ? STATUS_OK : wait_for(comm, rank, stage, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status map_file(struct comm *comm, int fd, const char *path, struct error *err)
{
    void *memory = mmap(NULL, comm->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return error_set(err, STATUS_IO, "%s: cannot map %zu bytes: %s", path, comm->mapped,
                         strerror(errno));
    comm->shared = memory;
    comm->region = (char *)memory + head_bytes();
    return STATUS_OK;
}

static enum status make_file(struct comm *comm, const char *path, uint64_t token,
                             struct error *err)
{
    unlink(path); /* one that was left over */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, STATUS_IO, "%s: cannot be made: %s", path, strerror(errno));
    int code = posix_fallocate(fd, 0, (off_t)comm->mapped); /* a full disk shows here, not later */
    enum status status = STATUS_OK;
    if (code != 0)
        status = error_set(err, STATUS_IO, "%s: cannot get %zu bytes: %s", path, comm->mapped,
                           strerror(code));
    if (status == STATUS_OK)
        status = map_file(comm, fd, path, err);
    close(fd);
    if (status != STATUS_OK) {
        unlink(path);
        return status;
    }
    comm->shared->token = token;
    comm->shared->bytes = comm->bytes;
    comm->shared->ranks = comm->ranks;
    atomic_store(&comm->shared->ready, magic);
    return STATUS_OK;
}

/* Looks for rank 0's file once; STATUS_MISS when it is not there yet, or is another's. */
static enum status join_file(struct comm *comm, const char *path, uint64_t token,
                             struct error *err)
{
    struct stat info;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? STATUS_MISS
                               : error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    enum status status = STATUS_MISS;
    bool whole = fstat(fd, &info) == 0 && info.st_size >= (off_t)head_bytes();
    if (whole) {
        const struct shared *head = mmap(NULL, head_bytes(), PROT_READ, MAP_SHARED, fd, 0);
        bool ours = head != MAP_FAILED && atomic_load(&head->ready) == magic &&
                    head->token == token;
        if (ours && (head->ranks != comm->ranks || head->bytes != comm->bytes))
            status = error_set(err, STATUS_INVALID,
                               "%s: rank 0 has %d ranks and %llu bytes, rank %d has %d and %zu",
                               path, head->ranks, (unsigned long long)head->bytes, comm->rank,
                               comm->ranks, comm->bytes);
        else if (ours && info.st_size >= (off_t)comm->mapped)
            status = map_file(comm, fd, path, err);
        if (head != MAP_FAILED)
            munmap((void *)(uintptr_t)head, head_bytes());
    }
    close(fd);
    return status;
}

static enum status join(struct comm *comm, const char *path, uint64_t token, struct error *err)
{
    int64_t deadline = clock_ms() + comm->timeout_ms;
    for (;;) {
        enum status status = join_file(comm, path, token, err);
        if (status != STATUS_MISS)
            return status;
        if (clock_ms() >= deadline)
            return error_set(err, STATUS_BUSY, "%s: rank 0 did not make it within %d ms", path,
                             comm->timeout_ms);
        usleep(POLL_MS * 1000);
    }
}

enum status comm_open(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                      int timeout_ms, struct comm **out, struct error *err)
{
    *out = NULL;
    if (ranks < 1 || ranks > COMM_RANKS_MAX || rank < 0 || rank >= ranks || timeout_ms < 1)
        return error_set(err, STATUS_INVALID, "rank %d of %d: wanted 0 <= rank < ranks <= %d", rank,
                         ranks, COMM_RANKS_MAX);
    struct comm *comm = calloc(1, sizeof *comm);
    ASSERT(comm);
    comm->rank = rank, comm->ranks = ranks, comm->timeout_ms = timeout_ms;
    comm->bytes = (bytes + SLICE_ALIGN - 1) / SLICE_ALIGN * SLICE_ALIGN;
    comm->mapped = head_bytes() + (size_t)ranks * comm->bytes;
    for (int r = 0; r < COMM_RANKS_MAX; r++)
        comm->watch[r] = -1;
    *out = comm;
    if (ranks == 1)
        return STATUS_OK;
    enum status status =
        rank == 0 ? make_file(comm, path, token, err) : join(comm, path, token, err);
    if (status == STATUS_OK) {
        atomic_store(&comm->shared->member[rank].pid, (int32_t)getpid());
        status = comm_barrier(comm, err);
    }
    if (rank == 0 && comm->shared)
        unlink(path);
    if (status != STATUS_OK) {
        comm_close(comm);
        *out = NULL;
    }
    return status;
}

void comm_close(struct comm *comm)
{
    if (!comm)
        return;
    for (int r = 0; r < COMM_RANKS_MAX; r++)
        if (comm->watch[r] >= 0)
            close(comm->watch[r]);
    if (comm->shared)
        munmap(comm->shared, comm->mapped);
    free(comm);
}

int comm_rank(const struct comm *comm)
{
    return comm->rank;
}

int comm_ranks(const struct comm *comm)
{
    return comm->ranks;
}

/* Elements [first, end) of region 0 become the sum of those of all regions, in rank order. */
static void sum_float(const struct comm *comm, int64_t first, int64_t end)
{
    float *restrict to = region_of(comm, 0);
    for (int r = 1; r < comm->ranks; r++) {
        const float *restrict from = region_of(comm, r);
        for (int64_t i = first; i < end; i++)
            to[i] += from[i];
    }
}

static void sum_double(const struct comm *comm, int64_t first, int64_t end)
{
    double *restrict to = region_of(comm, 0);
    for (int r = 1; r < comm->ranks; r++) {
        const double *restrict from = region_of(comm, r);
        for (int64_t i = first; i < end; i++)
            to[i] += from[i];
    }
}

enum status comm_sum(struct comm *comm, struct backend *backend, void *data, int64_t count,
                     double *extra, int extra_count, struct error *err)
{
    if (comm->ranks == 1)
        return STATUS_OK;
    size_t size = tensor_kind_bytes(backend->real), bytes = (size_t)count * size;
    ASSERT_INT(bytes, <=, comm->bytes);
    ASSERT(extra_count >= 0 && extra_count <= COMM_EXTRA_MAX);
    struct member *own = &comm->shared->member[comm->rank];
    backend->copy_out(backend, region_of(comm, comm->rank), data, bytes);
    if (extra_count)
        memcpy(own->extra, extra, (size_t)extra_count * sizeof *extra);
    atomic_store(&own->count, count);
    enum status status = comm_barrier(comm, err);
    if (status != STATUS_OK)
        return status;
    for (int r = 0; r < comm->ranks; r++)
        ASSERT_INT(atomic_load(&comm->shared->member[r].count), ==, count);
    int64_t first = count * comm->rank / comm->ranks, end = count * (comm->rank + 1) / comm->ranks;
    if (backend->real == TENSOR_F32)
        sum_float(comm, first, end);
    else
        sum_double(comm, first, end);
    double total[COMM_EXTRA_MAX] = {0};
    for (int i = 0; i < extra_count; i++)
        for (int r = 0; r < comm->ranks; r++)
            total[i] += comm->shared->member[r].extra[i];
    status = comm_barrier(comm, err);
    if (status != STATUS_OK)
        return status;
    backend->copy_in(backend, data, region_of(comm, 0), bytes);
    if (extra_count)
        memcpy(extra, total, (size_t)extra_count * sizeof *extra);
    return comm_barrier(comm, err); /* nobody writes again before all have read */
}
