/* engine/order: positions, padding, ranks, recycling passes. */
#include "engine/order.h"

#include <criterion/criterion.h>

Test(order, every_sample_once_an_epoch_and_the_rest_is_padding)
{
    for (uint64_t count = 1; count <= 70; count += 23)
        for (uint64_t group = 1; group <= 8; group += 7) {
            struct order order = order_make(5, count, group, true, NULL);
            cr_assert(order.positions % group == 0 && order.positions >= count &&
                      order.positions < count + group);
            for (uint64_t epoch = 0; epoch < 3; epoch++) {
                int seen[80] = {0}, empty = 0;
                for (uint64_t position = 0; position < order.positions; position++) {
                    uint64_t seq = epoch * order.positions + position;
                    uint64_t index = order_index(&order, seq);
                    cr_assert(order_epoch(&order, seq) == epoch);
                    cr_assert(order_position(&order, seq) == position);
                    if (index == ORDER_EMPTY)
                        empty++;
                    else
                        seen[index]++;
                }
                for (uint64_t i = 0; i < count; i++)
                    cr_assert(seen[i] == 1, "sample %d of %d", (int)i, (int)count);
                cr_assert((uint64_t)empty == order.positions - count);
            }
        }
}

Test(order, shuffled_anew_in_every_epoch_and_by_the_seed)
{
    struct order a = order_make(1, 100, 4, true, NULL), b = order_make(2, 100, 4, true, NULL);
    int epochs = 0, seeds = 0;
    for (uint64_t i = 0; i < 100; i++) {
        epochs += order_index(&a, i) == order_index(&a, i + a.positions);
        seeds += order_index(&a, i) == order_index(&b, i);
    }
    cr_assert(epochs < 15 && seeds < 15, "%d and %d of 100 stayed", epochs, seeds);
}

Test(order, unshuffled_is_the_list_or_a_table)
{
    const uint32_t table[5] = {4, 2, 0, 1, 3};
    struct order plain = order_make(1, 5, 1, false, NULL),
                 by_table = order_make(1, 5, 1, false, table);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert(order_index(&plain, i) == i && order_index(&plain, i + 5) == i);
        cr_assert(order_index(&by_table, i) == table[i]);
    }
    struct order none = order_make(1, 0, 4, true, NULL);
    cr_assert(none.positions == 0 && order_epoch(&none, 7) == 0);
}

Test(order, ranks_share_every_batch)
{
    /* Batches of 6 on 3 ranks: rank 1 takes slots 2 and 3 of each. */
    cr_assert(order_seq(0, 6, 1, 3) == 2 && order_seq(1, 6, 1, 3) == 3);
    cr_assert(order_seq(2, 6, 1, 3) == 8 && order_seq(5, 6, 2, 3) == 17);
    int seen[60] = {0};
    for (uint32_t rank = 0; rank < 3; rank++)
        for (uint64_t n = 0; n < 20; n++) {
            uint64_t seq = order_seq(n, 6, rank, 3);
            cr_assert(order_rank(seq, 6, 3) == rank);
            seen[seq]++;
        }
    for (int i = 0; i < 60; i++)
        cr_assert(seen[i] == 1);
}

Test(order, recycling_passes_cost_the_same_every_block)
{
    for (uint32_t most = 0; most <= 3; most++)
        for (uint64_t block = 0; block < 50; block++) {
            uint32_t seen = 0;
            for (uint64_t i = 0; i <= most; i++)
                seen |= 1u << order_recycles(9, block * (most + 1) + i, most);
            cr_assert(seen == (1u << (most + 1)) - 1, "block %d of 0..%u", (int)block, most);
        }
    int same = 0;
    for (uint64_t step = 0; step < 400; step++)
        same += order_recycles(9, step, 3) == order_recycles(10, step, 3);
    cr_assert(same > 60 && same < 150, "%d of 400 steps equal for two seeds", same);
}
