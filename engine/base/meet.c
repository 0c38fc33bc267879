/* Members meet in a shared file mapping; barriers by futex; see meet.h. */
#include "engine/base/meet.h"

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

enum { LINE = 64, POLL_MS = 20, SPINS = 200, PAGE = 4096 };

static const uint64_t magic = 0x464f4c444d454554u; /* "FOLDMEET" */

/* What the others know of a member; it alone writes it. */
struct member {
    _Alignas(LINE) _Atomic uint32_t stage; /* barriers passed into; waited for as a futex */
    _Atomic int32_t pid;
    _Atomic int64_t beat_ms; /* 0: it never beats */
};

struct shared {
    _Alignas(LINE) _Atomic uint64_t ready; /* the magic, once the head is filled */
    uint64_t token, bytes;
    int32_t ranks;
    _Atomic int32_t broken; /* 1 + the member that failed */
    struct member member[MEET_MAX];
};

struct meet {
    int rank, ranks, open_ms;
    int64_t limit_ms;
    size_t bytes, mapped;
    uint32_t stage;
    bool opened, finder;
    struct shared *shared;
    char *region; /* ranks regions of `bytes` bytes */
    int watch[MEET_MAX]; /* pidfds of the others */
};

static size_t head_bytes(void)
{
    return (sizeof(struct shared) + PAGE - 1) / PAGE * PAGE;
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

/* The process of the member has ended (also when nobody has waited for it yet). */
static bool is_gone(struct meet *meet, int rank)
{
    if (meet->watch[rank] < 0) {
        int32_t pid = atomic_load(&meet->shared->member[rank].pid);
        meet->watch[rank] = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
        if (meet->watch[rank] < 0)
            return pid && errno == ESRCH;
    }
    struct pollfd poll_one = {.fd = meet->watch[rank], .events = POLLIN};
    return poll(&poll_one, 1, 0) == 1;
}

static bool is_silent(const struct meet *meet, int rank)
{
    int64_t beat = atomic_load(&meet->shared->member[rank].beat_ms);
    return beat && clock_ms() - beat > MEET_SILENT_MS;
}

static void set_broken(struct meet *meet, int rank)
{
    int32_t none = 0;
    atomic_compare_exchange_strong(&meet->shared->broken, &none, rank + 1);
    for (int r = 0; r < meet->ranks; r++)
        futex_wake(&meet->shared->member[r].stage);
}

static enum status fail(struct meet *meet, int rank, const char *why, struct error *err)
{
    set_broken(meet, rank);
    return error_set(err, STATUS_BUSY, "rank %d of %d: rank %d (process %d) %s", meet->rank,
                     meet->ranks, rank, (int)atomic_load(&meet->shared->member[rank].pid), why);
}

/* Waits until rank has entered barrier `stage`. */
static enum status wait_for(struct meet *meet, int rank, uint32_t stage, int64_t deadline_ms,
                            bool (*over)(void *), void *user, struct error *err)
{
    _Atomic uint32_t *word = &meet->shared->member[rank].stage;
    for (int spin = 0;; spin++) {
        uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
        if ((int32_t)(seen - stage) >= 0)
            return STATUS_OK;
        if (atomic_load(&meet->shared->broken))
            return error_set(err, STATUS_BUSY, "rank %d of %d: the ranks have failed at rank %d",
                             meet->rank, meet->ranks, atomic_load(&meet->shared->broken) - 1);
        if (spin < SPINS)
            continue;
        if (is_gone(meet, rank)) {
            seen = atomic_load_explicit(word, memory_order_acquire);
            if ((int32_t)(seen - stage) >= 0)
                return STATUS_OK; /* it left after this barrier */
            return fail(meet, rank, "has exited", err);
        }
        bool silent = is_silent(meet, rank);
        if (silent || (deadline_ms && clock_ms() >= deadline_ms)) {
            meet->finder = true;
            return fail(meet, rank, silent ? "has given no sign of life for 30 s"
                                           : "did not come in time", err);
        }
        if (over && over(user))
            return STATUS_EMPTY;
        futex_wait(word, seen);
    }
}

enum status meet_wait(struct meet *meet, bool (*over)(void *user), void *user, struct error *err)
{
    if (meet->ranks == 1)
        return STATUS_OK;
    int64_t limit = meet->opened ? meet->limit_ms : meet->open_ms;
    int64_t deadline = limit ? clock_ms() + limit : 0;
    uint32_t stage = ++meet->stage;
    struct member *own = &meet->shared->member[meet->rank];
    atomic_store_explicit(&own->stage, stage, memory_order_release);
    futex_wake(&own->stage);
    for (int rank = 0; rank < meet->ranks; rank++) {
        enum status status = rank == meet->rank
                                 ? STATUS_OK
                                 : wait_for(meet, rank, stage, deadline, over, user, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

bool meet_is_finder(const struct meet *meet)
{
    return meet->finder;
}

void meet_break(struct meet *meet)
{
    meet->finder = true;
    if (meet->ranks > 1)
        set_broken(meet, meet->rank);
}

void meet_beat(struct meet *meet)
{
    if (meet->ranks > 1)
        atomic_store(&meet->shared->member[meet->rank].beat_ms, clock_ms());
}

void meet_limit(struct meet *meet, int64_t limit_ms)
{
    meet->limit_ms = limit_ms;
}

static enum status map_file(struct meet *meet, int fd, const char *path, struct error *err)
{
    void *memory = mmap(NULL, meet->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return error_set(err, STATUS_IO, "%s: cannot map %zu bytes: %s", path, meet->mapped,
                         strerror(errno));
    meet->shared = memory;
    meet->region = (char *)memory + head_bytes();
    return STATUS_OK;
}

static enum status make_file(struct meet *meet, const char *path, uint64_t token,
                             struct error *err)
{
    unlink(path); /* one that was left over */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, STATUS_IO, "%s: cannot be made: %s", path, strerror(errno));
    int code = posix_fallocate(fd, 0, (off_t)meet->mapped); /* a full disk shows here, not later */
    enum status status = STATUS_OK;
    if (code != 0)
        status = error_set(err, STATUS_IO, "%s: cannot get %zu bytes: %s", path, meet->mapped,
                           strerror(code));
    if (status == STATUS_OK)
        status = map_file(meet, fd, path, err);
    close(fd);
    if (status != STATUS_OK) {
        unlink(path);
        return status;
    }
    meet->shared->token = token;
    meet->shared->bytes = meet->bytes;
    meet->shared->ranks = meet->ranks;
    atomic_store(&meet->shared->ready, magic);
    return STATUS_OK;
}

/* Looks for member 0's file once; STATUS_MISS when it is not there yet, or is another's. */
static enum status join_file(struct meet *meet, const char *path, uint64_t token,
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
        if (ours && (head->ranks != meet->ranks || head->bytes != meet->bytes))
            status = error_set(err, STATUS_INVALID,
                               "%s: rank 0 has %d ranks and %llu bytes, rank %d has %d and %zu",
                               path, head->ranks, (unsigned long long)head->bytes, meet->rank,
                               meet->ranks, meet->bytes);
        else if (ours && info.st_size >= (off_t)meet->mapped)
            status = map_file(meet, fd, path, err);
        if (head != MAP_FAILED)
            munmap((void *)(uintptr_t)head, head_bytes());
    }
    close(fd);
    return status;
}

static enum status join(struct meet *meet, const char *path, uint64_t token, struct error *err)
{
    int64_t deadline = clock_ms() + meet->open_ms;
    for (;;) {
        enum status status = join_file(meet, path, token, err);
        if (status != STATUS_MISS)
            return status;
        if (clock_ms() >= deadline)
            return error_set(err, STATUS_BUSY, "%s: rank 0 did not make it within %d ms", path,
                             meet->open_ms);
        usleep(POLL_MS * 1000);
    }
}

enum status meet_open(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                      int timeout_ms, struct meet **out, struct error *err)
{
    *out = NULL;
    if (ranks < 1 || ranks > MEET_MAX || rank < 0 || rank >= ranks || timeout_ms < 1)
        return error_set(err, STATUS_INVALID, "rank %d of %d: wanted 0 <= rank < ranks <= %d", rank,
                         ranks, MEET_MAX);
    struct meet *meet = calloc(1, sizeof *meet);
    ASSERT(meet);
    meet->rank = rank, meet->ranks = ranks, meet->open_ms = timeout_ms;
    meet->bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    meet->mapped = head_bytes() + (size_t)ranks * meet->bytes;
    for (int r = 0; r < MEET_MAX; r++)
        meet->watch[r] = -1;
    enum status status = STATUS_OK;
    if (ranks == 1) {
        meet->region = meet->bytes ? aligned_alloc(PAGE, meet->bytes) : NULL;
        ASSERT(meet->region || !meet->bytes);
        if (meet->bytes)
            memset(meet->region, 0, meet->bytes);
    } else {
        status = rank == 0 ? make_file(meet, path, token, err) : join(meet, path, token, err);
    }
    if (status == STATUS_OK && ranks > 1) {
        atomic_store(&meet->shared->member[rank].pid, (int32_t)getpid());
        status = meet_wait(meet, NULL, NULL, err);
    }
    if (rank == 0 && meet->shared)
        unlink(path);
    meet->opened = true;
    if (status != STATUS_OK) {
        meet_close(meet);
        return status;
    }
    *out = meet;
    return STATUS_OK;
}

void meet_close(struct meet *meet)
{
    if (!meet)
        return;
    for (int r = 0; r < MEET_MAX; r++)
        if (meet->watch[r] >= 0)
            close(meet->watch[r]);
    if (meet->shared)
        munmap(meet->shared, meet->mapped);
    else
        free(meet->region);
    free(meet);
}

int meet_rank(const struct meet *meet)
{
    return meet->rank;
}

int meet_ranks(const struct meet *meet)
{
    return meet->ranks;
}

size_t meet_bytes(const struct meet *meet)
{
    return meet->bytes;
}

void *meet_region(const struct meet *meet, int rank)
{
    return meet->region + (size_t)rank * meet->bytes;
}
