/* What each cluster of alignment rows holds (data path, section 7.6), in the crop's columns: exact
 * integers. Which rows it holds: msa_assign.h. */
#ifndef STAGES_BIO_MSA_CLUSTER_H
#define STAGES_BIO_MSA_CLUSTER_H

#include "stages/bio/msa_sample.h"

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
