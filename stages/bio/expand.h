/* From the compact form to the features of the alignment (data path, section 7.8): one-hot symbols,
 * profiles, deletions. All in float32 with the reference's roundings. */
#ifndef STAGES_BIO_EXPAND_H
#define STAGES_BIO_EXPAND_H

#include "stages/bio/compact.h"

enum { EXPAND_MSA_FEATURES = 49, EXPAND_TARGET_FEATURES = 22 };

/* atan(d / 3) * 2 / pi for a number of deletions. */
float deletion_value(float count);

/* target_feat[length,22] from aatype[length] (0..20): channel 0 is 0, then the one-hot. target is
 * zeroed. */
void expand_target(int64_t length, const uint8_t *aatype, float *target);

/* msa_feat[M,K,49] of a pass: one-hot(23), has deletion, deletion value, cluster profile(23), mean
 * deletion value; msa_feat is zeroed. STATUS_INVALID: a cluster's cells do not tell its rows. */
enum status expand_msa(const struct compact *compact, int64_t pass, float *msa_feat,
                       struct error *err);

/* extra_has_deletion[E,K] and extra_deletion_value[E,K] of a pass, which are zeroed. */
void expand_extra_deletions(const struct compact *compact, int64_t pass, float *has, float *value);

#endif
