/* Opening and closing stores, the table of those that are open, LMDB's errors in words, and read
 * transactions. What is read and written stands in store_read.c and store_write.c. */
#include "engine/store_inside.h"

#include "engine/base/clock.h"
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAP_BYTES_DEFAULT ((uint64_t)64 << 30)
#define MAP_BYTES_MIN ((uint64_t)1 << 20)

/* LMDB must not have one file open twice in a process: closing one drops the locks of the other. */
static struct store *table[STORE_OPEN_MAX];
static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;

enum status store_error(const struct store *store, int code, const char *doing, struct error *err)
{
    const char *path = store->path;
    switch (code) {
    case MDB_MAP_FULL:
        return error_set(err, STATUS_FULL, "store %s: %s: its %llu bytes are full: raise "
                         "`size_max` of its stage (what is in it is intact)", path, doing,
                         (unsigned long long)store->map_bytes);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return error_set(err, STATUS_FULL, "store %s: %s: %s: free some space and run again (what "
                         "is in it is intact)", path, doing, strerror(code));
    case MDB_READERS_FULL:
        return error_set(err, STATUS_BUSY, "store %s: %d readers already: stop some", path,
                         STORE_READERS_MAX);
    case MDB_INVALID:
        return error_set(err, STATUS_CORRUPT, "store %s: data.mdb is no LMDB file, or its head is "
                         "damaged", path);
    case MDB_VERSION_MISMATCH:
        return error_set(err, STATUS_INVALID, "store %s: data.mdb was written by another version "
                         "of LMDB: make the store again, in another folder", path);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_BAD_TXN:
    case MDB_CURSOR_FULL:
    case MDB_INCOMPATIBLE:
        return error_set(err, STATUS_CORRUPT, "store %s: %s: %s", path, doing, mdb_strerror(code));
    case MDB_PANIC:
        return error_set(err, STATUS_IO, "store %s: %s: an earlier write of its head failed: open "
                         "it again (what was committed is intact)", path, doing);
    case ENOMEM:
        return error_set(err, STATUS_LIMIT, "store %s: %s: no memory or address space for its map "
                         "(ulimit -v)", path, doing);
    default:
        return error_set(err, STATUS_IO, "store %s: %s: %s", path, doing, mdb_strerror(code));
    }
}

int store_set_map(struct store *store, uint64_t bytes)
{
    int code = mdb_env_set_mapsize(store->env, bytes);
    store->broken = code != 0;
    return code;
}

enum status store_read_begin(struct store *store, MDB_txn **txn, struct error *err)
{
    int code = store->broken ? ENOMEM : 0;
    for (int tries = 0; code == 0 && tries < 4; tries++) {
        if (store->reading)
            code = mdb_txn_renew(store->reading);
        else
            code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->reading);
        if (code == MDB_MAP_RESIZED) {
            code = store_set_map(store, 0); /* the writer has grown the map */
        } else if (code == MDB_READERS_FULL) {
            int dead = 0;
            mdb_reader_check(store->env, &dead);
            code = dead ? 0 : code;
        } else if (code == 0) {
            *txn = store->reading;
            return STATUS_OK;
        }
    }
    if (code == 0)
        return error_set(err, STATUS_BUSY, "store %s: its map grows all the time", store->path);
    return store_error(store, code, "starting to read", err);
}

void store_read_end(struct store *store)
{
    mdb_txn_reset(store->reading);
}

/* One text of the table "meta", cut to capacity. */
static int meta_get(MDB_txn *txn, MDB_dbi meta, const char *name, char *text, size_t capacity)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name}, value;
    int code = mdb_get(txn, meta, &key, &value);
    if (code == 0)
        entry_text(text, capacity, (struct span){value.mv_data, value.mv_size});
    return code;
}

static int meta_put(MDB_txn *txn, MDB_dbi meta, const char *name, const char *text)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val value = {strlen(text), (void *)(uintptr_t)text};
    return mdb_put(txn, meta, &key, &value, 0);
}

/* That the schema is ours; STATUS_MISS when nothing has been written yet. */
static enum status check_schema(struct store *store, MDB_txn *txn, struct error *err)
{
    char schema[32] = "?", created_by[64] = "an unknown program";
    MDB_stat stat = {0};
    int code = mdb_dbi_open(txn, "meta", 0, &store->meta);
    if (code == MDB_NOTFOUND) {
        MDB_dbi main_table;
        code = mdb_dbi_open(txn, NULL, 0, &main_table);
        if (code == 0)
            code = mdb_stat(txn, main_table, &stat);
        if (code != 0)
            return store_error(store, code, "reading its tables", err);
        if (stat.ms_entries > 0)
            return error_set(err, STATUS_INVALID, "store %s: an LMDB file, but not one of "
                             "foldmill: choose another folder", store->path);
        return error_set(err, STATUS_MISS, "store %s: nothing has been stored yet", store->path);
    }
    if (code == 0)
        code = meta_get(txn, store->meta, "schema", schema, sizeof schema);
    if (code == MDB_NOTFOUND)
        return error_set(err, STATUS_INVALID, "store %s: an LMDB file, but not one of foldmill: "
                         "choose another folder", store->path);
    if (code != 0)
        return store_error(store, code, "reading its version", err);
    meta_get(txn, store->meta, "created_by", created_by, sizeof created_by);
    int64_t version;
    if (!text_int(span_of(schema), 0, INT32_MAX, &version) || version != STORE_VERSION)
        return error_set(err, STATUS_INVALID, "store %s has schema %s (made by %s), this foldmill "
                         "" FOLDMILL_VERSION " uses schema %d: use the foldmill that made it, or "
                         "fill a new store in another folder", store->path, schema, created_by,
                         STORE_VERSION);
    return STATUS_OK;
}

/* The tables, within a transaction; the writer makes what is missing. */
static enum status open_tables(struct store *store, MDB_txn *txn,
                               const struct store_options *options, struct error *err)
{
    unsigned flags = store->writing ? MDB_CREATE : 0;
    enum status status = check_schema(store, txn, err);
    if (status != STATUS_OK && !(status == STATUS_MISS && store->writing))
        return status;
    int code = 0;
    if (status == STATUS_MISS) {
        char schema[32];
        snprintf(schema, sizeof schema, "%d", STORE_VERSION);
        code = mdb_dbi_open(txn, "meta", MDB_CREATE, &store->meta);
        if (code == 0)
            code = meta_put(txn, store->meta, "schema", schema);
        if (code == 0)
            code = meta_put(txn, store->meta, "created_by", "foldmill " FOLDMILL_VERSION);
    }
    if (code == 0)
        code = mdb_dbi_open(txn, "records", flags, &store->records);
    if (code == 0)
        code = mdb_dbi_open(txn, "index", flags, &store->index);
    if (code == 0)
        code = mdb_dbi_open(txn, "recipes", flags, &store->recipes);
    if (code == 0 && store->writing && options->recipe_text &&
        strlen(options->recipe_text) <= STORE_RECIPE_MAX)
        code = store_note_recipe(store, txn, options->recipe, span_of(options->recipe_text), true);
    return code == 0 ? STATUS_OK : store_error(store, code, "opening its tables", err);
}

/* Address space to begin with: generous, since it is sparse, but not beyond the disk. */
static uint64_t first_map_bytes(const struct store *store, uint64_t wanted)
{
    char file[PATH_MAX + 16];
    struct statvfs disk;
    struct stat info;
    struct rlimit space;
    uint64_t bytes = wanted ? wanted : MAP_BYTES_DEFAULT;
    snprintf(file, sizeof file, "%s/data.mdb", store->path);
    if (!wanted && statvfs(store->path, &disk) == 0) {
        uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
        if (stat(file, &info) == 0)
            room += (uint64_t)info.st_size;
        bytes = room < bytes ? room : bytes;
    }
    if (!wanted && getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY &&
        bytes > space.rlim_cur / 4)
        bytes = space.rlim_cur / 4;
    if (store->bytes_max && bytes > store->bytes_max)
        bytes = store->bytes_max;
    if (bytes < MAP_BYTES_MIN)
        bytes = MAP_BYTES_MIN;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

/* A new file survives a power loss only when its folder's entry does. */
static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static enum status open_env(struct store *store, const struct store_options *options,
                            struct error *err)
{
    MDB_txn *txn = NULL;
    struct stat data;
    char file[PATH_MAX + 16];
    snprintf(file, sizeof file, "%s/data.mdb", store->path);
    if (!store->writing && stat(file, &data) != 0) /* LMDB would leave a lock file there */
        return error_set(err, errno == ENOENT ? STATUS_MISS : STATUS_IO, "store %s: there is no "
                         "store (yet): no data.mdb", store->path);
    if (!store->writing && data.st_size == 0) /* LMDB would try to write its head */
        return error_set(err, STATUS_MISS, "store %s: there is no store (yet): its writer has not "
                         "begun data.mdb, or was killed when it did", store->path);
    int code = mdb_env_create(&store->env);
    if (code == 0)
        code = mdb_env_set_maxdbs(store->env, 8);
    if (code == 0)
        code = mdb_env_set_maxreaders(store->env, STORE_READERS_MAX);
    if (code == 0 && store->writing)
        code = mdb_env_set_mapsize(store->env, store->map_bytes);
    if (code == 0)
        code = mdb_env_open(store->env, store->path, MDB_NOTLS | (store->writing ? 0 : MDB_RDONLY),
                            0666);
    if (code == 0)
        code = mdb_txn_begin(store->env, NULL, store->writing ? 0 : MDB_RDONLY, &txn);
    if (code != 0)
        return store_error(store, code, "opening", err);
    enum status status = open_tables(store, txn, options, err);
    if (status != STATUS_OK) {
        mdb_txn_abort(txn);
        return status;
    }
    code = mdb_txn_commit(txn); /* also of the reader: it keeps the tables open */
    if (code != 0)
        return store_error(store, code, "opening its tables", err);
    if (store->writing) {
        char parent[PATH_MAX + 4];
        snprintf(parent, sizeof parent, "%s/..", store->path);
        sync_folder(store->path);
        sync_folder(parent);
        mdb_reader_check(store->env, NULL);
    }
    return STATUS_OK;
}

static void store_free(struct store *store)
{
    if (store->reading)
        mdb_txn_abort(store->reading);
    if (store->env)
        mdb_env_close(store->env);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    arena_close(&store->group);
    arena_close(&store->scratch);
    free(store);
}

/* The open store of that folder, or a free place in the table. */
static struct store **table_find(dev_t device, ino_t inode)
{
    struct store **empty = NULL;
    for (int i = 0; i < STORE_OPEN_MAX; i++) {
        if (table[i] && table[i]->device == device && table[i]->inode == inode)
            return &table[i];
        if (!table[i] && !empty)
            empty = &table[i];
    }
    return empty;
}

static enum status open_locked(const char *path, const struct store_options *options,
                               struct store **out, struct error *err)
{
    static const struct store_options plain = {0};
    struct stat info;
    bool writing = options != NULL;
    if (!options)
        options = &plain;
    if (stat(path, &info) != 0)
        return error_set(err, errno == ENOENT ? STATUS_MISS : STATUS_IO, "store %s: %s", path,
                         strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return error_set(err, STATUS_INVALID, "store %s: is a file, a folder is wanted", path);
    struct store **place = table_find(info.st_dev, info.st_ino);
    if (!place)
        return error_set(err, STATUS_LIMIT, "store %s: %d stores are open already", path,
                         STORE_OPEN_MAX);
    if (*place) {
        if (writing)
            return error_set(err, STATUS_BUSY, "store %s: this process has it open already", path);
        (*place)->references++;
        *out = *place;
        return STATUS_OK;
    }
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return error_set(err, STATUS_LIMIT, "store %s: no memory", path);
    *store = (struct store){.references = 1, .device = info.st_dev, .inode = info.st_ino,
                            .writing = writing, .lock_fd = -1, .codec = options->codec,
                            .bytes_max = options->bytes_max,
                            .group_bytes = options->group_bytes ? options->group_bytes
                                                                : STORE_GROUP_BYTES,
                            .checked_ms = clock_ms()};
    store->last = &store->first;
    arena_open(&store->group, 0);
    arena_open(&store->scratch, 0);
    enum status status = STATUS_OK;
    if (snprintf(store->path, sizeof store->path, "%s", path) >= (int)sizeof store->path)
        status = error_set(err, STATUS_LIMIT, "store %s: path too long", path);
    if (status == STATUS_OK)
        status = store_check_disk(path, writing, err);
    if (status == STATUS_OK)
        status = writing ? store_lock(path, &store->lock_fd, err)
                         : store_check_namespace(path, err);
    store->map_bytes = first_map_bytes(store, options->map_bytes);
    if (status == STATUS_OK)
        status = open_env(store, options, err);
    if (status != STATUS_OK) {
        store_free(store);
        return status;
    }
    *out = *place = store;
    return STATUS_OK;
}

enum status store_open_writer(const char *path, const struct store_options *options,
                              struct store **store, struct error *err)
{
    static const struct store_options plain = {.codec = STORE_LZ4};
    enum status status = file_make_dirs(path, err);
    if (status != STATUS_OK)
        return error_prefix(err, "store");
    pthread_mutex_lock(&table_mutex);
    status = open_locked(path, options ? options : &plain, store, err);
    pthread_mutex_unlock(&table_mutex);
    return status;
}

enum status store_open_reader(const char *path, struct store **store, struct error *err)
{
    pthread_mutex_lock(&table_mutex);
    enum status status = open_locked(path, NULL, store, err);
    pthread_mutex_unlock(&table_mutex);
    return status;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    pthread_mutex_lock(&table_mutex);
    if (--store->references == 0) {
        *table_find(store->device, store->inode) = NULL;
        store_free(store);
    }
    pthread_mutex_unlock(&table_mutex);
}
