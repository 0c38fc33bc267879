/* The coordinator's file; see journal.h. Layout: "fldmjrnl", version u32, zero u32; then
 * records, each length u32, number u32 (from 0), XXH3-64 of length, number and contents,
 * contents. Each epoch writes a file of its own, journal.N, so that a twin which is late can
 * never replace a newer one; what is read is the one of the highest N. journal.epoch.N is the
 * mark that the epoch is taken. */
#include "engine/journal.h"

#include "engine/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { JOURNAL_VERSION = 1, TAIL_TRIES = 64 };
#define JOURNAL_BYTES_MAX ((size_t)1 << 28)
static const char magic[8] = {'f', 'l', 'd', 'm', 'j', 'r', 'n', 'l'};

struct journal {
    char folder[PATH_MAX];
    int fd, folder_fd; /* fd -1: not compacted yet, or failed */
    uint32_t epoch, number;
    uint32_t found; /* epoch of the newest file that was there; 0: none */
    off_t size;
    bool failed;
};

/* XXH3 of a frame: its first eight bytes and the contents, hashed as one text. */
static uint64_t frame_digest(uint32_t length, uint32_t number, const void *contents)
{
    return XXH3_64bits_withSeed(contents, length, (uint64_t)number << 32 | length);
}

/* True when a whole record with that number or a later one starts at bytes. */
static bool frame_good(const unsigned char *bytes, size_t left, uint32_t number, bool later)
{
    if (left < JOURNAL_FRAME_BYTES)
        return false;
    uint32_t length = get_u32(bytes), found = get_u32(bytes + 4);
    if (length == 0 || length > JOURNAL_RECORD_MAX || length > left - JOURNAL_FRAME_BYTES)
        return false;
    if (later ? found <= number : found != number)
        return false;
    return get_u64(bytes + 8) == frame_digest(length, found, bytes + JOURNAL_FRAME_BYTES);
}

/* True when what is left after the last whole record can be the remains of one write. */
static bool tail_torn(const unsigned char *bytes, size_t left, uint32_t number)
{
    if (left > JOURNAL_FRAME_BYTES + JOURNAL_RECORD_MAX)
        return false;
    int tries = 0;
    for (size_t i = 1; i + JOURNAL_FRAME_BYTES < left; i++) {
        uint32_t length = get_u32(bytes + i), found = get_u32(bytes + i + 4);
        if (length == 0 || length > left || found <= number || found > number + left)
            continue;
        if (frame_good(bytes + i, left - i, number, true) || ++tries > TAIL_TRIES)
            return false;
    }
    return true;
}

enum status journal_scan(struct span bytes,
                         enum status (*give)(void *user, struct span record, struct error *err),
                         void *user, size_t *good, struct error *err)
{
    const unsigned char *data = (const unsigned char *)bytes.data;
    *good = 0;
    if (bytes.size == 0)
        return STATUS_OK;
    if (bytes.size < JOURNAL_HEADER_BYTES || memcmp(data, magic, sizeof magic) != 0)
        return error_set(err, STATUS_INVALID, "not a journal");
    if (get_u32(data + 8) != JOURNAL_VERSION)
        return error_set(err, STATUS_INVALID, "a journal of version %u, wanted %d",
                         get_u32(data + 8), JOURNAL_VERSION);
    *good = JOURNAL_HEADER_BYTES;
    for (uint32_t number = 0; *good < bytes.size; number++) {
        size_t left = bytes.size - *good;
        if (!frame_good(data + *good, left, number, false)) {
            if (tail_torn(data + *good, left, number))
                return STATUS_OK;
            return error_set(err, STATUS_CORRUPT,
                             "record %u of the journal, at byte %zu, is damaged and is not the "
                             "last: restore the file or start a new run",
                             number, *good);
        }
        if (number >= JOURNAL_RECORDS_MAX)
            return error_set(err, STATUS_LIMIT, "more than %d records", JOURNAL_RECORDS_MAX);
        uint32_t length = get_u32(data + *good);
        struct span record = {bytes.data + *good + JOURNAL_FRAME_BYTES, length};
        enum status status = give(user, record, err);
        if (status != STATUS_OK)
            return status;
        *good += JOURNAL_FRAME_BYTES + length;
    }
    return STATUS_OK;
}

static enum status system_error(struct error *err, const struct journal *journal, const char *what)
{
    enum status status = errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO;
    return error_set(err, status, "%s/journal: cannot %s: %s", journal->folder, what,
                     strerror(errno));
}

static const char mark_prefix[] = "journal.epoch.", file_prefix[] = "journal.";

static void name_make(char name[48], const char *prefix, uint32_t epoch)
{
    snprintf(name, 48, "%s%010u", prefix, epoch);
}

/* The epoch that a file's name says behind that prefix, or 0. */
static uint32_t name_parse(const char *name, const char *prefix)
{
    struct span text = span_of(name);
    int64_t epoch;
    if (!span_starts(text, prefix))
        return 0;
    text = (struct span){text.data + strlen(prefix), text.size - strlen(prefix)};
    return text_int(text, 1, UINT32_MAX - 1, &epoch) ? (uint32_t)epoch : 0;
}

/* Finds the highest epoch that is marked and the newest file; or, with remove, removes what is
 * older than those. */
static enum status folder_look(struct journal *journal, bool remove, struct error *err)
{
    DIR *folder = opendir(journal->folder);
    if (!folder)
        return system_error(err, journal, "list its folder");
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        uint32_t mark = name_parse(entry->d_name, mark_prefix);
        uint32_t file = name_parse(entry->d_name, file_prefix);
        if (!remove && mark > journal->epoch)
            journal->epoch = mark;
        if (!remove && file > journal->found)
            journal->found = file;
        if (remove &&
            ((mark != 0 && mark < journal->epoch) || (file != 0 && file < journal->found)))
            unlinkat(journal->folder_fd, entry->d_name, 0);
    }
    closedir(folder);
    return STATUS_OK;
}

/* Takes the epoch after the highest one that is marked. The newest file is looked for after that: a
 * predecessor that is still alive has stopped answering by then. */
static enum status epoch_take(struct journal *journal, struct error *err)
{
    char name[48];
    enum status status = folder_look(journal, false, err);
    if (status != STATUS_OK)
        return status;
    name_make(name, mark_prefix, ++journal->epoch);
    int fd = openat(journal->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, STATUS_BUSY, "%s: another coordinator has just been started here",
                         journal->folder);
    if (fd < 0 || fsync(journal->folder_fd) != 0)
        return system_error(err, journal, "take its epoch");
    close(fd);
    uint32_t mine = journal->epoch;
    status = folder_look(journal, false, err);
    if (status == STATUS_OK && journal->epoch != mine)
        status = error_set(err, STATUS_BUSY, "%s: another coordinator has just been started here",
                           journal->folder);
    return status;
}

/* True while no later coordinator has taken the folder. */
static bool epoch_held(const struct journal *journal)
{
    char mine[48], next[48];
    name_make(mine, mark_prefix, journal->epoch);
    name_make(next, mark_prefix, journal->epoch + 1);
    return faccessat(journal->folder_fd, mine, F_OK, 0) == 0 &&
           faccessat(journal->folder_fd, next, F_OK, 0) != 0 && errno == ENOENT;
}

static enum status epoch_lost(const struct journal *journal, struct error *err)
{
    return error_set(err, STATUS_BUSY,
                     "%s: another coordinator has taken over this run; this one (epoch %u) ends",
                     journal->folder, journal->epoch);
}

/* Reads the whole file with malloc; size 0 when there is none. */
static enum status contents_read(const struct journal *journal, char **data, size_t *size,
                                 struct error *err)
{
    *data = NULL;
    *size = 0;
    if (journal->found == 0)
        return STATUS_OK;
    char name[48];
    name_make(name, file_prefix, journal->found);
    int fd = openat(journal->folder_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        enum status status = system_error(err, journal, "open it");
        if (fd >= 0)
            close(fd);
        return status;
    }
    enum status status = STATUS_OK;
    if (!S_ISREG(info.st_mode) || info.st_size < 0 || (size_t)info.st_size > JOURNAL_BYTES_MAX)
        status = error_set(err, STATUS_LIMIT, "%s/journal: no regular file of at most %zu bytes",
                           journal->folder, JOURNAL_BYTES_MAX);
    else if ((*data = malloc((size_t)info.st_size + 1)) == NULL)
        status = error_set(err, STATUS_LIMIT, "no memory for %s/journal", journal->folder);
    while (status == STATUS_OK && *size < (size_t)info.st_size) {
        ssize_t got = read(fd, *data + *size, (size_t)info.st_size - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = system_error(err, journal, "read it");
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    close(fd);
    return status;
}

enum status journal_read(const char *folder,
                         enum status (*give)(void *user, struct span record, struct error *err),
                         void *user, struct error *err)
{
    struct journal journal = {.fd = -1};
    char *data = NULL;
    size_t size = 0, good;
    snprintf(journal.folder, sizeof journal.folder, "%s", folder);
    journal.folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (journal.folder_fd < 0)
        return system_error(err, &journal, "open its folder");
    enum status status = folder_look(&journal, false, err);
    if (status == STATUS_OK)
        status = contents_read(&journal, &data, &size, err);
    if (status == STATUS_OK)
        status = journal_scan((struct span){data, size}, give, user, &good, err);
    free(data);
    close(journal.folder_fd);
    return status;
}

enum status journal_open(struct journal **opened, const char *folder,
                         enum status (*give)(void *user, struct span record, struct error *err),
                         void *user, struct error *err)
{
    struct journal *journal = calloc(1, sizeof *journal);
    ASSERT(journal);
    journal->fd = -1;
    int written = snprintf(journal->folder, sizeof journal->folder, "%s", folder);
    ASSERT(written >= 0 && (size_t)written < sizeof journal->folder);
    journal->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = STATUS_OK;
    if (journal->folder_fd < 0)
        status = system_error(err, journal, "open its folder");
    if (status == STATUS_OK)
        status = epoch_take(journal, err);
    char *data = NULL;
    size_t size = 0, good;
    if (status == STATUS_OK)
        status = contents_read(journal, &data, &size, err);
    if (status == STATUS_OK) {
        status = journal_scan((struct span){data, size}, give, user, &good, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s/journal", journal->folder);
    }
    free(data);
    if (status == STATUS_OK)
        *opened = journal;
    else
        journal_close(journal);
    return status;
}

uint32_t journal_epoch(const struct journal *journal)
{
    return journal->epoch;
}

static enum status bytes_write(struct journal *journal, const void *data, size_t size,
                               struct error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t put = pwrite(journal->fd, at, size, journal->size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            journal->failed = true;
            return system_error(err, journal, "write it");
        }
        at += put;
        size -= (size_t)put;
        journal->size += put;
    }
    return STATUS_OK;
}

enum status journal_add(struct journal *journal, struct span record, struct error *err)
{
    _Static_assert(JOURNAL_RECORD_MAX < INT32_MAX, "lengths fit");
    ASSERT(record.size >= 1 && record.size <= JOURNAL_RECORD_MAX && journal->fd >= 0);
    unsigned char frame[JOURNAL_FRAME_BYTES + JOURNAL_RECORD_MAX];
    uint32_t length = (uint32_t)record.size;
    put_u32(frame, length);
    put_u32(frame + 4, journal->number);
    put_u64(frame + 8, frame_digest(length, journal->number, record.data));
    memcpy(frame + JOURNAL_FRAME_BYTES, record.data, record.size);
    enum status status = bytes_write(journal, frame, JOURNAL_FRAME_BYTES + record.size, err);
    if (status == STATUS_OK)
        journal->number++;
    return status;
}

/* Room for records on a disk that fills up: without them nothing could be set aside or saved, and
 * the run would end. A file system that cannot do it is taken as it is. */
static void reserve(const struct journal *journal)
{
    struct stat file;
    if (fstat(journal->fd, &file) == 0)
        (void)!fallocate(journal->fd, FALLOC_FL_KEEP_SIZE, file.st_size, JOURNAL_AHEAD);
}

enum status journal_compact(struct journal *journal,
                            enum status (*dump)(void *user, struct journal *journal,
                                                struct error *err),
                            void *user, struct error *err)
{
    char temporary[48], name[48];
    unsigned char header[JOURNAL_HEADER_BYTES] = {0};
    name_make(temporary, "journal.new.", journal->epoch);
    name_make(name, file_prefix, journal->epoch);
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd =
        openat(journal->folder_fd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (journal->fd < 0)
        return system_error(err, journal, "rewrite it");
    journal->size = 0;
    journal->number = 0;
    memcpy(header, magic, sizeof magic);
    put_u32(header + 8, JOURNAL_VERSION);
    enum status status = bytes_write(journal, header, sizeof header, err);
    if (status == STATUS_OK)
        status = dump(user, journal, err);
    if (status == STATUS_OK && fsync(journal->fd) != 0)
        status = system_error(err, journal, "sync it");
    if (status == STATUS_OK && (renameat(journal->folder_fd, temporary, journal->folder_fd, name) ||
                                fsync(journal->folder_fd)))
        status = system_error(err, journal, "rename it");
    if (status == STATUS_OK && !epoch_held(journal))
        status = epoch_lost(journal, err);
    if (status != STATUS_OK) {
        unlinkat(journal->folder_fd, temporary, 0);
        journal->failed = true;
        return status;
    }
    journal->found = journal->epoch;
    reserve(journal);
    return folder_look(journal, true, err);
}

enum status journal_append(struct journal *journal, struct span record, struct error *err)
{
    ASSERT_INT(journal->fd, >=, 0);
    if (journal->failed)
        return error_set(err, STATUS_IO, "%s/journal: an earlier write failed", journal->folder);
    enum status status = journal_add(journal, record, err);
    if (status == STATUS_OK && fdatasync(journal->fd) != 0)
        status = system_error(err, journal, "sync it");
    /* A successor takes its epoch before it reads: while ours holds, what we wrote was read. */
    if (status == STATUS_OK && !epoch_held(journal))
        status = epoch_lost(journal, err);
    if (status != STATUS_OK)
        journal->failed = true;
    return status;
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    if (journal->folder_fd >= 0)
        close(journal->folder_fd);
    free(journal);
}
