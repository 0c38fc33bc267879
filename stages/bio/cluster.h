/* Which chains belong together, and which are held out. Chains are grouped by single linkage: the
 * same PDB entry, or sequences that are more than identity_max identical as identity.h defines it:
 * twins that differ by unresolved loops, tags or cut ends are found, and short peptides, which any
 * long sequence holds letter by letter, do not join what is not related. */
#ifndef STAGES_BIO_CLUSTER_H
#define STAGES_BIO_CLUSTER_H

#include "engine/base/arena.h"
#include "engine/base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum { CLUSTER_ALL_PAIRS_MAX = 512 }; /* distinct sequences that are all compared */

struct cluster_chain {
    struct span key, entry, sequence;
};

/* Longest common subsequence of a and b, by bit vectors: about a.size * b.size / 64 steps. scratch
 * holds a.size / 64 + 1 words times 257. */
int64_t common_subsequence(struct span a, struct span b, uint64_t *scratch);

/* group[count]: numbers 0.. in the order of the smallest key of each group. Above
 * CLUSTER_ALL_PAIRS_MAX distinct sequences only pairs that share words of eight residues are
 * compared, which two sequences above 90 % identity do unless they differ by many insertions; that
 * takes memory of 24 bytes a residue. */
void cluster_groups(const struct cluster_chain *chains, int count, double identity_max,
                    struct arena *arena, int32_t *group);

/* held_out[count]: whole groups, taken in the order of a hash of their smallest key while they fit
 * into fraction of the chains. A function of the set of keys and groups alone. */
void cluster_split(const struct cluster_chain *chains, int count, const int32_t *group,
                   double fraction, struct arena *arena, bool *held_out);

#endif
