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

/* The epochs that were computed last: a window may reach over the end of one. */
struct order_draw {
    float *keep; /* [count] probability */
    struct {
        uint64_t epoch;
        bool there;
        uint32_t *index; /* [length] */
    } epoch[2];
    int oldest;
};

struct order order_weigh(struct order order, const float *weight, uint64_t length,
                         struct arena *arena)
{
    ASSERT(order.shuffled && order.count > 0 && length >= 1 && length <= UINT32_MAX);
    float largest = 0;
    struct order_draw *draw = arena_zero(arena, 1, sizeof *draw);
    draw->keep = arena_alloc(arena, order.count * sizeof *draw->keep);
    for (uint64_t i = 0; i < order.count; i++)
        largest = weight[i] > largest ? weight[i] : largest;
    ASSERT(largest > 0);
    for (uint64_t i = 0; i < order.count; i++)
        draw->keep[i] = weight[i] / largest;
    for (int e = 0; e < 2; e++)
        draw->epoch[e].index = arena_alloc(arena, length * sizeof *draw->epoch[e].index);
    order.draw = draw;
    order.length = length;
    order.positions = (length + order.group - 1) / order.group * order.group;
    return order;
}

/* Passes over the list in permutations of their own, until the epoch is full. */
static void draw_epoch(const struct order *order, uint64_t epoch, uint32_t *index)
{
    uint64_t used = 0;
    for (uint64_t pass = 0; used < order->length; pass++) {
        struct rng rng = rng_open(order->seed, epoch, pass, "order", 0);
        uint64_t seed = order->seed + pass * 0x9e3779b97f4a7c15; /* pass 0: the plain order */
        for (uint64_t i = 0; i < order->count && used < order->length; i++) {
            uint64_t candidate = permute(seed, epoch, order->count, i);
            if (rng_uniform(&rng) < order->draw->keep[candidate])
                index[used++] = (uint32_t)candidate;
        }
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
