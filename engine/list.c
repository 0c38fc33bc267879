/* Frozen lists; see list.h. */
#include "engine/list.h"

#include "engine/base/file.h"
#include "engine/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

struct entry {
    struct span key, frame;
};

struct list_maker {
    struct source source; /* first: list_source gives it away */
    void *user;
    void (*refuse)(void *user, const char *name, const char *reason);
    struct arena arena;
    struct entry *entries;
    uint64_t count, room;
    uint64_t *table, table_size; /* index + 1 by hash of the key: finds keys given twice */
};

struct list {
    void *memory;
    size_t bytes;
    struct entry *entries;
    struct arena arena; /* keys */
    uint64_t count, hash;
};

static uint64_t *find_cell(const struct list_maker *maker, struct span key)
{
    uint64_t at = XXH3_64bits(key.data, key.size) & (maker->table_size - 1);
    while (maker->table[at] && !span_equal(maker->entries[maker->table[at] - 1].key, key))
        at = (at + 1) & (maker->table_size - 1);
    return &maker->table[at];
}

static void grow(struct list_maker *maker)
{
    if (maker->count < maker->room)
        return;
    maker->room = maker->room ? 2 * maker->room : 1024;
    maker->entries = realloc(maker->entries, maker->room * sizeof *maker->entries);
    free(maker->table);
    maker->table_size = 2 * maker->room;
    maker->table = calloc(maker->table_size, sizeof *maker->table);
    ASSERT(maker->entries && maker->table);
    for (uint64_t i = 0; i < maker->count; i++)
        *find_cell(maker, maker->entries[i].key) = i + 1;
}

static enum status emit(struct source *source, const struct sample *sample, struct error *err)
{
    struct list_maker *maker = (struct list_maker *)source;
    if (maker->count == LIST_COUNT_MAX)
        return error_set(err, STATUS_LIMIT, "a list may hold %llu samples",
                         (unsigned long long)LIST_COUNT_MAX);
    grow(maker);
    struct span key = span_of(sample->key);
    uint64_t *cell = find_cell(maker, key);
    if (*cell)
        return error_set(err, STATUS_INVALID, "the key \"%s\" was listed twice", sample->key);
    struct entry *entry = &maker->entries[maker->count];
    enum status status = wire_pack(sample, WIRE_RAW, &maker->arena, &entry->frame, err);
    if (status != STATUS_OK)
        return error_prefix(err, "%s", sample->key);
    entry->key = (struct span){arena_text(&maker->arena, key.data, key.size), key.size};
    *cell = ++maker->count;
    return STATUS_OK;
}

static void refuse(struct source *source, const char *name, const char *reason)
{
    struct list_maker *maker = (struct list_maker *)source;
    if (maker->refuse)
        maker->refuse(maker->user, name, reason);
}

struct list_maker *list_make(void *user,
                             void (*hear)(void *user, const char *name, const char *reason))
{
    struct list_maker *maker = calloc(1, sizeof *maker);
    ASSERT(maker);
    maker->source = (struct source){emit, refuse};
    maker->user = user;
    maker->refuse = hear;
    arena_open(&maker->arena, 0);
    return maker;
}

struct source *list_source(struct list_maker *maker)
{
    return &maker->source;
}

static int compare_keys(struct span a, struct span b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_entries(const void *a, const void *b)
{
    return compare_keys(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

enum status list_write(struct list_maker *maker, const char *path, struct error *err)
{
    if (maker->count == 0)
        return error_set(err, STATUS_EMPTY, "the list is empty: there is nothing to work on");
    qsort(maker->entries, maker->count, sizeof *maker->entries, compare_entries);
    memset(maker->table, 0, maker->table_size * sizeof *maker->table);
    size_t bytes = 0;
    for (uint64_t i = 0; i < maker->count; i++)
        bytes += maker->entries[i].frame.size;
    char *all = malloc(bytes);
    ASSERT(all);
    size_t at = 0;
    for (uint64_t i = 0; i < maker->count; i++) {
        memcpy(all + at, maker->entries[i].frame.data, maker->entries[i].frame.size);
        at += maker->entries[i].frame.size;
        *find_cell(maker, maker->entries[i].key) = i + 1;
    }
    enum status status = file_write_atomic(path, (struct span){all, bytes}, err);
    free(all);
    return status;
}

void list_maker_close(struct list_maker *maker)
{
    arena_close(&maker->arena);
    free(maker->entries);
    free(maker->table);
    free(maker);
}

static enum status map_file(struct list *list, const char *path, struct error *err)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat)) {
        enum status status = error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    list->bytes = (size_t)stat.st_size;
    bool fits = stat.st_size > 0 && list->bytes <= LIST_BYTES_MAX;
    list->memory = fits ? mmap(NULL, list->bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (list->memory != MAP_FAILED)
        return STATUS_OK;
    list->memory = NULL;
    return error_set(err, STATUS_CORRUPT, "%s: wanted a list of samples, found %lld bytes", path,
                     (long long)stat.st_size);
}

/* True when the sample's split is the wanted one. */
static bool is_wanted(struct span frame, const char *split, struct arena *arena)
{
    static const char *const fields[] = {"split", NULL};
    struct wire_options options = {.fields = fields};
    struct sample sample;
    return !split || !*split ||
           (wire_decode(frame, &options, arena, &sample, NULL) == STATUS_OK &&
            span_is(sample_text(&sample, "split"), split));
}

static enum status read_entries(struct list *list, const char *split, struct error *err)
{
    struct span rest = {list->memory, list->bytes}, last = {"", 0};
    struct arena scratch;
    struct wire_view view;
    uint64_t room = 0;
    enum status status = STATUS_OK;
    XXH3_state_t *hash = XXH3_createState();
    ASSERT(hash);
    XXH3_64bits_reset(hash);
    arena_open(&scratch, 0);
    while (rest.size && status == STATUS_OK) {
        size_t size;
        status = wire_frame_bytes(rest, &size, err);
        if (status == STATUS_OK && size > rest.size)
            status = error_set(err, STATUS_CORRUPT, "the last sample is cut off");
        struct span frame = {rest.data, size};
        if (status == STATUS_OK)
            status = wire_peek(frame, &view, err);
        if (status != STATUS_OK)
            break;
        rest = (struct span){rest.data + size, rest.size - size};
        struct span key = span_of(view.key);
        if (compare_keys(last, key) >= 0) {
            status = error_set(err, STATUS_CORRUPT, "\"%s\" is out of order", view.key);
            break;
        }
        last = (struct span){arena_text(&list->arena, key.data, key.size), key.size};
        arena_reset(&scratch);
        if (!is_wanted(frame, split, &scratch))
            continue;
        if (list->count == room) {
            room = room ? 2 * room : 1024;
            list->entries = realloc(list->entries, room * sizeof *list->entries);
            ASSERT(list->entries);
        }
        list->entries[list->count++] = (struct entry){last, frame};
        XXH3_64bits_update(hash, last.data, last.size + 1);
    }
    list->hash = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    arena_close(&scratch);
    return status;
}

enum status list_open(struct list **list, const char *path, const char *split, struct error *err)
{
    *list = calloc(1, sizeof **list);
    ASSERT(*list);
    arena_open(&(*list)->arena, 0);
    enum status status = map_file(*list, path, err);
    if (status == STATUS_OK) {
        status = read_entries(*list, split, err);
        if (status != STATUS_OK) {
            error_prefix(err, "%s", path);
            status = STATUS_CORRUPT;
        }
    }
    if (status != STATUS_OK) {
        list_close(*list);
        *list = NULL;
    }
    return status;
}

void list_close(struct list *list)
{
    if (!list)
        return;
    if (list->memory)
        munmap(list->memory, list->bytes);
    arena_close(&list->arena);
    free(list->entries);
    free(list);
}

uint64_t list_count(const struct list *list)
{
    return list->count;
}

uint64_t list_hash(const struct list *list)
{
    return list->hash;
}

struct span list_key(const struct list *list, uint64_t index)
{
    ASSERT_INT(index, <, list->count);
    return list->entries[index].key;
}

struct span list_frame(const struct list *list, uint64_t index)
{
    ASSERT_INT(index, <, list->count);
    return list->entries[index].frame;
}

uint64_t list_find(const struct list *list, struct span key)
{
    uint64_t low = 0, high = list->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order = compare_keys(list->entries[middle].key, key);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return UINT64_MAX;
}
