/* Reading and writing whole files; see file.h. */
/* zlib promises not to write to its input only when asked. */
#define ZLIB_CONST
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* The bytes of the open file as they are on disk. */
static enum status read_raw(int fd, const char *path, size_t bytes_max, struct arena *arena,
                            struct span *raw, struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return error_set(err, STATUS_IO, "%s: is a folder, a file is wanted", path);
    size_t capacity = info.st_size > 0 ? (size_t)info.st_size : 65536, size = 0;
    if (capacity > bytes_max)
        return error_set(err, STATUS_LIMIT, "%s: %zu bytes, the limit is %zu", path, capacity,
                         bytes_max);
    char *data = arena_try(arena, capacity + 1, 1);
    if (!data)
        return error_set(err, STATUS_LIMIT, "%s: no memory for %zu bytes", path, capacity);
    for (;;) {
        ssize_t got = read(fd, data + size, capacity - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
        size += (size_t)got;
        if (got == 0)
            break;
        if (size < capacity)
            continue;
        if (capacity == bytes_max) {
            char probe;
            if (read(fd, &probe, 1) <= 0)
                break;
            return error_set(err, STATUS_LIMIT, "%s: more than %zu bytes", path, bytes_max);
        }
        size_t grown = capacity > bytes_max / 2 ? bytes_max : 2 * capacity;
        if (info.st_size > 0 && size == (size_t)info.st_size) {
            char probe;
            ssize_t more = read(fd, &probe, 1); /* the usual end: nothing more, no regrowth */
            if (more <= 0)
                break;
            char *larger = arena_try(arena, grown + 1, 1);
            if (!larger)
                return error_set(err, STATUS_LIMIT, "%s: no memory for %zu bytes", path, grown);
            memcpy(larger, data, size);
            larger[size++] = probe;
            data = larger;
        } else {
            char *larger = arena_try(arena, grown + 1, 1);
            if (!larger)
                return error_set(err, STATUS_LIMIT, "%s: no memory for %zu bytes", path, grown);
            memcpy(larger, data, size);
            data = larger;
        }
        capacity = grown;
    }
    data[size] = 0;
    *raw = (struct span){data, size};
    return STATUS_OK;
}

enum status file_unpack(struct span packed, size_t bytes_max, struct arena *arena,
                        struct span *content, struct error *err)
{
    if (packed.size < 2 || (unsigned char)packed.data[0] != 0x1f ||
        (unsigned char)packed.data[1] != 0x8b) {
        *content = packed;
        return STATUS_OK;
    }
    if (packed.size > UINT_MAX)
        return error_set(err, STATUS_LIMIT, "gzip of %zu bytes, the limit is %u", packed.size,
                         UINT_MAX);
    z_stream stream = {.next_in = (const Bytef *)packed.data, .avail_in = (uInt)packed.size};
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        return error_set(err, STATUS_LIMIT, "zlib has no memory");
    size_t capacity = packed.size < bytes_max / 6 ? packed.size * 6 : bytes_max, size = 0;
    if (capacity < 4096)
        capacity = 4096;
    char *data = arena_try(arena, capacity + 1, 1);
    enum status status = STATUS_OK;
    while (data) {
        size_t room = capacity - size < UINT_MAX ? capacity - size : UINT_MAX;
        stream.next_out = (Bytef *)data + size;
        stream.avail_out = (uInt)room;
        int code = inflate(&stream, Z_NO_FLUSH);
        size += room - stream.avail_out;
        if (code == Z_STREAM_END) {
            if (stream.avail_in == 0)
                break;
            if (inflateReset(&stream) != Z_OK) /* concatenated members are one file */
                break;
            continue;
        }
        if (code != Z_OK && code != Z_BUF_ERROR) {
            status = error_set(err, STATUS_CORRUPT, "broken gzip: %s",
                               stream.msg ? stream.msg : "data error");
            break;
        }
        if (stream.avail_out > 0) {
            status =
                error_set(err, STATUS_CORRUPT, "truncated gzip: it ends after %zu bytes", size);
            break;
        }
        if (capacity >= bytes_max) {
            status = error_set(err, STATUS_LIMIT, "gzip unpacks to more than %zu bytes", bytes_max);
            break;
        }
        size_t grown = capacity > bytes_max / 2 ? bytes_max : 2 * capacity;
        char *larger = arena_try(arena, grown + 1, 1);
        if (larger)
            memcpy(larger, data, size);
        data = larger;
        capacity = grown;
    }
    inflateEnd(&stream);
    if (status != STATUS_OK)
        return status;
    if (!data)
        return error_set(err, STATUS_LIMIT, "no memory to unpack %zu bytes of gzip", packed.size);
    if (size > bytes_max)
        return error_set(err, STATUS_LIMIT, "gzip unpacks to more than %zu bytes", bytes_max);
    data[size] = 0;
    *content = (struct span){data, size};
    return STATUS_OK;
}

enum status file_read(const char *path, size_t bytes_max, struct arena *arena, struct span *content,
                      struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    struct span raw;
    enum status status = read_raw(fd, path, bytes_max, arena, &raw, err);
    close(fd);
    if (status != STATUS_OK)
        return status;
    status = file_unpack(raw, bytes_max, arena, content, err);
    return status == STATUS_OK ? STATUS_OK : error_prefix(err, "%s", path);
}

/* fsync of the folder that holds path, so that a rename in it survives a power loss. */
static int sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    if (size >= sizeof folder)
        return -1;
    memcpy(folder, path, size);
    folder[size] = 0;
    int fd = open(slash ? (size ? folder : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int code = fsync(fd);
    close(fd);
    return code;
}

/* EFBIG: beyond `ulimit -f`, which for the user is room as well. */
static enum status disk_status(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? STATUS_FULL : STATUS_IO;
}

enum status file_begin(struct file_writer *writer, const char *path, struct error *err)
{
    writer->fd = -1;
    if (snprintf(writer->path, sizeof writer->path, "%s", path) >= (int)sizeof writer->path ||
        snprintf(writer->temporary, sizeof writer->temporary, "%s.tmp.%ld", path,
                 (long)getpid()) >= (int)sizeof writer->temporary)
        return error_set(err, STATUS_LIMIT, "%s: path too long", path);
    writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->fd < 0)
        return error_set(err, disk_status(errno), "%s: %s", writer->temporary,
                         strerror(errno));
    return STATUS_OK;
}

void file_abandon(struct file_writer *writer)
{
    if (writer->fd < 0)
        return;
    close(writer->fd);
    unlink(writer->temporary);
    writer->fd = -1;
}

static enum status writer_failed(struct file_writer *writer, int code, struct error *err)
{
    file_abandon(writer);
    return error_set(err, disk_status(code), "%s: %s", writer->path, strerror(code));
}

enum status file_append(struct file_writer *writer, struct span piece, struct error *err)
{
    for (size_t done = 0; done < piece.size;) {
        ssize_t put = write(writer->fd, piece.data + done, piece.size - done);
        if (put < 0 && errno != EINTR)
            return writer_failed(writer, errno, err);
        done += put > 0 ? (size_t)put : 0;
    }
    return STATUS_OK;
}

enum status file_patch(struct file_writer *writer, size_t offset, struct span piece,
                       struct error *err)
{
    for (size_t done = 0; done < piece.size;) {
        ssize_t put = pwrite(writer->fd, piece.data + done, piece.size - done,
                             (off_t)(offset + done));
        if (put < 0 && errno != EINTR)
            return writer_failed(writer, errno, err);
        done += put > 0 ? (size_t)put : 0;
    }
    return STATUS_OK;
}

enum status file_commit(struct file_writer *writer, struct error *err)
{
    if (fsync(writer->fd) != 0)
        return writer_failed(writer, errno, err);
    int code = close(writer->fd) == 0 ? 0 : errno;
    writer->fd = -1;
    if (code == 0 && (rename(writer->temporary, writer->path) != 0 ||
                      sync_folder(writer->path) != 0))
        code = errno;
    if (code == 0)
        return STATUS_OK;
    unlink(writer->temporary);
    return error_set(err, disk_status(code), "%s: %s", writer->path, strerror(code));
}

enum status file_write_atomic(const char *path, struct span content, struct error *err)
{
    struct file_writer writer;
    enum status status = file_begin(&writer, path, err);
    if (status == STATUS_OK)
        status = file_append(&writer, content, err);
    return status == STATUS_OK ? file_commit(&writer, err) : status;
}

enum status file_make_dirs(const char *path, struct error *err)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof part)
        return error_set(err, STATUS_LIMIT, "'%s': not a usable path", path);
    memcpy(part, path, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return error_set(err, STATUS_IO, "%s: %s", part, strerror(errno));
        part[i] = kept;
    }
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return error_set(err, STATUS_IO, "%s: is not a folder", path);
    return STATUS_OK;
}
