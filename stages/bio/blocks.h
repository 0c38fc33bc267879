/* Rows that come in pieces, block after block, each under its name: Stockholm and CLUSTAL. */
#ifndef STAGES_BIO_BLOCKS_H
#define STAGES_BIO_BLOCKS_H

#include "stages/bio/alignment.h"
#include "stages/bio/names.h"

struct blocks {
    struct arena *arena;
    struct names names;
    struct block_piece *piece;
    int piece_count, piece_capacity;
    size_t *size; /* [names.count] letters of each row */
    int size_capacity;
};

void blocks_open(struct blocks *blocks, struct arena *arena);

/* Appends letters (A..Z, '-') to the row of that name. STATUS_REFUSED for other characters. */
enum status blocks_add(struct blocks *blocks, int64_t line, struct span name, struct span letters,
                       struct error *err);

/* The alignment of all rows. STATUS_REFUSED: no rows, or unequal widths. */
enum status blocks_join(const struct blocks *blocks, struct alignment *alignment,
                        struct error *err);

#endif
