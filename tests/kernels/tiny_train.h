/* The small whole model of the golden cases with all its losses: its configuration and its sample,
 * by way of the interface that the trainer uses. */
#ifndef FOLDMILL_TESTS_KERNELS_TINY_TRAIN_H
#define FOLDMILL_TESTS_KERNELS_TINY_TRAIN_H

#include "kernels/net/net.h"
#include "tests/kernels/golden.h"

enum { LENGTH = 24, ROWS = 5, EXTRA = 7, TEMPLATES = 2, SLOTS = 14, ATOMS = 37 };

static inline struct net_config tiny(void)
{
    struct net_config c = net_config_default();
    c.length = LENGTH, c.clusters = ROWS, c.extra = EXTRA, c.templates = TEMPLATES;
    c.c_m = 32, c.c_z = 24, c.blocks = 2, c.heads = 4, c.head_dims = 8;
    c.column_attention = true, c.pair_heads = 2, c.pair_head_dims = 8;
    c.outer_hidden = 8, c.triangle_hidden = 16, c.transition_factor = 4;
    c.extra_blocks = 1, c.extra_c_m = 16, c.extra_heads = 4, c.extra_head_dims = 4;
    c.template_blocks = 1, c.template_c = 16, c.template_heads = 2, c.template_head_dims = 8;
    c.recycling = true;
    c.structure_iterations = 8, c.c_s = 40, c.structure_heads = 4, c.structure_head_dims = 8;
    c.query_points = 4, c.value_points = 8, c.angle_channels = 16, c.plddt_hidden = 16;
    c.dropout_msa = c.dropout_pair = c.dropout_structure = 0;
    c.weight_resolved = 0.01, c.weight_violation = 0.02;
    return c;
}

/* A feature in pass `number`, as float; the last axis of the case's arrays are passes. */
static inline float *values(struct golden *g, const char *key, int number)
{
    const struct npz_array *a;
    const double *all = golden_values(g, key, &a);
    uint64_t passes = a->size[a->rank - 1], count = a->count / passes;
    float *x = arena_zero(&g->arena, count, sizeof *x);
    for (uint64_t i = 0; i < count; i++)
        x[i] = (float)all[i * passes + (uint64_t)number];
    return x;
}

static inline int32_t *integers(struct golden *g, const char *key, int number, int64_t count)
{
    const float *x = values(g, key, number);
    int32_t *y = arena_zero(&g->arena, (size_t)count, sizeof *y);
    for (int64_t i = 0; i < count; i++)
        y[i] = (int32_t)x[i];
    return y;
}

static inline struct net_templates templates_take(struct golden *g)
{
    const float *xyz = values(g, "in.template_all_atom_positions", 0);
    const float *known = values(g, "in.template_all_atom_mask", 0);
    float *backbone = arena_zero(&g->arena, TEMPLATES * LENGTH * 9, sizeof *backbone);
    float *mask = arena_zero(&g->arena, TEMPLATES * LENGTH, sizeof *mask);
    for (int n = 0; n < TEMPLATES * LENGTH; n++) {
        memcpy(backbone + 9 * n, xyz + n * ATOMS * 3, 9 * sizeof *backbone);
        mask[n] = known[n * ATOMS] * known[n * ATOMS + 1] * known[n * ATOMS + 2];
    }
    return (struct net_templates){
        .type = integers(g, "in.template_aatype", 0, TEMPLATES * LENGTH),
        .beta = values(g, "in.template_pseudo_beta", 0),
        .beta_mask = values(g, "in.template_pseudo_beta_mask", 0),
        .backbone = backbone,
        .backbone_mask = mask,
        .angle = values(g, "in.template_torsion_angles_sin_cos", 0),
        .other_angle = values(g, "in.template_alt_torsion_angles_sin_cos", 0),
        .angle_mask = values(g, "in.template_torsion_angles_mask", 0),
        .mask = values(g, "in.template_mask", 0)};
}

static inline struct net_truth truth_take(struct golden *g, int last)
{
    enum { CA = 1 };
    const float *xyz = values(g, "in.all_atom_positions", last);
    const float *mask = values(g, "in.all_atom_mask", last);
    float *ca = arena_zero(&g->arena, LENGTH * 3, sizeof *ca);
    float *ca_mask = arena_zero(&g->arena, LENGTH, sizeof *ca_mask);
    for (int n = 0; n < LENGTH; n++) {
        memcpy(ca + 3 * n, xyz + 3 * (n * ATOMS + CA), 3 * sizeof *ca);
        ca_mask[n] = mask[n * ATOMS + CA];
    }
    return (struct net_truth){
        .backbone = values(g, "in.backbone_rigid_tensor", last),
        .backbone_mask = values(g, "in.backbone_rigid_mask", last),
        .groups = values(g, "in.rigidgroups_gt_frames", last),
        .other_groups = values(g, "in.rigidgroups_alt_gt_frames", last),
        .groups_mask = values(g, "in.rigidgroups_gt_exists", last),
        .atoms = values(g, "in.atom14_gt_positions", last),
        .other_atoms = values(g, "in.atom14_alt_gt_positions", last),
        .atoms_mask = values(g, "in.atom14_gt_exists", last),
        .other_atoms_mask = values(g, "in.atom14_alt_gt_exists", last),
        .ambiguous = values(g, "in.atom14_atom_is_ambiguous", last),
        .exists = values(g, "in.atom14_atom_exists", last),
        .ca = ca,
        .ca_mask = ca_mask,
        .resolved = mask,
        .resolvable = values(g, "in.atom37_atom_exists", last),
        .chi = values(g, "in.chi_angles_sin_cos", last),
        .chi_mask = values(g, "in.chi_mask", last),
        .resolution = (double)*values(g, "in.resolution", last),
        .clamped = (double)*values(g, "in.use_clamped_fape", last)};
}

static inline struct net_input input_take(struct golden *g, int passes)
{
    int last = passes - 1;
    struct net_input in = {.target_feat = values(g, "in.target_feat", 0),
                           .residue_index = integers(g, "in.residue_index", 0, LENGTH),
                           .seq_mask = values(g, "in.seq_mask", 0),
                           .aatype = integers(g, "in.aatype", 0, LENGTH),
                           .templates = templates_take(g),
                           .passes = passes,
                           .true_msa = integers(g, "in.true_msa", last, ROWS * LENGTH),
                           .bert_mask = values(g, "in.bert_mask", last),
                           .pseudo_beta = values(g, "in.pseudo_beta", last),
                           .pseudo_beta_mask = values(g, "in.pseudo_beta_mask", last),
                           .truth = truth_take(g, last)};
    double length = (double)*values(g, "in.seq_length", last);
    in.weight = sqrt(fmin(length, LENGTH));
    for (int i = 0; i < passes; i++)
        in.pass[i] = (struct net_pass){
            .msa_feat = values(g, "in.msa_feat", i),
            .msa_mask = values(g, "in.msa_mask", i),
            .extra_msa = integers(g, "in.extra_msa", i, EXTRA * LENGTH),
            .extra_has_deletion = values(g, "in.extra_has_deletion", i),
            .extra_deletion = values(g, "in.extra_deletion_value", i),
            .extra_mask = values(g, "in.extra_msa_mask", i)};
    return in;
}

#endif
