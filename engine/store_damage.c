/* The list of damaged records, DAMAGED in the store's folder: who finds one names it there, and the
 * next run that fills the store looks at those keys alone and makes again what is damaged. */
#include "engine/store_inside.h"

#include "engine/base/file.h"
#include "engine/base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DAMAGED_BYTES_MAX = 16 << 20 };

static bool list_path(const char *folder, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s/DAMAGED", folder) < PATH_MAX;
}

void store_note_damage(const struct store *store, const char *key)
{
    char path[PATH_MAX], line[SAMPLE_KEY_MAX + 2];
    if (!list_path(store->path, path))
        return;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    int size = snprintf(line, sizeof line, "%s\n", key);
    if (fd < 0 || lseek(fd, 0, SEEK_END) > DAMAGED_BYTES_MAX / 2 ||
        write(fd, line, (size_t)size) != size)
        log_warn("store %s: %s is damaged and could not be put on the list of what is to be made "
                 "again: run `foldmill store verify --forget`", store->path, key);
    if (fd >= 0)
        close(fd);
}

enum status store_damaged(struct store *store, struct arena *arena,
                          void (*damaged)(void *user, struct span key), void *user,
                          struct error *err)
{
    char path[PATH_MAX], key[SAMPLE_KEY_MAX + 1];
    struct span rest, line;
    struct arena record;
    struct sample sample;
    uint64_t count = 0;
    if (!list_path(store->path, path) || access(path, F_OK) != 0)
        return STATUS_OK;
    enum status status = file_read(path, DAMAGED_BYTES_MAX, arena, &rest, err);
    if (status != STATUS_OK)
        return status;
    arena_open(&record, 0);
    while (span_line(&rest, &line)) {
        if (line.size == 0 || line.size > SAMPLE_KEY_MAX)
            continue;
        memcpy(key, line.data, line.size);
        key[line.size] = 0;
        arena_reset(&record);
        if (store_get(store, key, NULL, NULL, &record, &sample, NULL) != STATUS_CORRUPT)
            continue; /* made again since, or gone */
        damaged(user, line);
        count++;
    }
    arena_close(&record);
    if (count == 0 && unlink(path) != 0)
        log_warn("%s: cannot be taken away", path);
    return STATUS_OK;
}
