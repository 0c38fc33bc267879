/* Which rows of an alignment a recycling pass sees, and what is masked in them (data path, sections
 * 7.1 to 7.4 and 7.7), as index arithmetic: rows are named, nothing is moved. Every choice comes
 * from draws that the caller gives, so that recorded draws give recorded results; msa_choose makes
 * the draws from a random stream. Pure functions. */
#ifndef STAGES_BIO_MSA_SAMPLE_H
#define STAGES_BIO_MSA_SAMPLE_H

#include "engine/base/arena.h"
#include "engine/base/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MSA_GAP = 21,
    MSA_MASK = 22, /* the symbol of a masked position */
    MSA_SYMBOLS = 23,
    MSA_PROFILE = 22,    /* symbols of hhblits_profile */
    MSA_BLOCKS_MAX = 64, /* of block deletion */
};

/* A chain's alignment, as the msa stage stores it: N rows, L columns, symbols in restype order. */
struct msa_source {
    uint32_t rows, length;
    const uint8_t *msa;             /* [N,L] 0..21, or the rows that place knows */
    const uint32_t *place;          /* [N] where in msa a row is; NULL: at its own number */
    const int32_t *deletion_start;  /* [N+1] */
    const int32_t *deletion_column; /* [D], rising within a row */
    const int32_t *deletion_count;  /* [D] */
    const int32_t *profile;         /* [L,22] rows with each symbol: a column sums to N */
};

/* The symbols of a row, [L]. */
static inline const uint8_t *msa_row(const struct msa_source *source, uint32_t row)
{
    return source->msa + (size_t)(source->place ? source->place[row] : row) * source->length;
}

struct msa_settings {
    uint32_t clusters, extra; /* most rows of each kind */
    float mask_fraction;      /* of the positions of cluster rows */
    bool block_delete;
    float block_fraction;       /* of the rows, each block */
    uint32_t blocks;            /* at most MSA_BLOCKS_MAX */
    uint32_t distillation_rows; /* rows kept of a predicted structure's alignment; 0: all */
    const uint32_t *rows;       /* [row_count] the rows that are there at all, of msa_rows_cut; */
    uint32_t row_count;         /* NULL: all of the source */
};

/* What one pass sees. Arrays lie in the arena that made it. */
struct msa_choice {
    uint32_t clusters, extra;    /* m = min(M, N') cluster rows; the other N'-m rows */
    const uint32_t *cluster_row; /* [clusters] rows of the source, the first is 0 */
    const uint32_t *extra_row;   /* [extra], in order: all of them go into the clusters' profiles */
    const uint32_t *extra_kept;  /* [extra_kept_count] indices into extra_row: the extra MSA */
    uint32_t extra_kept_count;
    const uint8_t *mask;   /* [clusters, L] 1 where the masked-MSA loss looks */
    const uint8_t *masked; /* [clusters, L] symbols after masking */
};

/* Rows that block deletion leaves of 0..rows-1: blocks of `block` rows begin at starts[], cut to
 * 1..rows-1; row 0 stays. Writes them to kept[rows], returns how many. block 0: all stay. */
uint32_t msa_block_delete(uint32_t rows, uint32_t block, const uint32_t *starts, uint32_t count,
                          uint32_t *kept);

/* Rows of a block: floor(f32(rows) * f32(fraction)). */
uint32_t msa_block_rows(uint32_t rows, float fraction);

/* rows[count] becomes rows[0], then rows[1 + order[i]] for i < count - 1. */
void msa_reorder(uint32_t *rows, uint32_t count, const uint32_t *order, struct arena *arena);

/* The symbols of the cluster rows, and after masking: where mask is 1, drawn. drawn [m,L]. */
void msa_apply_mask(const struct msa_source *source, const uint32_t *rows, uint32_t count,
                    const uint8_t *mask, const uint8_t *drawn, uint8_t *masked);

/* Limits the work that an alignment makes: `limit` of rows 0..rows-1, rising, the first always, the
 * others drawn uniformly. */
uint32_t *msa_rows_cut(uint32_t rows, uint32_t limit, struct rng *rng, struct arena *arena);

/* The class that u in [0,1) draws at a masked position (7.4): 0.7 [MASK], then 0.1 uniform over the
 * 20 amino acids, 0.1 by the column's profile, 0.1 the symbol itself, each + 1e-10. */
uint8_t msa_replacement(const int32_t *profile, uint32_t rows, uint8_t symbol, double u);

/* Makes the draws of a pass from rng, in the order of the steps: first which rows it has (of source
 * only the number of rows is looked at; distillation: is_distillation), then what is masked in them
 * and which extra rows are kept. msa_choose: both. */
struct msa_choice msa_choose_rows(const struct msa_source *source,
                                  const struct msa_settings *settings, bool distillation,
                                  struct rng *rng, struct arena *arena);
void msa_choose_mask(const struct msa_source *source, const struct msa_settings *settings,
                     struct rng *rng, struct arena *arena, struct msa_choice *choice);
struct msa_choice msa_choose(const struct msa_source *source, const struct msa_settings *settings,
                             bool distillation, struct rng *rng, struct arena *arena);

#endif
