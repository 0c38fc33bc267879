/* The one writer: puts are packed and kept in memory until the commit, which is one transaction, so
 * that no transaction is open while the next sample is awaited, the map can grow in between, and a
 * commit that fails can be done again. */
#include "engine/store_inside.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <xxhash.h>

enum {
    READERS_CHECK_MS = 10000,
    SCRATCH_KEEP_BYTES = 64 << 20, /* between puts */
    READER_STOPPED_MS = 30000, /* a read transaction lasts milliseconds */
};

static MDB_val val_of(struct span span)
{
    return (MDB_val){span.size, (void *)(uintptr_t)span.data};
}

/* Keeps a put for the commit: copies of key, record and entry in the group's arena. */
static enum status stage(struct store *store, const char *name, struct span entry,
                         struct span record, struct error *err)
{
    size_t key_bytes = strlen(name);
    struct arena_mark mark = arena_mark(&store->group);
    struct staged *staged = arena_try(&store->group, 1, sizeof *staged);
    char *key = staged ? arena_try(&store->group, key_bytes + entry.size, 1) : NULL;
    char *copy = key && record.size ? arena_try(&store->group, record.size, 1) : key;
    if (!copy) {
        arena_rewind(&store->group, mark);
        return error_set(err, STATUS_LIMIT, "store %s: no memory for the record of %s: %zu bytes",
                         store->path, name, record.size);
    }
    memcpy(key, name, key_bytes);
    if (entry.size)
        memcpy(key + key_bytes, entry.data, entry.size);
    if (record.size)
        memcpy(copy, record.data, record.size);
    *staged = (struct staged){.key = {key, key_bytes},
                              .entry = {key + key_bytes, entry.size},
                              .record = {copy, record.size}};
    *store->last = staged;
    store->last = &staged->next;
    return STATUS_OK;
}

/* Commits before the group would become too large. */
static enum status make_room(struct store *store, size_t bytes, struct error *err)
{
    ASSERT(store->writing);
    if (!store->first || store->group.used_bytes + bytes <= store->group_bytes)
        return STATUS_OK;
    return store_commit(store, err);
}

enum status store_put(struct store *store, const struct sample *sample,
                      const struct store_note *note, struct error *err)
{
    struct span record, split = sample_text(sample, "split");
    struct store_entry entry = {.made = note->made, .length = note->length, .rows = note->rows};
    entry_text(entry.split, sizeof entry.split, split);
    if (!span_is(split, entry.split))
        return error_set(err, STATUS_INVALID, "sample %s: split '%s' is not text of at most %d "
                         "bytes", sample->key, entry.split, STORE_SPLIT_MAX);
    arena_release(&store->scratch, SCRATCH_KEEP_BYTES);
    enum status status = record_pack(sample, store->codec, &store->scratch, &record, err);
    if (status == STATUS_OK)
        status = make_room(store, record.size, err);
    if (status != STATUS_OK)
        return status;
    entry.digest = record_digest(record);
    entry.raw_bytes = sample_bytes(sample);
    entry.stored_bytes = record.size;
    memcpy(entry.key, sample->key, sizeof entry.key);
    char text[ENTRY_BYTES_MAX];
    return stage(store, entry.key, (struct span){text, entry_write(&entry, text)}, record, err);
}

enum status store_refuse(struct store *store, struct span key, struct store_made made,
                         struct span split, const char *reason, struct error *err)
{
    struct sample checked;
    struct store_entry entry = {.refused = true, .made = made};
    enum status status = sample_open(&checked, key, err);
    if (status == STATUS_OK)
        status = make_room(store, 0, err);
    if (status != STATUS_OK)
        return status;
    memcpy(entry.key, checked.key, sizeof entry.key);
    entry_text(entry.split, sizeof entry.split, split);
    entry_text(entry.reason, sizeof entry.reason, span_of(reason));
    char text[ENTRY_BYTES_MAX];
    return stage(store, entry.key, (struct span){text, entry_write(&entry, text)},
                 (struct span){NULL, 0}, err);
}

enum status store_forget(struct store *store, const char *key, struct error *err)
{
    struct sample checked;
    enum status status = sample_open(&checked, span_of(key), err);
    if (status == STATUS_OK)
        status = make_room(store, 0, err);
    if (status != STATUS_OK)
        return status;
    return stage(store, key, (struct span){NULL, 0}, (struct span){NULL, 0}, err);
}

int store_note_recipe(struct store *store, MDB_txn *txn, uint64_t recipe, struct span text,
                      bool newest)
{
    MDB_val key = {sizeof recipe, &recipe}, found;
    MDB_val value = {sizeof(uint64_t) + text.size, NULL};
    uint64_t checksum = XXH3_64bits_withSeed(text.data, text.size, recipe);
    int code = mdb_get(txn, store->recipes, &key, &found);
    bool same = code == 0 && found.mv_size == value.mv_size &&
                memcmp(found.mv_data, &checksum, sizeof checksum) == 0;
    if (!same && (code == 0 || code == MDB_NOTFOUND)) {
        code = mdb_put(txn, store->recipes, &key, &value, MDB_RESERVE);
        if (code == 0) {
            memcpy(value.mv_data, &checksum, sizeof checksum);
            memcpy((char *)value.mv_data + sizeof checksum, text.data, text.size);
        }
    }
    MDB_val name = {strlen("recipe"), (void *)(uintptr_t)"recipe"};
    if (code == 0 && newest &&
        !(mdb_get(txn, store->meta, &name, &found) == 0 && found.mv_size == sizeof recipe &&
          memcmp(found.mv_data, &recipe, sizeof recipe) == 0))
        code = mdb_put(txn, store->meta, &name, &key, 0);
    return code;
}

enum status store_put_recipe(struct store *store, uint64_t recipe, struct span text,
                             struct error *err)
{
    MDB_txn *txn;
    ASSERT(store->writing);
    if (text.size > STORE_RECIPE_MAX)
        return error_set(err, STATUS_LIMIT, "store %s: a recipe of %zu bytes, the limit is %d",
                         store->path, text.size, STORE_RECIPE_MAX);
    int code = store->broken ? ENOMEM : mdb_txn_begin(store->env, NULL, 0, &txn);
    if (code == 0) {
        code = store_note_recipe(store, txn, recipe, text, false);
        if (code == 0)
            code = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    return code == 0 ? STATUS_OK : store_error(store, code, "keeping a recipe", err);
}

/* All staged puts in one transaction. */
static int write_group(struct store *store)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (code != 0)
        return code;
    for (const struct staged *staged = store->first; staged && code == 0; staged = staged->next) {
        MDB_val key = val_of(staged->key), record = val_of(staged->record);
        MDB_val entry = val_of(staged->entry);
        if (staged->record.size)
            code = mdb_put(txn, store->records, &key, &record, 0);
        else
            code = mdb_del(txn, store->records, &key, NULL);
        if (code == MDB_NOTFOUND)
            code = 0;
        if (code == 0 && staged->entry.size)
            code = mdb_put(txn, store->index, &key, &entry, 0);
        else if (code == 0)
            code = mdb_del(txn, store->index, &key, NULL);
        if (code == MDB_NOTFOUND)
            code = 0;
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

/* Doubles the map, up to the limit; no transaction is open. MDB_MAP_FULL: it is at the limit. */
static int grow_map(struct store *store)
{
    uint64_t bytes = store->map_bytes * 2;
    if (store->bytes_max && bytes > store->bytes_max)
        bytes = store->bytes_max;
    if (bytes <= store->map_bytes)
        return MDB_MAP_FULL;
    int code = store_set_map(store, bytes);
    if (code == 0)
        store->map_bytes = bytes;
    return code;
}

struct oldest {
    uint64_t txn;
    long pid;
};

/* mdb_reader_list tells readers as lines "pid thread txnid", with "-" for those that rest. */
static int note_reader(const char *line, void *user)
{
    struct oldest *oldest = user;
    long pid;
    uint64_t txn;
    if (sscanf(line, "%ld %*s %" SCNu64, &pid, &txn) == 2 && txn < oldest->txn)
        *oldest = (struct oldest){txn, pid};
    return 0;
}

/* Dead readers lose their slots; one that stands still while the store is written is told, since
 * no page that it could still see can be used again. */
static void check_readers(struct store *store)
{
    int64_t now = clock_ms();
    if (now - store->checked_ms < READERS_CHECK_MS)
        return;
    store->checked_ms = now;
    int dead = 0;
    MDB_envinfo info;
    struct oldest oldest = {UINT64_MAX, 0};
    mdb_reader_check(store->env, &dead);
    if (dead > 0)
        log_info("store %s: %d readers that died were cleared away", store->path, dead);
    mdb_reader_list(store->env, note_reader, &oldest);
    mdb_env_info(store->env, &info);
    if (oldest.txn != store->oldest_txn) {
        store->oldest_txn = oldest.txn;
        store->oldest_since_ms = now;
        store->oldest_told = false;
    } else if (oldest.txn < info.me_last_txnid && !store->oldest_told &&
               now - store->oldest_since_ms >= READER_STOPPED_MS) {
        store->oldest_told = true;
        log_warn("store %s: process %ld has been reading for %" PRId64 " s: until it goes on or "
                 "ends, the file grows with every write", store->path, oldest.pid,
                 (now - store->oldest_since_ms) / 1000);
    }
}

/* LMDB takes a short write, which is how a disk that fills up shows itself, for EIO. */
static bool disk_is_full(const struct store *store)
{
    struct statvfs disk;
    return statvfs(store->path, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize <= store->group.used_bytes;
}

bool store_disk_full(const struct store *store)
{
    return store->disk_full;
}

enum status store_commit(struct store *store, struct error *err)
{
    ASSERT(store->writing);
    check_readers(store);
    if (!store->first)
        return STATUS_OK;
    int code = store->broken ? ENOMEM : write_group(store);
    while (code == MDB_MAP_FULL) {
        code = grow_map(store);
        if (code == 0)
            code = write_group(store);
        else if (code == MDB_MAP_FULL)
            break;
    }
    if (code == EIO && disk_is_full(store))
        code = ENOSPC;
    store->disk_full = code == ENOSPC || code == EDQUOT;
    if (code != 0)
        return store_error(store, code, "writing", err);
    store->first = NULL;
    store->last = &store->first;
    arena_release(&store->group, store->group_bytes);
    return STATUS_OK;
}
