/* Nearest cluster of each extra row of a recycling pass (data path, section 7.5): exact integer
 * scores over all columns, several times faster than a read of the same bytes would suggest,
 * because 64 columns of a symbol's five bits are compared at once where the processor can. */
#ifndef STAGES_BIO_MSA_ASSIGN_H
#define STAGES_BIO_MSA_ASSIGN_H

#include "stages/bio/msa_sample.h"

/* assignment[choice->extra]: the cluster with the most columns of equal symbols, gaps and [MASK]
 * not counted, the lowest on ties. Symbols are 0..21 in the source, 0..22 in choice->masked. Takes
 * the fastest way that the processor has; all give the same. Scratch memory from arena, given back:
 * about clusters * L bytes. */
void msa_assign(const struct msa_source *source, const struct msa_choice *choice,
                struct arena *arena, uint32_t *assignment);

enum msa_assign_way {
    MSA_ASSIGN_PLAIN,  /* bytes, in vectors of 16 that every compiler target has or emulates */
    MSA_ASSIGN_AVX2,   /* bytes, in vectors of 32 */
    MSA_ASSIGN_AVX512, /* bits: AVX-512 F, BW and VPOPCNTDQ */
};

/* msa_assign by one of the ways; false: the processor cannot, nothing was done. */
bool msa_assign_by(enum msa_assign_way way, const struct msa_source *source,
                   const struct msa_choice *choice, struct arena *arena, uint32_t *assignment);

#endif
