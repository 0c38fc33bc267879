/* What losses compare with and how much each place counts, made on the host: small work that
 * depends on what is known, or on a few predicted places. Sums and square roots in double. */
#ifndef FOLDMILL_KERNELS_NET_TARGETS_H
#define FOLDMILL_KERNELS_NET_TARGETS_H

#include "kernels/net/modules.h"

/* Structures of worse or unknown resolution teach nothing of confidence (AF2 suppl. 1.9.6). */
bool resolution_counts(double resolution);

/* Distogram: bin[L*L] of the distance between pseudo beta atoms xyz[L,3] (64 bins, 2.3125 to
 * 21.6875 A), and weight[L*L] = mask_i mask_j / (1e-6 + their sum). */
void distogram_targets(int64_t length, const float *xyz, const float *mask, int32_t *bin,
                       float *weight);

/* Masked MSA: weight[n] = mask[n] / (1e-8 + sum of mask), n over [S*L]. */
void masked_msa_weights(int64_t count, const float *mask, float *weight);

/* lDDT of CA atoms within 15 A, of 0..1, for each residue: predicted and truth[L,3], Angstrom. */
void lddt_ca(int64_t length, const float *predicted, const float *truth, const float *mask,
             double *lddt);

/* pLDDT: bin[L], 0..49, of lddt[L], and weight[L]. */
void plddt_targets(int64_t length, const double *lddt, const float *mask, double resolution,
                   int32_t *bin, float *weight);

/* Resolved atoms: weight[n] of every atom that exists, n over [L*37]. */
void resolved_weights(int64_t count, const float *exists, double resolution, float *weight);

/* Aligned error (AF2 suppl. 1.9.7): bin[L*L], 0..63 of 31 A, of residue j seen from i; frames are
 * rotation [9] and translation [3], Angstrom. weight[L*L]. */
void aligned_error_targets(int64_t length, const float *rot, const float *trans,
                           const float *true_rot, const float *true_trans, const float *mask,
                           double resolution, int32_t *bin, float *weight);

/* Torsions (AF2 suppl. algorithm 27) of `iterations`: truth[L,4,2] (sine, cosine) of residues
 * aatype[L] -> other[L,4,2], half a turn on where the chi angle has that symmetry; chi_weight[L,4]
 * 0.5 and norm_weight[L] 0.01 of the means. */
void chi_targets(int64_t length, int iterations, const int32_t *aatype, const float *truth,
                 const float *mask, const float *seq_mask, float *other, float *chi_weight,
                 float *norm_weight);

/* Bonds between residues: weight[L,3] of the op violation, from exists[L,14] and index[L]. */
void bond_weights(int64_t length, const float *exists, const int32_t *index, float *weight);

#endif
