/* Positions and recycling passes as pure functions; see order.h. */
#include "engine/order.h"

#include "engine/base/error.h"
#include "engine/base/rng.h"

#include <stddef.h>

struct order order_make(uint64_t seed, uint64_t count, uint64_t group, bool shuffled,
                        const uint32_t *table)
{
    ASSERT(group >= 1 && group <= UINT32_MAX && count <= UINT32_MAX);
    ASSERT(!shuffled || table == NULL);
    uint64_t groups = (count + group - 1) / group;
    return (struct order){.seed = seed,
                          .count = count,
                          .length = count,
                          .group = group,
                          .positions = groups * group,
                          .shuffled = shuffled,
                          .table = table};
}

/* One data set of a weighted order. */
struct order_set {
    double until; /* the shares up to its own, of all; the last one's is 1 */
    uint64_t count;
    uint32_t *member; /* [count] indices in the list, rising */
};

/* The epochs that were computed last: a window may reach over the end of one. */
struct order_draw {
    float *keep; /* [count] probability */
    int set_count;
    struct order_set set[ORDER_SETS_MAX];
    struct {
        uint64_t epoch;
        bool there;
        uint32_t *index; /* [length] */
    } epoch[2];
    int oldest;
};

/* The members of set number s, and how likely each is kept. */
static void set_open(struct order_draw *draw, int s, const struct order *order, const float *weight,
                     const struct order_sets *sets, struct arena *arena)
{
    struct order_set *set = &draw->set[s];
    float largest = 0;
    for (uint64_t i = 0; i < order->count; i++)
        set->count += !sets || sets->of[i] == s;
    set->member = arena_alloc(arena, set->count * sizeof *set->member);
    uint64_t used = 0;
    for (uint64_t i = 0; i < order->count; i++)
        if (!sets || sets->of[i] == s) {
            set->member[used++] = (uint32_t)i;
            largest = weight[i] > largest ? weight[i] : largest;
        }
    ASSERT(largest > 0);
    for (uint64_t m = 0; m < set->count; m++)
        draw->keep[set->member[m]] = weight[set->member[m]] / largest;
}

struct order order_weigh(struct order order, const float *weight, const struct order_sets *sets,
                         uint64_t length, struct arena *arena)
{
    ASSERT(order.shuffled && order.count > 0 && length >= 1 && length <= ORDER_LENGTH_MAX);
    ASSERT(!sets || (sets->count >= 1 && sets->count <= ORDER_SETS_MAX));
    struct order_draw *draw = arena_zero(arena, 1, sizeof *draw);
    draw->keep = arena_zero(arena, order.count, sizeof *draw->keep);
    draw->set_count = sets ? sets->count : 1;
    double all = 0, until = 0;
    for (int s = 0; s < draw->set_count; s++) {
        ASSERT(!sets || sets->share[s] > 0);
        all += sets ? sets->share[s] : 1;
        set_open(draw, s, &order, weight, sets, arena);
    }
    for (int s = 0; s < draw->set_count; s++) {
        until += sets ? sets->share[s] : 1;
        draw->set[s].until = s + 1 < draw->set_count ? until / all : 1;
    }
    for (int e = 0; e < 2; e++)
        draw->epoch[e].index = arena_alloc(arena, length * sizeof *draw->epoch[e].index);
    order.draw = draw;
    order.length = length;
    order.positions = (length + order.group - 1) / order.group * order.group;
    return order;
}

/* Where an epoch stands in one data set. */
struct place_in_set {
    uint64_t pass, at;
    struct rng rng;
};

/* The next sample of set s that is kept. */
static uint32_t next_kept(const struct order *order, uint64_t epoch, int s,
                          struct place_in_set *place)
{
    const struct order_draw *draw = order->draw;
    const struct order_set *set = &draw->set[s];
    for (;;) {
        if (place->at == set->count) {
            place->at = 0;
            place->pass++;
        }
        if (place->at == 0)
            place->rng = rng_open(order->seed, epoch, place->pass, "order", (uint32_t)s);
        /* Each pass of each set has its own permutation; the first one's is the plain order's. */
        uint64_t which = place->pass * ORDER_SETS_MAX + (uint64_t)s;
        uint64_t seed = order->seed + which * 0x9e3779b97f4a7c15U;
        uint32_t index = set->member[permute(seed, epoch, set->count, place->at++)];
        if (rng_uniform(&place->rng) < draw->keep[index])
            return index;
    }
}

static void draw_epoch(const struct order *order, uint64_t epoch, uint32_t *index)
{
    const struct order_draw *draw = order->draw;
    struct place_in_set places[ORDER_SETS_MAX] = {0};
    for (uint64_t position = 0; position < order->length; position++) {
        int s = 0;
        if (draw->set_count > 1) {
            struct rng rng = rng_open(order->seed, epoch, position, "data set", 0);
            double drawn = rng_uniform_double(&rng);
            while (drawn >= draw->set[s].until)
                s++;
        }
        index[position] = next_kept(order, epoch, s, &places[s]);
    }
}

static uint64_t drawn_index(const struct order *order, uint64_t epoch, uint64_t position)
{
    struct order_draw *draw = order->draw;
    for (int e = 0; e < 2; e++)
        if (draw->epoch[e].there && draw->epoch[e].epoch == epoch)
            return draw->epoch[e].index[position];
    int e = draw->oldest;
    draw->oldest = 1 - e;
    draw->epoch[e].epoch = epoch;
    draw->epoch[e].there = true;
    draw_epoch(order, epoch, draw->epoch[e].index);
    return draw->epoch[e].index[position];
}

uint64_t order_epoch(const struct order *order, uint64_t seq)
{
    return order->positions ? seq / order->positions : 0;
}

uint64_t order_position(const struct order *order, uint64_t seq)
{
    return order->positions ? seq % order->positions : 0;
}

uint64_t order_index(const struct order *order, uint64_t seq)
{
    uint64_t position = order_position(order, seq);
    if (position >= order->length)
        return ORDER_EMPTY;
    if (order->draw)
        return drawn_index(order, order_epoch(order, seq), position);
    if (order->shuffled)
        return permute(order->seed, order_epoch(order, seq), order->count, position);
    return order->table ? order->table[position] : position;
}

uint32_t order_rank(uint64_t seq, uint64_t group, uint32_t rank_count)
{
    return (uint32_t)(seq % group / (group / rank_count));
}

uint64_t order_seq(uint64_t n, uint64_t group, uint32_t rank, uint32_t rank_count)
{
    uint64_t per_rank = group / rank_count;
    return n / per_rank * group + rank * per_rank + n % per_rank;
}

uint32_t order_recycles(uint64_t seed, uint64_t step, uint32_t most)
{
    ASSERT_INT(most, <=, ORDER_RECYCLES_MAX);
    uint32_t counts[ORDER_RECYCLES_MAX + 1];
    struct rng rng = rng_open(seed, 0, step / (most + 1), "recycling passes", 0);
    rng_permutation(&rng, counts, most + 1);
    return counts[step % (most + 1)];
}
