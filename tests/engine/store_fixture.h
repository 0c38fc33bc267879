/* A store in a folder of its own, filled with samples that are a function of their number, so that
 * every test can tell what must be there. */
#ifndef FOLDMILL_TESTS_STORE_FIXTURE_H
#define FOLDMILL_TESTS_STORE_FIXTURE_H

#include "engine/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char path[256];
    struct arena arena;
};

static inline void fixture_clear(const char *path)
{
    char name[1200];
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *file; (file = readdir(dir));) {
        snprintf(name, sizeof name, "%s/%s", path, file->d_name);
        if (file->d_name[0] != '.')
            unlink(name);
    }
    closedir(dir);
}

static inline struct fixture fixture_open(const char *name)
{
    struct fixture fixture;
    const char *folder = getenv("TMPDIR");
    snprintf(fixture.path, sizeof fixture.path, "%s/foldmill_%s_XXXXXX", folder ? folder : "/tmp",
             name);
    cr_assert(mkdtemp(fixture.path), "a temporary folder");
    arena_open(&fixture.arena, 0);
    return fixture;
}

static inline void fixture_close(struct fixture *fixture)
{
    fixture_clear(fixture->path);
    rmdir(fixture->path);
    arena_close(&fixture->arena);
}

static inline struct store *fixture_writer(struct fixture *fixture)
{
    struct store *store = NULL;
    struct error err;
    cr_assert(store_open_writer(fixture->path, NULL, &store, &err) == STATUS_OK, "%s", err.text);
    return store;
}

static inline struct store_made fixture_made(int i)
{
    return (struct store_made){(uint64_t)i * 0x9e3779b97f4a7c15u, 42};
}

/* Sample i: 50 + i % 100 residues, i % 5 + 1 rows; some 1 to 20 KB. */
static inline void fixture_sample(struct sample *sample, struct arena *arena, int i)
{
    char key[32];
    snprintf(key, sizeof key, "key_%04d", i);
    cr_assert(sample_open(sample, span_of(key), NULL) == STATUS_OK);
    int64_t length = 50 + i % 100, rows = i % 5 + 1;
    uint8_t *aatype = sample_add_1(sample, arena, "aatype", KIND_U8, length);
    uint8_t *msa = sample_add_2(sample, arena, "msa", KIND_U8, rows, length);
    float *positions = sample_add_3(sample, arena, "positions", KIND_F32, length, 5, 3);
    for (int64_t l = 0; l < length; l++)
        aatype[l] = (uint8_t)((l + i) % 21);
    for (int64_t k = 0; k < rows * length; k++)
        msa[k] = (uint8_t)((k * 7 + i) % 22);
    for (int64_t k = 0; k < length * 15; k++)
        positions[k] = (float)((k * 2654435761u + (unsigned)i) % 100000) * 0.001f;
    sample_add_text(sample, arena, "split", i % 10 ? SPAN("train") : SPAN("held_out"));
}

static inline enum status fixture_put(struct store *store, int i, struct error *err)
{
    struct arena arena;
    struct sample sample;
    arena_open(&arena, 0);
    fixture_sample(&sample, &arena, i);
    struct store_note note = {.made = fixture_made(i), .length = (uint32_t)(50 + i % 100),
                              .rows = (uint32_t)(i % 5 + 1)};
    enum status status = store_put(store, &sample, &note, err);
    arena_close(&arena);
    return status;
}

static inline void fixture_fill(struct store *store, int first, int end)
{
    struct error err;
    for (int i = first; i < end; i++)
        cr_assert(fixture_put(store, i, &err) == STATUS_OK, "%s", err.text);
}

/* Record i is there and as it was put. */
static inline void fixture_check(struct store *store, int i)
{
    struct arena arena;
    struct sample wanted, found;
    struct error err;
    struct store_made made = fixture_made(i);
    arena_open(&arena, 0);
    fixture_sample(&wanted, &arena, i);
    cr_assert(store_get(store, wanted.key, NULL, &made, &arena, &found, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(sample_digest(&found) == sample_digest(&wanted), "record %d differs", i);
    arena_close(&arena);
}

/* Records 0..count-1 are there, and all that is there is sound. */
static inline void fixture_expect(struct fixture *fixture, int count)
{
    struct error err;
    struct store *store = fixture_writer(fixture);
    struct store_report report;
    for (int i = 0; i < count; i++)
        fixture_check(store, i);
    cr_assert(store_verify(store, NULL, NULL, NULL, &report, &err) == STATUS_OK, "%s", err.text);
    cr_assert(report.bad == 0);
    store_close(store);
}

static inline MDB_env *fixture_raw_open(struct fixture *fixture, const char *table, MDB_txn **txn,
                                        MDB_dbi *dbi)
{
    MDB_env *env;
    cr_assert(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
    cr_assert(mdb_env_open(env, fixture->path, 0, 0666) == 0);
    cr_assert(mdb_txn_begin(env, NULL, 0, txn) == 0);
    cr_assert(mdb_dbi_open(*txn, table, MDB_CREATE, dbi) == 0);
    return env;
}

/* Behind the store's back: a value of one of its tables. */
static inline void fixture_raw_put(struct fixture *fixture, const char *table, const char *key,
                                   const char *value, size_t size)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_env *env = fixture_raw_open(fixture, table, &txn, &dbi);
    MDB_val name = {strlen(key), (void *)(uintptr_t)key}, data = {size, (void *)(uintptr_t)value};
    cr_assert(mdb_put(txn, dbi, &name, &data, 0) == 0 && mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

static inline size_t fixture_raw_get(struct fixture *fixture, const char *table, const char *key,
                                     char *value, size_t capacity)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_env *env = fixture_raw_open(fixture, table, &txn, &dbi);
    MDB_val name = {strlen(key), (void *)(uintptr_t)key}, data;
    cr_assert(mdb_get(txn, dbi, &name, &data) == 0 && data.mv_size <= capacity);
    size_t size = data.mv_size;
    memcpy(value, data.mv_data, size);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return size;
}

#endif
