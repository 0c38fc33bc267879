/* Which chains are listed at all (data path, section 9.3), and how large a given clustering says
 * that their clusters are (9.1). Deterministic: by sequence, resolution and date alone. */
#ifndef STAGES_LISTING_SELECT_H
#define STAGES_LISTING_SELECT_H

#include "engine/base/error.h"
#include "stages/bio/names.h"

#include <stdint.h>

#define CLUSTERS_BYTES_MAX ((size_t)1 << 30)

struct selection {
    double resolution_max;  /* Angstrom; 0: no limit. Unknown resolutions, 0, pass */
    double same_letter_max; /* most of a chain that one letter may be; 1: all of it */
    bool unknown_refused;   /* chains with an X */
    int64_t length_min;
    const char *date_max; /* YYYY-MM-DD; "": no limit */
};

/* STATUS_REFUSED, with the reason. */
enum status selection_check(const struct selection *selection, struct span sequence,
                            float resolution, struct span release_date, struct error *err);

/* Sizes of clusters, by the upper-case names of their chains. */
struct clusters {
    struct names chains;
    int32_t *size; /* [chains.count] */
    int size_room;
};

/* Reads a clusters file: one cluster a line, its chains (1abc_A) with blanks between; arena must
 * live as long. STATUS_INVALID names the line: a chain stands in two clusters; STATUS_IO,
 * STATUS_LIMIT. */
enum status clusters_read(struct clusters *clusters, const char *path, struct arena *arena,
                          struct error *err);

/* The size of the chain's cluster; -1: it is in none. */
int32_t clusters_find(const struct clusters *clusters, const char *key);

#endif
