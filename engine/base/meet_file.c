/* The file that the members of a host map: made by the lowest of them, found by the others, with a
 * FIFO beside it by which they wake their bridge when there are several hosts; see meet.h. */
#include "engine/base/meet_inside.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

static const uint64_t magic = 0x464f4c444d454554u; /* "FOLDMEET" */

size_t meet_file_head_bytes(void)
{
    return (sizeof(struct meet_shared) + PAGE - 1) / PAGE * PAGE;
}

static const char *wake_path(const char *path, char buffer[PATH_MAX])
{
    snprintf(buffer, PATH_MAX, "%s.wake", path);
    return buffer;
}

void meet_remove(const char *path)
{
    char buffer[PATH_MAX];
    unlink(path);
    unlink(wake_path(path, buffer));
}

/* Both ends at once, so that neither opening nor writing waits for the other. */
static enum status open_wake(struct meet *meet, const char *path, struct error *err)
{
    char buffer[PATH_MAX];
    if (meet->place.hosts == 1)
        return STATUS_OK;
    meet->wake = open(wake_path(path, buffer), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    return meet->wake >= 0 ? STATUS_OK
                           : error_set(err, STATUS_IO, "%s: %s", buffer, strerror(errno));
}

static enum status map_file(struct meet *meet, int fd, const char *path, struct error *err)
{
    void *memory = mmap(NULL, meet->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return error_set(err, STATUS_IO, "%s: cannot map %zu bytes: %s", path, meet->mapped,
                         strerror(errno));
    meet->shared = memory;
    meet->region = (char *)memory + meet_file_head_bytes();
    return STATUS_OK;
}

enum status meet_file_make(struct meet *meet, const char *path, uint64_t token, struct error *err)
{
    char buffer[PATH_MAX];
    meet_remove(path); /* what was left over */
    if (meet->place.hosts > 1 && mkfifo(wake_path(path, buffer), 0600) != 0)
        return error_set(err, STATUS_IO, "%s: cannot be made: %s", buffer, strerror(errno));
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
    if (status == STATUS_OK)
        status = open_wake(meet, path, err);
    if (status != STATUS_OK) {
        meet_remove(path);
        return status;
    }
    meet->shared->token = token;
    meet->shared->bytes = meet->bytes;
    meet->shared->ranks = meet->ranks;
    atomic_store(&meet->shared->ready, magic);
    return STATUS_OK;
}

/* Looks for the leader's file once; STATUS_MISS when it is not there yet, or is another's. */
static enum status join_file(struct meet *meet, const char *path, uint64_t token, struct error *err)
{
    struct stat info;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? STATUS_MISS
                               : error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    enum status status = STATUS_MISS;
    bool whole = fstat(fd, &info) == 0 && info.st_size >= (off_t)meet_file_head_bytes();
    if (whole) {
        const struct meet_shared *head =
            mmap(NULL, meet_file_head_bytes(), PROT_READ, MAP_SHARED, fd, 0);
        bool ours =
            head != MAP_FAILED && atomic_load(&head->ready) == magic && head->token == token;
        if (ours && (head->ranks != meet->ranks || head->bytes != meet->bytes))
            status = error_set(err, STATUS_INVALID,
                               "%s: rank %d has %d ranks and %llu bytes, rank %d has %d and %zu",
                               path, meet->leader, head->ranks, (unsigned long long)head->bytes,
                               meet->rank, meet->ranks, meet->bytes);
        else if (ours && info.st_size >= (off_t)meet->mapped)
            status = map_file(meet, fd, path, err);
        if (head != MAP_FAILED)
            munmap((void *)(uintptr_t)head, meet_file_head_bytes());
    }
    close(fd);
    return status;
}

enum status meet_file_join(struct meet *meet, const char *path, uint64_t token, struct error *err)
{
    int64_t deadline = clock_ms() + meet->open_ms;
    for (;;) {
        enum status status = join_file(meet, path, token, err);
        if (status == STATUS_OK)
            status = open_wake(meet, path, err);
        if (status != STATUS_MISS)
            return status;
        if (clock_ms() >= deadline)
            return error_set(err, STATUS_BUSY, "%s: rank %d did not make it within %d ms", path,
                             meet->leader, meet->open_ms);
        usleep(MEET_POLL_MS * 1000);
    }
}

void meet_file_close(struct meet *meet)
{
    if (meet->wake >= 0)
        close(meet->wake);
    if (meet->shared)
        munmap(meet->shared, meet->mapped);
    else
        free(meet->region);
}
