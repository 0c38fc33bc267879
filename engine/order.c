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
    return (struct order){seed, count, group, groups * group, shuffled, table};
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
    if (position >= order->count)
        return ORDER_EMPTY;
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
