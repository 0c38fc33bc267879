/* Which rows a pass sees, masks, clusters and their features, on examples worked out by hand: each
 * step alone. */
#include "tests/stages/crops.h"
#include "stages/bio/expand.h"
#include "stages/bio/msa_assign.h"
#include "stages/bio/msa_cluster.h"

#include <math.h>

static struct arena arena;

static void open(void)
{
    arena_open(&arena, 0);
}

static void close(void)
{
    arena_close(&arena);
}

TestSuite(crop_rows, .init = open, .fini = close, .timeout = 60);

static void kept_check(uint32_t rows, uint32_t block, const uint32_t *starts, uint32_t count,
                       const uint32_t *want, uint32_t want_count)
{
    uint32_t kept[32], left = msa_block_delete(rows, block, starts, count, kept);
    cr_assert(left == want_count, "%u rows left", left);
    cr_assert(memcmp(kept, want, want_count * sizeof *want) == 0, "other rows");
}

Test(crop_rows, block_deletion)
{
    cr_assert(msa_block_rows(11, 0.3f) == 3 && msa_block_rows(3, 0.3f) == 0);
    /* In single precision 10 * 0.3f is 3, and 0.3f alone is a little above 0.3. */
    cr_assert(msa_block_rows(10, 0.3f) == 3 && msa_block_rows(7, 1) == 7);
    /* 1-3, 9-10 (cut), 4-6, 4-6, 2-4 go. */
    kept_check(11, 3, (uint32_t[]){1, 9, 4, 4, 2}, 5, (uint32_t[]){0, 7, 8}, 3);
    kept_check(11, 3, (uint32_t[]){10}, 1, (uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 10);
    kept_check(4, 0, (uint32_t[]){1}, 1, (uint32_t[]){0, 1, 2, 3}, 4);
    kept_check(5, 5, (uint32_t[]){1}, 1, (uint32_t[]){0}, 1);
    kept_check(1, 1, NULL, 0, (uint32_t[]){0}, 1);
}

Test(crop_rows, reordering_keeps_the_first)
{
    uint32_t rows[] = {0, 7, 8, 9}, one[] = {3};
    msa_reorder(rows, 4, (uint32_t[]){2, 0, 1}, &arena);
    cr_assert(rows[0] == 0 && rows[1] == 9 && rows[2] == 7 && rows[3] == 8);
    msa_reorder(one, 1, NULL, &arena);
    cr_assert(one[0] == 3);
}

/* A column of 10 rows: 6 A, 3 gaps, 1 X; the symbol is A. */
static const int32_t column[MSA_PROFILE] = {[0] = 6, [20] = 1, [21] = 3};

Test(crop_rows, replacements_have_their_probabilities)
{
    /* 0.1 * (0.05 on amino acids + profile + the symbol itself) + 0.7 [MASK] */
    double want[MSA_SYMBOLS], total = 0;
    int hits[MSA_SYMBOLS] = {0};
    enum { STEPS = 400000 };
    for (int c = 0; c < MSA_SYMBOLS; c++) {
        want[c] = c < 20 ? 0.005 : 0;
        want[c] += c == 0 ? 0.06 + 0.1 : c == 20 ? 0.01 : c == 21 ? 0.03 : c == 22 ? 0.7 : 0;
        total += want[c];
    }
    cr_assert(fabs(total - 1) < 1e-12);
    for (int i = 0; i < STEPS; i++)
        hits[msa_replacement(column, 10, 0, (i + 0.5) / STEPS)]++;
    for (int c = 0; c < MSA_SYMBOLS; c++)
        cr_assert(fabs((double)hits[c] / STEPS - want[c]) < 1e-5, "symbol %d: %d", c, hits[c]);
    cr_assert(msa_replacement(column, 10, 0, 0) == 0, "the first");
    cr_assert(msa_replacement(column, 10, 0, 1 - 0x1p-53) == MSA_MASK, "the last");
}

Test(crop_rows, masked_symbols_are_those_drawn)
{
    static const uint8_t msa[] = {1, 2, 3, 4, 5, 6};
    const struct msa_source source = {.rows = 2, .length = 3, .msa = msa};
    uint8_t masked[6];
    msa_apply_mask(&source, (uint32_t[]){1, 0}, 2, (uint8_t[]){0, 1, 0, 1, 0, 0},
                   (uint8_t[]){9, 22, 9, 8, 9, 9}, masked);
    cr_assert(memcmp(masked, (uint8_t[]){4, 22, 6, 8, 2, 3}, 6) == 0);
}

/* Clusters A R - X [M] and R R - N A; three extra rows. */
enum { A = 0, R = 1, N = 2, X = 20, GAP = 21, MASK = 22, L = 5 };

static const uint8_t rows5[5][L] = {
    {A, R, GAP, X, A},       /* 0: cluster 0, its last symbol masked */
    {R, R, GAP, N, A},       /* 1: cluster 1 */
    {A, R, GAP, X, A},       /* 2: 3 columns of cluster 0 (gaps, [MASK] never), 2 of cluster 1 */
    {GAP, R, GAP, GAP, GAP}, /* 3: one of each: the first on ties */
    {R, GAP, A, A, A},       /* 4: cluster 1 */
};
static const uint8_t masked2[2][L] = {{A, R, GAP, X, MASK}, {R, R, GAP, N, A}};

static struct msa_choice choice5(void)
{
    static const uint32_t order[] = {0, 1, 2, 3, 4};
    return (struct msa_choice){.clusters = 2,
                               .extra = 3,
                               .cluster_row = order,
                               .extra_row = order + 2,
                               .masked = masked2[0]};
}

/* Deletions: row 0 column 1: 2; row 2 columns 0 and 1: 40000 and 5; row 4 column 4: 1. */
static struct msa_source source5(void)
{
    static const int32_t start[] = {0, 1, 1, 3, 3, 4}, at[] = {1, 0, 1, 4},
                         count[] = {2, 40000, 5, 1};
    return (struct msa_source){.rows = 5,
                               .length = L,
                               .msa = rows5[0],
                               .deletion_start = start,
                               .deletion_column = at,
                               .deletion_count = count};
}

Test(crop_rows, extra_rows_join_the_cluster_with_most_equal_symbols)
{
    struct msa_source source = source5();
    struct msa_choice choice = choice5();
    uint32_t assignment[3];
    msa_assign(&source, &choice, &arena, assignment);
    cr_assert(assignment[0] == 0 && assignment[1] == 0 && assignment[2] == 1);
    choice.extra = 0;
    msa_assign(&source, &choice, &arena, NULL);
}

Test(crop_rows, gaps_are_no_likeness)
{
    static const uint8_t rows[3][4] = {{R, R, N, A}, {GAP, GAP, GAP, A}, {GAP, GAP, GAP, R}};
    static const uint32_t order[] = {0, 1, 2};
    struct msa_source source = {.rows = 3, .length = 4, .msa = rows[0]};
    struct msa_choice choice = {.clusters = 2, .extra = 1, .cluster_row = order,
                                .extra_row = order + 2, .masked = rows[0]};
    uint32_t assignment = 7;
    msa_assign(&source, &choice, &arena, &assignment);
    cr_assert(assignment == 0, "nothing in common: the first");
}

Test(crop_rows, clusters_sum_their_rows_inside_the_crop)
{
    struct msa_source source = source5();
    struct msa_choice choice = choice5();
    int16_t counts[2 * 2 * MSA_SYMBOLS] = {0};
    int32_t deletions[2 * 2] = {0}, sizes[2] = {0};
    msa_summarize(&source, &choice, (uint32_t[]){0, 0, 1}, 1, 2, counts, deletions, sizes);
    cr_assert(sizes[0] == 2 && sizes[1] == 1);
    cr_assert(counts[R] == 3 && counts[MSA_SYMBOLS + GAP] == 3, "cluster 0");
    int16_t *second = counts + 2 * MSA_SYMBOLS;
    cr_assert(second[R] == 1 && second[GAP] == 1, "cluster 1, column 1");
    cr_assert(second[MSA_SYMBOLS + GAP] == 1 && second[MSA_SYMBOLS + A] == 1, "and column 2");
    cr_assert(deletions[0] == 7 && !deletions[1] && !deletions[2] && !deletions[3]);
}

Test(crop_rows, what_is_too_large_stays_at_the_largest)
{
    enum { MANY = 33000 };
    static uint32_t order[MANY], assignment[MANY - 1];
    static uint8_t msa[MANY];
    static int32_t start[MANY + 1], at[MANY], count[MANY];
    for (int i = 0; i < MANY; i++) {
        order[i] = (uint32_t)i;
        start[i + 1] = i + 1;
        count[i] = 100000;
    }
    struct msa_source source = {MANY, 1, msa, start, at, count, NULL};
    struct msa_choice choice = {.clusters = 1, .extra = MANY - 1, .cluster_row = order,
                                .extra_row = order + 1, .masked = msa};
    int16_t counts[MSA_SYMBOLS] = {0}, values[1] = {0};
    int32_t deletions[1] = {0}, sizes[1] = {0};
    msa_summarize(&source, &choice, assignment, 0, 1, counts, deletions, sizes);
    cr_assert(counts[0] == INT16_MAX && deletions[0] == INT32_MAX && sizes[0] == MANY - 1);
    msa_deletions(&source, 5, 0, 1, values);
    cr_assert(values[0] == INT16_MAX);
}

Test(crop_rows, deletions_of_a_row_lie_in_its_columns)
{
    struct msa_source source = source5();
    int16_t all[L] = {0}, part[2] = {0}, none[2] = {0};
    msa_deletions(&source, 2, 0, L, all);
    cr_assert(all[0] == INT16_MAX && all[1] == 5 && !all[2] && !all[3] && !all[4]);
    msa_deletions(&source, 4, 3, 2, part);
    cr_assert(part[0] == 0 && part[1] == 1);
    msa_deletions(&source, 4, 2, 2, none);
    cr_assert(none[0] == 0 && none[1] == 0);
}

Test(crop_rows, features_of_a_cluster_of_three_rows)
{
    /* One cluster row of two places in arrays of two rows and two columns: R, 3 deletions. */
    static const uint8_t msa[4] = {R};
    static const int16_t deletions[4] = {3}, counts[4 * MSA_SYMBOLS] = {[R] = 2, [GAP] = 1};
    static const int32_t sums[4] = {6}, sizes[2] = {2};
    struct expand_clusters clusters = {2, 2, 1, 1, msa, deletions, counts, sums, sizes};
    float feat[4 * EXPAND_MSA_FEATURES], den = 3.00000095f;
    expand_msa(&clusters, feat);
    for (int c = 0; c < EXPAND_MSA_FEATURES; c++) {
        float want = c == R || c == 23 ? 1 : 0;
        want = c == 24 ? 0.5f : c == 25 + R ? 2 / den : c == 25 + GAP ? 1 / den : want;
        if (c == 48) /* 6 deletions over 3.00000095: atan(0.66666645) * 2 / pi */
            want = 0.374334f;
        float gap = fabsf(feat[c] - want);
        cr_assert(c == 24 || c == 48 ? gap < 1e-6f : gap == 0, "channel %d: %.9g, not %.9g", c,
                  (double)feat[c], (double)want);
    }
    for (int i = EXPAND_MSA_FEATURES; i < 4 * EXPAND_MSA_FEATURES; i++)
        cr_assert(feat[i] == 0, "padding");
    /* All three symbols agree: 3 / 3.00000095 in single precision. */
    static const int16_t agree[4 * MSA_SYMBOLS] = {[R] = 3};
    clusters.counts = agree;
    expand_msa(&clusters, feat);
    cr_assert(feat[25 + R] == 0.99999970f, "%.9g", (double)feat[25 + R]);
}

Test(crop_rows, deletion_values)
{
    cr_assert(deletion_value(0) == 0 && deletion_value(3) == 0.49999997f);
    cr_assert(fabsf(deletion_value(1) - 0.20483276f) < 1e-7f, "atan(1/3) * 2 / pi");
    for (int d = 1; d < 40000; d++)
        cr_assert(deletion_value((float)d) >= deletion_value((float)(d - 1)) &&
                      deletion_value((float)d) < 1, "%d deletions", d);
}

Test(crop_rows, target_features)
{
    float target[3 * EXPAND_TARGET_FEATURES];
    expand_target(3, 2, (uint8_t[]){4, 20, 7}, target);
    for (int i = 0; i < 3 * EXPAND_TARGET_FEATURES; i++)
        cr_assert(target[i] == (i == 5 || i == EXPAND_TARGET_FEATURES + 21), "entry %d", i);
}

Test(crop_rows, a_pass_chooses_each_row_at_most_once)
{
    struct sample chain;
    chain_make(&chain, &arena, "choose", 3, 300, 40, 0);
    struct msa_source source = {.rows = 300,
                                .length = 40,
                                .msa = field_data(&chain, "msa"),
                                .profile = field_data(&chain, "hhblits_profile")};
    struct msa_settings settings = {.clusters = 32, .extra = 64, .mask_fraction = 0.15f,
                                    .block_delete = true, .block_fraction = 0.3f, .blocks = 5};
    uint32_t least = 300, most = 0;
    for (uint64_t i = 0; i < 300; i++) {
        struct rng rng = rng_open(9, 0, i, "choose", 0);
        struct arena_mark mark = arena_mark(&arena);
        struct msa_choice choice = msa_choose(&source, &settings, false, &rng, &arena);
        bool seen[300] = {false}, kept[300] = {false};
        uint32_t rows = choice.clusters + choice.extra;
        for (uint32_t r = 0; r < rows; r++) {
            uint32_t row = r < choice.clusters ? choice.cluster_row[r]
                                               : choice.extra_row[r - choice.clusters];
            cr_assert(row < 300 && !seen[row], "row %u", row);
            seen[row] = true;
        }
        for (uint32_t e = 0; e < choice.extra_kept_count; e++) {
            cr_assert(choice.extra_kept[e] < choice.extra && !kept[choice.extra_kept[e]]);
            kept[choice.extra_kept[e]] = true;
        }
        cr_assert(choice.cluster_row[0] == 0, "the chain itself stays");
        least = rows < least ? rows : least;
        most = rows > most ? rows : most;
        arena_rewind(&arena, mark);
    }
    cr_assert(least < 30 && most > 150 && most < 300, "from %u to %u rows survive", least, most);
}
