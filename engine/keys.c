/* Key files; see keys.h. A file is a first line that says what it is and lines of two words. */
#include "engine/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { FILE_MAX = 1024, RAW_BYTES = 32 }; /* bytes of a key file; of a key */

#define FIRST_LINE "foldmill keys 1"

static const char *const role_names[KEY_ROLES] = {"none", "head", "sink", "worker"};
const char *keys_file_name(enum key_role role)
{
    static const char *const names[KEY_ROLES] = {"public", "head.key", "sink.key", "worker.key"};
    ASSERT((unsigned)role < KEY_ROLES);
    return names[role];
}

const char *key_role_name(enum key_role role)
{
    return (unsigned)role < KEY_ROLES ? role_names[role] : "unknown";
}

enum key_role key_role_of(struct span name)
{
    for (enum key_role role = KEY_HEAD; role < KEY_ROLES; role++)
        if (span_is(name, role_names[role]))
            return role;
    return KEY_NONE;
}

void keys_wipe(struct keys *keys)
{
    explicit_bzero(keys->secret, sizeof keys->secret);
}

/* ---- text ---- */

static bool take_key(struct span word, char key[KEY_TEXT + 1])
{
    unsigned char raw[RAW_BYTES];
    if (word.size != KEY_TEXT)
        return false;
    memcpy(key, word.data, KEY_TEXT);
    key[KEY_TEXT] = 0;
    for (size_t i = 0; i < KEY_TEXT; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return false; /* the decoder below indexes a table by what it finds */
    bool good = zmq_z85_decode(raw, key) != NULL;
    explicit_bzero(raw, sizeof raw);
    return good;
}

static enum status parse_line(struct span line, enum key_role role, unsigned *seen,
                              struct keys *keys, struct error *err)
{
    struct span name, value, more;
    if (!span_word(&line, &name) || !span_word(&line, &value) || span_word(&line, &more))
        return error_set(err, STATUS_INVALID, "a line of two words is wanted");
    enum key_role owner = key_role_of(name);
    char *to = owner                             ? keys->public_key[owner]
               : span_is(name, "secret") && role ? keys->secret
                                                 : NULL;
    if (!to || (role && owner && owner != role))
        return error_set(err, STATUS_INVALID, "\"%.*s\" is not expected here",
                         (int)(name.size > 16 ? 16 : name.size), name.data);
    if (*seen & 1u << owner)
        return error_set(err, STATUS_INVALID, "two keys of one name");
    *seen |= 1u << owner;
    if (!take_key(value, to))
        return error_set(err, STATUS_INVALID, "a key is %d characters of Z85", KEY_TEXT);
    return STATUS_OK;
}

enum status keys_parse(struct span text, enum key_role role, struct keys *keys, struct error *err)
{
    struct span line;
    unsigned seen = 0;
    unsigned wanted = role ? 1u | 1u << role : 1u << KEY_HEAD | 1u << KEY_SINK | 1u << KEY_WORKER;
    if (!span_line(&text, &line) || !span_is(line, FIRST_LINE))
        return error_set(err, STATUS_INVALID, "the first line is not \"" FIRST_LINE "\"");
    while (span_line(&text, &line)) {
        if (span_trim(line).size == 0)
            continue;
        enum status status = parse_line(line, role, &seen, keys, err);
        if (status != STATUS_OK)
            return status;
    }
    if (seen != wanted)
        return error_set(err, STATUS_INVALID, "%s is missing",
                         role ? "the public or the secret key" : "the key of a role");
    return STATUS_OK;
}

enum key_role keys_find(const struct keys *keys, const unsigned char raw[RAW_BYTES])
{
    char text[KEY_TEXT + 1];
    zmq_z85_encode(text, raw, RAW_BYTES);
    for (enum key_role role = KEY_HEAD; role < KEY_ROLES; role++)
        if (strcmp(text, keys->public_key[role]) == 0)
            return role;
    return KEY_NONE;
}

/* ---- who may read them ---- */

static enum status check_owner(const struct stat *info, const char *path, struct error *err)
{
    if (info->st_uid == geteuid() || info->st_uid == 0)
        return STATUS_OK;
    return error_set(err, STATUS_REFUSED,
                     "%s belongs to user %u, and the keys of a job belong to you (%u): make your "
                     "own with `foldmill keys DIR`",
                     path, (unsigned)info->st_uid, (unsigned)geteuid());
}

static enum status open_folder(const char *path, int *folder, struct error *err)
{
    struct stat info;
    *folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*folder < 0)
        return error_set(err, errno == ENOENT ? STATUS_MISS : STATUS_IO,
                         "%s: %s; `foldmill keys %s` makes keys", path, strerror(errno), path);
    enum status status = fstat(*folder, &info) == 0
                             ? check_owner(&info, path, err)
                             : error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    /* Another's folder is root's: a mounted secret, in which others can change nothing. */
    bool ours = info.st_uid == geteuid();
    bool open_to_others =
        ours ? info.st_mode & 077 : (info.st_mode & 022) && !(info.st_mode & S_ISVTX);
    if (status == STATUS_OK && open_to_others)
        status = error_set(err, STATUS_REFUSED,
                           "%s has mode %04o, others could read or change keys: `chmod 700 %s`",
                           path, (unsigned)info.st_mode & 07777, path);
    if (status != STATUS_OK)
        close(*folder);
    return status;
}

/* Opens one file of the folder and checks its mode. */
static enum status open_file(int folder, const char *path, const char *name, int *file,
                             struct error *err)
{
    struct stat info;
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s/%s", path, name);
    *file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*file < 0)
        return error_set(err, errno == ENOENT ? STATUS_MISS : STATUS_IO, "%s: %s", whole,
                         strerror(errno));
    enum status status = fstat(*file, &info) == 0
                             ? check_owner(&info, whole, err)
                             : error_set(err, STATUS_IO, "%s: %s", whole, strerror(errno));
    unsigned bad = info.st_uid == geteuid() ? 077 : 037;
    if (status == STATUS_OK && !S_ISREG(info.st_mode))
        status = error_set(err, STATUS_INVALID, "%s is not a file", whole);
    if (status == STATUS_OK && (info.st_mode & bad))
        status = error_set(err, STATUS_REFUSED,
                           "%s has mode %04o, others could read it: `chmod 600 %s`, and new keys "
                           "with `foldmill keys --force %s` if others were on this machine",
                           whole, (unsigned)info.st_mode & 07777, whole, path);
    if (status != STATUS_OK)
        close(*file);
    return status;
}

static enum status read_file(int folder, const char *path, enum key_role role, struct keys *keys,
                             struct error *err)
{
    int file;
    char text[FILE_MAX + 1];
    size_t size = 0;
    ssize_t got;
    enum status status = open_file(folder, path, keys_file_name(role), &file, err);
    if (status != STATUS_OK)
        return status;
    do {
        got = read(file, text + size, sizeof text - size);
        size += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0)
        status =
            error_set(err, STATUS_IO, "%s/%s: %s", path, keys_file_name(role), strerror(errno));
    else if (size > FILE_MAX)
        status = error_set(err, STATUS_INVALID, "%s/%s has more than %d bytes", path,
                           keys_file_name(role), FILE_MAX);
    else if (keys_parse((struct span){text, size}, role, keys, err) != STATUS_OK)
        status =
            error_set(err, STATUS_INVALID, "%s/%s is no file of keys", path, keys_file_name(role));
    explicit_bzero(text, sizeof text);
    close(file);
    return status;
}

enum status keys_load(const char *path, enum key_role role, struct keys *keys, struct error *err)
{
    int folder;
    struct keys own = {0};
    ASSERT(role > KEY_NONE && role < KEY_ROLES);
    *keys = (struct keys){.role = role};
    enum status status = open_folder(path, &folder, err);
    if (status != STATUS_OK)
        return status;
    status = read_file(folder, path, KEY_NONE, keys, err);
    if (status == STATUS_OK)
        status = read_file(folder, path, role, &own, err);
    if (status == STATUS_OK && strcmp(own.public_key[role], keys->public_key[role]) != 0)
        status = error_set(err, STATUS_INVALID,
                           "%s/%s and %s/%s are of different jobs: copy the folder again", path,
                           keys_file_name(role), path, keys_file_name(KEY_NONE));
    memcpy(keys->secret, own.secret, sizeof keys->secret);
    keys_wipe(&own);
    if (status != STATUS_OK)
        keys_wipe(keys);
    close(folder);
    return status;
}

enum status keys_check(const char *path, struct error *err)
{
    int folder, file;
    enum status status = open_folder(path, &folder, err);
    if (status != STATUS_OK)
        return status;
    for (enum key_role role = KEY_NONE; role < KEY_ROLES && status == STATUS_OK; role++) {
        status = open_file(folder, path, keys_file_name(role), &file, err);
        if (status == STATUS_OK)
            close(file);
        else if (status == STATUS_MISS && role != KEY_NONE)
            status = STATUS_OK; /* a node has only its own */
    }
    close(folder);
    return status;
}
