/* Reads HHsearch result files (.hhr): the hits of a chain in a database of profiles, each an
 * alignment of a piece of the query with a piece of a template (data path, section 5.1). */
#ifndef STAGES_BIO_HHR_H
#define STAGES_BIO_HHR_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

/* No result file is larger, unpacked. */
#define HHR_BYTES_MAX ((size_t)1 << 28)

enum {
    HHR_HITS_MAX = 1 << 20,
    HHR_COLUMNS_MAX = 1 << 20, /* of one hit */
};

struct hhr_hit {
    struct span name; /* the whole line behind '>' */
    float sum_probs;
    int aligned;                      /* Aligned_cols */
    int columns;                      /* of both strings */
    const char *query, *hit;          /* [columns] A..Z and '-'; NUL-terminated */
    const int32_t *query_at, *hit_at; /* [columns] residue numbers from 0; -1 at gaps */
    int64_t line;                     /* of its "No " in the file, from 1 */
};

struct hhr {
    struct hhr_hit *hit; /* in file order */
    int count;
};

/* Reads the text of one file into arena; names point into content. A file without hits is good.
 * STATUS_REFUSED, naming the line: a hit without name or figures, a row that is not `number
 * letters number (number)`, numbers that do not count the letters, strings of unequal width;
 * STATUS_LIMIT. */
enum status hhr_read(struct span content, struct arena *arena, struct hhr *hhr, struct error *err);

#endif
