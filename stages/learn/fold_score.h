/* How near a predicted structure is to the true one, by its CA atoms. Places are [count,3],
 * Angstrom; mask[count]: 1 where the truth is known. NAN where nothing can be compared. */
#ifndef STAGES_LEARN_FOLD_SCORE_H
#define STAGES_LEARN_FOLD_SCORE_H

#include <stdbool.h>
#include <stdint.h>

struct fold_score {
    double lddt;   /* lDDT-CA, 0..1, mean over residues (Mariani et al. 2013; 15 A) */
    double drmsd;  /* root mean square difference of all distances */
    double gdt_ts; /* 0..1: within 1, 2, 4 and 8 A after superposition of all (Zemla 2003) */
};

/* moved[count,3] = x laid on y by the rotation and shift that are best where mask is. false:
 * nothing is known. */
bool fold_superpose(int64_t count, const float *x, const float *y, const float *mask,
                    float *moved);

struct fold_score fold_score(int64_t count, const float *predicted, const float *truth,
                             const float *mask);

#endif
