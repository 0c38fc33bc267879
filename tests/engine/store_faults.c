/* The store when the system fails it: the n-th write, sync, allocation or map fails, the disk is
 * full or far away. What was acknowledged before is there afterwards, always. */
#include "engine/store.h"

#include "tests/engine/store_fixture.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0 /* the sanitizers bring their own */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 0
#else
#define OWN_MALLOC 1
#endif
#else
#define OWN_MALLOC 1
#endif

#define SHARED __attribute__((visibility("default"))) /* LMDB, too, calls what stands here */

/* Counted down by each call of its class; the one that makes it 0 fails. */
static long fail_io;
static int fail_errno;
static bool fail_maps;
static long disk_type; /* what statfs says; 0: the truth */

static bool fails(long *counter)
{
    return *counter > 0 && --*counter == 0;
}

SHARED ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    if (fails(&fail_io)) {
        errno = fail_errno;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, size, at);
}

SHARED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fails(&fail_io)) {
        errno = fail_errno;
        return -1;
    }
    return syscall(SYS_writev, fd, parts, count);
}

SHARED int fdatasync(int fd)
{
    if (fails(&fail_io)) {
        errno = fail_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

SHARED int statfs(const char *path, struct statfs *info)
{
    int code = (int)syscall(SYS_statfs, path, info);
    if (disk_type)
        info->f_type = disk_type;
    return code;
}

SHARED void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fail_maps && fd >= 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

#if OWN_MALLOC
static long fail_alloc;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

SHARED void *malloc(size_t size)
{
    if (fails(&fail_alloc)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

SHARED void *calloc(size_t count, size_t size)
{
    if (fails(&fail_alloc)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

SHARED void *realloc(void *old, size_t size)
{
    if (fails(&fail_alloc)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, size);
}

SHARED void *aligned_alloc(size_t alignment, size_t size)
{
    if (fails(&fail_alloc)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_memalign(alignment, size);
}

SHARED int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (fails(&fail_alloc))
        return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
#endif

/* Opens, puts samples[first..end), commits, reads, lists, closes; OK only when all of it was. */
static enum status exercise(struct fixture *fixture, const struct sample *samples, int first,
                            int end, bool *committed, struct error *err)
{
    struct store_options options = {.codec = STORE_LZ4HC, .map_bytes = 1 << 20};
    struct store *store;
    struct store_walk walk;
    const struct store_entry *entry;
    struct sample back;
    struct arena arena;
    *committed = false;
    enum status status = store_open_writer(fixture->path, &options, &store, err);
    if (status != STATUS_OK)
        return status;
    arena_open(&arena, 0);
    for (int i = first; i < end && status == STATUS_OK; i++) {
        struct store_note note = {.made = fixture_made(i)};
        status = store_put(store, &samples[i], &note, err);
    }
    if (status == STATUS_OK)
        status = store_commit(store, err);
    *committed = status == STATUS_OK;
    for (int i = first; i < end && status == STATUS_OK; i++) {
        status = store_get(store, samples[i].key, NULL, NULL, &arena, &back, err);
        cr_assert(status != STATUS_OK || sample_digest(&back) == sample_digest(&samples[i]));
    }
    if (status == STATUS_OK)
        status = store_walk_open(&walk, store, &arena, err);
    while (status == STATUS_OK)
        status = store_next(&walk, &entry, err);
    arena_close(&arena);
    store_close(store);
    return status == STATUS_EMPTY ? STATUS_OK : status;
}

Test(store_faults, survives_every_failed_allocation, .timeout = 120)
{
#if OWN_MALLOC
    struct fixture fixture = fixture_open("oom");
    static struct sample samples[10];
    struct error err;
    bool committed;
    int failures = 0;
    for (int i = 0; i < 10; i++)
        fixture_sample(&samples[i], &fixture.arena, i);
    cr_assert(exercise(&fixture, samples, 0, 5, &committed, &err) == STATUS_OK, "%s", err.text);
    for (long n = 1;; n++) {
        fail_alloc = n;
        enum status status = exercise(&fixture, samples, 5, 10, &committed, &err);
        bool reached = fail_alloc == 0;
        fail_alloc = 0;
        failures += status != STATUS_OK;
        cr_assert(status == STATUS_OK || strlen(err.text) > 0);
        cr_assert(reached || status == STATUS_OK, "%s", err.text);
        fixture_expect(&fixture, committed ? 10 : 5);
        if (!reached)
            break;
    }
    cr_assert(failures > 20, "%d allocations were seen to fail", failures);
    fixture_close(&fixture);
#else
    cr_skip("a sanitizer has its own malloc");
#endif
}

Test(store_faults, survives_every_failed_write_and_sync, .timeout = 120)
{
    static struct sample samples[40];
    struct fixture fixture = fixture_open("io");
    struct error err;
    const int codes[] = {EIO, ENOSPC};
    bool committed;
    for (int i = 0; i < 40; i++)
        fixture_sample(&samples[i], &fixture.arena, i);
    for (int c = 0; c < 2; c++) {
        int failures = 0;
        fixture_clear(fixture.path);
        cr_assert(exercise(&fixture, samples, 0, 10, &committed, &err) == STATUS_OK, "%s",
                  err.text);
        int whole = 10;
        for (long n = 1;; n++) {
            fail_errno = codes[c];
            fail_io = n;
            enum status status = exercise(&fixture, samples, 10, 40, &committed, &err);
            bool reached = fail_io == 0;
            fail_io = 0;
            failures += status != STATUS_OK;
            if (status != STATUS_OK)
                cr_assert(status == (codes[c] == EIO ? STATUS_IO : STATUS_FULL), "%s", err.text);
            whole = committed ? 40 : whole;
            fixture_expect(&fixture, whole);
            if (!reached)
                break;
        }
        cr_assert(failures > 0 && whole == 40, "%d", failures);
    }
    fixture_close(&fixture);
}

Test(store_faults, commits_again_after_a_failure)
{
    struct fixture fixture = fixture_open("again");
    struct error err;
    struct store *store = fixture_writer(&fixture);
    fixture_fill(store, 0, 20);
    fail_errno = ENOSPC;
    fail_io = 1;
    cr_assert(store_commit(store, &err) == STATUS_FULL, "%s", err.text);
    cr_assert(strstr(err.text, "free some space"), "%s", err.text);
    cr_assert(!store_has(store, "key_0000", fixture_made(0)));
    cr_assert(store_commit(store, &err) == STATUS_OK, "what was put still waits: %s", err.text);
    for (int i = 0; i < 20; i++)
        fixture_check(store, i);
    store_close(store);
    fixture_close(&fixture);
}

Test(store_faults, refuses_all_work_when_the_map_is_gone)
{
    struct fixture fixture = fixture_open("map");
    struct error err;
    struct store *store;
    struct sample sample;
    struct store_options options = {.map_bytes = 1 << 20};
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 0, 20);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    fixture_fill(store, 20, 900);
    fail_maps = true;
    cr_assert(store_commit(store, &err) == STATUS_LIMIT, "%s", err.text);
    fail_maps = false;
    cr_assert(strstr(err.text, "address space"), "%s", err.text);
    cr_assert(store_commit(store, &err) == STATUS_LIMIT);
    cr_assert(store_get(store, "key_0001", NULL, NULL, &fixture.arena, &sample, &err) ==
              STATUS_LIMIT);
    store_close(store);
    fixture_expect(&fixture, 20);
    fixture_close(&fixture);
}

Test(store_faults, wants_a_local_disk)
{
    struct fixture fixture = fixture_open("disk");
    struct error err;
    struct store *store;
    const struct {
        long type;
        const char *name;
    } disks[] = {{0x6969, "NFS"}, {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x01021997, "9p"},
                 {0x65735546, "FUSE"}, {(long)0xff534d42, "CIFS"}};
    store_close(fixture_writer(&fixture));
    for (int i = 0; i < 6; i++) {
        disk_type = disks[i].type;
        cr_assert(store_open_writer(fixture.path, NULL, &store, &err) == STATUS_INVALID);
        cr_assert(strstr(err.text, disks[i].name) && strstr(err.text, "local disk"), "%s",
                  err.text);
        cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_INVALID);
    }
    disk_type = 0xef53; /* ext4 */
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_OK, "%s", err.text);
    store_close(store);
    fixture_close(&fixture);
}

Test(store_faults, keeps_what_it_has_when_the_disk_is_full, .timeout = 60)
{
    struct fixture fixture = fixture_open("full");
    struct error err;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("foldmill", fixture.path, "tmpfs", 0, "size=2m") != 0)
        cr_skip("a small tmpfs needs root and mount namespaces");
    struct store *store = fixture_writer(&fixture);
    enum status status = STATUS_OK;
    int acked = 0;
    for (int i = 0; i < 5000 && status == STATUS_OK; i++) {
        status = fixture_put(store, i, &err);
        if (status == STATUS_OK && i % 10 == 9)
            status = store_commit(store, &err);
        if (status == STATUS_OK && i % 10 == 9)
            acked = i + 1;
    }
    cr_assert(status == STATUS_FULL, "%s", err.text);
    cr_assert(strstr(err.text, "free some space"), "%s", err.text);
    cr_assert(acked > 100, "%d", acked);
    for (int i = 0; i < acked; i++)
        fixture_check(store, i);
    cr_assert(mount("foldmill", fixture.path, "tmpfs", MS_REMOUNT, "size=8m") == 0);
    cr_assert(store_commit(store, &err) == STATUS_OK, "goes on with room: %s", err.text);
    store_close(store);
    fixture_expect(&fixture, acked + 10);
    cr_assert(umount(fixture.path) == 0);
    fixture_close(&fixture);
}
