/* The heads behind the structure module (AF2 suppl. 1.9.6, 1.9.7, 1.9.10): what it thinks of
 * its own atoms. Their logits; losses are made of them elsewhere. */
#ifndef FOLDMILL_KERNELS_NET_HEAD_STRUCTURE_H
#define FOLDMILL_KERNELS_NET_HEAD_STRUCTURE_H

#include "kernels/net/modules.h"

enum { PLDDT_BINS = 50, ALIGNED_ERROR_BINS = 64, RESOLVED_ATOMS = 37 };

/* lDDT-CA of each residue, in 50 bins. */
struct plddt_head {
    struct layer norm, linear[3];
};
struct plddt_head plddt_head_declare(struct params *p, const char *prefix, int64_t c_s,
                                     int64_t hidden);
/* s[N,c_s] -> logits[N,50]. */
struct tensor plddt_head_run(struct tape *t, const struct plddt_head *h, struct tensor s);

/* plddt[N], 0..100: the mean of the bins' centres, of host memory. */
void plddt_values(int64_t count, const double *logits, double *plddt);

/* Which of the 37 atoms an experiment resolves: s[N,c_s] -> logits[N,37] by linear_run. */
struct layer resolved_head_declare(struct params *p, const char *prefix, int64_t c_s);

/* Aligned error of pairs: z[N*N,c_z] -> logits[N*N,64] by linear_run. */
struct layer aligned_head_declare(struct params *p, const char *prefix, int64_t c_z);

#endif
