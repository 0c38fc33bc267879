/* Writing, reading and finding checkpoints; see checkpoint.h. */
#include "kernels/checkpoint.h"

#include "engine/base/file.h"
#include "engine/base/log.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_END ".safetensors"

enum { LIST_MAX = 4096 };

static const size_t file_bytes_max = (size_t)1 << 40;

void checkpoint_path(const char *folder, uint64_t step, char *path, size_t path_bytes)
{
    int length = snprintf(path, path_bytes, "%s/step-%012llu" FILE_END, folder,
                          (unsigned long long)step);
    ASSERT(length > 0 && (size_t)length < path_bytes);
}

static enum status file_make(const struct checkpoint *c, const char *path, struct error *err)
{
    char version[16], step[24], updates[24];
    if (c->state.size > CHECKPOINT_STATE_MAX)
        return error_set(err, STATUS_LIMIT, "%zu bytes of state; %d are allowed", c->state.size,
                         CHECKPOINT_STATE_MAX);
    snprintf(version, sizeof version, "%d", CHECKPOINT_VERSION);
    snprintf(step, sizeof step, "%llu", (unsigned long long)c->step);
    snprintf(updates, sizeof updates, "%llu", (unsigned long long)c->updates);
    struct safetensor *all = calloc((size_t)c->count + 1, sizeof *all);
    ASSERT(all);
    memcpy(all, c->tensor, (size_t)c->count * sizeof *all);
    for (int i = 0; i < c->count; i++)
        ASSERT(all[i].kind == SAFETENSOR_F32);
    all[c->count] = (struct safetensor){.name = "state",
                                        .kind = SAFETENSOR_U8,
                                        .rank = 1,
                                        .dim = {c->state.size},
                                        .data = c->state.data,
                                        .bytes = c->state.size};
    struct safetensors file = {.tensor = all,
                               .count = c->count + 1,
                               .note = {{"format", CHECKPOINT_FORMAT},
                                        {"version", version},
                                        {"step", step},
                                        {"updates", updates},
                                        {"start", c->start}},
                               .notes = c->start ? 5 : 4,
                               .read = c->read,
                               .user = c->user};
    enum status status = safetensors_write(&file, path, err);
    free(all);
    return status == STATUS_OK ? status : error_prefix(err, "checkpoint");
}

enum status checkpoint_write(const char *folder, const struct checkpoint *c, struct error *err)
{
    char path[PATH_MAX];
    uint64_t steps[LIST_MAX];
    if (strlen(folder) + 32 > sizeof path)
        return error_set(err, STATUS_LIMIT, "checkpoint: the folder's name is too long");
    checkpoint_path(folder, c->step, path, sizeof path);
    enum status status = file_make_dirs(folder, err);
    if (status == STATUS_OK)
        status = file_make(c, path, err);
    if (status != STATUS_OK)
        return status;
    int count = checkpoint_list(folder, steps, LIST_MAX), newer = 0;
    for (int i = 0; i < count; i++) {
        newer += steps[i] != c->step; /* the one just written always stays */
        if (steps[i] == c->step || newer < CHECKPOINT_KEPT)
            continue;
        checkpoint_path(folder, steps[i], path, sizeof path);
        if (unlink(path) != 0)
            log_warn("%s: the old checkpoint cannot be removed", path);
    }
    return STATUS_OK;
}

static enum status note_number(const struct safetensors *file, const char *key, uint64_t *number,
                               struct error *err)
{
    int64_t value;
    const char *text = safetensors_note(file, key);
    if (!text || !text_int(span_of(text), 0, INT64_MAX, &value))
        return error_set(err, STATUS_INVALID, "the note %s is \"%s\"; a number is wanted", key,
                         text ? text : "");
    *number = (uint64_t)value;
    return STATUS_OK;
}

static enum status check_format(const struct safetensors *file, struct error *err)
{
    uint64_t version = 0;
    const char *format = safetensors_note(file, "format");
    if (!file->checked || !format || strcmp(format, CHECKPOINT_FORMAT) != 0)
        return error_set(err, STATUS_INVALID, "tensors, but no checkpoint of a run");
    enum status status = note_number(file, "version", &version, err);
    if (status == STATUS_OK && version != CHECKPOINT_VERSION)
        status = error_set(err, STATUS_INVALID, "checkpoint version %llu: this program reads %d",
                           (unsigned long long)version, CHECKPOINT_VERSION);
    return status;
}

enum status checkpoint_parse(struct span content, struct arena *arena, struct checkpoint *c,
                             struct error *err)
{
    struct safetensors file;
    *c = (struct checkpoint){0};
    enum status status = safetensors_parse(content, arena, &file, err);
    if (status == STATUS_OK)
        status = check_format(&file, err);
    if (status == STATUS_OK)
        status = note_number(&file, "step", &c->step, err);
    if (status == STATUS_OK)
        status = note_number(&file, "updates", &c->updates, err);
    if (status != STATUS_OK)
        return status;
    const struct safetensor *state = file.count ? &file.tensor[file.count - 1] : NULL;
    if (!state || strcmp(state->name, "state") != 0 || state->kind != SAFETENSOR_U8 ||
        state->bytes > CHECKPOINT_STATE_MAX)
        return error_set(err, STATUS_INVALID, "a checkpoint without its state");
    c->state = (struct span){state->data, state->bytes};
    c->start = safetensors_note(&file, "start");
    c->tensor = file.tensor;
    c->count = file.count - 1;
    for (int i = 0; i < c->count; i++)
        if (c->tensor[i].kind != SAFETENSOR_F32)
            return error_set(err, STATUS_INVALID, "tensor %s: it is not of float32",
                             c->tensor[i].name);
    return STATUS_OK;
}

enum status checkpoint_read(const char *path, struct arena *arena, struct checkpoint *c,
                            struct error *err)
{
    struct span content;
    enum status status = file_read(path, file_bytes_max, arena, &content, err);
    if (status != STATUS_OK)
        return status;
    status = checkpoint_parse(content, arena, c, err);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

static int newer_first(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? 1 : x > y ? -1 : 0;
}

int checkpoint_list(const char *folder, uint64_t *steps, int max)
{
    DIR *directory = opendir(folder);
    int count = 0;
    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) && max > 0;) {
        struct span name = span_of(entry->d_name);
        int64_t step;
        if (name.size != sizeof "step-000000000000" FILE_END - 1 || !span_starts(name, "step-") ||
            strcmp(entry->d_name + 17, FILE_END) != 0 ||
            !text_int((struct span){name.data + 5, 12}, 0, INT64_MAX, &step))
            continue;
        /* Folders have no order: of more than max the oldest seen so far makes room. */
        if (count < max) {
            steps[count++] = (uint64_t)step;
        } else if (steps[max - 1] < (uint64_t)step) {
            steps[max - 1] = (uint64_t)step;
        }
        qsort(steps, (size_t)count, sizeof *steps, newer_first);
    }
    closedir(directory);
    return count;
}

enum status checkpoint_read_newest(const char *folder, struct arena *arena, struct checkpoint *c,
                                   struct error *err)
{
    uint64_t steps[LIST_MAX];
    char path[PATH_MAX];
    struct error first = {0}, found;
    if (strlen(folder) + 32 > sizeof path)
        return error_set(err, STATUS_LIMIT, "checkpoint: the folder's name is too long");
    int count = checkpoint_list(folder, steps, LIST_MAX);
    for (int i = 0; i < count; i++) {
        struct arena_mark mark = arena_mark(arena);
        checkpoint_path(folder, steps[i], path, sizeof path);
        if (checkpoint_read(path, arena, c, &found) == STATUS_OK)
            return STATUS_OK;
        arena_rewind(arena, mark);
        log_warn("%s; trying the one before", found.text);
        if (i == 0)
            first = found;
    }
    if (count == 0)
        return error_set(err, STATUS_MISS, "%s: holds no checkpoint", folder);
    return error_set(err, STATUS_CORRUPT, "%s (and no earlier one can be read)", first.text);
}

const struct safetensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->tensor[i].name, name) == 0)
            return &c->tensor[i];
    return NULL;
}
