/* What a training sample costs in crop, one thread, on made-up alignments: the whole stage, the
 * parts of one of its recycling passes, and what the trainer pays to expand one. Beside it the
 * floor: copying the sample that comes out. Medians in milliseconds. */
#include "engine/base/clock.h"
#include "engine/params.h"
#include "stages/bio/compact_write.h"
#include "stages/bio/features.h"
#include "stages/bio/msa_assign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 25, CROP = 256, CLUSTERS = 128, EXTRA = 1024, PASSES = 3 };

extern const struct stage stage_crop;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *ms)
{
    qsort(ms, ROUNDS, sizeof *ms, by_value);
    return ms[ROUNDS / 2];
}

static double since(int64_t begin)
{
    return (double)(clock_ns() - begin) * 1e-6;
}

/* A chain and its alignment: rows are changed copies of earlier ones, one column in 25 has
 * deletions. */
static struct msa_source chain_make(struct sample *chain, struct arena *arena, uint32_t rows,
                                    uint32_t length)
{
    struct rng rng = rng_open(1, 0, 0, "bench", 0);
    ASSERT(sample_open(chain, SPAN("bench"), NULL) == STATUS_OK);
    uint8_t *aatype = sample_add_1(chain, arena, "aatype", KIND_U8, length);
    sample_add_1(chain, arena, "residue_index", KIND_I32, length);
    sample_add_3(chain, arena, "all_atom_positions", KIND_F32, length, 37, 3);
    sample_add_2(chain, arena, "all_atom_mask", KIND_U8, length, 37);
    sample_add_f32(chain, arena, "resolution", 1);
    sample_add_f32(chain, arena, "is_distillation", 0);
    uint8_t *msa = sample_add_2(chain, arena, "msa", KIND_U8, rows, length);
    int32_t *start = sample_add_1(chain, arena, "deletion_start", KIND_I32, rows + 1);
    int32_t *profile = sample_add_2(chain, arena, "hhblits_profile", KIND_I32, length, MSA_PROFILE);
    uint32_t deletions = (length - 1) / 25;
    int64_t entries = (int64_t)rows * deletions;
    int32_t *column = sample_add_1(chain, arena, "deletion_column", KIND_I32, entries);
    int32_t *count = sample_add_1(chain, arena, "deletion_count", KIND_I32, entries);
    for (uint32_t n = 0, d = 0; n < rows; n++) {
        const uint8_t *parent = msa + (n ? rng_below(&rng, n) : 0) * (size_t)length;
        for (uint32_t j = 0; j < length; j++) {
            bool keep = n && rng_below(&rng, 100) < 80;
            uint8_t symbol = keep ? parent[j] : (uint8_t)rng_below(&rng, n ? MSA_GAP + 1 : 20);
            msa[(size_t)n * length + j] = symbol;
            profile[j * MSA_PROFILE + symbol]++;
        }
        for (uint32_t k = 0; k < deletions; k++, d++) {
            column[d] = (int32_t)(k * 25 + rng_below(&rng, 25));
            count[d] = 1 + (int32_t)rng_below(&rng, 5);
        }
        start[n + 1] = (int32_t)d;
    }
    memcpy(aatype, msa, length);
    return (struct msa_source){rows, length, msa, start, column, count, profile};
}

/* One pass over `source`, and its expansion, in parts. */
static void pass_time(const struct msa_source *source, bool eval)
{
    static const char *const parts[] = {"choose", "assign", "write", "expand"};
    enum { CHOOSE, ASSIGN, WRITE, EXPAND, PARTS };
    double ms[PARTS][ROUNDS];
    struct arena arena;
    struct error err;
    uint32_t width = source->length < CROP ? source->length : CROP;
    arena_open(&arena, 0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct rng rng = rng_open(1, 0, round, "pass", 0);
        struct msa_settings settings = {.clusters = CLUSTERS, .extra = EXTRA,
                                        .mask_fraction = 0.15f, .block_delete = !eval,
                                        .block_fraction = 0.3f, .blocks = 5};
        struct compact compact;
        struct compact_writer writer;
        struct features features;
        arena_reset(&arena);
        int64_t begin = clock_ns();
        struct msa_choice choice = msa_choose(source, &settings, false, &rng, &arena);
        ms[CHOOSE][round] = since(begin);
        uint32_t *assignment = arena_alloc(&arena, (size_t)choice.extra * sizeof *assignment);
        begin = clock_ns();
        msa_assign(source, &choice, &arena, assignment);
        ms[ASSIGN][round] = since(begin);
        begin = clock_ns();
        ASSERT(compact_begin(&(struct compact_sizes){CROP, CLUSTERS, EXTRA, 0, 1},
                             (struct compact_window){0, width}, false, &arena, &compact, &writer));
        ASSERT(compact_put_pass(&compact, &writer, 0, source, &choice, assignment));
        compact_end(&compact, &writer);
        ms[WRITE][round] = since(begin);
        begin = clock_ns();
        ASSERT(features_make(&compact, 0, FEATURES_MSA | FEATURES_EXTRA, &arena, &features, &err) ==
               STATUS_OK);
        ms[EXPAND][round] = since(begin);
    }
    for (int p = 0; p < PARTS; p++)
        printf(" %s %.3f", parts[p], median(ms[p]));
    arena_close(&arena);
}

static void crop_time(uint32_t length, uint32_t rows, bool eval)
{
    char settings[96];
    double ms[ROUNDS], copy[ROUNDS];
    struct arena keep, arena;
    struct complaints complaints;
    struct sample chain, out;
    struct error err;
    struct stage_context context = {.name = "crop"};
    const struct param_roots roots = {.graph = "/"};
    snprintf(settings, sizeof settings, "{length: %d, clusters: %d, extra: %d, mode: %s}", CROP,
             CLUSTERS, EXTRA, eval ? "eval" : "train");
    struct source_text text = {.name = "bench", .text = span_of(settings)};
    arena_open(&keep, 0);
    arena_open(&arena, 0);
    complaints_open(&complaints, &keep);
    char *state = arena_zero(&keep, 1, stage_crop.state_size);
    params_fill(stage_crop.params, state, yaml_parse(&text, &keep, &complaints), &roots,
                (struct place){&text, 1, 1, 1}, &keep, &complaints);
    ASSERT(complaints.count == 0 && stage_crop.open(state, &context, &err) == STATUS_OK);
    struct msa_source source = chain_make(&chain, &keep, rows, length);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct work work = {.seed = 1, .position = round, .recycles = PASSES - 1};
        arena_reset(&arena);
        ASSERT(sample_open(&out, SPAN("bench"), &err) == STATUS_OK);
        int64_t begin = clock_ns();
        ASSERT(stage_crop.feed(state, &work, &chain, &out, &arena, &err) == STATUS_OK);
        ms[round] = since(begin);
        begin = clock_ns();
        for (int f = 0; f < out.field_count; f++) {
            size_t bytes = field_bytes(&out.fields[f]);
            memcpy(arena_alloc(&arena, bytes), out.fields[f].data, bytes);
        }
        copy[round] = since(begin);
    }
    double whole = median(ms), floor = median(copy);
    printf("L %4u  N %5u  %-5s %7.2f ms  %5.2f MB  x%.1f of a copy; a pass:", length, rows,
           eval ? "eval" : "train", whole, (double)sample_bytes(&out) * 1e-6, whole / floor);
    pass_time(&source, eval);
    printf("\n");
    arena_close(&arena);
    arena_close(&keep);
}

int main(void)
{
    printf("crop %d, %d clusters, %d extra rows, %d passes\n", CROP, CLUSTERS, EXTRA, PASSES);
    crop_time(330, 225, false);
    crop_time(330, 225, true);
    crop_time(191, 3057, false);
    crop_time(191, 3057, true);
    crop_time(1000, 10000, false);
    return 0;
}
