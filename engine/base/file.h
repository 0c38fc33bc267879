/* Whole files, plain or gzip (told by their first bytes, not by their names), into memory with a
 * limit; and writing a file so that it is there whole or not at all. */
#ifndef FOLDMILL_BASE_FILE_H
#define FOLDMILL_BASE_FILE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <limits.h>

/* Reads the file at path into arena, unpacking gzip; content is NUL-terminated beyond its size.
 * Errors name the path. STATUS_IO: cannot be opened or read; STATUS_CORRUPT: broken or truncated
 * gzip; STATUS_LIMIT: more than bytes_max unpacked bytes. */
enum status file_read(const char *path, size_t bytes_max, struct arena *arena,
                      struct span *content, struct error *err);

/* Unpacks gzip in memory; content that is not gzip is handed back as it is. */
enum status file_unpack(struct span packed, size_t bytes_max, struct arena *arena,
                        struct span *content, struct error *err);

/* Writes content to path by way of a temporary file: write, fsync, rename, fsync of the folder. */
enum status file_write_atomic(const char *path, struct span content, struct error *err);

/* The same for a file that is never whole in memory: begun, given piece by piece, committed. After
 * an error, or file_abandon, nothing is left of it, and what was at path before is as it was. */
struct file_writer {
    int fd; /* -1: not open */
    char path[PATH_MAX], temporary[PATH_MAX];
};

/* STATUS_LIMIT: the path is too long; STATUS_FULL: no room; STATUS_IO. */
enum status file_begin(struct file_writer *writer, const char *path, struct error *err);
enum status file_append(struct file_writer *writer, struct span piece, struct error *err);

/* Writes over bytes that were given before. */
enum status file_patch(struct file_writer *writer, size_t offset, struct span piece,
                       struct error *err);
enum status file_commit(struct file_writer *writer, struct error *err);
void file_abandon(struct file_writer *writer);

/* Makes the folder and its parents (mode 0777 less umask); fine when it is there. */
enum status file_make_dirs(const char *path, struct error *err);

#endif
