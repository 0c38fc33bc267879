/* foldmill store export: records as numpy's files. A key becomes a file's name by escaping, so that
 * no key of a foreign store can name a place outside the folder. */
#include "engine/base/file.h"
#include "engine/base/npz_write.h"
#include "engine/command.h"
#include "engine/command/store.h"
#include "engine/sample_npz.h"
#include "engine/store_card.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* Letters, digits, '_', '-', '+', '=' and '.' (not in front) stay; other bytes become %XX. False
 * when the name is longer than a file's may be. */
static bool escape_key(const char *key, char name[NAME_MAX + 1])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-+=";
    size_t at = 0;
    for (size_t i = 0; key[i]; i++) {
        bool stays = strchr(plain, key[i]) || (key[i] == '.' && i > 0);
        if (at + (stays ? 1 : 3) > NAME_MAX - strlen(".npz.tmp.0123456789"))
            return false;
        if (stays)
            name[at++] = key[i];
        else
            at += (size_t)snprintf(name + at, 4, "%%%02X", (unsigned char)key[i]);
    }
    name[at] = 0;
    return true;
}

static enum status write_npz(const char *folder, const char *name, struct npz_array *arrays,
                             int count, struct span card, struct arena *arena, struct error *err)
{
    char path[PATH_MAX];
    struct span content;
    arrays[count++] = (struct npz_array){.name = SPAN(STORE_CARD_NAME), .kind = NPZ_U8, .rank = 1,
                                         .size = {card.size}, .count = card.size, .item_bytes = 1,
                                         .data = card.data};
    if (snprintf(path, sizeof path, "%s/%s.npz", folder, name) >= (int)sizeof path)
        return error_set(err, STATUS_LIMIT, "%s: path too long", folder);
    enum status status = npz_pack(arrays, count, arena, &content, err);
    return status == STATUS_OK ? file_write_atomic(path, content, err) : status;
}

static enum status write_npys(const char *folder, const char *name, struct npz_array *arrays,
                              int count, struct span card, struct arena *arena, struct error *err)
{
    char path[PATH_MAX], file[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return error_set(err, STATUS_LIMIT, "%s: path too long", folder);
    enum status status = file_make_dirs(path, err);
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        struct span content;
        if (snprintf(file, sizeof file, "%s/%.*s.npy", path, (int)arrays[i].name.size,
                     arrays[i].name.data) >= (int)sizeof file)
            return error_set(err, STATUS_LIMIT, "%s: path too long", path);
        status = npy_pack(&arrays[i], arena, &content, err);
        if (status == STATUS_OK)
            status = file_write_atomic(file, content, err);
    }
    if (status == STATUS_OK && snprintf(file, sizeof file, "%s/%s.txt", path, STORE_CARD_NAME) >=
                                   (int)sizeof file)
        return error_set(err, STATUS_LIMIT, "%s: path too long", path);
    return status == STATUS_OK ? file_write_atomic(file, card, err) : status;
}

static enum status export_record(struct store *store, const char *key, const char *folder,
                                 bool npy, struct arena *arena, struct error *err)
{
    struct npz_array arrays[SAMPLE_FIELDS_MAX + 1];
    struct span recipe = {NULL, 0}, card;
    struct store_entry entry;
    struct sample sample;
    char name[NAME_MAX + 1];
    arena_reset(arena);
    store_progress(NULL);
    enum status status = store_get(store, key, NULL, NULL, arena, &sample, err);
    if (status == STATUS_OK)
        status = store_find(store, key, &entry, err);
    if (status == STATUS_REFUSED)
        return error_prefix(err, "%s was refused", key);
    if (status == STATUS_OK && !escape_key(key, name))
        status = error_set(err, STATUS_LIMIT, "key %s makes too long a file name", key);
    if (status == STATUS_OK)
        status = sample_arrays(&sample, arena, arrays, err);
    if (status != STATUS_OK)
        return status;
    if (store_recipe(store, entry.made.recipe, arena, &recipe, NULL) != STATUS_OK)
        recipe.size = 0;
    card = store_card_write(&entry, &sample, recipe, arena);
    return (npy ? write_npys : write_npz)(folder, name, arrays, sample.field_count, card, arena,
                                          err);
}

static int export_all(struct store *store, const char *folder, bool npy, struct arena *arena)
{
    struct arena lists;
    struct error err = {0};
    struct store_walk walk;
    const struct store_entry *entry;
    uint64_t done = 0, failed = 0, refused = 0;
    arena_open(&lists, 0);
    enum status status = store_walk_open(&walk, store, &lists, &err);
    while (status == STATUS_OK && (status = store_next(&walk, &entry, &err)) != STATUS_EMPTY) {
        if (status == STATUS_OK && entry->refused) {
            refused++;
            continue;
        }
        if (status == STATUS_OK)
            status = export_record(store, entry->key, folder, npy, arena, &err);
        if (status == STATUS_OK) {
            done++;
        } else if (entry && (status == STATUS_CORRUPT || status == STATUS_MISS)) {
            store_complain(&err); /* this record alone */
            failed++;
            status = STATUS_OK;
        }
    }
    arena_close(&lists);
    printf("%" PRIu64 " records to %s, %" PRIu64 " damaged, %" PRIu64 " refused samples left out\n",
           done, folder, failed, refused);
    if (status != STATUS_EMPTY)
        return store_complain(&err);
    return failed ? EXIT_FAILED : EXIT_GOOD;
}

int store_export(struct store *store, int argc, char **argv)
{
    struct arena arena;
    struct error err;
    bool all = command_flag(&argc, argv, "all"), npy = command_flag(&argc, argv, "npy");
    if (!command_rest(&command_store, argc, argv, all ? 1 : 2, all ? 1 : INT_MAX))
        return EXIT_USAGE;
    const char *folder = argv[argc - 1];
    if (file_make_dirs(folder, &err) != STATUS_OK)
        return store_complain(&err);
    int code = EXIT_GOOD;
    arena_open(&arena, 0);
    if (all)
        code = export_all(store, folder, npy, &arena);
    for (int i = 1; !all && i < argc - 1; i++)
        if (export_record(store, argv[i], folder, npy, &arena, &err) != STATUS_OK)
            code = store_complain(&err);
    arena_close(&arena);
    return code;
}
