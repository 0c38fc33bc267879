/* What the files of the store share: the handle, transactions, and LMDB's errors in our words. */
#ifndef FOLDMILL_STORE_INSIDE_H
#define FOLDMILL_STORE_INSIDE_H

#include "engine/store.h"
#include "engine/store_entry.h"

#include <limits.h>
#include <lmdb.h>
#include <sys/types.h>

/* A put that waits for its commit; key, record and entry lie in the group's arena. */
struct staged {
    struct staged *next;
    struct span key, record, entry; /* a tombstone's record is empty; both: forget the key */
};

struct store {
    char path[PATH_MAX];
    MDB_env *env;
    MDB_dbi records, index, meta, recipes;
    MDB_txn *reading;        /* kept between reads, so that the reader's slot is taken once */
    bool broken;             /* the map is gone: see store_set_map */
    int references;          /* opens of this handle; guarded by the table's mutex */
    dev_t device;            /* which folder it is, in the table of open stores */
    ino_t inode;

    bool writing;
    int lock_fd;             /* holds the writer's lock; -1 for readers */
    enum store_codec codec;
    uint64_t bytes_max, map_bytes;
    size_t group_bytes;
    struct arena group;      /* puts since the last commit */
    struct arena scratch;    /* of one put */
    struct staged *first, **last;
    int64_t checked_ms;      /* when readers were looked after last */
    uint64_t oldest_txn;     /* what the oldest reader held then, since when, */
    int64_t oldest_since_ms; /* and whether it was told */
    bool oldest_told;
    bool disk_full; /* the last commit found no room */
};

/* LMDB's or the system's error code as a status, "store PATH: doing: why, and what to do". */
enum status store_error(const struct store *store, int code, const char *doing, struct error *err);

/* Maps bytes (0: as many as the file says). LMDB unmaps first, so that after a failure nothing but
 * closing is possible; every other use of the store is then refused. */
int store_set_map(struct store *store, uint64_t bytes);

/* A read transaction, which follows a map that the writer has grown. Ends with store_read_end, and
 * soon: while it lasts no page that it could see is used again. */
enum status store_read_begin(struct store *store, MDB_txn **txn, struct error *err);
void store_read_end(struct store *store);

/* The entry of key within a read transaction: as store_find. */
enum status store_entry_get(struct store *store, MDB_txn *txn, const char *key,
                            struct store_entry *entry, struct error *err);

/* The bytes of a record within a read transaction, valid until its end; that they are those which
 * the entry names is checked, no more. */
enum status store_record_get(struct store *store, MDB_txn *txn, const char *key,
                             const struct store_entry *entry, struct span *record,
                             struct error *err);

/* Keeps the text of a recipe within a write transaction, unless it is there already; newest: it is
 * the one that the store is filled by from now on. LMDB's code. */
int store_note_recipe(struct store *store, MDB_txn *txn, uint64_t recipe, struct span text,
                      bool newest);

/* Refuses file systems on which LMDB loses data or hangs; warns the writer of one that is not
 * kept. */
enum status store_check_disk(const char *path, bool writing, struct error *err);

/* Takes the lock that one writer holds, and writes who it is into it. STATUS_BUSY names the
 * holder. */
enum status store_lock(const char *path, int *lock_fd, struct error *err);

/* STATUS_INVALID when the writer at work is in another PID namespace: LMDB tells dead readers from
 * living ones by process ids. */
enum status store_check_namespace(const char *path, struct error *err);

#endif
