/* Which rows a pass sees, masks, clusters and their features, on examples worked out by hand: each
 * step alone. */
#include "tests/stages/crops.h"
#include "stages/bio/expand.h"
#include "stages/bio/msa_assign.h"
#include "stages/bio/msa_summary.h"

#include <math.h>

enum { A = 0, R = 1, N = 2, X = 20, GAP = 21, MASK = 22, L = 5 };

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
    cr_assert(msa_replacement(column, 10, 0, 0) == MSA_MASK, "the first");
    cr_assert(msa_replacement(column, 10, 0, 0.7001) == 0, "the second");
    cr_assert(msa_replacement(column, 10, 0, 1 - 0x1p-53) == GAP, "the last");
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

/* The codes of a cell are what was written, at every place where their form changes. */
Test(crop_rows, codes_come_back)
{
    static const uint32_t counts[] = {1, 2, 7, 8, 9, 134, 135, 136, 137, 16391, 16392, 2097160,
                                      1u << 30, INT32_MAX};
    static const int bytes[] = {1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 5, 6, 6};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (uint32_t symbol = 0; symbol < 24; symbol++) {
            uint8_t code[COMPACT_CODE_MAX];
            const uint8_t *from = code, *end = compact_put(code, symbol, counts[i]);
            uint32_t got_symbol, got_count;
            cr_assert(end - code == bytes[i], "%u takes %d bytes", counts[i], (int)(end - code));
            cr_assert(compact_get(&from, end, &got_symbol, &got_count) && from == end);
            cr_assert(got_symbol == symbol && got_count == counts[i]);
            for (const uint8_t *cut = code; cut < end; cut++) {
                from = code;
                cr_assert(!compact_get(&from, cut, &got_symbol, &got_count), "cut off");
            }
        }
    static const uint8_t large[] = {0xe0, 0xff, 0xff, 0xff, 0xff, 0x07},
                         endless[] = {0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0};
    const uint8_t *from = large;
    uint32_t symbol, count;
    cr_assert(!compact_get(&from, large + 6, &symbol, &count), "INT32_MAX + 8");
    from = endless;
    cr_assert(!compact_get(&from, endless + 7, &symbol, &count));
}

Test(crop_rows, clusters_sum_their_rows_inside_the_crop)
{
    struct msa_source source = source5();
    struct msa_choice choice = choice5();
    struct byte_list cells = {.arena = &arena};
    int32_t sizes[2], start[3];
    cr_assert(msa_summarize(&source, &choice, (uint32_t[]){0, 0, 1}, 1, 2, &arena, &cells, start,
                            sizes));
    cr_assert(sizes[0] == 2 && sizes[1] == 1);
    /* Cluster 0: 7 deletions, R three times; gap three times. 1: R and gap; A and gap. */
    static const uint8_t want[] = {COMPACT_DELETIONS | 6 << 5, R | 2 << 5, GAP | 2 << 5,
                                   R, GAP, A, GAP};
    cr_assert(cells.size == sizeof want && memcmp(cells.data, want, sizeof want) == 0);
    cr_assert(start[0] == 0 && start[1] == 3 && start[2] == 7);
}

Test(crop_rows, wide_crops_and_large_clusters)
{
    enum { WIDE = 200, MANY = 33000 };
    static uint32_t order[MANY], assignment[MANY - 1];
    static uint8_t msa[MANY * WIDE];
    static int32_t start[MANY + 1], at[MANY], count[MANY];
    for (int i = 0; i < MANY; i++) {
        order[i] = (uint32_t)i;
        start[i + 1] = i + 1;
        at[i] = WIDE - 1;
        count[i] = 100000;
        for (int j = 0; j < WIDE; j++)
            msa[i * WIDE + j] = (uint8_t)(i < j ? 3 : 4);
    }
    struct msa_source source = {.rows = MANY, .length = WIDE, .msa = msa, .deletion_start = start,
                                .deletion_column = at, .deletion_count = count};
    struct msa_choice choice = {.clusters = 1, .extra = MANY - 1, .cluster_row = order,
                                .extra_row = order + 1, .masked = msa};
    struct byte_list cells = {.arena = &arena};
    int32_t sizes[1], places[2];
    cr_assert(msa_summarize(&source, &choice, assignment, 0, WIDE, &arena, &cells, places, sizes));
    const uint8_t *from = cells.data, *end = cells.data + cells.size;
    for (uint32_t j = 0; j < WIDE; j++) {
        uint32_t symbol, many;
        cr_assert(compact_get(&from, end, &symbol, &many));
        if (j == WIDE - 1) { /* too large a sum stays at the largest */
            cr_assert(symbol == COMPACT_DELETIONS && many == INT32_MAX);
            cr_assert(compact_get(&from, end, &symbol, &many));
        }
        if (j > 0) {
            cr_assert(symbol == 3 && many == j, "column %u: %u", j, many);
            cr_assert(compact_get(&from, end, &symbol, &many));
        }
        cr_assert(symbol == 4 && many == MANY - j, "column %u: %u", j, many);
    }
    cr_assert(from == end && sizes[0] == MANY - 1);
}

Test(crop_rows, deletions_of_a_row_lie_in_its_columns)
{
    struct msa_source source = source5();
    struct deletion_list list = {.arena = &arena};
    cr_assert(msa_deletions(&source, 2, 0, L, &list) && list.size == 2);
    cr_assert(list.column[0] == 0 && list.count[0] == 40000);
    cr_assert(list.column[1] == 1 && list.count[1] == 5);
    cr_assert(msa_deletions(&source, 4, 3, 2, &list) && list.size == 3 && list.column[2] == 1);
    cr_assert(msa_deletions(&source, 4, 2, 2, &list) && list.size == 3, "column 4 is outside");
    cr_assert(msa_deletions(&source, 2, 1, 3, &list) && list.size == 4 && list.column[3] == 0);
    cr_assert(msa_deletions(&source, 1, 0, L, &list) && list.size == 4, "none");
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
    float target[3 * EXPAND_TARGET_FEATURES] = {0};
    expand_target(2, (uint8_t[]){4, 20, 7}, target);
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

Test(crop_rows, rows_are_cut_uniformly_and_stay_in_order)
{
    enum { DRAWS = 6000, ROWS = 10, LIMIT = 4 };
    int hits[ROWS] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct rng rng = rng_open(9, 0, i, "cut", 0);
        struct arena_mark mark = arena_mark(&arena);
        const uint32_t *kept = msa_rows_cut(ROWS, LIMIT, &rng, &arena);
        for (int k = 0; k < LIMIT; k++) {
            cr_assert(kept[k] < ROWS && (k == 0 || kept[k] > kept[k - 1]));
            hits[kept[k]]++;
        }
        arena_rewind(&arena, mark);
    }
    cr_assert(hits[0] == DRAWS, "the chain itself stays");
    for (int r = 1; r < ROWS; r++) /* 3 of the 9 others */
        cr_assert(abs(hits[r] - DRAWS / 3) < 180, "row %d stays %d times", r, hits[r]);
    struct rng rng = rng_open(9, 0, 0, "cut", 0);
    const uint32_t *all = msa_rows_cut(3, 3, &rng, &arena), *one = msa_rows_cut(3, 1, &rng, &arena);
    cr_assert(all[0] == 0 && all[1] == 1 && all[2] == 2 && one[0] == 0);
}

/* Of 20 rows every second is there; deletion and order see only those. */
Test(crop_rows, what_was_cut_is_not_seen)
{
    struct sample chain;
    chain_make(&chain, &arena, "subset", 3, 20, 12, 0);
    static const uint32_t even[] = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18};
    struct msa_source source = {.rows = 20,
                                .length = 12,
                                .msa = field_data(&chain, "msa"),
                                .profile = field_data(&chain, "hhblits_profile")};
    struct msa_settings settings = {.clusters = 3, .extra = 64, .mask_fraction = 0.15f,
                                    .rows = even, .row_count = 10};
    for (uint64_t i = 0; i < 40; i++) {
        struct rng rng = rng_open(9, 0, i, "subset", 0);
        settings.block_delete = i % 2;
        settings.block_fraction = 0.3f;
        settings.blocks = 1;
        struct msa_choice choice = msa_choose(&source, &settings, false, &rng, &arena);
        uint32_t rows = choice.clusters + choice.extra;
        cr_assert(settings.block_delete ? rows >= 7 && rows < 10 : rows == 10, "%u rows", rows);
        for (uint32_t r = 0; r < rows; r++)
            cr_assert((r < 3 ? choice.cluster_row[r] : choice.extra_row[r - 3]) % 2 == 0);
    }
}
