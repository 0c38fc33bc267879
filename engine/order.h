/* Which sample stands at which position, as a pure function: nothing of it is sent or stored. The
 * positions of an epoch are the samples of the line's frozen list, permuted or as they are, padded
 * to whole batches of all ranks; seq = epoch * positions + position. */
#ifndef FOLDMILL_ORDER_H
#define FOLDMILL_ORDER_H

#include "engine/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* No sample: a position that only fills the last batch of an epoch. It has weight 0. */
#define ORDER_EMPTY UINT64_MAX

enum {
    ORDER_RECYCLES_MAX = 63,
    ORDER_SETS_MAX = 8,         /* data sets of a line */
    ORDER_LENGTH_MAX = 1 << 26, /* positions of a weighted epoch */
};

struct order {
    uint64_t seed;
    uint64_t count;          /* samples in the list; 0 makes an order without positions */
    uint64_t length;         /* of an epoch: count, or what order_weigh was given */
    uint64_t group;          /* samples that one step takes on all ranks together */
    uint64_t positions;      /* length, padded to a multiple of group */
    bool shuffled;           /* permuted anew in every epoch */
    const uint32_t *table;   /* not shuffled: position -> index, count entries; NULL: as listed */
    struct order_draw *draw; /* weighted epochs; NULL: every sample once */
};

/* group >= 1. table is borrowed, and must be NULL when shuffled. */
struct order order_make(uint64_t seed, uint64_t count, uint64_t group, bool shuffled,
                        const uint32_t *table);

/* The data sets that a line mixes. */
struct order_sets {
    int count;                    /* 1..ORDER_SETS_MAX */
    double share[ORDER_SETS_MAX]; /* of the positions: above 0, in any unit */
    const unsigned char *of;      /* [samples of the list] the set of each, below count */
};

/* Makes the epochs of a shuffled order `length` positions long, 1 to ORDER_LENGTH_MAX, its samples
 * as frequent as weight[count] (finite, not negative, in every set one at least above 0), and its
 * sets (NULL: the list is one) as frequent as their shares, whatever their sizes. Each position
 * draws its set; in each epoch a set is gone through in new permutations, a sample kept with the
 * probability weight / largest weight of the set, so that each pass gives at least one. Still a
 * pure function of (seed, epoch, position): the epoch in hand is computed when it is first asked
 * for. Memory is arena's: 8 bytes a position, 8 a sample. One thread at a time. */
struct order order_weigh(struct order order, const float *weight, const struct order_sets *sets,
                         uint64_t length, struct arena *arena);

uint64_t order_epoch(const struct order *order, uint64_t seq);
uint64_t order_position(const struct order *order, uint64_t seq);
/* The index in the frozen list, or ORDER_EMPTY. */
uint64_t order_index(const struct order *order, uint64_t seq);
/* The rank out of rank_count (a divisor of group) that takes seq. */
uint32_t order_rank(uint64_t seq, uint64_t group, uint32_t rank_count);
/* The n-th seq of a rank: its slots of batch n / per_rank, where per_rank = group / rank_count. */
uint64_t order_seq(uint64_t n, uint64_t group, uint32_t rank, uint32_t rank_count);

/* Recycling passes of a step, 0..most (<= ORDER_RECYCLES_MAX): shuffled blocks of {0..most}, so
 * that every most + 1 steps cost the same. The same on all ranks. */
uint32_t order_recycles(uint64_t seed, uint64_t step, uint32_t most);

#endif
