/* Refused samples that somebody wants to be made again: the list AGAIN in the store's folder. Only
 * the process that fills a store writes to it, so who asks leaves a note. */
#include "engine/store_inside.h"

#include "engine/base/file.h"
#include "engine/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { AGAIN_BYTES_MAX = 16 << 20 };

static enum status note(const char *folder, const char *key, struct error *err)
{
    char path[PATH_MAX], line[SAMPLE_KEY_MAX + 2];
    int size = snprintf(line, sizeof line, "%s\n", key);
    int fd =
        open(rundir_file(folder, "AGAIN", path), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    enum status status = STATUS_OK;
    if (fd >= 0 && lseek(fd, 0, SEEK_END) > AGAIN_BYTES_MAX / 2)
        status = error_set(err, STATUS_LIMIT, "%s is full: run the graph, which empties it", path);
    else if (fd < 0 || write(fd, line, (size_t)size) != size || fsync(fd))
        status = error_set(err, errno == ENOSPC ? STATUS_FULL : STATUS_IO, "%s: %s", path,
                           strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

enum status store_requeue(const char *folder, const char *key, struct error *err)
{
    struct store_entry *entry;
    struct store *store;
    struct arena arena;
    enum status status = store_open_reader(folder, &store, err);
    if (status != STATUS_OK)
        return status;
    arena_open(&arena, 0);
    entry = arena_zero(&arena, 1, sizeof *entry);
    status = store_find(store, key, entry, err);
    if (status == STATUS_OK && !entry->refused)
        status = error_set(err, STATUS_MISS, "%s: %s is stored, not refused", folder, key);
    store_close(store);
    arena_close(&arena);
    return status == STATUS_OK ? note(folder, key, err) : status;
}

enum status store_take_requeued(struct store *store, struct arena *arena, uint64_t *count,
                                struct error *err)
{
    char path[PATH_MAX], key[SAMPLE_KEY_MAX + 1];
    struct span rest, line;
    *count = 0;
    if (access(rundir_file(store->path, "AGAIN", path), F_OK) != 0)
        return STATUS_OK;
    struct store_entry *entry = arena_zero(arena, 1, sizeof *entry);
    enum status status = file_read(path, AGAIN_BYTES_MAX, arena, &rest, err);
    while (status == STATUS_OK && span_line(&rest, &line)) {
        if (line.size == 0 || line.size > SAMPLE_KEY_MAX)
            continue;
        memcpy(key, line.data, line.size);
        key[line.size] = 0;
        if (store_find(store, key, entry, NULL) != STATUS_OK || !entry->refused)
            continue; /* made since, or asked for twice */
        status = store_forget(store, key, err);
        *count += status == STATUS_OK;
    }
    if (status == STATUS_OK)
        status = store_commit(store, err);
    if (status == STATUS_OK && unlink(path))
        status = error_set(err, STATUS_IO, "cannot take %s away: %s", path, strerror(errno));
    return status;
}
