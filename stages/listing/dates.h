/* Release dates of PDB entries from a JSON file, so that structures need not be opened for them:
 * {"1abc": {"release_date": "2001-02-03", ...}, ...}, as OpenFold's scripts make it of mmCIF files
 * or of chains ("1abc_A"), or {"1abc": "2001-02-03", ...}. */
#ifndef STAGES_LISTING_DATES_H
#define STAGES_LISTING_DATES_H

#include "engine/base/error.h"
#include "stages/bio/names.h"

enum { DATES_MAX = 1 << 24, DATES_ENTRY_BYTES = 4 };

struct dates {
    struct arena *arena;
    struct names entries; /* lower case */
    struct span *date;    /* [entries.count] YYYY-MM-DD */
    int room;
};

void dates_open(struct dates *dates, struct arena *arena);

/* Adds the file's dates; of two of one entry the later counts. Entries whose date is null or not
 * there, and names of other forms, are passed over. STATUS_INVALID names the line: no JSON, another
 * shape, no date; STATUS_IO, STATUS_LIMIT. */
enum status dates_read(struct dates *dates, const char *path, struct error *err);

/* Adds one date. False: DATES_MAX are there, or no memory. */
bool dates_add(struct dates *dates, struct span entry, struct span date);

/* The date of an entry in lower case; empty: unknown. */
struct span dates_find(const struct dates *dates, const char *entry);

#endif
