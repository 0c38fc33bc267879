/* Making a folder of keys: it is written under another name and takes its place when it is whole;
 * see keys.h. */
#include "engine/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { TEXT_MAX = 512 };

static enum status no(struct error *err, const char *path)
{
    return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
}

static enum status write_file(int folder, const char *path, const char *name, const char *text,
                              struct error *err)
{
    size_t size = strlen(text), at = 0;
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return no(err, path);
    while (at < size) {
        ssize_t wrote = write(file, text + at, size - at);
        if (wrote < 0 && errno != EINTR)
            break;
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    enum status status =
        at == size && fchmod(file, 0600) == 0 && fsync(file) == 0 ? STATUS_OK : no(err, path);
    close(file);
    return status;
}

/* Writes one new set of keys into an empty folder. */
static enum status write_keys(int folder, const char *path, struct error *err)
{
    char all[TEXT_MAX] = "foldmill keys 1\n", text[TEXT_MAX];
    enum status status = STATUS_OK;
    for (enum key_role role = KEY_HEAD; role < KEY_ROLES && status == STATUS_OK; role++) {
        char public_key[KEY_TEXT + 1], secret[KEY_TEXT + 1];
        if (zmq_curve_keypair(public_key, secret) != 0)
            return error_set(err, STATUS_IO,
                             "this ZeroMQ makes no CURVE keys (%s): install one with libsodium",
                             zmq_strerror(errno));
        const char *name = key_role_name(role);
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s %s\n", name, public_key);
        snprintf(text, sizeof text, "foldmill keys 1\n%s %s\nsecret %s\n", name, public_key,
                 secret);
        status = write_file(folder, path, keys_file_name(role), text, err);
        explicit_bzero(secret, sizeof secret);
        explicit_bzero(text, sizeof text);
    }
    if (status == STATUS_OK)
        status = write_file(folder, path, keys_file_name(KEY_NONE), all, err);
    if (status == STATUS_OK && fsync(folder) != 0)
        status = no(err, path);
    return status;
}

/* Removes a folder of keys; what is no key stays, and so does the folder then. */
static void remove_keys(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return;
    for (enum key_role i = KEY_NONE; i < KEY_ROLES; i++)
        unlinkat(folder, keys_file_name(i), 0);
    close(folder);
    rmdir(path);
}

/* How many files are there: keys, and others. */
static enum status count_files(const char *path, int *keys, int *others, struct error *err)
{
    *keys = *others = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? STATUS_OK : no(err, path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        bool known = false;
        for (enum key_role i = KEY_NONE; i < KEY_ROLES; i++)
            known = known || strcmp(entry->d_name, keys_file_name(i)) == 0;
        bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        *keys += known;
        *others += !known && !dots;
    }
    closedir(folder);
    return STATUS_OK;
}

static enum status may_write(const char *path, bool force, struct error *err)
{
    int keys, others;
    enum status status = count_files(path, &keys, &others, err);
    if (status != STATUS_OK)
        return status;
    if (others)
        return error_set(err, STATUS_BUSY,
                         "%s holds other files: give a folder of their own to the keys", path);
    if (keys && !force)
        return error_set(err, STATUS_BUSY,
                         "%s holds keys already, which a run may use: --force makes new ones in "
                         "their place",
                         path);
    return STATUS_OK;
}

/* Puts the new folder in the place of the old one, at once where the file system can. */
static enum status put_in_place(const char *fresh, const char *path, struct error *err)
{
    char old[PATH_MAX];
    if (rename(fresh, path) == 0) /* nothing was there, or an empty folder */
        return STATUS_OK;
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_EXCHANGE) == 0) {
        remove_keys(fresh);
        return STATUS_OK;
    }
    snprintf(old, sizeof old, "%.*s.old", PATH_MAX - 8, fresh);
    if (rename(path, old) != 0)
        return no(err, path);
    if (rename(fresh, path) != 0) {
        enum status status = no(err, path);
        if (rename(old, path) != 0)
            error_prefix(err, "the old keys are in %s", old);
        return status;
    }
    remove_keys(old);
    return STATUS_OK;
}

enum status keys_make(const char *path, bool force, struct error *err)
{
    char trimmed[PATH_MAX], fresh[PATH_MAX];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size == 0 || size > PATH_MAX - 32)
        return error_set(err, STATUS_INVALID, "a folder for keys wants a name");
    memcpy(trimmed, path, size);
    trimmed[size] = 0;
    enum status status = may_write(trimmed, force, err);
    if (status != STATUS_OK)
        return status;
    snprintf(fresh, sizeof fresh, "%.*s.new-XXXXXX", PATH_MAX - 32, trimmed);
    if (!mkdtemp(fresh))
        return no(err, trimmed);
    int folder = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    status = folder < 0 ? no(err, fresh) : write_keys(folder, fresh, err);
    if (folder >= 0)
        close(folder);
    if (status == STATUS_OK)
        status = put_in_place(fresh, trimmed, err);
    if (status != STATUS_OK)
        remove_keys(fresh);
    return status;
}
