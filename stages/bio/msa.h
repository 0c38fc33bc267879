/* The MSA features of one chain: rows of all its alignment files, equal rows once, in the symbols
 * of the network, deletions sparse. The first row is the chain itself. */
#ifndef STAGES_BIO_MSA_H
#define STAGES_BIO_MSA_H

#include "stages/bio/alignment.h"

enum { SPECIES_BYTES = 5 };

struct msa {
    int rows, length;               /* N, L */
    uint8_t *symbol;                /* [N,L] restype order: 0..19, 20 = X, 21 = gap */
    int32_t *deletion_start;        /* [N+1] into the next two: row by row, columns rising */
    int32_t *deletion_column;       /* [D] */
    int32_t *deletion_count;        /* [D] at least 1 */
    char (*species)[SPECIES_BYTES]; /* [N] species_id of the rows, zeros behind; NULL: not wanted */
};

/* Opened by msa_open; the settings may be changed until the first row is added. */
struct msa_builder {
    struct arena *arena;
    struct arena *symbol_arena; /* setting: where the symbols go (arena) */
    bool with_species;          /* setting (false) */
    int64_t rows_max;           /* setting: rows beyond are dropped (ALIGNMENT_ROWS_MAX) */
    int length, rows;
    uint8_t *code; /* [room, length]: symbols, and other codes for B J O U Z (letters.h) */
    int64_t room;
    bool ambiguous; /* there are such codes */
    uint64_t *hash; /* [rows] of a row's codes */
    int32_t *slot;  /* [slot_count] hash table: row + 1, or 0 */
    int32_t *deletion_start, *deletion_column, *deletion_count;
    char (*species)[SPECIES_BYTES];
    int hash_room, slot_count, start_room, column_room, count_room, species_room, deletions;
};

void msa_open(struct msa_builder *builder, int length, struct arena *arena);

/* Room for so many rows in all, so that they need not be copied when more come. Pages that stay
 * unused cost nothing, and msa_finish trims. STATUS_LIMIT. */
enum status msa_reserve(struct msa_builder *builder, int64_t rows, struct error *err);

/* Appends a row, unless one of equal letters is there. STATUS_REFUSED: its width is not the chain's
 * length, or letters outside the alphabet; STATUS_LIMIT. */
enum status msa_add_row(struct msa_builder *builder, const struct alignment_row *row,
                        struct error *err);

/* msa_add_row of all rows. */
enum status msa_add(struct msa_builder *builder, const struct alignment *alignment,
                    struct error *err);

/* Appends the chain's sequence[length] as a row without deletions. */
enum status msa_add_sequence(struct msa_builder *builder, struct span description,
                             const char *sequence, struct error *err);

/* What was added. */
enum status msa_finish(struct msa_builder *builder, struct msa *msa, struct error *err);

/* The row is the chain: equal to sequence[length], X on either side standing for any letter.
 * STATUS_REFUSED, showing the first difference. */
enum status alignment_check_row(const struct alignment_row *row, const char *sequence, int length,
                                struct error *err);

/* alignment_check_row of the first row. */
enum status alignment_check_query(const struct alignment *alignment, const char *sequence,
                                  int length, struct error *err);

/* counts[L,22]: in how many rows each symbol stands in each column (hhblits_profile times N). */
void msa_profile(const struct msa *msa, int32_t *counts);

/* The species part of a UniProt name that begins a description
 * ("tr|A0A146SKV9|A0A146SKV9_FUNHE/9-90" gives FUNHE), else empty. */
struct span species_id(struct span description);

#endif
