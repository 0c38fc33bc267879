/* Losses of the folded structure and of the heads behind it (AF2 suppl. 1.9): frame aligned point
 * error of backbone and side chains, torsions, confidence, resolved atoms, aligned error, and
 * violations. What they compare with is given; which of two namings of symmetric atoms is meant is
 * found first. */
#ifndef FOLDMILL_KERNELS_NET_FOLD_LOSS_H
#define FOLDMILL_KERNELS_NET_FOLD_LOSS_H

#include "kernels/net/model.h"

/* Constants of a pass; L residues. [2]: by the first names, and by the others. */
struct fold_truth {
    struct tensor rot, trans, mask;                  /* backbone frames [L,9], [L,3], [L] */
    struct tensor group_rot[2], group_trans[2];      /* [L,72], [L,24]: eight frames */
    struct tensor group_mask;                        /* [L*8] */
    struct tensor place[2], known[2];                /* atoms [L,42], and whether known [L,14] */
    struct tensor ambiguous;                         /* [L,14] */
    struct tensor chi, chi_other, chi_weight, norm_weight; /* of the op chi */
    struct tensor resolved, resolved_weight;         /* [L*37] */
    struct tensor plddt_bin, plddt_weight;           /* [L]; made after the structure is there */
    struct tensor aligned_bin, aligned_weight;       /* [L*L]; the same; absent without that head */
    struct tensor exists, bond_weight;               /* [L,14], [L,3] */
    struct tensor radius, lower, upper;              /* of the op violation */
    double clamped; /* share of the clamped backbone error: 1 or 0 */
};

/* Places for all of them. */
struct fold_truth fold_truth_open(struct tape *t, int64_t length, bool aligned_error);

struct fold_losses {
    struct tensor backbone, side_chain; /* [1]; their mean is the FAPE */
    struct tensor chi, resolved;        /* parts, to be summed */
    struct tensor plddt, aligned;       /* [1] */
    struct tensor bond, between, within;
};

/* After model_heads_run; the targets of confidence must be there by then. */
struct fold_losses fold_losses_run(struct tape *t, const struct model_pass *pass,
                                   const struct fold_truth *truth);

#endif
