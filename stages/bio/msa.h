/* The MSA features of one chain: rows of all its alignment files, equal rows once, in the symbols
 * of the network, deletions sparse. The first row is the chain itself. */
#ifndef STAGES_BIO_MSA_H
#define STAGES_BIO_MSA_H

#include "stages/bio/alignment.h"
#include "stages/bio/names.h"

struct msa {
    int rows, length;         /* N, L */
    uint8_t *symbol;          /* [N,L] restype order: 0..19, 20 = X, 21 = gap */
    int32_t *deletion_start;  /* [N+1] into the next two: row by row, columns rising */
    int32_t *deletion_column; /* [D] */
    int32_t *deletion_count;  /* [D] at least 1 */
    struct span *description; /* [N] header lines; the first of equal rows keeps its own */
};

struct msa_builder {
    struct arena *arena;
    int length;
    struct names rows; /* the letters of each row */
    struct span *description;
    int32_t *deletion_start, *deletion_column, *deletion_count;
    int description_capacity, start_capacity, column_capacity, count_capacity, deletions;
};

void msa_open(struct msa_builder *builder, int length, struct arena *arena);

/* Appends the rows that are not there yet; alignment must stay. STATUS_REFUSED when its width is
 * not the chain's length; STATUS_LIMIT. */
enum status msa_add(struct msa_builder *builder, const struct alignment *alignment,
                    struct error *err);

/* Appends the chain's sequence[length] as a row without deletions. */
enum status msa_add_sequence(struct msa_builder *builder, struct span description,
                             const char *sequence, struct error *err);

/* Drops all but the first rows_max rows. */
void msa_cut(struct msa_builder *builder, int64_t rows_max);

/* Encodes what was added (STATUS_REFUSED: letters outside the alphabet). */
enum status msa_finish(struct msa_builder *builder, struct msa *msa, struct error *err);

/* The first row is the chain: equal to sequence[length], X on either side standing for any letter.
 * STATUS_REFUSED, showing the first difference. */
enum status alignment_check_query(const struct alignment *alignment, const char *sequence,
                                  int length, struct error *err);

/* counts[L,22]: in how many rows each symbol stands in each column (hhblits_profile times N). */
void msa_profile(const struct msa *msa, int32_t *counts);

/* The species part of a UniProt name that begins a description
 * ("tr|A0A146SKV9|A0A146SKV9_FUNHE/9-90" gives FUNHE), else empty. */
struct span species_id(struct span description);

#endif
