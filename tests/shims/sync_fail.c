/* Preloaded by a test: in every process of a run the FOLDMILL_SYNC_FAIL-th sync of a file fails,
 * and each after it that is due by the same count. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef int sync_fn(int fd);

static int fails(void)
{
    static _Atomic long count;
    const char *text = getenv("FOLDMILL_SYNC_FAIL");
    long every = text ? strtol(text, NULL, 10) : 0;
    return every > 0 && atomic_fetch_add(&count, 1) % every == every - 1;
}

static int sync_by(const char *name, int fd)
{
    sync_fn *real;
    if (fails()) {
        errno = EIO;
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, name);
    return real(fd);
}

__attribute__((visibility("default"))) int fsync(int fd);
__attribute__((visibility("default"))) int fdatasync(int fd);

int fsync(int fd)
{
    return sync_by("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_by("fdatasync", fd);
}
