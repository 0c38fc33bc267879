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

Test(order, weights_make_samples_as_frequent_and_epochs_as_long_as_wanted)
{
    enum { COUNT = 40, LENGTH = 1000, EPOCHS = 60 };
    static uint32_t seen[COUNT];
    struct arena arena;
    float weight[COUNT], sum = 0;
    arena_open(&arena, 0);
    for (int i = 0; i < COUNT; i++)
        sum += weight[i] = i % 5 == 0 ? 0 : 0.25f * (float)(1 + i % 4);
    struct order order =
        order_weigh(order_make(3, COUNT, 8, true, NULL), weight, NULL, LENGTH, &arena);
    cr_assert(order.positions == LENGTH && order.length == LENGTH);
    for (uint64_t seq = 0; seq < EPOCHS * LENGTH; seq++)
        seen[order_index(&order, seq)]++;
    double square = 0;
    int kinds = 0;
    for (int i = 0; i < COUNT; i++) {
        double wanted = (double)(EPOCHS * LENGTH * weight[i] / sum);
        cr_assert(weight[i] > 0 || seen[i] == 0, "sample %d has no weight", i);
        if (weight[i] > 0) {
            square += ((double)seen[i] - wanted) * ((double)seen[i] - wanted) / wanted;
            kinds++;
        }
    }
    cr_assert(square < 2 * kinds, "chi-square %.1f of %d kinds", square, kinds);
    arena_close(&arena);
}

Test(order, a_weighted_order_is_the_same_wherever_one_looks_first)
{
    enum { COUNT = 17, LENGTH = 50 };
    struct arena arena;
    float weight[COUNT];
    arena_open(&arena, 0);
    for (int i = 0; i < COUNT; i++)
        weight[i] = (float)(i + 1);
    struct order a = order_weigh(order_make(9, COUNT, 4, true, NULL), weight, NULL, LENGTH, &arena);
    struct order b = order_weigh(order_make(9, COUNT, 4, true, NULL), weight, NULL, LENGTH, &arena);
    cr_assert(a.positions == 52);
    for (uint64_t seq = 0; seq < 10 * a.positions; seq++) {
        uint64_t other = (seq * 131) % (10 * a.positions); /* b is asked in a wild order */
        order_index(&b, other);
        uint64_t index = order_index(&a, seq);
        cr_assert(index == order_index(&b, seq), "%d", (int)seq);
        cr_assert((index == ORDER_EMPTY) == (order_position(&a, seq) >= LENGTH));
        cr_assert(index == ORDER_EMPTY || index < COUNT);
    }
    int same = 0;
    for (uint64_t i = 0; i < LENGTH; i++)
        same += order_index(&a, i) == order_index(&a, i + a.positions);
    cr_assert(same < LENGTH / 2, "%d of an epoch's samples stand where they stood before", same);
    arena_close(&arena);
}

Test(order, tiny_and_lonely_weights_fill_an_epoch)
{
    struct arena arena;
    float tiny[3] = {1e-30f, 0, 2e-30f}, one[1] = {5};
    arena_open(&arena, 0);
    struct order a = order_weigh(order_make(1, 3, 1, true, NULL), tiny, NULL, 100, &arena);
    struct order b = order_weigh(order_make(1, 1, 1, true, NULL), one, NULL, 7, &arena);
    for (uint64_t i = 0; i < 100; i++)
        cr_assert(order_index(&a, i) != 1 && order_index(&a, i) < 3);
    for (uint64_t i = 0; i < 20; i++)
        cr_assert(order_index(&b, i) == 0);
    arena_close(&arena);
}

/* Sets of 10, 1 and 300 samples, mixed 1 : 2 : 1. The draws of positions are independent, so the
 * counts of the sets are multinomial. */
Test(order, data_sets_come_by_their_shares_whatever_their_sizes)
{
    enum { A = 10, B = 1, C = 300, COUNT = A + B + C, LENGTH = 500, EPOCHS = 80 };
    static unsigned char of[COUNT];
    static uint32_t seen[COUNT];
    static float weight[COUNT];
    struct arena arena;
    arena_open(&arena, 0);
    for (int i = 0; i < COUNT; i++) {
        of[i] = (unsigned char)(i % 31 == 0 && i < 310 ? 0 : i == 7 ? 1 : 2);
        weight[i] = of[i] == 0 ? (i == 0 ? 3.0f : 1.0f) : 100;
    }
    struct order_sets sets = {.count = 3, .share = {1, 2, 1}, .of = of};
    struct order order =
        order_weigh(order_make(21, COUNT, 4, true, NULL), weight, &sets, LENGTH, &arena);
    double of_set[3] = {0}, total = LENGTH * EPOCHS;
    for (uint64_t seq = 0; seq < EPOCHS * LENGTH; seq++) {
        uint64_t index = order_index(&order, seq);
        seen[index]++;
        of_set[of[index]]++;
    }
    const double part[3] = {0.25, 0.5, 0.25};
    double square = 0;
    for (int s = 0; s < 3; s++)
        square += (of_set[s] - total * part[s]) * (of_set[s] - total * part[s]) / (total * part[s]);
    cr_assert(square < 13.8, "chi-square %.1f of 2 degrees: chance below 0.001", square);
    cr_assert(square > 1e-6, "drawn, not dealt out");
    cr_assert(seen[7] == of_set[1], "the only one of its set");
    double heavy = seen[0] / of_set[0], light = seen[31] / of_set[0];
    cr_assert(heavy > 0.23 && heavy < 0.27 && light > 0.07 && light < 0.098,
              "of weights 3 and 1 among 12: %.3f and %.3f", heavy, light);
    arena_close(&arena);
}

Test(order, weighted_epochs_do_not_depend_on_batches_and_begin_plain)
{
    enum { COUNT = 60 };
    struct arena arena;
    float weight[COUNT], even[COUNT];
    arena_open(&arena, 0);
    for (int i = 0; i < COUNT; i++) {
        weight[i] = (float)(1 + i % 7);
        even[i] = 0.3f;
    }
    struct order a = order_weigh(order_make(4, COUNT, 1, true, NULL), weight, NULL, 90, &arena);
    struct order b = order_weigh(order_make(4, COUNT, 32, true, NULL), weight, NULL, 90, &arena);
    cr_assert(a.positions == 90 && b.positions == 96);
    for (uint64_t epoch = 0; epoch < 4; epoch++)
        for (uint64_t position = 0; position < 90; position++)
            cr_assert(order_index(&a, epoch * 90 + position) ==
                          order_index(&b, epoch * 96 + position),
                      "epoch %d, position %d", (int)epoch, (int)position);
    /* Equal weights keep all: the first pass is the plain order, further ones are others. */
    struct order plain = order_make(4, COUNT, 1, true, NULL);
    struct order twice = order_weigh(plain, even, NULL, 2 * COUNT, &arena);
    int seen[COUNT] = {0}, same = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        cr_assert(order_index(&twice, i) == order_index(&plain, i));
        same += order_index(&twice, i) == order_index(&twice, COUNT + i);
        seen[order_index(&twice, COUNT + i)]++;
    }
    cr_assert(same < 10, "%d of %d stand in both passes alike", same, COUNT);
    for (int i = 0; i < COUNT; i++)
        cr_assert(seen[i] == 1);
    arena_close(&arena);
}
