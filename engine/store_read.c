/* Reading the store: one short transaction a record or a batch of entries, everything checked
 * before it is handed out, nothing handed out that points into the map. */
#include "engine/store_inside.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum {
    WALK_BATCH = 64,      /* entries read in one transaction */
    MISSING_BATCH = 1024, /* keys looked up in one transaction */
};

static MDB_val key_val(const char *key)
{
    return (MDB_val){strlen(key), (void *)(uintptr_t)key};
}

/* LMDB has no keys of no bytes and none longer than 511. */
static enum status check_key(const struct store *store, const char *key, struct error *err)
{
    size_t size = strlen(key);
    if (size == 0 || size > SAMPLE_KEY_MAX)
        return error_set(err, STATUS_MISS, "store %s: a key has 1 to %d bytes, not %zu",
                         store->path, SAMPLE_KEY_MAX, size);
    return STATUS_OK;
}

enum status store_entry_get(struct store *store, MDB_txn *txn, const char *key,
                            struct store_entry *entry, struct error *err)
{
    MDB_val name = key_val(key), value;
    enum status status = check_key(store, key, err);
    if (status != STATUS_OK)
        return status;
    int code = mdb_get(txn, store->index, &name, &value);
    if (code == MDB_NOTFOUND)
        return error_set(err, STATUS_MISS, "store %s has no %s", store->path, key);
    if (code != 0)
        return store_error(store, code, key, err);
    status = entry_read((struct span){key, name.mv_size},
                        (struct span){value.mv_data, value.mv_size}, entry, err);
    if (status != STATUS_OK)
        error_prefix(err, "store %s: %s", store->path, key);
    return status;
}

enum status store_record_get(struct store *store, MDB_txn *txn, const char *key,
                            const struct store_entry *entry, struct span *record,
                            struct error *err)
{
    MDB_val name = key_val(key), value;
    int code = mdb_get(txn, store->records, &name, &value);
    if (code == MDB_NOTFOUND)
        return error_set(err, STATUS_CORRUPT, "store %s: %s is in the index, but has no record",
                         store->path, key);
    if (code != 0)
        return store_error(store, code, key, err);
    *record = (struct span){value.mv_data, value.mv_size};
    if (record->size != entry->stored_bytes || record->size < RECORD_PREFIX_BYTES ||
        record_digest(*record) != entry->digest)
        return error_set(err, STATUS_CORRUPT, "store %s: the record of %s is not the one that its "
                         "index entry names", store->path, key);
    return STATUS_OK;
}

/* Entry and record of key within a transaction; a tombstone is STATUS_REFUSED. */
static enum status find_record(struct store *store, MDB_txn *txn, const char *key,
                              const struct store_made *made, struct span *record, struct error *err)
{
    struct store_entry entry;
    enum status status = store_entry_get(store, txn, key, &entry, err);
    if (status != STATUS_OK)
        return status;
    if (made && !store_made_equal(*made, entry.made))
        return error_set(err, STATUS_MISS, "store %s: %s was made from other input or settings",
                         store->path, key);
    if (entry.refused)
        return error_set(err, STATUS_REFUSED, "%s", entry.reason);
    return store_record_get(store, txn, key, &entry, record, err);
}

/* A record whose rows are still to be read. Every read is a transaction of its own, so that no page
 * is held while the stage computes; the record's digest says that it is still the same. */
struct lazy_record {
    struct row_source source; /* first */
    struct store *store;
    struct arena *arena; /* for what a read needs for a moment */
    uint64_t digest;
    size_t bytes; /* of the record */
    struct record_view view;
};

static enum status read_rows(struct row_source *source, const struct field *field,
                             const int32_t *rows, size_t count, void *to, struct error *err)
{
    struct lazy_record *lazy = (struct lazy_record *)source;
    const struct record_field *in = lazy->view.fields;
    MDB_txn *txn;
    MDB_val name = key_val(lazy->view.key), value = {0};
    while (strcmp(in->field.name, field->name) != 0)
        in++;
    enum status status = store_read_begin(lazy->store, &txn, err);
    if (status != STATUS_OK)
        return status;
    int code = mdb_get(txn, lazy->store->records, &name, &value);
    struct span record = {value.mv_data, value.mv_size};
    if (code != 0 && code != MDB_NOTFOUND) {
        status = store_error(lazy->store, code, lazy->view.key, err);
    } else if (code != 0 || record.size != lazy->bytes ||
               record_digest(record) != lazy->digest) {
        status = error_set(err, STATUS_MISS, "store %s: the record of %s was replaced while it was "
                           "read", lazy->store->path, lazy->view.key);
    } else {
        status = record_rows(record, in, rows, count, to, lazy->arena, err);
        if (status != STATUS_OK)
            error_prefix(err, "store %s: damaged record of %s", lazy->store->path, lazy->view.key);
        if (status == STATUS_CORRUPT)
            store_note_damage(lazy->store, lazy->view.key);
    }
    store_read_end(lazy->store);
    return status;
}

/* The sample of a record; lazy may be NULL. */
static enum status load_record(struct store *store, struct span record,
                               const struct record_options *options, struct arena *arena,
                               struct sample *sample, struct error *err)
{
    struct record_view plain;
    struct lazy_record *lazy = NULL;
    if (options->lazy) {
        lazy = arena_alloc(arena, sizeof *lazy);
        *lazy = (struct lazy_record){.source = {.read = read_rows}, .store = store,
                                     .arena = arena, .bytes = record.size};
    }
    struct record_view *view = lazy ? &lazy->view : &plain;
    enum status status = record_peek(record, view, err);
    if (status == STATUS_OK)
        status = record_load(record, view, options, arena, sample, err);
    if (status == STATUS_OK && lazy) {
        lazy->digest = record_digest(record);
        sample->source = &lazy->source;
    }
    return status;
}

static enum status get(struct store *store, const char *key, const struct record_options *options,
                       const struct store_made *made, struct arena *arena, struct sample *sample,
                       struct error *err)
{
    MDB_txn *txn;
    struct span record;
    sample->field_count = 0;
    sample->key[0] = 0;
    sample->source = NULL;
    enum status status = store_read_begin(store, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = find_record(store, txn, key, made, &record, err);
    if (status == STATUS_OK) {
        status = load_record(store, record, options, arena, sample, err);
        if (status != STATUS_OK)
            error_prefix(err, "store %s: damaged record of %s", store->path, key);
    }
    store_read_end(store);
    return status;
}

enum status store_get(struct store *store, const char *key, const char *const *fields,
                      const struct store_made *made, struct arena *arena, struct sample *sample,
                      struct error *err)
{
    struct record_options options = {.fields = fields, .key = key};
    return get(store, key, &options, made, arena, sample, err);
}

enum status store_get_lazy(struct store *store, const char *key, const char *const *lazy,
                           const struct store_made *made, struct arena *arena,
                           struct sample *sample, struct error *err)
{
    struct record_options options = {.lazy = lazy, .key = key};
    return get(store, key, &options, made, arena, sample, err);
}

/* A recipe is kept under its hash: a checksum over both, then the text. */
enum status store_recipe(struct store *store, uint64_t recipe, struct arena *arena,
                         struct span *text, struct error *err)
{
    MDB_txn *txn;
    MDB_val name = {sizeof recipe, &recipe}, value;
    enum status status = store_read_begin(store, &txn, err);
    if (status != STATUS_OK)
        return status;
    int code = mdb_get(txn, store->recipes, &name, &value);
    if (code == MDB_NOTFOUND) {
        status = error_set(err, STATUS_MISS, "store %s: nobody has told what recipe %016llx is",
                           store->path, (unsigned long long)recipe);
    } else if (code != 0) {
        status = store_error(store, code, "reading a recipe", err);
    } else {
        uint64_t checksum = 0;
        const char *data = value.mv_data;
        size_t size = value.mv_size;
        if (size >= sizeof checksum)
            memcpy(&checksum, data, sizeof checksum);
        char *copy = NULL;
        if (size < sizeof checksum || size - sizeof checksum > STORE_RECIPE_MAX ||
            XXH3_64bits_withSeed(data + sizeof checksum, size - sizeof checksum, recipe) !=
                checksum)
            status = error_set(err, STATUS_CORRUPT, "store %s: the text of recipe %016llx is "
                               "damaged", store->path, (unsigned long long)recipe);
        else if (!(copy = arena_try(arena, size - sizeof checksum, 1)))
            status = error_set(err, STATUS_LIMIT, "store %s: no memory for a recipe", store->path);
        else
            *text = (struct span){memcpy(copy, data + sizeof checksum, size - sizeof checksum),
                                  size - sizeof checksum};
    }
    store_read_end(store);
    return status;
}

enum status store_peek(struct store *store, const char *key, struct record_view *view,
                       struct error *err)
{
    MDB_txn *txn;
    struct span record;
    enum status status = store_read_begin(store, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = find_record(store, txn, key, NULL, &record, err);
    if (status == STATUS_OK) {
        status = record_peek(record, view, err);
        if (status != STATUS_OK)
            error_prefix(err, "store %s: damaged record of %s", store->path, key);
    }
    store_read_end(store);
    return status;
}

enum status store_find(struct store *store, const char *key, struct store_entry *entry,
                       struct error *err)
{
    MDB_txn *txn;
    enum status status = store_read_begin(store, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = store_entry_get(store, txn, key, entry, err);
    store_read_end(store);
    return status;
}

bool store_has(struct store *store, const char *key, struct store_made made)
{
    struct store_entry entry;
    return store_find(store, key, &entry, NULL) == STATUS_OK && store_made_equal(entry.made, made);
}

/* Whether the record that an entry names is there at all: a page of it is touched, no more. */
static bool is_there(struct store *store, MDB_txn *txn, const struct store_want *want)
{
    struct store_entry entry;
    struct span record;
    if (store_entry_get(store, txn, want->key, &entry, NULL) != STATUS_OK ||
        !store_made_equal(entry.made, want->made))
        return false;
    return entry.refused ||
           store_record_get(store, txn, want->key, &entry, &record, NULL) == STATUS_OK;
}

enum status store_missing(struct store *store, const struct store_want *wants, size_t want_count,
                          bool *missing, size_t *count, struct error *err)
{
    MDB_txn *txn;
    *count = 0;
    for (size_t first = 0; first < want_count; first += MISSING_BATCH) {
        enum status status = store_read_begin(store, &txn, err);
        if (status != STATUS_OK)
            return status;
        for (size_t i = first; i < want_count && i < first + MISSING_BATCH; i++) {
            missing[i] = !is_there(store, txn, &wants[i]);
            *count += missing[i];
        }
        store_read_end(store);
    }
    return STATUS_OK;
}

enum status store_walk_open(struct store_walk *walk, struct store *store, struct arena *arena,
                            struct error *err)
{
    *walk = (struct store_walk){.store = store};
    walk->batch = arena_try(arena, WALK_BATCH, sizeof *walk->batch);
    walk->status = arena_try(arena, WALK_BATCH, sizeof *walk->status);
    if (!walk->batch || !walk->status)
        return error_set(err, STATUS_LIMIT, "store %s: no memory to list it", store->path);
    return STATUS_OK;
}

/* The next entries after walk->after, in one transaction. */
static enum status fill_batch(struct store_walk *walk, struct error *err)
{
    struct store *store = walk->store;
    MDB_txn *txn;
    MDB_cursor *cursor;
    walk->at = walk->count = 0;
    enum status status = store_read_begin(store, &txn, err);
    if (status != STATUS_OK)
        return status;
    int code = mdb_cursor_open(txn, store->index, &cursor);
    if (code == 0) {
        MDB_val key = key_val(walk->after), value;
        bool resumed = key.mv_size > 0;
        code = mdb_cursor_get(cursor, &key, &value, resumed ? MDB_SET_RANGE : MDB_FIRST);
        if (code == 0 && resumed && key.mv_size == strlen(walk->after) &&
            memcmp(key.mv_data, walk->after, key.mv_size) == 0)
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        while (code == 0 && walk->count < WALK_BATCH) {
            struct store_entry *entry = &walk->batch[walk->count];
            walk->status[walk->count++] =
                entry_read((struct span){key.mv_data, key.mv_size},
                           (struct span){value.mv_data, value.mv_size}, entry, NULL);
            size_t size = key.mv_size < SAMPLE_KEY_MAX ? key.mv_size : SAMPLE_KEY_MAX;
            memcpy(walk->after, key.mv_data, size);
            walk->after[size] = 0;
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
    }
    store_read_end(store);
    walk->ended = code == MDB_NOTFOUND;
    if (code == 0 || code == MDB_NOTFOUND || walk->count > 0)
        return STATUS_OK; /* an error after some entries comes again with the next batch */
    status = store_error(store, code, "listing its keys", err);
    if (status == STATUS_CORRUPT) { /* of the walk, not of one entry: see store_next */
        status = STATUS_IO;
        if (err)
            err->status = status;
    }
    return status;
}

enum status store_next(struct store_walk *walk, const struct store_entry **entry,
                       struct error *err)
{
    *entry = NULL;
    if (walk->at == walk->count) {
        if (walk->ended)
            return STATUS_EMPTY;
        enum status status = fill_batch(walk, err);
        if (status != STATUS_OK)
            return status;
        if (walk->count == 0)
            return STATUS_EMPTY;
    }
    *entry = &walk->batch[walk->at];
    if (walk->status[walk->at++] != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "store %s: the index entry of %s is damaged",
                         walk->store->path, (*entry)->key);
    return STATUS_OK;
}

/* Pages on LMDB's list of free ones (its table 0): each value starts with how many it names. */
static int count_free(MDB_txn *txn, uint64_t *pages)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int code = mdb_cursor_open(txn, 0, &cursor);
    if (code != 0)
        return code;
    while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t count = 0;
        if (value.mv_size >= sizeof count)
            memcpy(&count, value.mv_data, sizeof count);
        *pages += count;
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

enum status store_stat(struct store *store, struct store_info *info, struct error *err)
{
    MDB_txn *txn;
    MDB_stat index, records;
    MDB_envinfo map;
    struct stat file;
    char name[PATH_MAX + 16];
    *info = (struct store_info){0};
    enum status status = store_read_begin(store, &txn, err);
    if (status != STATUS_OK)
        return status;
    int code = mdb_stat(txn, store->index, &index);
    if (code == 0)
        code = mdb_stat(txn, store->records, &records);
    if (code == 0)
        code = count_free(txn, &info->pages_free);
    MDB_val key = key_val("created_by"), value;
    if (code == 0 && mdb_get(txn, store->meta, &key, &value) == 0)
        entry_text(info->created_by, sizeof info->created_by,
                   (struct span){value.mv_data, value.mv_size});
    key = key_val("recipe");
    if (code == 0 && mdb_get(txn, store->meta, &key, &value) == 0 &&
        value.mv_size == sizeof info->recipe)
        memcpy(&info->recipe, value.mv_data, sizeof info->recipe);
    store_read_end(store);
    if (code == 0)
        code = mdb_env_info(store->env, &map);
    if (code != 0)
        return store_error(store, code, "counting its pages", err);
    snprintf(name, sizeof name, "%s/data.mdb", store->path);
    info->file_bytes = stat(name, &file) == 0 ? (uint64_t)file.st_size : 0;
    info->entries = index.ms_entries;
    info->records = records.ms_entries;
    info->map_bytes = map.me_mapsize;
    info->page_bytes = index.ms_psize;
    info->pages_used = map.me_last_pgno + 1 - info->pages_free;
    return STATUS_OK;
}
