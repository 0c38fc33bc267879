/* What a record of a store may hold when it reaches crop: shapes that fit the port, any contents.
 * Eight bytes choose sizes and settings, the rest fills the alignment, with small numbers so that
 * many are good. What crop accepts gives symbols that are symbols, and counts that add up. */
#include "engine/params.h"
#include "engine/stage.h"
#include "stages/bio/msa_sample.h"

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

static void chain_fill(struct sample *chain, struct arena *arena, struct input *input,
                       const uint8_t head[8])
{
    int64_t rows = head[0] % 24, length = head[1] % 80, deletions = head[2] % 40;
    int64_t starts = rows + 1 + (head[7] & 1);
    uint8_t *aatype = sample_add_1(chain, arena, "aatype", KIND_U8, length);
    sample_add_1(chain, arena, "residue_index", KIND_I32, length);
    sample_add_3(chain, arena, "all_atom_positions", KIND_F32, length, 37, 3);
    sample_add_2(chain, arena, "all_atom_mask", KIND_U8, length, 37);
    sample_add_f32(chain, arena, "resolution", 1);
    sample_add_f32(chain, arena, "is_distillation", (float)(head[7] >> 1 & 1));
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
        aatype[i] = next(input);
    for (int64_t i = 0; i < rows * length; i++)
        msa[i] = head[7] & 8 ? next(input) : next(input) % 22;
    for (int64_t i = 0; i < length * MSA_PROFILE; i++)
        profile[i] = (int8_t)next(input);
}

/* Symbols are symbols, and the counts of a column add up to the rows of its cluster. */
static void output_check(const struct sample *out)
{
    const struct field *msa = sample_find(out, "msa"), *counts = sample_find(out, "cluster_counts");
    const struct field *sizes = sample_find(out, "cluster_sizes");
    const struct field *deletions = sample_find(out, "deletion_matrix");
    const struct field *sums = sample_find(out, "cluster_deletions");
    const struct field *used = sample_find(out, "msa_rows"), *extra = sample_find(out, "extra_msa");
    int64_t m = msa->size[1], k = msa->size[2];
    int32_t length = *(int32_t *)sample_find(out, "seq_length")->data;
    for (size_t i = 0; i < field_count(msa); i++) {
        int64_t pass = (int64_t)i / (m * k), row = (int64_t)i / k % m, total = 0;
        for (size_t s = 0; s < MSA_SYMBOLS; s++)
            total += ((int16_t *)counts->data)[i * MSA_SYMBOLS + s];
        bool inside = row < ((int32_t *)used->data)[pass] && (int64_t)i % k < length;
        int32_t cluster = ((int32_t *)sizes->data)[pass * m + row];
        ASSERT(((uint8_t *)msa->data)[i] <= MSA_MASK);
        ASSERT(((int16_t *)deletions->data)[i] >= 0 && ((int32_t *)sums->data)[i] >= 0);
        ASSERT_INT(total, ==, inside ? 1 + cluster : 0);
    }
    for (size_t i = 0; i < field_count(extra); i++)
        ASSERT(((uint8_t *)extra->data)[i] <= MSA_GAP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint8_t head[8];
    char settings[256];
    for (int i = 0; i < 8; i++)
        head[i] = next(&input);
    snprintf(settings, sizeof settings,
             "{length: %d, clusters: %d, extra: %d, mode: %s, crop: %s, mask: 0.%d, "
             "block_fraction: %s, distillation_rows: %d}",
             1 + head[3] % 100, 1 + head[4] % 16, head[5] % 30, head[6] & 1 ? "eval" : "train",
             head[6] & 2 ? "openfold" : "uniform", head[6] >> 2 & 7, head[7] & 16 ? "1" : "0.3",
             head[7] >> 5);
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
        output_check(&out);
    else
        ASSERT(err.status == STATUS_INVALID && err.text[0]);
    arena_close(&arena);
    return 0;
}
