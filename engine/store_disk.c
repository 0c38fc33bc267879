/* Where a store may lie and who may write to it: file systems, the writer's lock, namespaces. */
#include "engine/store_inside.h"

#include "engine/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Numbers of statfs(2)'s f_type. On all of these a memory map is not coherent between hosts, or
 * locks are missing: LMDB says it must not be used there. */
static const struct {
    unsigned long type;
    const char *name;
} remote_disks[] = {
    {0x6969, "NFS"},         {0x0bd00bd0, "Lustre"},  {0x47504653, "GPFS"},
    {0x01021997, "9p"},      {0x65735546, "FUSE"},    {0xff534d42, "CIFS"},
    {0xfe534d42, "SMB2"},    {0x517b, "SMB"},         {0x00c36400, "Ceph"},
    {0x5346414f, "AFS"},     {0x73757245, "Coda"},    {0x7461636f, "OCFS2"},
    {0x19830326, "BeeGFS"},  {0xaad7aaea, "PanFS"},   {0x013111a8, "GFS2"},
};

enum { OVERLAY = 0x794c7630 };

const char *store_remote_disk(unsigned long type)
{
    for (size_t i = 0; i < sizeof remote_disks / sizeof *remote_disks; i++)
        if (type == remote_disks[i].type)
            return remote_disks[i].name;
    return NULL;
}

enum status store_check_disk(const char *path, bool writing, struct error *err)
{
    struct statfs info;
    if (statfs(path, &info) != 0)
        return error_set(err, STATUS_IO, "store %s: %s", path, strerror(errno));
    unsigned long type = (unsigned long)info.f_type & 0xffffffffu;
    const char *remote = store_remote_disk(type);
    if (remote)
        return error_set(err, STATUS_INVALID,
                         "store %s lies on %s, where LMDB loses data: put it on a local disk", path,
                         remote);
    if (type == OVERLAY && writing)
        log_warn("store %s lies on an overlay: it will be gone with the container", path);
    return STATUS_OK;
}

/* The PID namespace of this process; 0 when it is not known. */
static unsigned long long pid_namespace(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? (unsigned long long)info.st_ino : 0;
}

struct holder {
    long pid;
    unsigned long long pid_namespace;
    char host[65];
};

static bool read_holder(int fd, struct holder *holder)
{
    char text[256];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return false;
    text[size] = 0;
    return sscanf(text, "pid %ld host %64s pid_namespace %llu", &holder->pid, holder->host,
                  &holder->pid_namespace) == 3;
}

static bool lock_path(const char *path, char buffer[PATH_MAX])
{
    return snprintf(buffer, PATH_MAX, "%s/writer.lock", path) < PATH_MAX;
}

/* A lock of the open file (not of the process, not flock: this kind can be asked after). */
static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

enum status store_lock(const char *path, int *lock_fd, struct error *err)
{
    char file[PATH_MAX], text[256], host[65] = "?";
    struct holder holder;
    if (!lock_path(path, file))
        return error_set(err, STATUS_LIMIT, "store %s: path too long", path);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return error_set(err, errno == ENOSPC ? STATUS_FULL : STATUS_IO, "%s: %s", file,
                         strerror(errno));
    struct flock lock = whole_file();
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        enum status status;
        if (errno != EAGAIN && errno != EACCES)
            status = error_set(err, STATUS_IO, "%s: %s", file, strerror(errno));
        else if (read_holder(fd, &holder))
            status = error_set(err, STATUS_BUSY,
                               "store %s: process %ld on host %s is writing to it, and a store has "
                               "one writer: wait for it or stop it", path, holder.pid, holder.host);
        else
            status = error_set(err, STATUS_BUSY, "store %s: another process is writing to it, and "
                               "a store has one writer: wait for it or stop it", path);
        close(fd);
        return status;
    }
    gethostname(host, sizeof host - 1);
    int size = snprintf(text, sizeof text, "pid %ld host %s pid_namespace %llu\n", (long)getpid(),
                        host, pid_namespace());
    /* Only what others are told; the lock itself is the kernel's. A full disk is met again. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size)
        log_warn("%s: %s", file, strerror(errno));
    *lock_fd = fd;
    return STATUS_OK;
}

enum status store_check_namespace(const char *path, struct error *err)
{
    char file[PATH_MAX];
    struct holder holder;
    if (!lock_path(path, file))
        return error_set(err, STATUS_LIMIT, "store %s: path too long", path);
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return STATUS_OK;
    struct flock lock = whole_file();
    bool foreign = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
                   read_holder(fd, &holder) && holder.pid_namespace != pid_namespace() &&
                   holder.pid_namespace != 0 && pid_namespace() != 0;
    close(fd);
    if (foreign)
        return error_set(err, STATUS_INVALID,
                         "store %s: its writer (process %ld of %s) is in another PID namespace: "
                         "each would take the other's readers for dead; run both in one container",
                         path, holder.pid, holder.host);
    return STATUS_OK;
}
