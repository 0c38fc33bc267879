/* Per-residue geometry of a chain from its atom37 coordinates: what the AlphaFold 2 features hold
 * of atoms, frames and torsions (data path section 6.5 to 6.10), operation for operation in
 * float32, so that the results are the reference pipeline's bit for bit. All functions work on
 * count residues, a chain or a piece of one; torsions reach back to the residue before the piece.
 * Inputs: aatype[n] 0..20, positions[n,37,3] in Angstrom, mask[n,37]; outputs are [n, ...]. */
#ifndef STAGES_BIO_GEOMETRY_H
#define STAGES_BIO_GEOMETRY_H

#include <stdint.h>

enum { TORSIONS = 7 }; /* omega phi psi chi1 chi2 chi3 chi4 */

struct geometry_chain {
    const uint8_t *aatype;
    const float *positions;
    const uint8_t *mask;
    int count;
    const float *previous_positions; /* [37,3] of the residue before the first; NULL: none */
    const uint8_t *previous_mask;    /* [37] */
};

/* beta[n,3], beta_mask[n]: CB, or CA of glycine. */
void geometry_pseudo_beta(const struct geometry_chain *chain, float *beta, float *beta_mask);

/* By residue type alone: exists14[n,14], to37[n,14] (residx_atom14_to_atom37), to14[n,37]
 * (residx_atom37_to_atom14), exists37[n,37]; numbers of atoms that a residue lacks are 0. */
void geometry_atom_maps(const struct geometry_chain *chain, float *exists14, int64_t *to37,
                        int64_t *to14, float *exists37);

/* atom14_gt_positions and _exists, the same with the names of symmetric atoms swapped, and which
 * atoms those are. */
struct geometry_atom14 {
    float *positions, *alt_positions; /* [n,14,3] */
    float *exists, *alt_exists;       /* [n,14] */
    float *ambiguous;                 /* [n,14] */
};
void geometry_atom14(const struct geometry_chain *chain, const struct geometry_atom14 *out);

/* Frames of the eight rigid groups (backbone, two unused ones, psi, chi1..4) as 4 x 4 matrices that
 * take local to global coordinates, the same with symmetric groups turned by 180 degrees, which
 * groups are there, which the residue type has, and which are symmetric. backbone_rigid_tensor is
 * group 0. */
struct geometry_frames {
    float *frames, *alt_frames;                  /* [n,8,4,4] */
    float *exists, *group_exists, *is_ambiguous; /* [n,8] */
};
void geometry_frames(const struct geometry_chain *chain, const struct geometry_frames *out);

/* sin_cos[n,7,2], alt[n,7,2] (symmetric chi turned by 180 degrees), torsion_mask[n,7]. */
void geometry_torsions(const struct geometry_chain *chain, float *sin_cos, float *alt,
                       float *torsion_mask);

#endif
