/* What residues are built of, by type in the order ARNDCQEGHILKMFPSTWYV and X: which rigid group an
 * atom turns with, where it lies in that group's frame, and where the frames lie at torsion 0 (AF2
 * suppl. 1.8.4 and table 2). X has no atoms. */
#ifndef FOLDMILL_KERNELS_NET_RESIDUE_H
#define FOLDMILL_KERNELS_NET_RESIDUE_H

#include <stdint.h>

enum { RESIDUE_TYPES = 21, RESIDUE_GROUPS = 8, RESIDUE_SLOTS = 14 };

struct residue_facts {
    float base[RESIDUE_TYPES][RESIDUE_GROUPS][12];  /* as the op atoms takes them; 0: no group */
    int32_t group[RESIDUE_TYPES][RESIDUE_SLOTS];
    float place[RESIDUE_TYPES][RESIDUE_SLOTS][3];   /* Angstrom */
    float exists[RESIDUE_TYPES][RESIDUE_SLOTS];
    float radius[RESIDUE_TYPES][RESIDUE_SLOTS];     /* van der Waals, Angstrom; 0: no atom */
    int32_t beta[RESIDUE_TYPES];                    /* slot of the pseudo beta atom */
};

void residue_facts_make(struct residue_facts *facts);

/* Between which distances two atoms of a residue may be: 12 standard deviations where they share
 * a bond or an angle, else their radii less 1.5 Angstrom, and no limit. 0: one is not there. */
struct residue_bounds {
    float lower[RESIDUE_TYPES][RESIDUE_SLOTS][RESIDUE_SLOTS];
    float upper[RESIDUE_TYPES][RESIDUE_SLOTS][RESIDUE_SLOTS];
};

void residue_bounds_make(const struct residue_facts *facts, struct residue_bounds *bounds);

#endif
