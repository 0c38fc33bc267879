/* Pools of payload blocks in memfds; see shm.h. The allocator is first fit over a list of at most
 * SHM_BLOCKS_MAX live blocks sorted by offset: the list is short, because blocks live as long as a
 * message travels. Blocks that are larger than the pool lie behind it, where pages come and go. */
#include "engine/shm.h"

#include "engine/base/clock.h"
#include "engine/base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RETURNS_BYTES = SHM_BLOCKS_MAX * sizeof(uint32_t),
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

struct live {
    uint64_t offset, bytes;
    int64_t taken_ms;
    uint32_t slot, use;
};

struct shm_pool {
    unsigned char *memory;
    void *returns; /* _Atomic uint32_t[slot]: the use that came back */
    int fd;
    size_t bytes; /* without the room for large blocks behind them */
    uint32_t use; /* counts blocks taken; 0 is never one */
    int count, free_count;
    uint32_t free_slot[SHM_BLOCKS_MAX];
    struct live live[SHM_BLOCKS_MAX]; /* by offset */
};

struct shm_view {
    unsigned char *memory; /* read-only */
    void *returns;
    size_t bytes;
};

/* bytes are present, `more` behind them are not. */
static enum status make_memfd(int *fd, const char *name, size_t bytes, size_t more,
                              struct error *err)
{
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return error_set(err, STATUS_IO, "cannot make shared memory: %s", strerror(errno));
    int code =
        ftruncate(*fd, (off_t)(bytes + more)) ? errno : posix_fallocate(*fd, 0, (off_t)bytes);
    if (!code && fcntl(*fd, F_ADD_SEALS, SEALS) < 0)
        code = errno;
    if (!code)
        return STATUS_OK;
    close(*fd);
    *fd = -1;
    return error_set(err, code == ENOSPC || code == ENOMEM ? STATUS_FULL : STATUS_IO,
                     "cannot make a pool of %zu bytes of shared memory: %s", bytes, strerror(code));
}

enum status shm_make(struct shm_fds *fds, size_t bytes, struct error *err)
{
    bytes = (bytes + SHM_GRAIN_BYTES - 1) / SHM_GRAIN_BYTES * SHM_GRAIN_BYTES;
    *fds = (struct shm_fds){-1, -1};
    enum status status = make_memfd(&fds->pool, "foldmill-pool", bytes, SHM_LARGE_BYTES, err);
    if (status == STATUS_OK)
        status = make_memfd(&fds->returns, "foldmill-returns", RETURNS_BYTES, 0, err);
    if (status != STATUS_OK)
        shm_close(fds);
    return status;
}

void shm_close(struct shm_fds *fds)
{
    if (fds->pool >= 0)
        close(fds->pool);
    if (fds->returns >= 0)
        close(fds->returns);
    *fds = (struct shm_fds){-1, -1};
}

enum status shm_send_fds(int socket, const void *data, size_t size, const struct shm_fds *fds,
                         struct error *err)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_len = size};
    memcpy(&part.iov_base, &data, sizeof data);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int given[2] = {-1, -1};
    if (fds) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fds->pool);
        given[0] = open(path, O_RDONLY | O_CLOEXEC);
        given[1] = fds->returns;
        if (given[0] < 0)
            return error_set(err, STATUS_IO, "cannot open a pool read-only: %s", strerror(errno));
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof given);
        memcpy(CMSG_DATA(header), given, sizeof given);
    }
    ssize_t sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    int code = errno;
    if (given[0] >= 0)
        close(given[0]);
    if (sent != (ssize_t)size)
        return error_set(err, STATUS_IO, "cannot pass descriptors: %s", strerror(code));
    return STATUS_OK;
}

enum status shm_receive_fds(int socket, void *data, size_t size, struct shm_fds *fds,
                            int timeout_ms, struct error *err)
{
    *fds = (struct shm_fds){-1, -1};
    struct pollfd wait = {.fd = socket, .events = POLLIN};
    if (poll(&wait, 1, timeout_ms) <= 0)
        return error_set(err, STATUS_BUSY, "no answer within %d ms", timeout_ms);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got == 0)
        return error_set(err, STATUS_EMPTY, "the other end has gone");
    if (got < 0)
        return error_set(err, errno == EAGAIN || errno == EINTR ? STATUS_BUSY : STATUS_IO,
                         "cannot receive descriptors: %s", strerror(errno));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(2 * sizeof(int))) {
        int given[2];
        memcpy(given, CMSG_DATA(header), sizeof given);
        *fds = (struct shm_fds){given[0], given[1]};
    }
    if (got == (ssize_t)size)
        return STATUS_OK;
    shm_close(fds);
    return error_set(err, STATUS_INVALID, "wanted %zu bytes with descriptors, found %zd", size,
                     got);
}

void shm_descriptor_encode(const struct shm_descriptor *descriptor,
                           unsigned char bytes[SHM_DESCRIPTOR_BYTES])
{
    memcpy(bytes, &descriptor->inc, 8);
    memcpy(bytes + 8, &descriptor->offset, 8);
    memcpy(bytes + 16, &descriptor->bytes, 8);
    memcpy(bytes + 24, &descriptor->digest, 8);
    memcpy(bytes + 32, &descriptor->slot, 4);
    memcpy(bytes + 36, &descriptor->use, 4);
}

struct shm_descriptor shm_descriptor_decode(const unsigned char bytes[SHM_DESCRIPTOR_BYTES])
{
    struct shm_descriptor descriptor;
    memcpy(&descriptor.inc, bytes, 8);
    memcpy(&descriptor.offset, bytes + 8, 8);
    memcpy(&descriptor.bytes, bytes + 16, 8);
    memcpy(&descriptor.digest, bytes + 24, 8);
    memcpy(&descriptor.slot, bytes + 32, 4);
    memcpy(&descriptor.use, bytes + 36, 4);
    return descriptor;
}

/* Size of a memfd that shm_make made. Seals are what makes its size certain. */
static enum status sealed_size(int fd, size_t *bytes, struct error *err)
{
    struct stat stat;
    if (fstat(fd, &stat))
        return error_set(err, STATUS_IO, "cannot look at shared memory: %s", strerror(errno));
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || stat.st_size <= 0)
        return error_set(err, STATUS_INVALID,
                         "wanted sealed shared memory, found seals %d, size %lld", seals,
                         (long long)stat.st_size);
    *bytes = (size_t)stat.st_size;
    return STATUS_OK;
}

static enum status map_fd(int fd, int protection, int flags, void **memory, size_t *bytes,
                          struct error *err)
{
    enum status status = sealed_size(fd, bytes, err);
    if (status != STATUS_OK)
        return status;
    *memory = mmap(NULL, *bytes, protection, MAP_SHARED | flags, fd, 0);
    if (*memory == MAP_FAILED)
        return error_set(err, STATUS_IO, "cannot map shared memory: %s", strerror(errno));
    return STATUS_OK;
}

static enum status map_both(struct shm_fds fds, bool producer, void **memory, size_t *bytes,
                            void **returns, struct error *err)
{
    size_t returns_bytes = 0;
    enum status status =
        map_fd(fds.pool, PROT_READ | (producer ? PROT_WRITE : 0), 0, memory, bytes, err);
    if (status == STATUS_OK && *bytes <= SHM_LARGE_BYTES) {
        munmap(*memory, *bytes);
        status = error_set(err, STATUS_INVALID, "wanted a pool, found %zu bytes", *bytes);
    }
    if (status != STATUS_OK)
        return status;
    /* Where the kernel does not know this, pages are mapped one after another as they are used. */
    if (producer)
        madvise(*memory, *bytes - SHM_LARGE_BYTES, MADV_POPULATE_WRITE);
    status =
        map_fd(fds.returns, PROT_READ | PROT_WRITE, MAP_POPULATE, returns, &returns_bytes, err);
    if (status == STATUS_OK && returns_bytes != RETURNS_BYTES) {
        munmap(*returns, returns_bytes);
        status = error_set(err, STATUS_INVALID, "wanted %d bytes of returns, found %zu",
                           (int)RETURNS_BYTES, returns_bytes);
    }
    if (status != STATUS_OK)
        munmap(*memory, *bytes);
    return status;
}

enum status shm_pool_open(struct shm_pool **pool, struct shm_fds fds, struct error *err)
{
    void *memory = NULL, *returns = NULL;
    size_t bytes = 0;
    *pool = NULL;
    enum status status = map_both(fds, true, &memory, &bytes, &returns, err);
    if (status != STATUS_OK)
        return status;
    *pool = calloc(1, sizeof **pool);
    ASSERT(*pool);
    (*pool)->memory = memory;
    (*pool)->returns = returns;
    (*pool)->fd = fds.pool;
    (*pool)->bytes = bytes - SHM_LARGE_BYTES;
    (*pool)->free_count = SHM_BLOCKS_MAX;
    for (uint32_t i = 0; i < SHM_BLOCKS_MAX; i++)
        (*pool)->free_slot[i] = SHM_BLOCKS_MAX - 1 - i;
    return STATUS_OK;
}

void shm_pool_close(struct shm_pool *pool)
{
    if (!pool)
        return;
    munmap(pool->memory, pool->bytes + SHM_LARGE_BYTES);
    munmap(pool->returns, RETURNS_BYTES);
    free(pool);
}

size_t shm_pool_used(const struct shm_pool *pool)
{
    size_t used = 0;
    for (int i = 0; i < pool->count; i++)
        used += pool->live[i].bytes;
    return used;
}

static _Atomic uint32_t *returns_of(void *returns, uint32_t slot)
{
    return (_Atomic uint32_t *)returns + slot;
}

/* Takes a block off the list: its slot is free, and if it is large its pages go back. Who reads
 * them now (after a reclaim) finds zeros, which do not have the payload's digest. */
static void live_end(struct shm_pool *pool, const struct live *live)
{
    pool->free_slot[pool->free_count++] = live->slot;
    if (live->offset >= pool->bytes)
        fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)live->offset,
                  (off_t)live->bytes);
}

/* Drops from the list what has come back, or was taken before the given time. */
static int sweep(struct shm_pool *pool, int64_t before_ms)
{
    int kept = 0, dropped = 0;
    for (int i = 0; i < pool->count; i++) {
        struct live live = pool->live[i];
        uint32_t back =
            atomic_load_explicit(returns_of(pool->returns, live.slot), memory_order_acquire);
        if (back == live.use || live.taken_ms < before_ms) {
            live_end(pool, &live);
            dropped += back != live.use;
        } else {
            pool->live[kept++] = live;
        }
    }
    pool->count = kept;
    return dropped;
}

enum status shm_pool_take(struct shm_pool *pool, size_t bytes, struct shm_block *block)
{
    if (bytes > SHM_LARGE_BYTES)
        return STATUS_LIMIT;
    uint64_t need = (bytes + SHM_GRAIN_BYTES - 1) / SHM_GRAIN_BYTES * SHM_GRAIN_BYTES;
    if (need == 0)
        need = SHM_GRAIN_BYTES;
    bool large = need > pool->bytes;
    uint64_t at = large ? pool->bytes : 0, end = pool->bytes + (large ? SHM_LARGE_BYTES : 0);
    sweep(pool, INT64_MIN);
    if (pool->free_count == 0)
        return STATUS_FULL;
    int i = 0;
    while (i < pool->count && (pool->live[i].offset < at || pool->live[i].offset - at < need)) {
        uint64_t after = pool->live[i].offset + pool->live[i].bytes;
        if (pool->live[i].offset >= end)
            break;
        at = after > at ? after : at;
        i++;
    }
    if (at > end || end - at < need)
        return STATUS_FULL;
    if (large && posix_fallocate(pool->fd, (off_t)at, (off_t)need) != 0)
        return STATUS_LIMIT;
    memmove(pool->live + i + 1, pool->live + i, (size_t)(pool->count - i) * sizeof *pool->live);
    if (++pool->use == 0)
        pool->use = 1;
    struct live *live = &pool->live[i];
    *live = (struct live){at, need, clock_ms(), pool->free_slot[--pool->free_count], pool->use};
    pool->count++;
    *block = (struct shm_block){live->slot, live->use, at, bytes, pool->memory + at};
    return STATUS_OK;
}

static int find_live(const struct shm_pool *pool, const struct shm_block *block)
{
    for (int i = 0; i < pool->count; i++)
        if (pool->live[i].slot == block->slot && pool->live[i].use == block->use)
            return i;
    return -1;
}

void shm_pool_shrink(struct shm_pool *pool, struct shm_block *block, size_t bytes)
{
    ASSERT_INT(bytes, <=, block->bytes);
    int i = find_live(pool, block);
    ASSERT_INT(i, >=, 0);
    uint64_t keep = (bytes + SHM_GRAIN_BYTES - 1) / SHM_GRAIN_BYTES * SHM_GRAIN_BYTES;
    pool->live[i].bytes = keep ? keep : SHM_GRAIN_BYTES;
    block->bytes = bytes;
}

void shm_pool_drop(struct shm_pool *pool, const struct shm_block *block)
{
    int i = find_live(pool, block);
    if (i < 0)
        return;
    live_end(pool, &pool->live[i]);
    pool->count--;
    memmove(pool->live + i, pool->live + i + 1, (size_t)(pool->count - i) * sizeof *pool->live);
}

int shm_pool_reclaim(struct shm_pool *pool, int64_t age_ms)
{
    return sweep(pool, clock_ms() - age_ms);
}

enum status shm_view_open(struct shm_view **view, struct shm_fds fds, struct error *err)
{
    void *memory = NULL, *returns = NULL;
    size_t bytes = 0;
    *view = NULL;
    enum status status = map_both(fds, false, &memory, &bytes, &returns, err);
    if (status != STATUS_OK)
        return status;
    *view = calloc(1, sizeof **view);
    ASSERT(*view);
    **view = (struct shm_view){memory, returns, bytes};
    return STATUS_OK;
}

void shm_view_close(struct shm_view *view)
{
    if (!view)
        return;
    munmap(view->memory, view->bytes);
    munmap(view->returns, RETURNS_BYTES);
    free(view);
}

void shm_view_return(struct shm_view *view, const struct shm_descriptor *descriptor)
{
    if (descriptor->slot < SHM_BLOCKS_MAX)
        atomic_store_explicit(returns_of(view->returns, descriptor->slot), descriptor->use,
                              memory_order_release);
}

enum status shm_view_copy(struct shm_view *view, const struct shm_descriptor *descriptor, void *to,
                          struct error *err)
{
    if (descriptor->bytes > view->bytes || descriptor->offset > view->bytes - descriptor->bytes)
        return error_set(err, STATUS_CORRUPT,
                         "a payload of %llu bytes at %llu lies outside its pool of %zu bytes",
                         (unsigned long long)descriptor->bytes,
                         (unsigned long long)descriptor->offset, view->bytes);
    size_t bytes = (size_t)descriptor->bytes;
    uint64_t digest = digest_copy(to, view->memory + descriptor->offset, bytes);
    shm_view_return(view, descriptor);
    if (digest != descriptor->digest)
        return error_set(err, STATUS_CORRUPT, "a payload of %zu bytes changed on its way", bytes);
    return STATUS_OK;
}
