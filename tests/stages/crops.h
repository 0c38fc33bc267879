/* Chains made up from random numbers in the form that the store keeps, and the crop stage with
 * settings as a graph would give them: for the tests of crop and batch. */
#ifndef TESTS_STAGES_CROPS_H
#define TESTS_STAGES_CROPS_H

#include "engine/base/rng.h"
#include "engine/params.h"
#include "engine/port.h"
#include "engine/stage.h"
#include "stages/bio/msa_sample.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A stage's state with its defaults and these settings, YAML: "length: 64". */
static inline void *stage_state(const struct stage *stage, const char *settings,
                                struct stage_context *context, struct arena *arena)
{
    struct complaints complaints;
    const struct param_roots roots = {.graph = "/"};
    struct source_text *text = arena_zero(arena, 1, sizeof *text);
    *text = (struct source_text){.name = "test", .text = span_of(settings)};
    char *state = arena_zero(arena, 1, stage->state_size);
    struct error err;
    complaints_open(&complaints, arena);
    struct yaml_node *node = *settings ? yaml_parse(text, arena, &complaints) : NULL;
    params_fill(stage->params, state, node, &roots, (struct place){text, 1, 1, 1}, arena,
                &complaints);
    cr_assert(complaints.count == 0, "settings: %s", settings);
    cr_assert(stage->open(state, context, &err) == STATUS_OK, "%s", err.text);
    return state;
}

/* A row that keeps most of its parent, so that rows form families and clusters differ in size. */
static inline void row_make(struct rng *rng, const uint8_t *parent, uint32_t length, uint8_t *row)
{
    for (uint32_t j = 0; j < length; j++) {
        uint32_t u = rng_below(rng, 100);
        row[j] = u < 70   ? parent[j]
                 : u < 80 ? MSA_GAP
                 : u < 82 ? 20
                          : (uint8_t)rng_below(rng, 20);
    }
}

static inline void alignment_make(struct sample *sample, struct arena *arena, struct rng *rng,
                                  uint32_t rows, const uint8_t *query, uint32_t length)
{
    uint8_t *msa = sample_add_2(sample, arena, "msa", KIND_U8, rows, length);
    int32_t *start = sample_add_1(sample, arena, "deletion_start", KIND_I32, rows + 1);
    int32_t *profile =
        sample_add_2(sample, arena, "hhblits_profile", KIND_I32, length, MSA_PROFILE);
    int32_t *column = arena_alloc(arena, (size_t)rows * length * sizeof *column);
    int32_t *count = arena_alloc(arena, (size_t)rows * length * sizeof *count), deletions = 0;
    for (uint32_t n = 0; n < rows; n++) {
        uint8_t *row = msa + (size_t)n * length;
        if (n == 0)
            memcpy(row, query, length);
        else
            row_make(rng, msa + (size_t)rng_below(rng, n) * length, length, row);
        for (uint32_t j = 0; j < length; j++) {
            profile[j * MSA_PROFILE + row[j]]++;
            if (n > 0 && rng_below(rng, 25) == 0) {
                column[deletions] = (int32_t)j;
                count[deletions++] = 1 + (int32_t)rng_below(rng, rng_below(rng, 20) ? 6 : 400);
            }
        }
        start[n + 1] = deletions;
    }
    size_t bytes = (size_t)deletions * sizeof *column;
    memcpy(sample_add_1(sample, arena, "deletion_column", KIND_I32, deletions), column, bytes);
    memcpy(sample_add_1(sample, arena, "deletion_count", KIND_I32, deletions), count, bytes);
}

/* A chain of `length` residues with an alignment of `rows`; the same seed gives the same chain. */
static inline void chain_make(struct sample *sample, struct arena *arena, const char *key,
                              uint64_t seed, uint32_t rows, uint32_t length, float distillation)
{
    struct rng rng = rng_open(seed, 0, 0, "chain", 0);
    cr_assert(sample_open(sample, span_of(key), NULL) == STATUS_OK);
    uint8_t *aatype = sample_add_1(sample, arena, "aatype", KIND_U8, length);
    int32_t *index = sample_add_1(sample, arena, "residue_index", KIND_I32, length);
    float *xyz = sample_add_3(sample, arena, "all_atom_positions", KIND_F32, length, 37, 3);
    uint8_t *mask = sample_add_2(sample, arena, "all_atom_mask", KIND_U8, length, 37);
    for (uint32_t i = 0; i < length; i++) {
        aatype[i] = (uint8_t)rng_below(&rng, 20);
        index[i] = (int32_t)i;
        for (uint32_t a = 0; a < 37; a++) {
            mask[i * 37 + a] = (uint8_t)rng_below(&rng, 2);
            for (uint32_t axis = 0; axis < 3; axis++)
                xyz[(i * 37 + a) * 3 + axis] = (float)((i * 37 + a) * 3 + axis + 1);
        }
    }
    sample_add_f32(sample, arena, "resolution", 1.75f);
    sample_add_f32(sample, arena, "is_distillation", distillation);
    alignment_make(sample, arena, &rng, rows, aatype, length);
}

static inline void *field_data(const struct sample *sample, const char *name)
{
    const struct field *field = sample_find(sample, name);
    cr_assert(field, "no field %s", name);
    return field->data;
}

/* One sample through a stage; its fields fit the stage's ports. */
static inline void stage_feed(const struct stage *stage, void *state, const struct work *work,
                              const struct sample *in, struct sample *out, struct arena *arena)
{
    struct port_table table;
    struct error err;
    cr_assert(port_open(&stage->in, &table, &err) == STATUS_OK, "%s", err.text);
    cr_assert(port_check(&table, in, &err) == STATUS_OK, "%s", err.text);
    cr_assert(sample_open(out, span_of(in->key), &err) == STATUS_OK, "%s", err.text);
    cr_assert(stage->feed(state, work, in, out, arena, &err) == STATUS_OK, "%s", err.text);
    cr_assert(port_open(&stage->out, &table, &err) == STATUS_OK, "%s", err.text);
    cr_assert(port_check(&table, out, &err) == STATUS_OK, "%s", err.text);
    for (int f = 0; f < out->field_count; f++) {
        bool named = false;
        for (int i = 0; i < table.count; i++)
            named |= strcmp(out->fields[f].name, table.field[i].name) == 0;
        cr_assert(named, "field %s, which the out port does not name", out->fields[f].name);
    }
}

#endif
