/* Writing, reading and finding checkpoints; the format stands in checkpoint.h. */
#include "kernels/checkpoint.h"

#include "engine/base/file.h"
#include "engine/base/log.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { ALIGN = 64, LIST_MAX = 4096 };

static const char magic[8] = {'F', 'O', 'L', 'D', 'C', 'K', 'P', 'T'};
static const size_t file_bytes_max = (size_t)1 << 40;

struct head {
    char magic[8];
    uint32_t version, tensors;
    uint64_t step, updates, state_bytes, state_checksum, file_bytes, checksum;
};

struct entry {
    char name[CHECKPOINT_NAME_MAX];
    uint32_t kind, rank;
    uint64_t dim[CHECKPOINT_RANK_MAX], offset, bytes, checksum, zero[2];
};

_Static_assert(sizeof(struct head) == 64, "the head's layout");
_Static_assert(sizeof(struct entry) == 192, "the table's layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Number of elements, or false when it overflows or an axis is too many. */
static bool count_elements(uint32_t rank, const uint64_t *dim, uint64_t *count)
{
    *count = 1;
    for (uint32_t i = 0; i < rank; i++)
        if (__builtin_mul_overflow(*count, dim[i], count))
            return false;
    return true;
}

static uint64_t head_checksum(const char *file, size_t table_bytes)
{
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state);
    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, file, offsetof(struct head, checksum));
    XXH3_64bits_update(state, file + sizeof(struct head), table_bytes);
    uint64_t checksum = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return checksum;
}

void checkpoint_path(const char *folder, uint64_t step, char *path, size_t path_bytes)
{
    int length = snprintf(path, path_bytes, "%s/step-%012llu.ckpt", folder,
                          (unsigned long long)step);
    ASSERT(length > 0 && (size_t)length < path_bytes);
}

/* Fills the table and says where everything goes. */
static enum status layout(const struct checkpoint *c, struct entry *table, size_t *file_bytes,
                          struct error *err)
{
    size_t at = aligned(sizeof(struct head) + (size_t)c->count * sizeof *table + c->state.size);
    for (int i = 0; i < c->count; i++) {
        const struct checkpoint_tensor *t = &c->tensor[i];
        uint64_t count;
        size_t length = strlen(t->name);
        if (length == 0 || length >= CHECKPOINT_NAME_MAX)
            return error_set(err, STATUS_LIMIT,
                             "checkpoint: the name \"%s\" has %zu bytes; 1 to %d are allowed",
                             t->name, length, CHECKPOINT_NAME_MAX - 1);
        ASSERT(t->rank >= 0 && t->rank <= CHECKPOINT_RANK_MAX);
        ASSERT(count_elements((uint32_t)t->rank, t->dim, &count));
        struct entry *e = &table[i];
        *e = (struct entry){.rank = (uint32_t)t->rank, .offset = at,
                            .bytes = count * sizeof(float)};
        memcpy(e->name, t->name, length);
        memcpy(e->dim, t->dim, (size_t)t->rank * sizeof *e->dim);
        e->checksum = XXH3_64bits(t->data, e->bytes);
        at = aligned(at + e->bytes);
    }
    *file_bytes = at;
    return STATUS_OK;
}

/* Builds the file in memory, which the caller frees. */
static enum status image_make(const struct checkpoint *c, char **image, size_t *file_bytes,
                              struct error *err)
{
    if (c->count < 0 || c->count > CHECKPOINT_TENSORS_MAX || c->state.size > CHECKPOINT_STATE_MAX)
        return error_set(err, STATUS_LIMIT,
                         "checkpoint: %d tensors and %zu bytes of state; %d and %d are allowed",
                         c->count, c->state.size, CHECKPOINT_TENSORS_MAX, CHECKPOINT_STATE_MAX);
    size_t table_bytes = (size_t)c->count * sizeof(struct entry);
    struct entry *table = calloc((size_t)c->count + 1, sizeof *table);
    ASSERT(table);
    enum status status = layout(c, table, file_bytes, err);
    if (status == STATUS_OK && !(*image = calloc(1, *file_bytes)))
        status = error_set(err, STATUS_LIMIT, "checkpoint: no memory for %zu bytes", *file_bytes);
    if (status != STATUS_OK) {
        free(table);
        return status;
    }
    struct head head = {.version = CHECKPOINT_VERSION,
                        .tensors = (uint32_t)c->count,
                        .step = c->step,
                        .updates = c->updates,
                        .state_bytes = c->state.size,
                        .state_checksum = XXH3_64bits(c->state.data, c->state.size),
                        .file_bytes = *file_bytes};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(*image, &head, sizeof head);
    memcpy(*image + sizeof head, table, table_bytes);
    if (c->state.size)
        memcpy(*image + sizeof head + table_bytes, c->state.data, c->state.size);
    for (int i = 0; i < c->count; i++)
        if (table[i].bytes)
            memcpy(*image + table[i].offset, c->tensor[i].data, table[i].bytes);
    head.checksum = head_checksum(*image, table_bytes);
    memcpy(*image, &head, sizeof head);
    free(table);
    return STATUS_OK;
}

enum status checkpoint_write(const char *folder, const struct checkpoint *c, struct error *err)
{
    char path[PATH_MAX], *image = NULL;
    size_t bytes = 0;
    uint64_t steps[LIST_MAX];
    if (strlen(folder) + 32 > sizeof path)
        return error_set(err, STATUS_LIMIT, "checkpoint: the folder's name is too long");
    enum status status = file_make_dirs(folder, err);
    if (status == STATUS_OK)
        status = image_make(c, &image, &bytes, err);
    if (status != STATUS_OK)
        return status;
    checkpoint_path(folder, c->step, path, sizeof path);
    status = file_write_atomic(path, (struct span){image, bytes}, err);
    free(image);
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

/* Checks entry e against the file's size and makes t of it; data lie from `begin` on. */
static enum status entry_parse(struct span content, size_t begin, const struct entry *e,
                               struct arena *arena, struct checkpoint_tensor *t,
                               struct error *err)
{
    uint64_t count;
    if (e->name[0] == 0 || memchr(e->name, 0, sizeof e->name) == NULL || e->kind != 0 ||
        e->rank > CHECKPOINT_RANK_MAX)
        return error_set(err, STATUS_CORRUPT, "a table entry has no name, kind or rank");
    if (!count_elements(e->rank, e->dim, &count) || count > SIZE_MAX / sizeof(float) ||
        e->bytes != count * sizeof(float) || e->offset % ALIGN != 0 || e->offset < begin ||
        e->offset > content.size || e->bytes > content.size - e->offset)
        return error_set(err, STATUS_CORRUPT, "tensor %s: its shape or place does not fit",
                         e->name);
    if (XXH3_64bits(content.data + e->offset, e->bytes) != e->checksum)
        return error_set(err, STATUS_CORRUPT, "tensor %s: the checksum is wrong", e->name);
    t->name = arena_text(arena, e->name, strlen(e->name));
    t->rank = (int)e->rank;
    memcpy(t->dim, e->dim, sizeof t->dim);
    t->data = (const float *)(const void *)(content.data + e->offset);
    return STATUS_OK;
}

static enum status head_parse(struct span content, struct head *head, struct error *err)
{
    if (content.size < sizeof *head)
        return error_set(err, STATUS_INVALID, "not a checkpoint: %zu bytes, wanted at least %zu",
                         content.size, sizeof *head);
    memcpy(head, content.data, sizeof *head);
    if (memcmp(head->magic, magic, sizeof magic) != 0)
        return error_set(err, STATUS_INVALID, "not a checkpoint: it does not begin with FOLDCKPT");
    if (head->version != CHECKPOINT_VERSION)
        return error_set(err, STATUS_INVALID,
                         "checkpoint version %u: this program reads version %d", head->version,
                         CHECKPOINT_VERSION);
    if (head->file_bytes != content.size)
        return error_set(err, STATUS_CORRUPT, "torn: %zu bytes, wanted %llu", content.size,
                         (unsigned long long)head->file_bytes);
    size_t left = content.size - sizeof *head;
    if (head->tensors > CHECKPOINT_TENSORS_MAX || head->state_bytes > CHECKPOINT_STATE_MAX ||
        head->tensors > left / sizeof(struct entry) ||
        head->state_bytes > left - head->tensors * sizeof(struct entry))
        return error_set(err, STATUS_CORRUPT, "the head's sizes do not fit the file");
    if (head_checksum(content.data, head->tensors * sizeof(struct entry)) != head->checksum)
        return error_set(err, STATUS_CORRUPT, "the checksum of the head is wrong");
    return STATUS_OK;
}

enum status checkpoint_parse(struct span content, struct arena *arena, struct checkpoint *c,
                             struct error *err)
{
    struct head head;
    *c = (struct checkpoint){0};
    enum status status = head_parse(content, &head, err);
    if (status != STATUS_OK)
        return status;
    size_t table_end = sizeof head + head.tensors * sizeof(struct entry);
    size_t begin = table_end + head.state_bytes;
    c->state = (struct span){content.data + table_end, head.state_bytes};
    if (XXH3_64bits(c->state.data, c->state.size) != head.state_checksum)
        return error_set(err, STATUS_CORRUPT, "the checksum of the state is wrong");
    c->tensor = arena_try(arena, head.tensors, sizeof *c->tensor);
    if (!c->tensor)
        return error_set(err, STATUS_LIMIT, "no memory for %u tensors", head.tensors);
    for (uint32_t i = 0; i < head.tensors; i++) {
        struct entry e;
        memcpy(&e, content.data + sizeof head + i * sizeof e, sizeof e);
        status = entry_parse(content, begin, &e, arena, &c->tensor[i], err);
        if (status != STATUS_OK)
            return status;
    }
    c->count = (int)head.tensors;
    c->step = head.step;
    c->updates = head.updates;
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
        if (name.size != sizeof "step-000000000000.ckpt" - 1 || !span_starts(name, "step-") ||
            strcmp(entry->d_name + 17, ".ckpt") != 0 ||
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

const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->tensor[i].name, name) == 0)
            return &c->tensor[i];
    return NULL;
}
