/* The features of a training sample by name (data path, section 8), out of its compact form: what
 * the network takes. One recycling pass at a time; those that do not depend on the pass are the
 * same in all. Padding is 0. Exact: the roundings are the reference's. */
#ifndef STAGES_BIO_FEATURES_H
#define STAGES_BIO_FEATURES_H

#include "stages/bio/compact.h"

/* Groups, which are made together. */
enum feature_group {
    FEATURES_CHAIN = 1 << 0,    /* residues: known without a structure */
    FEATURES_MSA = 1 << 1,      /* cluster rows; of the pass */
    FEATURES_EXTRA = 1 << 2,    /* extra rows; of the pass */
    FEATURES_TEMPLATE = 1 << 3,
    FEATURES_TRUTH = 1 << 4,    /* supervised; only where there is a structure */
    FEATURES_BETA = 1 << 5,     /* supervised: pseudo beta alone */
    FEATURES_ALL = (1 << 6) - 1,
    FEATURES_PASS = FEATURES_MSA | FEATURES_EXTRA,
};

/* F(name, group, sizes): f32; I: i64; FS and IS: scalars. K residues, M cluster rows, E extra rows,
 * T templates. */
#define FEATURES(F, I, FS, IS)                                                                     \
    I(aatype, CHAIN, "K")                                                                          \
    I(residue_index, CHAIN, "K")                                                                   \
    IS(seq_length, CHAIN)                                                                          \
    F(seq_mask, CHAIN, "K")                                                                        \
    F(target_feat, CHAIN, "K,22")                                                                  \
    F(atom14_atom_exists, CHAIN, "K,14")                                                           \
    I(residx_atom14_to_atom37, CHAIN, "K,14")                                                      \
    I(residx_atom37_to_atom14, CHAIN, "K,37")                                                      \
    F(atom37_atom_exists, CHAIN, "K,37")                                                           \
    FS(use_clamped_fape, CHAIN)                                                                    \
    F(msa_feat, MSA, "M,K,49")                                                                     \
    F(msa_mask, MSA, "M,K")                                                                        \
    F(msa_row_mask, MSA, "M")                                                                      \
    I(true_msa, MSA, "M,K")                                                                        \
    F(bert_mask, MSA, "M,K")                                                                       \
    I(extra_msa, EXTRA, "E,K")                                                                     \
    F(extra_msa_mask, EXTRA, "E,K")                                                                \
    F(extra_msa_row_mask, EXTRA, "E")                                                              \
    F(extra_has_deletion, EXTRA, "E,K")                                                            \
    F(extra_deletion_value, EXTRA, "E,K")                                                          \
    I(template_aatype, TEMPLATE, "T,K")                                                            \
    F(template_all_atom_positions, TEMPLATE, "T,K,37,3")                                           \
    F(template_all_atom_mask, TEMPLATE, "T,K,37")                                                  \
    F(template_mask, TEMPLATE, "T")                                                                \
    F(template_sum_probs, TEMPLATE, "T,1")                                                         \
    F(template_pseudo_beta, TEMPLATE, "T,K,3")                                                     \
    F(template_pseudo_beta_mask, TEMPLATE, "T,K")                                                  \
    F(template_torsion_angles_sin_cos, TEMPLATE, "T,K,7,2")                                        \
    F(template_alt_torsion_angles_sin_cos, TEMPLATE, "T,K,7,2")                                    \
    F(template_torsion_angles_mask, TEMPLATE, "T,K,7")                                             \
    F(pseudo_beta, BETA, "K,3")                                                                    \
    F(pseudo_beta_mask, BETA, "K")                                                                 \
    F(all_atom_positions, TRUTH, "K,37,3")                                                         \
    F(all_atom_mask, TRUTH, "K,37")                                                                \
    F(atom14_gt_positions, TRUTH, "K,14,3")                                                        \
    F(atom14_alt_gt_positions, TRUTH, "K,14,3")                                                    \
    F(atom14_gt_exists, TRUTH, "K,14")                                                             \
    F(atom14_alt_gt_exists, TRUTH, "K,14")                                                         \
    F(atom14_atom_is_ambiguous, TRUTH, "K,14")                                                     \
    F(rigidgroups_gt_frames, TRUTH, "K,8,4,4")                                                     \
    F(rigidgroups_alt_gt_frames, TRUTH, "K,8,4,4")                                                 \
    F(rigidgroups_gt_exists, TRUTH, "K,8")                                                         \
    F(rigidgroups_group_exists, TRUTH, "K,8")                                                      \
    F(rigidgroups_group_is_ambiguous, TRUTH, "K,8")                                                \
    F(backbone_rigid_tensor, TRUTH, "K,4,4")                                                       \
    F(backbone_rigid_mask, TRUTH, "K")                                                             \
    F(chi_angles_sin_cos, TRUTH, "K,4,2")                                                          \
    F(chi_mask, TRUTH, "K,4")                                                                      \
    FS(resolution, TRUTH)                                                                          \
    FS(is_distillation, TRUTH)

/* Arrays in the caller's arena; NULL: not asked for, or there is no structure (TRUTH, BETA). */
struct features {
#define FEATURE_F32(name, ...) float *name;
#define FEATURE_I64(name, ...) int64_t *name;
    FEATURES(FEATURE_F32, FEATURE_I64, FEATURE_F32, FEATURE_I64)
#undef FEATURE_F32
#undef FEATURE_I64
};

enum { FEATURE_RANK_MAX = 4 };

/* A row of the table. */
struct feature {
    const char *name;
    bool integer; /* i64, else f32 */
    unsigned group;
    const char *sizes; /* as above */
    size_t member;     /* offset of its pointer in struct features */
};
extern const struct feature feature_table[]; /* ended by name NULL */

/* The feature's sizes for a sample; returns its rank. */
int feature_size(const struct feature *feature, const struct compact *compact,
                 int64_t size[FEATURE_RANK_MAX]);

/* Makes the groups (enum feature_group, or-ed) of one pass of a sample that compact_check has
 * accepted. STATUS_INVALID: expand_msa's; STATUS_LIMIT: no memory in arena. */
enum status features_make(const struct compact *compact, int64_t pass, unsigned groups,
                          struct arena *arena, struct features *out, struct error *err);

#endif
