/* Rows that come in pieces, block after block, each under its name: Stockholm and CLUSTAL. Their
 * letters are kept, their lines are not. */
#ifndef STAGES_BIO_BLOCKS_H
#define STAGES_BIO_BLOCKS_H

#include "stages/bio/alignment.h"
#include "stages/bio/names.h"

struct blocks {
    struct arena *arena;
    struct names names;
    struct block_piece *piece;
    int piece_count, piece_room;
    struct block_row *row; /* [names.count] */
    int row_room;
    char *letters; /* where the next piece goes, and how many letters have room there */
    size_t letters_room;
};

void blocks_open(struct blocks *blocks, struct arena *arena);

/* Appends letters (A..Z, '-') to the row of that name; both are copied. STATUS_REFUSED for other
 * characters; STATUS_LIMIT. */
enum status blocks_add(struct blocks *blocks, int64_t line, struct span name, struct span letters,
                       struct error *err);

/* Gives all rows to take, in the order of their names' first lines. STATUS_REFUSED: no rows, or
 * unequal widths. */
enum status blocks_rows(const struct blocks *blocks, alignment_row_fn *take, void *user,
                        struct error *err);

#endif
