/* The best predictor of distances that knows only how far apart two residues are in the sequence:
 * a histogram of distogram bins for each separation |i - j|, fitted on training chains. A network
 * has learned structure only as far as its distogram loss lies below this one's. */
#ifndef STAGES_BIO_SEPARATION_H
#define STAGES_BIO_SEPARATION_H

#include "engine/base/arena.h"

#include <stdint.h>

enum { DISTANCE_BINS = 64 };

/* The distogram bin of a squared distance in square Angstrom: 63 limits from 2.3125 to 21.6875 A,
 * evenly spaced in distance, the last bin open (AF2 suppl. 1.9.8). */
int distance_bin(float squared);

/* The middle of a bin in Angstrom; the outer bins' limit. */
float distance_of_bin(int bin);

struct separation {
    int limit;        /* separations 0..limit-1; larger ones count as limit-1 */
    uint64_t *count;  /* [limit, DISTANCE_BINS] */
};

/* An empty histogram. */
void separation_open(struct separation *histogram, int limit, struct arena *arena);

/* Counts all pairs i <= j < i + limit of one chain: positions[length,3] in Angstrom, of residues
 * with mask[length] != 0. */
void separation_add(struct separation *histogram, int length, const float *positions,
                    const float *mask);

/* Sum over all ordered pairs (i, j), i = j too, of -log p(bin | |i - j|), and their number: the
 * distogram loss of the predictor on a crop is sum / pairs. Each bin starts with a count of 1/64,
 * so that a bin never seen costs much but not everything. */
double separation_loss(const struct separation *histogram, int length, const float *positions,
                       const float *mask, double *pairs);

/* Mean over columns of the entropy (nats) of column frequencies: counts[columns, symbols], each
 * column with its own total; empty columns do not count. What a predictor reaches that knows each
 * column's profile and nothing else. */
double profile_entropy(const int32_t *counts, int columns, int symbols);

#endif
