/* The crop stage as a whole, on made-up chains: what its fields mean, that they depend on nothing
 * but (seed, epoch, position, stage), how the crop is drawn, and what it refuses. Assignment and
 * sums of clusters are made again here, slowly, from what the stage gives. */
#include "tests/stages/crops.h"

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

/* Number of the chain's row that is these symbols; -1: none. */
static int row_find(const struct sample *chain, const uint8_t *symbols, uint32_t length)
{
    const struct field *msa = sample_find(chain, "msa");
    for (int64_t n = 0; n < msa->size[0]; n++)
        if (memcmp((const uint8_t *)msa->data + n * length, symbols, length) == 0)
            return (int)n;
    return -1;
}

/* What one pass over a whole chain gives, with every extra row in it: enough to make the clusters
 * again. */
struct pass {
    int32_t m, e, k, m_max, e_max, length;
    const uint8_t *msa, *true_msa, *bert_mask, *extra;
    const int16_t *deletions, *counts, *extra_deletions;
    const int32_t *sums, *sizes;
};

static struct pass pass_of(const struct sample *out, int p)
{
    const struct field *msa = sample_find(out, "msa"), *extra = sample_find(out, "extra_msa");
    struct pass pass = {.m = ((int32_t *)field_data(out, "msa_rows"))[p],
                        .e = ((int32_t *)field_data(out, "extra_rows"))[p],
                        .k = (int32_t)msa->size[2],
                        .m_max = (int32_t)msa->size[1],
                        .e_max = (int32_t)extra->size[1],
                        .length = *(int32_t *)field_data(out, "seq_length")};
    size_t cells = (size_t)(p * pass.m_max * pass.k), more = (size_t)(p * pass.e_max * pass.k);
    pass.msa = (uint8_t *)field_data(out, "msa") + cells;
    pass.true_msa = (uint8_t *)field_data(out, "true_msa") + cells;
    pass.bert_mask = (uint8_t *)field_data(out, "bert_mask") + cells;
    pass.deletions = (int16_t *)field_data(out, "deletion_matrix") + cells;
    pass.counts = (int16_t *)field_data(out, "cluster_counts") + cells * 23;
    pass.sums = (int32_t *)field_data(out, "cluster_deletions") + cells;
    pass.sizes = (int32_t *)field_data(out, "cluster_sizes") + p * pass.m_max;
    pass.extra = (uint8_t *)field_data(out, "extra_msa") + more;
    pass.extra_deletions = (int16_t *)field_data(out, "extra_deletion_matrix") + more;
    return pass;
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

/* Sums over cluster c, made column by column from all extra rows. */
static void cluster_check(const struct pass *p, const int *assignment, int c)
{
    int size = 0;
    for (int e = 0; e < p->e; e++)
        size += assignment[e] == c;
    cr_assert(p->sizes[c] == size, "cluster %d has %d rows, not %d", c, p->sizes[c], size);
    for (int j = 0; j < p->length; j++) {
        int count[23] = {0}, at = c * p->k + j, sum = p->deletions[at];
        count[p->msa[at]]++;
        for (int e = 0; e < p->e; e++)
            if (assignment[e] == c) {
                count[p->extra[e * p->k + j]]++;
                sum += p->extra_deletions[e * p->k + j];
            }
        for (int s = 0; s < 23; s++)
            cr_assert(p->counts[at * 23 + s] == count[s],
                      "cluster %d column %d symbol %d: %d, not %d", c, j, s,
                      p->counts[at * 23 + s], count[s]);
        cr_assert(p->sums[at] == sum, "cluster %d column %d: %d deletions, not %d", c, j,
                  p->sums[at], sum);
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
        struct pass pass = pass_of(&out, p);
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
        struct pass pass = pass_of(&out, p);
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
            cr_assert(i / 48 < 44 && i % 48 < 40 ? pass.extra[i] <= 21
                                                 : !pass.extra[i] && !pass.extra_deletions[i],
                      "extra row %d column %d", i / 48, i % 48);
        for (int i = 0; i < 16 * 48; i++) {
            bool used = i % 48 < 40;
            cr_assert(used ? pass.bert_mask[i] <= 1 && pass.msa[i] <= 22 : !pass.bert_mask[i]);
            cr_assert(pass.bert_mask[i] || pass.msa[i] == pass.true_msa[i],
                      "only masked symbols change");
            int total = 0;
            for (int s = 0; s < 23; s++)
                total += pass.counts[i * 23 + s];
            cr_assert(total == (used ? 1 + pass.sizes[i / 48] : 0), "counts of row %d", i / 48);
        }
    }
    const uint8_t *seq_mask = field_data(&out, "seq_mask");
    const float *xyz = field_data(&out, "all_atom_positions");
    for (int i = 0; i < 48; i++) {
        cr_assert(seq_mask[i] == (i < 40), "seq_mask");
        cr_assert(xyz[i * 111] == (i < 40 ? (float)(i * 111 + 1) : 0), "positions");
    }
}

/* Compares columns [start, start + width) of a wide field with a narrow one, row for row. */
static void columns_compare(const struct sample *wide, const struct sample *narrow,
                            const char *name, size_t rows, size_t item)
{
    const char *a = field_data(wide, name), *b = field_data(narrow, name);
    size_t start = (size_t) * (int32_t *)field_data(narrow, "crop_start");
    size_t k = (size_t)sample_find(narrow, "aatype")->size[0];
    size_t wide_k = (size_t)sample_find(wide, "aatype")->size[0];
    for (size_t r = 0; r < rows; r++)
        cr_assert(memcmp(a + (r * wide_k + start) * item, b + r * k * item, k * item) == 0,
                  "%s row %zu", name, r);
}

Test(crop, a_crop_is_a_window_of_the_whole)
{
    struct sample chain, wide, narrow;
    chain_make(&chain, &arena, "window", 3, 120, 200, 0);
    void *whole = state_of("{length: 200, clusters: 12, extra: 30}");
    void *part = state_of("{length: 37, clusters: 12, extra: 30}");
    bool moved = false;
    for (uint64_t position = 0; position < 8; position++) {
        struct work work = {.seed = 1, .position = position, .recycles = 1};
        stage_feed(&stage_crop, whole, &work, &chain, &wide, &arena);
        stage_feed(&stage_crop, part, &work, &chain, &narrow, &arena);
        moved |= *(int32_t *)field_data(&narrow, "crop_start") > 0;
        columns_compare(&wide, &narrow, "aatype", 1, 1);
        columns_compare(&wide, &narrow, "residue_index", 1, 4);
        columns_compare(&wide, &narrow, "all_atom_positions", 1, 37 * 3 * 4);
        columns_compare(&wide, &narrow, "all_atom_mask", 1, 37);
        columns_compare(&wide, &narrow, "msa", 24, 1);
        columns_compare(&wide, &narrow, "true_msa", 24, 1);
        columns_compare(&wide, &narrow, "bert_mask", 24, 1);
        columns_compare(&wide, &narrow, "deletion_matrix", 24, 2);
        columns_compare(&wide, &narrow, "cluster_counts", 24, 46);
        columns_compare(&wide, &narrow, "cluster_deletions", 24, 4);
        columns_compare(&wide, &narrow, "extra_msa", 60, 1);
        columns_compare(&wide, &narrow, "extra_deletion_matrix", 60, 2);
        cr_assert(memcmp(field_data(&wide, "cluster_sizes"), field_data(&narrow, "cluster_sizes"),
                         24 * 4) == 0, "cluster sizes");
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
    cr_assert(pass_of(&out, 0).m + pass_of(&out, 0).e == 100, "all rows are there");
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
    struct pass alone = pass_of(&one, 0), p0 = pass_of(&four, 0), p1 = pass_of(&four, 1);
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
        const uint8_t *mask = field_data(&out, "bert_mask"), *msa = field_data(&out, "msa");
        double cells = 4 * 100 * 150, masked = 0, hidden = 0;
        for (int c = 0; c < 4 * 100 * 150; c++) {
            masked += mask[c];
            hidden += msa[c] == 22;
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
        {"{length: 8, clusters: 4, extra: 2000, mode: eval}", 1500, 1, 1000, 1000},
        {"{length: 8, clusters: 4, extra: 2000, mode: eval}", 900, 1, 900, 900},
        {"{length: 8, clusters: 4, extra: 2000, mode: eval, distillation_rows: 0}", 1500, 1, 1500,
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
        int rows = pass_of(&out, 0).m + pass_of(&out, 0).e;
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
    char *state = state_of("{length: 2048, clusters: 4096, extra: 0}"); /* 456 MB a pass */
    struct work work = {.recycles = 2};
    sample_open(&out, SPAN("large"), NULL);
    enum status status = stage_crop.feed(state, &work, &chain, &out, &arena, &err);
    cr_assert(status == STATUS_LIMIT && strstr(err.text, "clusters 4096"), "%s", err.text);
    cr_assert(strstr(err.text, "3 passes"), "%s", err.text);
    for (const struct param *row = stage_crop.params; row->name; row++)
        if (strcmp(row->name, "clusters") == 0)
            memcpy(state + row->offset, &(int64_t){16384}, sizeof(int64_t));
    cr_assert(stage_crop.open(state, &context, &err) == STATUS_LIMIT, "%s", err.text);
}

Test(crop, its_size_is_that_of_the_table)
{
    struct sample chain, out;
    chain_make(&chain, &arena, "size", 15, 9, 30, 0);
    struct work work = {.recycles = 1};
    stage_feed(&stage_crop, state_of("{length: 256, clusters: 128, extra: 1024}"), &work, &chain,
               &out, &arena);
    size_t residues = 256 * (1 + 4 + 37 * 13 + 1), rest = 5 * 4 + 2 * 8;
    size_t pass = 256 * (128 * (3 + 2 + 46 + 4) + 1024 * 3) + 128 * 4;
    cr_assert(sample_bytes(&out) == residues + 2 * pass + rest, "%zu bytes", sample_bytes(&out));
}
