/* The separation-only predictor: bins, fitting, and its loss on cases worked out by hand. */
#include "stages/bio/separation.h"

#include <criterion/criterion.h>
#include <math.h>

Test(separation, bins_have_the_published_limits)
{
    cr_assert(distance_bin(0) == 0);
    cr_assert(distance_bin(2.3124f * 2.3124f) == 0);
    cr_assert(distance_bin(2.3126f * 2.3126f) == 1);
    cr_assert(distance_bin(21.687f * 21.687f) == 62);
    cr_assert(distance_bin(21.688f * 21.688f) == 63);
    cr_assert(distance_bin(1e12f) == 63);
    for (int bin = 0; bin < 63; bin++) { /* limit number b separates bins b and b + 1 */
        double limit = 2.3125 + bin * (21.6875 - 2.3125) / 62;
        cr_assert(distance_bin((float)((limit - 1e-3) * (limit - 1e-3))) == bin);
        cr_assert(distance_bin((float)((limit + 1e-3) * (limit + 1e-3))) == bin + 1);
    }
}

Test(separation, loss_is_the_entropy_of_what_was_seen)
{
    struct arena arena;
    struct separation histogram;
    arena_open(&arena, 0);
    separation_open(&histogram, 4, &arena);
    /* Two chains of two residues, 5 A and 10 A apart: at separation 1 two bins are equally likely.
     */
    const float near[6] = {0, 0, 0, 5, 0, 0}, far[6] = {0, 0, 0, 10, 0, 0}, mask[2] = {1, 1};
    for (int i = 0; i < 1000; i++) {
        separation_add(&histogram, 2, near, mask);
        separation_add(&histogram, 2, far, mask);
    }
    double pairs, sum = separation_loss(&histogram, 2, near, mask, &pairs);
    /* Ordered pairs: two on the diagonal (certain), two off it (one bit each). */
    cr_assert(pairs == 4);
    cr_assert(fabs(sum - 2 * log(2)) < 0.01, "%f", sum);
    const float half[2] = {1, 0};
    sum = separation_loss(&histogram, 2, near, half, &pairs);
    cr_assert(pairs == 1 && fabs(sum) < 0.01, "masked residues do not count");
    arena_close(&arena);
}

Test(separation, profile_entropy_by_hand)
{
    const int32_t counts[3 * 4] = {4, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0};
    cr_assert(fabs(profile_entropy(counts, 3, 4) - log(2) / 2) < 1e-12);
}
