/* What the training chains alone say of a held-out chain: the places of the one that is most alike,
 * copied along an alignment of the two sequences. What a network has learnt must be better. */
#ifndef STAGES_LEARN_NEAREST_H
#define STAGES_LEARN_NEAREST_H

#include "engine/base/arena.h"
#include "engine/base/text.h"

#include <stdint.h>

enum { NEAREST_CHAINS_MAX = 1 << 20 };

struct nearest_chain {
    const char *key;
    int64_t length;
    const uint8_t *aatype; /* [length] */
    const float *ca;       /* [length,3], Angstrom; NAN where not known */
};

struct nearest {
    struct nearest_chain *chain;
    int64_t count, room;
};

/* Notes a training chain; a copy, in arena. positions[length,37,3], mask[length,37]. Those beyond
 * NEAREST_CHAINS_MAX are left out. */
void nearest_add(struct nearest *nearest, const char *key, int64_t length, const uint8_t *aatype,
                 const float *positions, const uint8_t *mask, struct arena *arena);

/* Finds the chain with the most identical pairs in its best alignment with aatype[length] (score: 1
 * for an identical pair, -5 for a gap inside of any length; gaps at the ends are free) and copies
 * its CA atoms: ca[length,3], NAN where nothing is aligned or known. NULL: there are no chains. */
const struct nearest_chain *nearest_copy(const struct nearest *nearest, int64_t length,
                                         const uint8_t *aatype, float *ca, int64_t *identical);

#endif
