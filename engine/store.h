/* The store: samples under their keys in one LMDB file, where lines of a graph meet. A fill line's
 * sink is its one writer; workers of the lines that read it open it read-only, each in its own
 * process. Every record carries checksums over header, key and arrays, since LMDB has none, and an
 * index entry, which says what it is without touching it; what a stage refused is kept there too,
 * as a tombstone with the reason. A handle serves one thread at a time and never a forked child. */
#ifndef FOLDMILL_STORE_H
#define FOLDMILL_STORE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/sample.h"
#include "engine/store_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STORE_VERSION = 2,        /* of the schema; others are refused */
    STORE_SPLIT_MAX = 15,     /* bytes of a split's name */
    STORE_REASON_MAX = 511,   /* bytes of a tombstone's reason; longer ones are cut */
    STORE_OPEN_MAX = 16,      /* stores that one process has open */
    STORE_READERS_MAX = 1024, /* read transactions of all processes */
    STORE_RECIPE_MAX = 256 << 10, /* bytes of a recipe's text */
};

/* Default of store_options.group_bytes. */
#define STORE_GROUP_BYTES ((size_t)256 << 20)

struct store;

/* What a record was made from: equal values mean that making it again would give the same bytes. */
struct store_made {
    uint64_t recipe; /* the graph's hash over kind, version and settings of every stage upstream */
    uint64_t input;  /* XXH3-64 of the field "input_digest", what the source read; 0: no such */
};

/* sample may lack the field. */
struct store_made store_made(uint64_t recipe, const struct sample *sample);
bool store_made_equal(struct store_made a, struct store_made b);

struct store_options {
    uint64_t bytes_max;    /* the store may not grow beyond this; 0: as the disk allows */
    uint64_t map_bytes;    /* of address space at first; 0: up to 64 GiB, less on small disks */
    size_t group_bytes;    /* of puts that wait for their commit: more are committed at once */
    enum store_codec codec;  /* how records are packed */
    uint64_t recipe;         /* store_made.recipe of what is put, */
    const char *recipe_text; /* and what it stands for (recipe.h); NULL: nothing is told */
};

/* Opens the store in the folder at path for writing, making both when they are not there. One
 * process at a time: STATUS_BUSY names the one that has it. STATUS_INVALID: made by another schema
 * version (text: the fix), no store of foldmill, or a network file system, where LMDB loses data;
 * STATUS_CORRUPT, STATUS_IO, STATUS_FULL. */
enum status store_open_writer(const char *path, const struct store_options *options,
                              struct store **store, struct error *err);

/* Opens for reading; a store that this process has open already (also for writing) gives the same
 * handle. STATUS_MISS: there is no store (yet); else as store_open_writer. */
enum status store_open_reader(const char *path, struct store **store, struct error *err);

/* Closes (a handle opened twice: the second time). Puts without a commit are dropped. */
void store_close(struct store *store);

/* What the store knows of a sample beside its contents. */
struct store_note {
    struct store_made made;
    uint32_t length, rows; /* for listings: residues, alignment rows */
};

/* Adds or replaces the record of sample->key; its split is the text field "split". It is durable
 * and seen by readers when store_commit has returned. Errors are of this sample alone, but
 * STATUS_FULL and STATUS_IO come from a commit in between, and stay until store_commit works. */
enum status store_put(struct store *store, const struct sample *sample,
                      const struct store_note *note, struct error *err);

/* Adds a tombstone in place of a record: the sample was refused, with reason. Durable as above. */
enum status store_refuse(struct store *store, struct span key, struct store_made made,
                         struct span split, const char *reason, struct error *err);

/* Takes record and entry of key away, so that a fill line makes it again. Durable as above. */
enum status store_forget(struct store *store, const char *key, struct error *err);

/* Makes everything that was put durable, in one transaction: all of it or nothing. After a failure
 * what was there before is intact and what was put still waits, so that calling it again, when the
 * disk has room, is enough. STATUS_FULL: disk or bytes_max; STATUS_IO. Also frees the slots of dead
 * readers and warns of stopped ones, every 10 s. */
enum status store_commit(struct store *store, struct error *err);
/* True when the last commit failed for want of room on the disk, not in the store's bytes_max. */
bool store_disk_full(const struct store *store);

/* Reads the record of key into arena (nothing points into the store). fields as in record_options:
 * NULL for all. made: NULL, or what the record must have been made from. STATUS_MISS: not there, or
 * made from something else; STATUS_REFUSED: a tombstone, the text is its reason; STATUS_CORRUPT:
 * the record is damaged; STATUS_LIMIT, STATUS_IO. */
enum status store_get(struct store *store, const char *key, const char *const *fields,
                      const struct store_made *made, struct arena *arena, struct sample *sample,
                      struct error *err);

/* As store_get of every field, but those named in lazy (ended by NULL; fields that the record does
 * not have do no harm) come without data: sample_rows reads the rows that are wanted, until arena
 * is reset or the store closed. */
enum status store_get_lazy(struct store *store, const char *key, const char *const *lazy,
                           const struct store_made *made, struct arena *arena,
                           struct sample *sample, struct error *err);

/* Is there a record or a tombstone for key, made from this? Damaged entries count as absent. */
bool store_has(struct store *store, const char *key, struct store_made made);

/* What a fill line has to make. */
struct store_want {
    const char *key;
    struct store_made made;
};

/* missing[i] says that wants[i] is neither stored nor refused as made from want.made; *count is how
 * many. Damaged entries count as missing, so that they are made again. */
enum status store_missing(struct store *store, const struct store_want *wants, size_t want_count,
                          bool *missing, size_t *count, struct error *err);

/* Asks the next fill to make a refused sample again: puts key on the list AGAIN of the store's
 * folder, durably; also while a run writes the store. STATUS_MISS: key is not refused there, or
 * there is no store. */
enum status store_requeue(const char *folder, const char *key, struct error *err);
/* The writer's side: takes the refusals on that list away, durably, and the list; *count: how many
 * there were. */
enum status store_take_requeued(struct store *store, struct arena *arena, uint64_t *count,
                                struct error *err);

/* Puts key on the store's list of records that were found damaged; never fails. */
void store_note_damage(const struct store *store, const char *key);

/* Calls damaged for every key on that list whose record is damaged still (perhaps twice); takes the
 * list away when none is. What a fill line makes again beside what is missing. */
enum status store_damaged(struct store *store, struct arena *arena,
                          void (*damaged)(void *user, struct span key), void *user,
                          struct error *err);

/* The index entry of a record or a tombstone. */
struct store_entry {
    char key[SAMPLE_KEY_MAX + 1];
    bool refused;                   /* a tombstone */
    char split[STORE_SPLIT_MAX + 1];
    char reason[STORE_REASON_MAX + 1];
    struct store_made made;
    uint64_t digest;                /* record_digest of the record */
    uint64_t raw_bytes, stored_bytes; /* of the arrays; of the record */
    uint32_t length, rows;
};

/* STATUS_MISS; STATUS_CORRUPT: the entry is damaged (its key is filled in). */
enum status store_find(struct store *store, const char *key, struct store_entry *entry,
                       struct error *err);

/* A walk over the index in order of keys, in short read transactions: what is written meanwhile may
 * or may not be seen. */
struct store_walk {
    struct store *store;
    struct store_entry *batch;
    enum status *status;           /* of each in batch */
    int count, at;
    bool ended;
    char after[SAMPLE_KEY_MAX + 1];
};

/* STATUS_LIMIT: the arena has no room for a batch (60 KB). */
enum status store_walk_open(struct store_walk *walk, struct store *store, struct arena *arena,
                            struct error *err);

/* The next entry; *entry is good until the next call. STATUS_CORRUPT: this entry is damaged, its
 * key alone is filled in, and the walk can go on. STATUS_EMPTY: the end. STATUS_IO and others: it
 * cannot go on, also because pages are damaged; *entry is NULL. */
enum status store_next(struct store_walk *walk, const struct store_entry **entry,
                       struct error *err);

struct store_info {
    uint64_t entries, records;      /* of the index; of the records */
    uint64_t file_bytes, map_bytes; /* of data.mdb; of address space */
    uint64_t page_bytes, pages_used, pages_free;
    char created_by[64];
    uint64_t recipe; /* of the writer that came last; 0: not told */
};

enum status store_stat(struct store *store, struct store_info *info, struct error *err);

/* The text of a recipe, in arena. STATUS_MISS: nobody has told; STATUS_CORRUPT: it is damaged. */
enum status store_recipe(struct store *store, uint64_t recipe, struct arena *arena,
                         struct span *text, struct error *err);

/* Keeps the text of a recipe, at once. STATUS_LIMIT: it is too long; else as store_commit. */
enum status store_put_recipe(struct store *store, uint64_t recipe, struct span text,
                             struct error *err);

/* What a record is on disk, without its contents. Status as store_get. */
enum status store_peek(struct store *store, const char *key, struct record_view *view,
                       struct error *err);

struct store_report {
    uint64_t records, tombstones, bad;
};

/* Reads and checks every record and entry; bad (may be NULL) hears of each that is damaged, by key,
 * with the reason; alive (may be NULL) is called for every key. Returns other than STATUS_OK only
 * when it cannot go on. Pages that LMDB itself needs may be damaged so that it crashes: check
 * foreign stores in a child process. */
enum status store_verify(struct store *store,
                         void (*bad)(void *user, const char *key, const char *reason),
                         void (*alive)(void *user), void *user, struct store_report *report,
                         struct error *err);

/* The name of a file system on which a store loses data (NFS, Lustre, ...), by statfs(2)'s f_type;
 * NULL: it is none of those. */
const char *store_remote_disk(unsigned long type);

#endif
