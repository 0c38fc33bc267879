/* Every record and entry of a store is read and checked: what `foldmill store verify` does. */
#include "engine/store_inside.h"

#include <stdio.h>
#include <string.h>

struct verify {
    struct store *store;
    void (*bad)(void *user, const char *key, const char *reason);
    void *user;
    struct store_report *report;
};

static void note_bad(struct verify *verify, const char *key, const char *reason)
{
    verify->report->bad++;
    if (verify->bad)
        verify->bad(verify->user, key, reason);
}

/* Checks what stands under one key of the index. */
static void verify_entry(struct verify *verify, const struct store_entry *entry,
                         struct arena *arena)
{
    struct sample sample;
    struct error err;
    struct store_entry newer;
    arena_reset(arena);
    enum status status = store_get(verify->store, entry->key, NULL, &entry->made, arena, &sample,
                                   &err);
    if (entry->refused && status == STATUS_REFUSED) {
        verify->report->tombstones++;
        return;
    }
    if (status == STATUS_MISS && store_find(verify->store, entry->key, &newer, NULL) == STATUS_OK)
        return; /* the writer has just replaced it */
    if (status == STATUS_MISS)
        error_set(&err, STATUS_CORRUPT, "listed, but not found: pages of data.mdb are damaged");
    if (status != STATUS_OK) {
        char place[PATH_MAX + 16]; /* what every line would begin with */
        int size = snprintf(place, sizeof place, "store %s: ", verify->store->path);
        bool told = strncmp(err.text, place, (size_t)size) == 0;
        note_bad(verify, entry->key, err.text + (told ? size : 0));
        return;
    }
    verify->report->records++;
    if (sample_bytes(&sample) != entry->raw_bytes ||
        !span_is(sample_text(&sample, "split"), entry->split))
        note_bad(verify, entry->key, "its index entry says another size or split");
}

/* Every entry under a page that no other page leads to is lost without a trace but the count. */
static void verify_count(struct verify *verify, const char *table, uint64_t found, uint64_t wanted)
{
    char reason[128];
    if (found == wanted)
        return;
    snprintf(reason, sizeof reason, "%llu entries where %llu should be: pages of data.mdb are "
             "damaged", (unsigned long long)found, (unsigned long long)wanted);
    note_bad(verify, table, reason);
}

/* Records that no index entry names: nobody would find them. */
static enum status verify_records(struct verify *verify, void (*alive)(void *user),
                                  struct error *err)
{
    uint64_t count = 0;
    MDB_stat stat;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val name, value, found;
    enum status status = store_read_begin(verify->store, &txn, err);
    if (status != STATUS_OK)
        return status;
    int code = mdb_cursor_open(txn, verify->store->records, &cursor);
    if (code == 0) {
        while ((code = mdb_cursor_get(cursor, &name, &value, MDB_NEXT)) == 0) {
            char key[SAMPLE_KEY_MAX + 1];
            count++;
            entry_text(key, sizeof key, (struct span){name.mv_data, name.mv_size});
            code = mdb_get(txn, verify->store->index, &name, &found);
            if (code == MDB_NOTFOUND)
                note_bad(verify, key, "a record that the index does not name");
            else if (code != 0)
                break;
            if (alive)
                alive(verify->user);
        }
        mdb_cursor_close(cursor);
        if (code == MDB_NOTFOUND && mdb_stat(txn, verify->store->records, &stat) == 0)
            verify_count(verify, "(records)", count, stat.ms_entries);
    }
    store_read_end(verify->store);
    return code == 0 || code == MDB_NOTFOUND
               ? STATUS_OK
               : store_error(verify->store, code, "listing its records", err);
}

enum status store_verify(struct store *store,
                         void (*bad)(void *user, const char *key, const char *reason),
                         void (*alive)(void *user), void *user, struct store_report *report,
                         struct error *err)
{
    struct verify verify = {store, bad, user, report};
    struct arena lists, arena;
    struct store_walk walk;
    const struct store_entry *entry;
    MDB_envinfo before, after;
    struct store_info info;
    uint64_t count = 0;
    *report = (struct store_report){0};
    arena_open(&lists, 0);
    arena_open(&arena, 0);
    mdb_env_info(store->env, &before);
    enum status status = store_stat(store, &info, err);
    if (status == STATUS_OK)
        status = store_walk_open(&walk, store, &lists, err);
    while (status == STATUS_OK) {
        status = store_next(&walk, &entry, err);
        count += entry != NULL;
        if (status == STATUS_OK)
            verify_entry(&verify, entry, &arena);
        else if (status == STATUS_CORRUPT) {
            note_bad(&verify, entry->key, "its index entry is damaged");
            status = STATUS_OK;
        }
        if (alive)
            alive(user);
    }
    mdb_env_info(store->env, &after);
    if (status == STATUS_EMPTY && before.me_last_txnid == after.me_last_txnid)
        verify_count(&verify, "(index)", count, info.entries);
    if (status == STATUS_EMPTY)
        status = verify_records(&verify, alive, err);
    arena_close(&arena);
    arena_close(&lists);
    return status;
}
