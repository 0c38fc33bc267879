/* How alike two sequences are, as the held-out split needs it: a number that does not hide twins
 * which differ by unresolved loops, tags or cut ends. */
#ifndef STAGES_BIO_IDENTITY_H
#define STAGES_BIO_IDENTITY_H

#include "engine/base/arena.h"
#include "engine/base/text.h"

/* Identical pairs in the best alignment, divided by the length of the shorter sequence. The best
 * alignment is the one with the highest number of identical pairs minus 5 for each gap inside (of
 * any length; gaps at the ends are free), and among equal ones the one with the most identical
 * pairs. X equals X. Symmetric; 0 when one is empty. Time and, in scratch, memory: O(a * b), O(b);
 * scratch is given back. */
double sequence_identity(struct span a, struct span b, struct arena *scratch);

#endif
