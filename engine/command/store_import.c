/* foldmill store import: records out of numpy's files: what `foldmill store export` wrote comes
 * back as it was, by its card (store_card.h); other files become records of what they hold. */
#include "engine/base/file.h"
#include "engine/base/npz.h"
#include "engine/command.h"
#include "engine/command/store.h"
#include "engine/sample_npz.h"
#include "engine/store_card.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILE_BYTES_MAX = 1 << 30,
    CARD_BYTES_MAX = 1 << 20,
    NAMES_MAX = 1 << 26, /* entries of a folder */
    GROUP = 64,          /* records between two commits */
};

struct import {
    struct store *store;
    struct arena arena; /* of the record in hand */
    uint64_t recipe;    /* that was kept last */
    uint64_t done;
};

/* Whether name ends so. */
static bool ends(const char *name, const char *end)
{
    size_t size = strlen(name), tail = strlen(end);
    return size > tail && strcmp(name + size - tail, end) == 0;
}

/* "1abc_A%20x" -> "1abc_A x": the key that a file without a card has by its name. */
static bool unescape(const char *name, size_t size, char key[SAMPLE_KEY_MAX + 1])
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = name[i], digits[3] = {0};
        if (c == '%' && i + 2 < size) {
            char *end;
            memcpy(digits, name + i + 1, 2);
            c = (char)strtol(digits, &end, 16);
            if (*end)
                return false;
            i += 2;
        }
        if (used == SAMPLE_KEY_MAX)
            return false;
        key[used++] = c;
    }
    key[used] = 0;
    return used > 0;
}

static const struct npz_array *array_find(const struct npz_array *arrays, int count,
                                          const char *name)
{
    for (int i = 0; i < count; i++)
        if (span_is(arrays[i].name, name))
            return &arrays[i];
    return NULL;
}

/* The record of a card: its fields, in its order, and nothing else. */
static enum status by_card(const struct store_card *card, const struct npz_array *arrays, int count,
                           struct sample *sample, struct arena *arena, struct error *err)
{
    enum status status = sample_open(sample, span_of(card->key), err);
    for (int i = 0; i < card->field_count && status == STATUS_OK; i++) {
        const struct npz_array *array = array_find(arrays, count, card->fields[i].name);
        status = array ? sample_put_array(sample, array, card->fields[i].kind, arena, err)
                       : error_set(err, STATUS_INVALID,
                                   "the array %s, which its card names, is "
                                   "missing",
                                   card->fields[i].name);
    }
    if (status == STATUS_OK && card->field_count < count)
        status = error_set(err, STATUS_INVALID,
                           "%d arrays, its card names %d: take the card away "
                           "to import them as something new",
                           count, card->field_count);
    return status;
}

/* Keeps the text of the recipe, once for many records. */
static enum status keep_recipe(struct import *import, const struct store_card *card,
                               struct error *err)
{
    if (card->recipe.size == 0 || import->recipe == card->note.made.recipe)
        return STATUS_OK;
    import->recipe = card->note.made.recipe;
    return store_put_recipe(import->store, import->recipe, card->recipe, err);
}

/* Puts the record that arrays[count] make; card: its text, or empty; name[size]: of its file. */
static enum status put_record(struct import *import, struct npz_array *arrays, int count,
                              struct span text, const char *name, size_t size, struct error *err)
{
    static struct store_card card;
    struct sample sample;
    char key[SAMPLE_KEY_MAX + 1];
    enum status status;
    card = (struct store_card){0};
    if (text.size) {
        status = store_card_read(text, &card, err);
        if (status == STATUS_OK)
            status = by_card(&card, arrays, count, &sample, &import->arena, err);
        if (status == STATUS_OK)
            status = keep_recipe(import, &card, err);
    } else {
        if (!unescape(name, size, key))
            return error_set(err, STATUS_INVALID, "'%.*s' is no key", (int)size, name);
        status = sample_open(&sample, span_of(key), err);
        for (int i = 0; i < count && status == STATUS_OK; i++)
            status = sample_put_array(&sample, &arrays[i], KIND_COUNT, &import->arena, err);
        const struct field *aatype = sample_find(&sample, "aatype");
        const struct field *msa = sample_find(&sample, "msa");
        card.note = (struct store_note){store_made(0, &sample), 0, 0};
        if (aatype && aatype->rank > 0)
            card.note.length = (uint32_t)aatype->size[0];
        if (msa && msa->rank > 0)
            card.note.rows = (uint32_t)msa->size[0];
    }
    if (status == STATUS_OK)
        status = store_put(import->store, &sample, &card.note, err);
    if (status == STATUS_OK && ++import->done % GROUP == 0)
        status = store_commit(import->store, err);
    return status;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static enum status import_npz(struct import *import, const char *path, struct error *err)
{
    struct span content, card = {NULL, 0};
    struct npz npz;
    int count = 0;
    enum status status = file_read(path, FILE_BYTES_MAX, &import->arena, &content, err);
    if (status == STATUS_OK)
        status = npz_parse(content, &import->arena, &npz, err);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < npz.count; i++)
        if (span_is(npz.array[i].name, STORE_CARD_NAME) && npz.array[i].kind == NPZ_U8)
            card = (struct span){npz.array[i].data, (size_t)npz.array[i].count};
        else
            npz.array[count++] = npz.array[i];
    const char *name = base_name(path);
    return put_record(import, npz.array, count, card, name, strlen(name) - strlen(".npz"), err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted, without those that begin with a dot. */
static enum status read_folder(const char *path, struct arena *arena, char ***names, size_t *count,
                               struct error *err)
{
    DIR *folder = opendir(path);
    size_t room = 0;
    *names = NULL;
    *count = 0;
    if (!folder)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    for (struct dirent *file; (file = readdir(folder)) != NULL && *count < NAMES_MAX;) {
        if (file->d_name[0] == '.')
            continue;
        if (*count == room) {
            char **grown = arena_zero(arena, room = room ? 2 * room : 64, sizeof *grown);
            if (*count)
                memcpy(grown, *names, *count * sizeof *grown);
            *names = grown;
        }
        (*names)[(*count)++] = arena_text(arena, file->d_name, strlen(file->d_name));
    }
    closedir(folder);
    if (*count)
        qsort(*names, *count, sizeof **names, by_name);
    return STATUS_OK;
}

/* A folder with a FIELD.npy for each field, in order of their names where there is no card. */
static enum status import_npys(struct import *import, const char *path, char **names, size_t count,
                               struct error *err)
{
    struct npz_array arrays[SAMPLE_FIELDS_MAX];
    struct span content, card = {NULL, 0};
    char file[PATH_MAX];
    int used = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        bool is_card = strcmp(names[i], STORE_CARD_NAME ".txt") == 0;
        if (!is_card && !ends(names[i], ".npy"))
            continue;
        if (snprintf(file, sizeof file, "%s/%s", path, names[i]) >= (int)sizeof file)
            return error_set(err, STATUS_LIMIT, "%s: path too long", path);
        status = file_read(file, is_card ? CARD_BYTES_MAX : FILE_BYTES_MAX, &import->arena,
                           &content, err);
        if (status == STATUS_OK && is_card) {
            card = content;
        } else if (status == STATUS_OK) {
            if (used == SAMPLE_FIELDS_MAX)
                return error_set(err, STATUS_LIMIT, "%s: more than %d arrays", path,
                                 SAMPLE_FIELDS_MAX);
            status = npy_parse(content, &import->arena, &arrays[used], err);
            arrays[used++].name = (struct span){names[i], strlen(names[i]) - strlen(".npy")};
            if (status != STATUS_OK)
                error_prefix(err, "%s", names[i]);
        }
    }
    const char *name = base_name(path);
    return status == STATUS_OK ? put_record(import, arrays, used, card, name, strlen(name), err)
                               : status;
}

/* One file or folder; inside: of a folder of records, in which other files are passed over. */
static int import_one(struct import *import, const char *path, bool inside)
{
    struct error err;
    struct stat info;
    struct arena lists;
    char **names, below[PATH_MAX];
    size_t count = 0;
    int code = EXIT_GOOD;
    arena_reset(&import->arena);
    store_progress(NULL);
    enum status status = STATUS_OK;
    if (stat(path, &info) != 0)
        status = error_set(&err, STATUS_IO, "%s", strerror(errno));
    else if (!S_ISDIR(info.st_mode) && ends(path, ".npz"))
        status = import_npz(import, path, &err);
    else if (!S_ISDIR(info.st_mode))
        status = inside ? STATUS_OK
                        : error_set(&err, STATUS_INVALID, "it is no .npz file and no folder");
    if (status != STATUS_OK || !S_ISDIR(info.st_mode)) {
        if (status != STATUS_OK && !span_starts(span_of(err.text), path))
            error_prefix(&err, "%s", path);
        return status == STATUS_OK ? EXIT_GOOD : store_complain(&err);
    }
    arena_open(&lists, 0);
    status = read_folder(path, &lists, &names, &count, &err);
    bool record = false;
    for (size_t i = 0; i < count; i++)
        record = record || ends(names[i], ".npy");
    if (status == STATUS_OK && record)
        status = import_npys(import, path, names, count, &err);
    for (size_t i = 0; i < count && status == STATUS_OK && !record && !inside; i++) {
        if (snprintf(below, sizeof below, "%s/%s", path, names[i]) >= (int)sizeof below)
            status = error_set(&err, STATUS_LIMIT, "path too long");
        else if (import_one(import, below, true) != EXIT_GOOD)
            code = EXIT_FAILED;
    }
    arena_close(&lists);
    if (status != STATUS_OK) {
        error_prefix(&err, "%s", path);
        return store_complain(&err);
    }
    return code;
}

int store_import(struct store *store, int argc, char **argv)
{
    struct import import = {.store = store};
    struct error err;
    int code = EXIT_GOOD;
    if (!command_rest(&command_store, argc, argv, 1, INT_MAX))
        return EXIT_USAGE;
    arena_open(&import.arena, 0);
    size_t size;
    for (int i = 1; i < argc; i++) {
        while ((size = strlen(argv[i])) > 1 && argv[i][size - 1] == '/')
            argv[i][size - 1] = 0; /* its last part is the name */
        if (import_one(&import, argv[i], false) != EXIT_GOOD)
            code = EXIT_FAILED;
    }
    arena_close(&import.arena);
    if (store_commit(store, &err) != STATUS_OK)
        return store_complain(&err);
    printf("%" PRIu64 " records imported%s\n", import.done,
           code == EXIT_GOOD ? "" : "; what went wrong stands above");
    return code;
}
