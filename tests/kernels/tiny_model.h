/* The small whole model of the golden cases: its sizes and its sample. */
#ifndef FOLDMILL_TESTS_KERNELS_TINY_MODEL_H
#define FOLDMILL_TESTS_KERNELS_TINY_MODEL_H

#include "kernels/net/trunk.h"
#include "tests/kernels/golden.h"

static inline struct trunk_sizes tiny_trunk_sizes(void)
{
    struct block_sizes main = {.c_m = 32,
                               .c_z = 24,
                               .heads = 4,
                               .head_dims = 8,
                               .outer_hidden = 8,
                               .triangle_hidden = 16,
                               .pair_heads = 2,
                               .pair_head_dims = 8,
                               .transition_factor = 4,
                               .columns = COLUMNS_FULL};
    struct trunk_sizes s = {.main = main,
                            .extra = main,
                            .template = main,
                            .c_s = 40,
                            .blocks = 2,
                            .extra_blocks = 1,
                            .template_blocks = 1,
                            .template_heads = 2,
                            .template_head_dims = 8,
                            .keep_blocks = -1,
                            .keep_extra = -1,
                            .recycling = true};
    s.extra.c_m = 16, s.extra.head_dims = 4, s.extra.columns = COLUMNS_GLOBAL;
    s.template.c_z = 16, s.template.transition_factor = 2;
    return s;
}

/* Values on the host, as a real constant of these sizes. */
static inline struct tensor constant(struct rig *r, const double *values, int rank, int64_t d0,
                                     int64_t d1, int64_t d2)
{
    struct tensor t = tape_constant(&r->tape, r->b->real, rank, d0, d1, d2, 1);
    if (!r->tape.planning)
        rig_put(r->b, t.data, values, tensor_count(&t));
    return t;
}

static inline struct tensor integers(struct rig *r, const double *values, int rank, int64_t d0,
                                     int64_t d1)
{
    struct tensor t = tape_constant(&r->tape, TENSOR_I32, rank, d0, d1, 1, 1);
    if (r->tape.planning)
        return t;
    int32_t *numbers = arena_zero(&r->g->arena, (size_t)(d0 * d1), sizeof *numbers);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        numbers[i] = (int32_t)values[i];
    r->b->copy_in(r->b, t.data, numbers, (size_t)tensor_count(&t) * sizeof *numbers);
    return t;
}

/* What a feature is in pass `number`: passes are the last axis of the case's arrays. */
static inline double *tiny_values(struct rig *r, const char *key, int number)
{
    const struct npz_array *a;
    double *all = golden_values(r->g, key, &a);
    uint64_t passes = a->size[a->rank - 1], count = a->count / passes;
    double *values = arena_zero(&r->g->arena, count, sizeof *values);
    for (uint64_t i = 0; i < count; i++)
        values[i] = all[i * passes + (uint64_t)number];
    return values;
}

enum { LENGTH = 24, ROWS = 5, EXTRA = 7, TEMPLATES = 2 };

/* The case's templates. */
static inline void tiny_templates(struct rig *r, int number, struct trunk_pass *p)
{
    enum { ATOMS = 37, COUNT = TEMPLATES * LENGTH };
    const double *xyz = tiny_values(r, "in.template_all_atom_positions", number);
    const double *known = tiny_values(r, "in.template_all_atom_mask", number);
    const double *type = tiny_values(r, "in.template_aatype", number);
    const double *beta = tiny_values(r, "in.template_pseudo_beta", number);
    const double *beta_mask = tiny_values(r, "in.template_pseudo_beta_mask", number);
    const double *angles = tiny_values(r, "in.template_torsion_angles_sin_cos", number);
    const double *other = tiny_values(r, "in.template_alt_torsion_angles_sin_cos", number);
    const double *angle_mask = tiny_values(r, "in.template_torsion_angles_mask", number);
    double backbone[COUNT * 9], mask[COUNT], any = 0, features[COUNT * TEMPLATE_ANGLE_FEATURES];
    float a[COUNT * 14], b[COUNT * 14], m[COUNT * 7], y[COUNT * TEMPLATE_ANGLE_FEATURES];
    int32_t types[COUNT];
    for (int n = 0; n < COUNT; n++) {
        types[n] = (int32_t)type[n];
        memcpy(backbone + 9 * n, xyz + n * ATOMS * 3, 9 * sizeof *backbone);
        mask[n] = known[n * ATOMS] * known[n * ATOMS + 1] * known[n * ATOMS + 2];
    }
    for (int i = 0; i < COUNT * 14; i++)
        a[i] = (float)angles[i], b[i] = (float)other[i];
    for (int i = 0; i < COUNT * 7; i++)
        m[i] = (float)angle_mask[i];
    template_angle_features(COUNT, types, a, b, m, y);
    for (int i = 0; i < COUNT * TEMPLATE_ANGLE_FEATURES; i++)
        features[i] = (double)y[i];
    const double *template_mask = tiny_values(r, "in.template_mask", number);
    for (int i = 0; i < TEMPLATES; i++) {
        int n = i * LENGTH;
        any = template_mask[i] > 0 ? 1 : any;
        p->atoms[i] =
            (struct template_atoms){.type = integers(r, type + n, 1, LENGTH, 1),
                                    .beta = constant(r, beta + 3 * n, 2, LENGTH, 3, 1),
                                    .beta_mask = constant(r, beta_mask + n, 1, LENGTH, 1, 1),
                                    .backbone = constant(r, backbone + 9 * n, 2, LENGTH, 9, 1),
                                    .mask = constant(r, mask + n, 1, LENGTH, 1, 1)};
    }
    p->templates = TEMPLATES;
    p->template_angles = constant(r, features, 3, TEMPLATES, LENGTH, TEMPLATE_ANGLE_FEATURES);
    p->template_mask = constant(r, template_mask, 1, TEMPLATES, 1, 1);
    p->template_any = constant(r, &any, 1, 1, 1, 1);
}

/* The features of pass `number` of the small model's sample; nothing recycled. */
static inline struct trunk_pass tiny_pass(struct rig *r, int number)
{
    struct golden *g = r->g;
    struct trunk_pass p = {0};
    tiny_templates(r, number, &p);
    const double *seq_mask = tiny_values(r, "in.seq_mask", number);
    const double *angle_mask = tiny_values(r, "in.template_torsion_angles_mask", number);
    double mask[(ROWS + TEMPLATES) * LENGTH], pair[LENGTH * LENGTH];
    memcpy(mask, tiny_values(r, "in.msa_mask", number), ROWS * LENGTH * sizeof *mask);
    for (int n = 0; n < TEMPLATES * LENGTH; n++)
        mask[ROWS * LENGTH + n] = angle_mask[7 * n + 2];
    for (int i = 0; i < LENGTH; i++)
        for (int j = 0; j < LENGTH; j++)
            pair[i * LENGTH + j] = seq_mask[i] * seq_mask[j];
    p.target = constant(r, tiny_values(r, "in.target_feat", number), 2, LENGTH, TARGET_FEATURES, 1);
    p.index = integers(r, tiny_values(r, "in.residue_index", number), 1, LENGTH, 1);
    p.msa = constant(r, tiny_values(r, "in.msa_feat", number), 3, ROWS, LENGTH, MSA_FEATURES);
    p.msa_mask = constant(r, mask, 2, ROWS + TEMPLATES, LENGTH, 1);
    p.pair_mask = constant(r, pair, 2, LENGTH, LENGTH, 1);
    p.extra_msa = integers(r, tiny_values(r, "in.extra_msa", number), 2, EXTRA, LENGTH);
    p.extra_has = constant(r, tiny_values(r, "in.extra_has_deletion", number), 2, EXTRA, LENGTH, 1);
    p.extra_deletion =
        constant(r, tiny_values(r, "in.extra_deletion_value", number), 2, EXTRA, LENGTH, 1);
    p.extra_mask = constant(r, tiny_values(r, "in.extra_msa_mask", number), 2, EXTRA, LENGTH, 1);
    const double *zeros = arena_zero(&g->arena, LENGTH * LENGTH * 24, sizeof *zeros);
    p.before = (struct recycled){constant(r, zeros, 2, LENGTH, 32, 1),
                                 constant(r, zeros, 3, LENGTH, LENGTH, 24),
                                 constant(r, zeros, 2, LENGTH, 3, 1)};
    return p;
}

#endif
