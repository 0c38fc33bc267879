/* From the compact form of a crop to the features that the network takes (data path, section 7.8):
 * one-hot symbols, profiles, deletions. All in float32 with the reference's roundings. */
#ifndef STAGES_BIO_EXPAND_H
#define STAGES_BIO_EXPAND_H

#include <stdint.h>

enum { EXPAND_MSA_FEATURES = 49, EXPAND_TARGET_FEATURES = 22 };

/* atan(d / 3) * 2 / pi for a number of deletions. */
float deletion_value(float count);

/* target_feat[length,22] from aatype[length] (0..20): channel 0 is 0, then the one-hot; residues
 * from `used` on are padding and stay 0. */
void expand_target(int length, int used, const uint8_t *aatype, float *target);

/* One recycling pass's clusters in the compact form; K columns, M rows. */
struct expand_clusters {
    int rows, length;            /* M, K: sizes of the arrays */
    int used_rows, used_length;  /* beyond them is padding: features 0 */
    const uint8_t *msa;          /* [M,K] symbols after masking, 0..22 */
    const int16_t *deletions;    /* [M,K] */
    const int16_t *counts;       /* [M,K,23] symbols in the cluster, its own included */
    const int32_t *deletion_sum; /* [M,K] over the cluster, its own included */
    const int32_t *sizes;        /* [M] extra rows in the cluster */
};

/* msa_feat[M,K,49]: one-hot(23), has deletion, deletion value, cluster profile(23), mean deletion
 * value. */
void expand_msa(const struct expand_clusters *clusters, float *msa_feat);

#endif
