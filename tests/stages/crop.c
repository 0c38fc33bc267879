/* The crop stage as a whole, on made-up chains: what its fields mean, that they depend on nothing
 * but (seed, epoch, position, stage), how the crop is drawn, and what it refuses. Assignment and
 * sums of clusters are made again here, slowly, from what the stage gives. */
#include "tests/stages/crop_pass.h"

#include <math.h>

extern const struct stage stage_crop;

static struct arena arena;
static struct stage_context context = {.name = "crop"};

static void open(void)
{
    arena_open(&arena, 0);
}

static void close(void)
{
    arena_close(&arena);
}

TestSuite(crop, .init = open, .fini = close, .timeout = 120);

static void *state_of(const char *settings)
{
    return stage_state(&stage_crop, settings, &context, &arena);
}

static uint64_t digest_of(void *state, struct work work, const struct sample *chain)
{
    struct sample out;
    struct arena_mark mark = arena_mark(&arena);
    stage_feed(&stage_crop, state, &work, chain, &out, &arena);
    uint64_t digest = sample_digest(&out);
    arena_rewind(&arena, mark);
    return digest;
}

/* Deletions of a row in a column, out of a list. */
static int deletions_at(const int32_t *start, const int16_t *column, const int32_t *count, int row,
                        int j)
{
    for (int32_t d = start[row]; d < start[row + 1]; d++)
        if (column[d] == j)
            return count[d];
    return 0;
}

static int nearest(const struct pass *p, int e)
{
    int best = 0, best_score = -1;
    for (int c = 0; c < p->m; c++) {
        int score = 0;
        for (int j = 0; j < p->length; j++) {
            uint8_t a = p->msa[c * p->k + j], b = p->extra[e * p->k + j];
            if (a == b && a != 21 && a != 22)
                score++;
        }
        if (score > best_score) {
            best = c;
            best_score = score;
        }
    }
    return best;
}

/* Sums over cluster c, made column by column from all extra rows, as features. */
static void cluster_check(const struct pass *p, const int *assignment, int c)
{
    int size = 0;
    for (int e = 0; e < p->e; e++)
        size += assignment[e] == c;
    cr_assert(p->sizes[c] == size, "cluster %d has %d rows, not %d", c, p->sizes[c], size);
    float denominator = (float)(1e-6 + 1) + (float)size;
    for (int j = 0; j < p->length; j++) {
        int count[23] = {0}, at = c * p->k + j;
        const struct compact *k = &p->compact;
        int own = deletions_at(p->deletion_start, k->deletion_column, k->deletion_count, c, j);
        int sum = own;
        const float *feat = p->features.msa_feat + at * 49;
        count[p->msa[at]]++;
        for (int e = 0; e < p->e; e++)
            if (assignment[e] == c) {
                count[p->extra[e * p->k + j]]++;
                sum += deletions_at(p->extra_start, k->extra_deletion_column,
                                    k->extra_deletion_count, e, j);
            }
        for (int s = 0; s < 23; s++) {
            cr_assert(feat[25 + s] == (float)count[s] / denominator,
                      "cluster %d column %d symbol %d: %g of %d", c, j, s, (double)feat[25 + s],
                      count[s]);
            cr_assert(feat[s] == (p->msa[at] == s), "symbol of cluster %d column %d", c, j);
        }
        double two = 2 / acos(-1), mean = (double)((float)sum / denominator);
        cr_assert(feat[23] == (own > 0) && fabs((double)feat[24] - atan(own / 3.0) * two) < 2e-7);
        cr_assert(fabs((double)feat[48] - atan(mean / 3) * two) < 2e-7,
                  "cluster %d column %d: %d deletions, %g", c, j, sum, (double)feat[48]);
    }
}

Test(crop, clusters_are_those_of_a_slow_search)
{
    struct sample chain, out;
    struct work work = {.seed = 5, .epoch = 2, .position = 9, .recycles = 2};
    chain_make(&chain, &arena, "slow", 1, 150, 83, 0);
    void *state = state_of("{length: 90, clusters: 20, extra: 200, block_delete: false}");
    stage_feed(&stage_crop, state, &work, &chain, &out, &arena);
    for (int p = 0; p < 3; p++) {
        struct pass pass = pass_of(&out, p, &arena);
        cr_assert(pass.m == 20 && pass.e == 130, "%d and %d rows", pass.m, pass.e);
        int assignment[130], filled = 0;
        for (int e = 0; e < 130; e++)
            assignment[e] = nearest(&pass, e);
        for (int c = 0; c < pass.m; c++) {
            cluster_check(&pass, assignment, c);
            filled += pass.sizes[c] > 0;
        }
        cr_assert(filled >= 12, "only %d clusters have rows", filled);
    }
}

Test(crop, rows_are_the_chains_own_and_padding_is_zero)
{
    struct sample chain, out;
    struct work work = {.seed = 5, .epoch = 2, .position = 9, .recycles = 1};
    chain_make(&chain, &arena, "rows", 2, 60, 40, 0);
    void *state = state_of("{length: 48, clusters: 16, extra: 70, block_delete: false}");
    stage_feed(&stage_crop, state, &work, &chain, &out, &arena);
    cr_assert(*(int32_t *)field_data(&out, "seq_length") == 40);
    cr_assert(*(int32_t *)field_data(&out, "crop_start") == 0);
    for (int p = 0; p < 2; p++) {
        struct pass pass = pass_of(&out, p, &arena);
        bool seen[60] = {false};
        cr_assert(pass.m == 16 && pass.e == 44);
        for (int r = 0; r < 60; r++) {
            const uint8_t *row = r < 16 ? pass.true_msa + r * 48 : pass.extra + (r - 16) * 48;
            int n = row_find(&chain, row, 40);
            cr_assert(n >= 0 && !seen[n], "row %d is row %d of the chain", r, n);
            cr_assert(r > 0 || n == 0, "the first cluster is the chain itself");
            seen[n] = true;
        }
        for (int i = 0; i < 70 * 48; i++)
            cr_assert(i / 48 < 44 && i % 48 < 40
                          ? pass.extra[i] <= 21
                          : !pass.extra[i] && pass.features.extra_deletion_value[i] == 0,
                      "extra row %d column %d", i / 48, i % 48);
        for (int i = 0; i < 16 * 48; i++) {
            bool used = i % 48 < 40, masked = pass.features.bert_mask[i] > 0;
            cr_assert(used ? pass.msa[i] <= 22 : !masked && !pass.msa[i]);
            cr_assert(masked || pass.msa[i] == pass.true_msa[i], "only masked symbols change");
            cr_assert(pass.features.msa_mask[i] == used);
            float total = 0;
            for (int s = 0; s < 23; s++)
                total += pass.features.msa_feat[i * 49 + 25 + s];
            cr_assert(fabsf(total - used) < 1e-5f, "profile of row %d", i / 48);
        }
    }
    const float *xyz = field_data(&out, "all_atom_positions");
    for (int i = 0; i < 48; i++) {
        cr_assert(xyz[i * 111] == (i < 40 ? (float)(i * 111 + 1) : 0), "positions");
    }
}

/* Compares columns [start, start + width) of a wide feature with a narrow one, row for row. */
static void columns_compare(const struct compact *wide, const void *of_wide,
                            const struct compact *narrow, const void *of_narrow, size_t rows,
                            size_t item)
{
    size_t start = (size_t)*narrow->crop_start, k = (size_t)compact_size(narrow, 'K');
    size_t wide_k = (size_t)compact_size(wide, 'K');
    for (size_t r = 0; r < rows; r++)
        cr_assert(memcmp((const char *)of_wide + (r * wide_k + start) * item,
                         (const char *)of_narrow + r * k * item, k * item) == 0, "row %zu", r);
}

Test(crop, a_crop_is_a_window_of_the_whole)
{
    struct sample chain, wide_out, narrow_out;
    chain_make(&chain, &arena, "window", 3, 120, 200, 0);
    void *whole = state_of("{length: 200, clusters: 12, extra: 30}");
    void *part = state_of("{length: 37, clusters: 12, extra: 30}");
    bool moved = false;
    for (uint64_t position = 0; position < 8; position++) {
        struct work work = {.seed = 1, .position = position, .recycles = 1};
        stage_feed(&stage_crop, whole, &work, &chain, &wide_out, &arena);
        stage_feed(&stage_crop, part, &work, &chain, &narrow_out, &arena);
        for (int p = 0; p < 2; p++) {
            struct pass a = pass_of(&wide_out, p, &arena), b = pass_of(&narrow_out, p, &arena);
            const struct compact *wide = &a.compact, *narrow = &b.compact;
            moved |= *narrow->crop_start > 0;
#define SAME(of_wide, of_narrow, rows, items)                                                      \
    columns_compare(wide, of_wide, narrow, of_narrow, rows, (items) * sizeof *(of_wide))
            SAME(wide->aatype, narrow->aatype, 1, 1);
            SAME(wide->residue_index, narrow->residue_index, 1, 1);
            SAME(wide->all_atom_positions, narrow->all_atom_positions, 1, 37 * 3);
            SAME(wide->all_atom_mask, narrow->all_atom_mask, 1, 37);
            SAME(a.msa, b.msa, 12, 1);
            SAME(a.features.msa_feat, b.features.msa_feat, 12, 49);
            SAME(a.features.true_msa, b.features.true_msa, 12, 1);
            SAME(a.features.bert_mask, b.features.bert_mask, 12, 1);
            SAME(a.features.extra_msa, b.features.extra_msa, 30, 1);
            SAME(a.features.extra_deletion_value, b.features.extra_deletion_value, 30, 1);
            cr_assert(memcmp(a.sizes, b.sizes, 12 * 4) == 0, "cluster sizes");
        }
    }
    cr_assert(moved, "no crop began inside the chain");
}

Test(crop, depends_on_seed_epoch_position_and_stage_alone)
{
    struct sample chain, other;
    chain_make(&chain, &arena, "pure", 4, 90, 120, 0);
    chain_make(&other, &arena, "else", 5, 40, 60, 0);
    void *state = state_of("{length: 64, clusters: 16, extra: 32}");
    struct work work = {.seed = 11, .epoch = 3, .position = 7, .recycles = 1, .step = 4};
    uint64_t digest = digest_of(state, work, &chain);
    for (uint64_t i = 0; i < 5; i++) { /* whatever this worker has made before */
        struct work before = {.seed = i, .epoch = i, .position = i};
        digest_of(state, before, i % 2 ? &chain : &other);
        cr_assert(digest_of(state, work, &chain) == digest);
    }
    struct work later = work, seed = work, epoch = work, position = work;
    later.step = 99, seed.seed = 12, epoch.epoch = 4, position.position = 8;
    static const char settings[] = "{length: 64, clusters: 16, extra: 32}";
    struct stage_context fifth = {.name = "crop", .worker = 5, .seed = 1};
    void *elsewhere = stage_state(&stage_crop, settings, &fifth, &arena);
    cr_assert(digest_of(elsewhere, later, &chain) == digest, "neither worker nor step enters");
    cr_assert(digest_of(state, seed, &chain) != digest, "the seed enters");
    cr_assert(digest_of(state, epoch, &chain) != digest, "the epoch enters");
    cr_assert(digest_of(state, position, &chain) != digest, "the position enters");
    struct stage_context name = {.name = "crop_held_out"};
    void *second = stage_state(&stage_crop, settings, &name, &arena);
    cr_assert(digest_of(second, work, &chain) != digest, "the stage's name enters");
}

Test(crop, evaluation_sees_the_same_every_time_and_deletes_no_blocks)
{
    struct sample chain, twin, out;
    chain_make(&chain, &arena, "same", 6, 100, 120, 0);
    chain_make(&twin, &arena, "twin", 6, 100, 120, 0);
    void *state = state_of("{length: 64, clusters: 16, extra: 200, mode: eval}");
    struct work work = {.seed = 11, .epoch = 3, .position = 7}, later = {.seed = 11, .epoch = 9};
    struct work seed = {.seed = 12, .epoch = 3, .position = 7};
    uint64_t digest = digest_of(state, work, &chain);
    cr_assert(digest_of(state, later, &chain) == digest, "neither epoch nor position enters");
    cr_assert(digest_of(state, seed, &chain) != digest, "the seed enters");
    stage_feed(&stage_crop, state, &work, &twin, &out, &arena);
    memcpy(out.key, chain.key, sizeof chain.key);
    cr_assert(sample_digest(&out) != digest, "each chain has draws of its own");
    cr_assert(pass_of(&out, 0, &arena).m + pass_of(&out, 0, &arena).e == 100, "all rows are there");
}

Test(crop, passes_are_fresh_and_the_first_ones_are_those_of_fewer_recycles)
{
    struct sample chain, one, four;
    chain_make(&chain, &arena, "passes", 7, 80, 50, 0);
    void *state = state_of("{length: 50, clusters: 16, extra: 32}");
    struct work first = {.seed = 2}, all = {.seed = 2, .recycles = 3};
    stage_feed(&stage_crop, state, &first, &chain, &one, &arena);
    stage_feed(&stage_crop, state, &all, &chain, &four, &arena);
    cr_assert(sample_find(&one, "msa")->size[0] == 1 && sample_find(&four, "msa")->size[0] == 4);
    struct pass alone = pass_of(&one, 0, &arena);
    struct pass p0 = pass_of(&four, 0, &arena), p1 = pass_of(&four, 1, &arena);
    cr_assert(memcmp(alone.msa, p0.msa, 16 * 50) == 0 &&
              memcmp(alone.extra, p0.extra, 32 * 50) == 0, "a pass does not know how many follow");
    cr_assert(memcmp(p0.msa, p1.msa, 16 * 50) != 0, "each pass has draws of its own");
}

/* How often each start comes up in `draws` positions of one epoch. */
static void starts_count(const char *settings, uint32_t length, uint32_t draws, uint32_t *hits)
{
    struct sample chain, out;
    chain_make(&chain, &arena, "starts", 8, 1, length, 0);
    void *state = state_of(settings);
    for (uint32_t i = 0; i < draws; i++) {
        struct work work = {.seed = 3, .position = i};
        struct arena_mark mark = arena_mark(&arena);
        stage_feed(&stage_crop, state, &work, &chain, &out, &arena);
        hits[*(int32_t *)field_data(&out, "crop_start")]++;
        arena_rewind(&arena, mark);
    }
}

Test(crop, starts_are_uniform_unless_asked_otherwise)
{
    enum { DRAWS = 22500, STARTS = 45 }; /* L 60, K 16: n = 44 */
    uint32_t uniform[STARTS] = {0}, biased[STARTS] = {0};
    starts_count("{length: 16, clusters: 1, extra: 0}", 60, DRAWS, uniform);
    starts_count("{length: 16, clusters: 1, extra: 0, crop: openfold}", 60, DRAWS, biased);
    double chi_uniform = 0, chi_biased = 0;
    for (int s = 0; s < STARTS; s++) {
        /* Two steps: x uniform in 0..44, then the start uniform in 0..44-x. */
        double p = 0, expected = (double)DRAWS / STARTS;
        for (int x = 0; x + s < STARTS; x++)
            p += 1.0 / STARTS / (STARTS - x);
        chi_uniform += (uniform[s] - expected) * (uniform[s] - expected) / expected;
        expected = DRAWS * p;
        chi_biased += (biased[s] - expected) * (biased[s] - expected) / expected;
    }
    /* 44 degrees of freedom: 78.7 is passed once in a thousand; the seed is fixed. */
    cr_assert(chi_uniform < 78.7, "uniform: chi-square %.1f", chi_uniform);
    cr_assert(chi_biased < 78.7, "openfold: chi-square %.1f", chi_biased);
}

Test(crop, masks_the_fraction_that_is_asked_for)
{
    struct sample chain, out;
    chain_make(&chain, &arena, "mask", 9, 200, 150, 0);
    static const char *const settings[] = {
        "{length: 150, clusters: 100, extra: 0, mode: eval, mask: 0}",
        "{length: 150, clusters: 100, extra: 0, mode: eval, mask: 0.15}",
        "{length: 150, clusters: 100, extra: 0, mode: eval, mask: 1}"};
    static const double fraction[] = {0, 0.15, 1};
    for (int i = 0; i < 3; i++) {
        struct work work = {.seed = 21, .recycles = 3};
        stage_feed(&stage_crop, state_of(settings[i]), &work, &chain, &out, &arena);
        double cells = 4 * 100 * 150, masked = 0, hidden = 0;
        for (int p = 0; p < 4; p++) {
            struct pass pass = pass_of(&out, p, &arena);
            for (int c = 0; c < 100 * 150; c++) {
                masked += (double)pass.features.bert_mask[c];
                hidden += pass.msa[c] == 22;
            }
        }
        double p = fraction[i], spread = 5 * sqrt(cells * p * (1 - p));
        cr_assert(fabs(masked - cells * p) <= spread, "%.0f of %.0f masked", masked, cells);
        spread = 5 * sqrt(masked * 0.7 * 0.3);
        cr_assert(fabs(hidden - 0.7 * masked) <= spread, "%.0f of %.0f hidden", hidden, masked);
    }
}

Test(crop, rows_by_mode_deletion_and_distillation)
{
    static const struct {
        const char *settings;
        uint32_t rows;
        float distillation;
        int least, most; /* rows in all */
    } cases[] = {
        {"{length: 8, clusters: 4, extra: 2000, mode: eval}", 1500, 0, 1500, 1500},
        {"{length: 8, clusters: 4, extra: 2000, mode: eval}", 1500, 1, 1500, 1500},
        {"{length: 8, clusters: 4, extra: 2000, blocks: 0}", 1500, 1, 1000, 1000},
        {"{length: 8, clusters: 4, extra: 2000, blocks: 0}", 900, 1, 900, 900},
        {"{length: 8, clusters: 4, extra: 2000, blocks: 0, distillation_rows: 0}", 1500, 1, 1500,
         1500},
        {"{length: 8, clusters: 4, extra: 2000}", 100, 0, 1, 99}, /* a block past the end: short */
        {"{length: 8, clusters: 4, extra: 2000}", 3, 0, 3, 3},    /* floor(0.9) rows a block */
        {"{length: 8, clusters: 4, extra: 2000, block_fraction: 1}", 50, 0, 1, 49},
        {"{length: 8, clusters: 4, extra: 2000, block_fraction: 1}", 1, 0, 1, 1},
        {"{length: 8, clusters: 4, extra: 2000, block_fraction: 1}", 2, 0, 1, 1},
        {"{length: 8, clusters: 4, extra: 2000, blocks: 0}", 100, 0, 100, 100},
        {"{length: 8, clusters: 4, extra: 10, mode: eval}", 100, 0, 14, 14},
        {"{length: 8, clusters: 4, extra: 0, mode: eval}", 100, 0, 4, 4},
        {"{length: 8, clusters: 200, extra: 7, mode: eval}", 100, 0, 100, 100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample chain, out;
        struct work work = {.seed = 4, .position = i};
        chain_make(&chain, &arena, "rows", 10, cases[i].rows, 25, cases[i].distillation);
        stage_feed(&stage_crop, state_of(cases[i].settings), &work, &chain, &out, &arena);
        int rows = pass_of(&out, 0, &arena).m + pass_of(&out, 0, &arena).e;
        cr_assert(rows >= cases[i].least && rows <= cases[i].most, "case %zu: %d rows", i, rows);
        cr_assert(*(float *)field_data(&out, "is_distillation") == cases[i].distillation);
        cr_assert(*(float *)field_data(&out, "resolution") == 1.75f);
    }
}

Test(crop, clamps_the_share_that_is_asked_for)
{
    struct sample chain, out;
    chain_make(&chain, &arena, "clamp", 12, 1, 10, 0);
    void *state = state_of("{length: 10, clusters: 1, extra: 0}");
    int clamped = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        struct work work = {.seed = 6, .position = i};
        struct arena_mark mark = arena_mark(&arena);
        stage_feed(&stage_crop, state, &work, &chain, &out, &arena);
        clamped += *(float *)field_data(&out, "use_clamped_fape") == 1;
        arena_rewind(&arena, mark);
    }
    cr_assert(abs(clamped - 4500) < 106, "%d of 5000", clamped); /* 5 sigma */
}

static void refused(const struct sample *chain, const char *what)
{
    struct sample out;
    struct error err = {0};
    struct work work = {.seed = 1};
    sample_open(&out, SPAN("bad"), NULL);
    enum status status = stage_crop.feed(state_of(""), &work, chain, &out, &arena, &err);
    cr_assert(status == STATUS_INVALID && strstr(err.text, "bad"), "%s: %s", what, err.text);
}

Test(crop, refuses_alignments_that_contradict_themselves)
{
    struct sample good, chain;
    chain_make(&good, &arena, "bad", 13, 20, 30, 0);
    int32_t *column = field_data(&good, "deletion_column");
    int32_t *count = field_data(&good, "deletion_count");
    int32_t *start = field_data(&good, "deletion_start");
    int32_t *profile = field_data(&good, "hhblits_profile");
    int32_t pair = 0; /* the first of two deletions of one row */
    for (int n = 0; n < 20 && !pair; n++)
        pair = start[n + 1] - start[n] >= 2 ? start[n] : 0;
    struct {
        const char *what;
        int32_t *place, value;
    } changes[] = {
        {"a column outside", &column[start[20] - 1], 30},   {"a negative column", &column[0], -1},
        {"falling columns", &column[pair + 1], column[pair]}, {"no deletions", &count[0], 0},
        {"negative deletions", &count[1], -2},  {"deletions before row 0", &start[0], 1},
        {"a row that ends early", &start[20], start[20] - 1},
        {"a row that begins too late", &start[5], start[20] + 1},
        {"more symbols than rows", &profile[3], 21}, {"a negative count", &profile[3], -1},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        int32_t before = *changes[i].place;
        *changes[i].place = changes[i].value;
        refused(&good, changes[i].what);
        *changes[i].place = before;
    }
    ((uint8_t *)field_data(&good, "msa"))[600 - 1] = 22;
    refused(&good, "a symbol that is none");
    ((uint8_t *)field_data(&good, "msa"))[600 - 1] = 0;
    chain = good;
    for (int f = 0; f < chain.field_count; f++)
        if (strcmp(chain.fields[f].name, "deletion_start") == 0)
            chain.fields[f].size[0]--;
    refused(&chain, "too few starts");
    digest_of(state_of(""), (struct work){0}, &good); /* and the good one is taken */
}

Test(crop, refuses_settings_that_no_sample_can_hold)
{
    struct sample chain, out;
    struct error err = {0};
    chain_make(&chain, &arena, "large", 14, 4, 30, 0);
    char *state = state_of("{length: 4096, clusters: 16384, extra: 65536}"); /* 411 MB a pass */
    struct work work = {.recycles = 2};
    sample_open(&out, SPAN("large"), NULL);
    enum status status = stage_crop.feed(state, &work, &chain, &out, &arena, &err);
    cr_assert(status == STATUS_LIMIT && strstr(err.text, "clusters 16384"), "%s", err.text);
    cr_assert(strstr(err.text, "3 passes"), "%s", err.text);
}
