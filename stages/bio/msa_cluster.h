/* Nearest cluster of each extra row, and what each cluster holds (data path, sections 7.5, 7.6):
 * exact integers. The assignment looks at all columns, the summary at the crop's alone. */
#ifndef STAGES_BIO_MSA_CLUSTER_H
#define STAGES_BIO_MSA_CLUSTER_H

#include "stages/bio/msa_sample.h"

/* assignment[choice->extra]: the cluster with the most columns of equal symbols, gaps and [MASK]
 * not counted, the lowest on ties. Picks AVX-512, AVX2 or plain C by the processor; all give the
 * same. */
void msa_assign(const struct msa_source *source, const struct msa_choice *choice,
                struct arena *arena, uint32_t *assignment);

/* The ways to count equal bytes a[n] == b[n]; n is a multiple of 64. NULL where the processor
 * cannot. */
typedef uint32_t count_equal_fn(const uint8_t *a, const uint8_t *b, size_t n);
count_equal_fn *count_equal_plain(void);
count_equal_fn *count_equal_avx2(void);
count_equal_fn *count_equal_avx512(void);

/* Sums over each cluster: itself (after masking) and the extra rows assigned to it, in columns
 * [start, start + width): counts[clusters, width, 23] of symbols, deletions[clusters, width] of
 * deletion counts, sizes[clusters] of extra rows. All are added to zeroed arrays. counts saturate
 * at INT16_MAX. */
void msa_summarize(const struct msa_source *source, const struct msa_choice *choice,
                   const uint32_t *assignment, uint32_t start, uint32_t width, int16_t *counts,
                   int32_t *deletions, int32_t *sizes);

/* Deletions of row in columns [start, start + width) into values[width], which is zeroed; counts
 * saturate at INT16_MAX. */
void msa_deletions(const struct msa_source *source, uint32_t row, uint32_t start, uint32_t width,
                   int16_t *values);

#endif
