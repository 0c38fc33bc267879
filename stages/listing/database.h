/* Alignment databases: alignments of many chains in a few large files, with an index in JSON
 * ({"1abc_A": {"db": "x.db", "files": [["uniref90_hits.sto", 0, 1234], ...]}, ...}), as OpenFold's
 * scripts make them. The index is read as a stream; of it stay some 24 bytes a file. */
#ifndef STAGES_LISTING_DATABASE_H
#define STAGES_LISTING_DATABASE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "stages/bio/names.h"

#include <stdint.h>

enum { DATABASE_FILES_MAX = 1 << 28, DATABASE_CHAIN_FILES_MAX = 1024 };

/* A file of a chain: bytes [offset, offset + length) of database file `where`. */
struct database_file {
    int64_t offset, length;
    int32_t name, where; /* in names, paths */
};

struct database {
    struct arena *arena;
    struct names chains, names, paths;
    int64_t *first; /* [chains + 1] into file */
    struct database_file *file;
    int64_t file_count;
    int first_room;
    int64_t file_room;
};

void database_open(struct database *database, struct arena *arena);

/* Adds the index at path; its "db" names are files beside it. STATUS_INVALID names line and what
 * was wanted: no JSON, another shape, a chain twice, a piece beyond the end of its file, a database
 * file that is not there; STATUS_IO, STATUS_LIMIT. */
enum status database_read(struct database *database, const char *path, struct error *err);

/* The chain's files, sorted by name, as lines of stages/bio/input.h; returns how many, at most
 * DATABASE_CHAIN_FILES_MAX. name[i]: what line[i] counts as. */
int database_find(const struct database *database, const char *key, struct arena *arena,
                  const char **line, struct span *name);

#endif
