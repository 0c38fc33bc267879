/* What a record of a store may hold when it reaches crop: shapes that fit the port, any contents.
 * Eight bytes choose sizes and settings, the rest fills the alignment, with small numbers so that
 * many are good. Of what crop accepts all features are made, and profiles add up. */
#include "engine/params.h"
#include "engine/stage.h"
#include "stages/bio/features.h"
#include "stages/bio/msa_sample.h"
#include "stages/learn/view.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct stage stage_crop;

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t next(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static void templates_fill(struct sample *chain, struct arena *arena, struct input *input,
                           int64_t length)
{
    static const char letters[] = "-ACDEFGHIKLMNPQRSTVWYXBZ";
    int64_t count = next(input) % 7;
    uint8_t *sequence = sample_add_2(chain, arena, "template_sequence", KIND_U8, count, length);
    sample_add(chain, arena, "template_all_atom_positions", KIND_F32, 4,
               (int64_t[]){count, length, 37, 3});
    uint8_t *mask =
        sample_add_3(chain, arena, "template_all_atom_mask", KIND_U8, count, length, 37);
    sample_add_1(chain, arena, "template_sum_probs", KIND_F32, count);
    sample_add_i32(chain, arena, "template_shuffled", (int8_t)next(input) % 8);
    for (int64_t i = 0; i < count * length; i++) {
        uint8_t byte = next(input);
        sequence[i] = byte > 250 ? byte : (uint8_t)letters[byte % (sizeof letters - 1)];
        mask[i * 37 + byte % 37] = 1;
    }
}

static void chain_fill(struct sample *chain, struct arena *arena, struct input *input,
                       const uint8_t head[8])
{
    int64_t rows = head[0] % 24, length = head[1] % 80, deletions = head[2] % 40;
    int64_t starts = rows + 1 + (head[7] & 1);
    uint8_t *aatype = sample_add_1(chain, arena, "aatype", KIND_U8, length);
    sample_add_1(chain, arena, "residue_index", KIND_I32, length);
    if (head[3] < 200) {
        sample_add_3(chain, arena, "all_atom_positions", KIND_F32, length, 37, 3);
        sample_add_2(chain, arena, "all_atom_mask", KIND_U8, length, 37);
        sample_add_f32(chain, arena, "resolution", 1);
        sample_add_f32(chain, arena, "is_distillation", (float)(head[7] >> 1 & 1));
    }
    uint8_t *msa = sample_add_2(chain, arena, "msa", KIND_U8, rows, length);
    int32_t *start = sample_add_1(chain, arena, "deletion_start", KIND_I32, starts);
    int32_t *column = sample_add_1(chain, arena, "deletion_column", KIND_I32, deletions);
    int32_t *count = sample_add_1(chain, arena, "deletion_count", KIND_I32, deletions);
    int32_t *profile = sample_add_2(chain, arena, "hhblits_profile", KIND_I32, length, MSA_PROFILE);
    for (int64_t i = 0; i < starts; i++) /* mostly rising: a byte says by how much */
        start[i] = i == 0 ? (int8_t)next(input) : start[i - 1] + (int8_t)next(input) % 4;
    for (int64_t i = 0; i < deletions; i++) {
        uint8_t step = next(input);
        column[i] = step > 127 ? step % 80 : (i ? column[i - 1] : -1) + 1 + step % 8;
        count[i] = (int8_t)next(input) * (head[7] & 4 ? 1 << 24 : 1);
    }
    for (int64_t i = 0; i < length; i++)
        aatype[i] = head[7] & 8 ? next(input) : next(input) % 21;
    for (int64_t i = 0; i < rows * length; i++) {
        msa[i] = head[7] & 8 ? next(input) : next(input) % 22;
        if (msa[i] < MSA_PROFILE)
            profile[i % length * MSA_PROFILE + msa[i]]++;
    }
    uint8_t wrong = next(input);
    if (length > 0 && wrong > 200)
        profile[wrong % length] = (int8_t)next(input);
    if (head[4] & 128)
        templates_fill(chain, arena, input, length);
}

/* The features of what came out: profiles of rows in use add up to 1. */
static void output_check(const struct sample *out, struct arena *arena)
{
    struct compact compact;
    struct features features;
    struct error err = {0};
    ASSERT(view_open(out, VIEW_ALONE, &compact, &err) == STATUS_OK);
    int64_t k = compact_size(&compact, 'K'), m = compact_size(&compact, 'M');
    for (int64_t p = 0; p < compact_size(&compact, 'P'); p++) {
        ASSERT(features_make(&compact, p, FEATURES_ALL, arena, &features, &err) == STATUS_OK);
        for (int64_t i = 0; i < m * k; i++) {
            bool inside = i / k < compact.msa_rows[p] && i % k < *compact.seq_length;
            float total = 0;
            for (int s = 0; s < MSA_SYMBOLS; s++)
                total += features.msa_feat[i * 49 + 25 + s];
            ASSERT(inside ? total > 0.999f && total < 1.001f : total == 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint8_t head[8];
    static const char *const modes[] = {"train", "eval", "predict"};
    char settings[256];
    for (int i = 0; i < 8; i++)
        head[i] = next(&input);
    bool eval = head[6] & 1;
    snprintf(settings, sizeof settings,
             "{length: %d, clusters: %d, extra: %d, mode: %s, crop: %s, mask: 0.%d, "
             "block_fraction: %s, distillation_rows: %d, rows_limit: %d}",
             eval ? head[3] % 100 : 1 + head[3] % 100, 1 + head[4] % 16, head[5] % 30,
             modes[head[6] & 1 ? 1 + (head[3] & 1) : 0], head[6] & 2 ? "openfold" : "uniform",
             head[6] >> 2 & 7, head[7] & 16 ? "1" : "0.3",
             head[7] >> 5, head[5] & 32 ? 5 : 0);
    struct arena arena;
    struct complaints complaints;
    struct sample chain, out;
    struct error err = {0};
    const struct param_roots roots = {.graph = "/"};
    struct source_text text = {.name = "fuzz", .text = span_of(settings)};
    arena_open(&arena, (size_t)64 << 20);
    complaints_open(&complaints, &arena);
    char *state = arena_zero(&arena, 1, stage_crop.state_size);
    params_fill(stage_crop.params, state, yaml_parse(&text, &arena, &complaints), &roots,
                (struct place){&text, 1, 1, 1}, &arena, &complaints);
    ASSERT(complaints.count == 0);
    struct stage_context context = {.name = "crop"};
    ASSERT(stage_crop.open(state, &context, &err) == STATUS_OK);
    ASSERT(sample_open(&chain, SPAN("fuzz"), &err) == STATUS_OK);
    ASSERT(sample_open(&out, SPAN("fuzz"), &err) == STATUS_OK);
    chain_fill(&chain, &arena, &input, head);
    struct work work = {.seed = head[0], .epoch = head[6], .position = head[5],
                        .recycles = head[2] >> 6};
    if (stage_crop.feed(state, &work, &chain, &out, &arena, &err) == STATUS_OK)
        output_check(&out, &arena);
    else
        ASSERT((err.status == STATUS_INVALID || err.status == STATUS_REFUSED) && err.text[0]);
    arena_close(&arena);
    return 0;
}
