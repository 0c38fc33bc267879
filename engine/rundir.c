/* A run's directory; see rundir.h. */
#include "engine/rundir.h"

#include "engine/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    NAME_ROOM = 300,  /* longest name below a run's directory, with its folder */
    HOLD_TRIES = 100, /* another run may be sweeping just now */
    LOCK_TRIES = 100, /* what a killed engine had just forked holds its lock until it ends */
    TRY_US = 10000,
};

char *rundir_file(const char *path, const char *name, char buffer[PATH_MAX])
{
    int size = snprintf(buffer, PATH_MAX, "%s/%s", path, name);
    ASSERT_INT(size, <, PATH_MAX);
    return buffer;
}

char *rundir_address(const char *sockets, const char *name, char *buffer, size_t size)
{
    snprintf(buffer, size, "ipc://%s/%s", sockets, name);
    return buffer;
}

/* Nobody else may be able to put a socket there. */
static enum status make_private(const char *path, struct error *err)
{
    struct stat stat;
    bool there = false;
    for (int i = 0; i < HOLD_TRIES && !there; i++) { /* another run may sweep it away just now */
        if (mkdir(path, 0700) && errno != EEXIST)
            return error_set(err, STATUS_IO, "cannot make the folder %s: %s", path,
                             strerror(errno));
        there = lstat(path, &stat) == 0;
    }
    if (!there)
        return error_set(err, STATUS_IO, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISDIR(stat.st_mode) || stat.st_uid != geteuid() || (stat.st_mode & 077))
        return error_set(err, STATUS_INVALID,
                         "%s must be a folder of yours with mode 0700: remove it, or set TMPDIR to "
                         "another folder",
                         path);
    return STATUS_OK;
}

static void empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
}

/* Holds the folder for as long as the run lives. False: somebody else has it, or removed it. */
static bool hold_folder(const char *path, int *fd)
{
    struct stat held, there;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) == 0 && fstat(*fd, &held) == 0 &&
        lstat(path, &there) == 0 && held.st_ino == there.st_ino)
        return true;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return false;
}

/* Removes what killed runs left behind: folders that nobody holds. */
static void sweep(const char *user)
{
    DIR *folder = opendir(user);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char path[PATH_MAX];
        int fd;
        if (entry->d_name[0] == '.' || strlen(user) + strlen(entry->d_name) > PATH_MAX - 2)
            continue;
        if (hold_folder(rundir_file(user, entry->d_name, path), &fd)) {
            empty_folder(path);
            rmdir(path);
            close(fd);
        }
    }
    if (folder)
        closedir(folder);
}

/* The same run gets the same folder, so that what a killed run left there is found and removed. */
static enum status make_sockets(struct rundir *rundir, struct error *err)
{
    static const char *const variables[] = {"XDG_RUNTIME_DIR", "TMPDIR"};
    const char *base = NULL;
    char user[PATH_MAX];
    for (int i = 0; i < 2 && !base; i++) {
        base = getenv(variables[i]);
        if (base && (*base != '/' || access(base, W_OK | X_OK)))
            base = NULL;
    }
    if (snprintf(user, sizeof user, "%s/foldmill-%u", base ? base : "/tmp", (unsigned)geteuid()) >=
        PATH_MAX - 32)
        return error_set(err, STATUS_LIMIT, "the path %s is too long", user);
    enum status status = make_private(user, err);
    if (status != STATUS_OK)
        return status;
    char name[32];
    snprintf(name, sizeof name, "%016llx",
             (unsigned long long)XXH3_64bits(rundir->path, strlen(rundir->path)));
    sweep(user);
    for (int i = 0; i < HOLD_TRIES; i++, usleep(TRY_US)) {
        rundir_file(user, name, rundir->sockets);
        status = make_private(rundir->sockets, err);
        if (status != STATUS_OK)
            return status;
        if (hold_folder(rundir->sockets, &rundir->hold)) {
            empty_folder(rundir->sockets);
            return STATUS_OK;
        }
    }
    rundir->sockets[0] = '\0';
    return error_set(err, STATUS_BUSY, "the folder %s/%s is held by another run", user, name);
}

static enum status take_lock(struct rundir *rundir, struct error *err)
{
    char path[PATH_MAX], text[32] = "";
    rundir_file(rundir->path, "lock", path);
    rundir->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (rundir->lock < 0)
        return error_set(err, STATUS_IO, "cannot write in %s: %s", rundir->path, strerror(errno));
    int code;
    for (int i = 0; (code = flock(rundir->lock, LOCK_EX | LOCK_NB)) != 0 && i < LOCK_TRIES; i++)
        usleep(TRY_US);
    if (code != 0) {
        ssize_t got = read(rundir->lock, text, sizeof text - 1);
        text[got > 0 ? got : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        close(rundir->lock);
        rundir->lock = -1;
        return error_set(err, STATUS_BUSY,
                         "%s is in use by another run (process %s): stop that run, or say --run "
                         "DIR for another directory",
                         rundir->path, text);
    }
    return STATUS_OK;
}

/* Who uses the run, and where its engine can be spoken with: process, folder of sockets, host. */
static enum status write_lock(const struct rundir *rundir, struct error *err)
{
    char text[PATH_MAX + 512], host[256] = "";
    gethostname(host, sizeof host - 1);
    int size = snprintf(text, sizeof text, "%d\n%s\n%s\n", (int)getpid(), rundir->sockets, host);
    if (ftruncate(rundir->lock, 0) || pwrite(rundir->lock, text, (size_t)size, 0) != size)
        return error_set(err, errno == ENOSPC ? STATUS_FULL : STATUS_IO, "cannot write in %s: %s",
                         rundir->path, strerror(errno));
    return STATUS_OK;
}

enum status rundir_open(struct rundir *rundir, const char *name, const char *given,
                        struct error *err)
{
    char wanted[PATH_MAX], path[PATH_MAX];
    *rundir = (struct rundir){.lock = -1, .hold = -1};
    if (given) {
        snprintf(wanted, sizeof wanted, "%s", given);
    } else {
        time_t now = time(NULL);
        struct tm local;
        char stamp[32];
        strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
        snprintf(wanted, sizeof wanted, "runs/%s-%s", name, stamp);
    }
    static const char *const folders[] = {"lists", "checkpoints", "plots"};
    enum status status = file_make_dirs(wanted, err);
    if (status != STATUS_OK)
        return status;
    if (!realpath(wanted, rundir->path))
        return error_set(err, STATUS_IO, "%s: %s", wanted, strerror(errno));
    if (strlen(rundir->path) > PATH_MAX - NAME_ROOM)
        return error_set(err, STATUS_LIMIT, "the path %s is too long", rundir->path);
    rundir->fresh = access(rundir_file(rundir->path, "graph.yaml", path), F_OK) != 0;
    status = take_lock(rundir, err);
    for (int i = 0; i < 3 && status == STATUS_OK; i++)
        status = file_make_dirs(rundir_file(rundir->path, folders[i], path), err);
    if (status == STATUS_OK)
        status = make_sockets(rundir, err);
    if (status == STATUS_OK)
        status = write_lock(rundir, err);
    if (status != STATUS_OK)
        rundir_close(rundir);
    return status;
}

void rundir_close(struct rundir *rundir)
{
    if (*rundir->sockets) {
        empty_folder(rundir->sockets);
        rmdir(rundir->sockets);
    }
    if (rundir->hold >= 0)
        close(rundir->hold);
    if (rundir->lock >= 0)
        close(rundir->lock);
    *rundir = (struct rundir){.lock = -1, .hold = -1};
}
