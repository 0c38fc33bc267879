/* The whole trunk: its activations against the reference, its gradients against differences, and
 * that running blocks again in reverse changes no bit. */
#include "engine/base/rng.h"
#include "tests/kernels/golden.h"

#include "kernels/net/trunk.h"

static struct trunk_sizes tiny_sizes(void)
{
    struct block_sizes main = {.c_m = 32, .c_z = 24, .heads = 4, .head_dims = 8,
                               .outer_hidden = 8, .triangle_hidden = 16, .pair_heads = 2,
                               .pair_head_dims = 8, .transition_factor = 4,
                               .columns = COLUMNS_FULL};
    struct trunk_sizes s = {.main = main, .extra = main, .template = main, .c_s = 40,
                            .blocks = 2, .extra_blocks = 1, .template_blocks = 1,
                            .template_heads = 2, .template_head_dims = 8, .keep_blocks = -1,
                            .keep_extra = -1};
    s.extra.c_m = 16, s.extra.head_dims = 4, s.extra.columns = COLUMNS_GLOBAL;
    s.template.c_z = 16, s.template.transition_factor = 2;
    return s;
}

/* Values on the host, as a real constant of these sizes. */
static struct tensor constant(struct rig *r, const double *values, int rank, int64_t d0,
                              int64_t d1, int64_t d2)
{
    struct tensor t = tape_constant(&r->tape, r->b->real, rank, d0, d1, d2, 1);
    rig_put(r->b, t.data, values, tensor_count(&t));
    return t;
}

static struct tensor integers(struct rig *r, const double *values, int rank, int64_t d0,
                              int64_t d1)
{
    struct tensor t = tape_constant(&r->tape, TENSOR_I32, rank, d0, d1, 1, 1);
    int32_t *numbers = arena_zero(&r->g->arena, (size_t)(d0 * d1), sizeof *numbers);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        numbers[i] = (int32_t)values[i];
    r->b->copy_in(r->b, t.data, numbers, (size_t)tensor_count(&t) * sizeof *numbers);
    return t;
}

enum { LENGTH = 24, ROWS = 5, EXTRA = 7, TEMPLATES = 2 };

/* The case's templates. */
static void templates_take(struct rig *r, struct trunk_pass *p)
{
    enum { ATOMS = 37, COUNT = TEMPLATES * LENGTH };
    struct golden *g = r->g;
    const double *xyz = golden_values(g, "in.template_all_atom_positions", NULL);
    const double *known = golden_values(g, "in.template_all_atom_mask", NULL);
    const double *type = golden_values(g, "in.template_aatype", NULL);
    const double *beta = golden_values(g, "in.template_pseudo_beta", NULL);
    const double *beta_mask = golden_values(g, "in.template_pseudo_beta_mask", NULL);
    const double *angles = golden_values(g, "in.template_torsion_angles_sin_cos", NULL);
    const double *other = golden_values(g, "in.template_alt_torsion_angles_sin_cos", NULL);
    const double *angle_mask = golden_values(g, "in.template_torsion_angles_mask", NULL);
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
    const double *template_mask = golden_values(g, "in.template_mask", NULL);
    for (int i = 0; i < TEMPLATES; i++) {
        int n = i * LENGTH;
        any = template_mask[i] > 0 ? 1 : any;
        p->atoms[i] = (struct template_atoms){
            .type = integers(r, type + n, 1, LENGTH, 1),
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

/* The sample of the reference's small model, in its first pass. */
static struct trunk_pass pass_take(struct rig *r)
{
    struct golden *g = r->g;
    struct trunk_pass p = {0};
    templates_take(r, &p);
    const double *seq_mask = golden_values(g, "in.seq_mask", NULL);
    const double *angle_mask = golden_values(g, "in.template_torsion_angles_mask", NULL);
    double mask[(ROWS + TEMPLATES) * LENGTH], pair[LENGTH * LENGTH];
    memcpy(mask, golden_values(g, "in.msa_mask", NULL), ROWS * LENGTH * sizeof *mask);
    for (int n = 0; n < TEMPLATES * LENGTH; n++)
        mask[ROWS * LENGTH + n] = angle_mask[7 * n + 2];
    for (int i = 0; i < LENGTH; i++)
        for (int j = 0; j < LENGTH; j++)
            pair[i * LENGTH + j] = seq_mask[i] * seq_mask[j];
    p.target = constant(r, golden_values(g, "in.target_feat", NULL), 2, LENGTH, TARGET_FEATURES, 1);
    p.index = integers(r, golden_values(g, "in.residue_index", NULL), 1, LENGTH, 1);
    p.msa = constant(r, golden_values(g, "in.msa_feat", NULL), 3, ROWS, LENGTH, MSA_FEATURES);
    p.msa_mask = constant(r, mask, 2, ROWS + TEMPLATES, LENGTH, 1);
    p.pair_mask = constant(r, pair, 2, LENGTH, LENGTH, 1);
    p.extra_msa = integers(r, golden_values(g, "in.extra_msa", NULL), 2, EXTRA, LENGTH);
    p.extra_has =
        constant(r, golden_values(g, "in.extra_has_deletion", NULL), 2, EXTRA, LENGTH, 1);
    p.extra_deletion =
        constant(r, golden_values(g, "in.extra_deletion_value", NULL), 2, EXTRA, LENGTH, 1);
    p.extra_mask = constant(r, golden_values(g, "in.extra_msa_mask", NULL), 2, EXTRA, LENGTH, 1);
    const double *zeros = arena_zero(&g->arena, LENGTH * LENGTH * 24, sizeof *zeros);
    p.before = (struct recycled){constant(r, zeros, 2, LENGTH, 32, 1),
                                 constant(r, zeros, 3, LENGTH, LENGTH, 24),
                                 constant(r, zeros, 2, LENGTH, 3, 1)};
    return p;
}

/* The first values of x against the reference's activation. */
static void check(struct rig *r, struct tensor x, int64_t count, const char *key)
{
    golden_check(r->g, key, rig_get(r, x.data, count), count,
                 r->b->real == TENSOR_F64 ? "double" : "float");
}

static void activations_case(struct golden *g, struct backend *b)
{
    enum { PAIR = LENGTH * LENGTH * 24, SINGLE = LENGTH * 32 };
    struct rig r = {0};
    struct trunk_sizes sizes = tiny_sizes();
    struct trunk *trunk = arena_zero(&g->arena, 1, sizeof *trunk);
    trunk_declare(&r.params, &sizes, trunk);
    rig_open(&r, g, b);
    struct trunk_pass p = pass_take(&r);
    struct tape_stream m, z, s, before;
    char key[64];
    trunk_embed_run(&r.tape, trunk, &p, &m, &z);
    before = z;
    double *old = rig_get(&r, before.now.data, PAIR);
    trunk_templates_run(&r.tape, trunk, &p, &m, &z);
    double *now = rig_get(&r, z.now.data, PAIR);
    for (int i = 0; i < PAIR; i++)
        now[i] -= old[i];
    golden_check(g, "act.template.template_pair_embedding", now, PAIR, "its share");
    check(&r, tensor_range(m.now, ROWS, TEMPLATES), TEMPLATES * SINGLE,
          "act.template.template_single_embedding");
    trunk_extra_run(&r.tape, trunk, &p, &z);
    check(&r, z.now, PAIR, "act.extra_msa_stack");
    for (int i = 0; i < sizes.blocks; i++) {
        trunk_block_run(&r.tape, trunk, &p, i, &m, &z);
        snprintf(key, sizeof key, "act.evoformer.%d.m", i);
        check(&r, m.now, (ROWS + TEMPLATES) * SINGLE, key);
        snprintf(key, sizeof key, "act.evoformer.%d.z", i);
        check(&r, z.now, PAIR, key);
    }
    single_run(&r.tape, trunk->single, &m, &s);
    check(&r, m.now, ROWS * SINGLE, "out.msa");
    check(&r, z.now, PAIR, "out.pair");
    check(&r, s.now, LENGTH * 40, "out.single");
    rig_free(&r);
}

Test(trunk, activations_are_those_of_the_reference)
{
    struct golden g;
    golden_open(&g, "tiny_model_r0");
    struct backend *backend[2] = {cpu_backend_open_double(2), cpu_backend_open(2)};
    for (int i = 0; i < 2; i++) {
        activations_case(&g, backend[i]);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}

/* The published sizes: parameters of the trunk, as counted on the reference. */
Test(trunk, the_published_network_has_its_parameters)
{
    struct trunk_sizes sizes = trunk_sizes_published();
    struct trunk *trunk = calloc(1, sizeof *trunk);
    struct params params;
    cr_assert(trunk != NULL, "memory");
    params_open(&params);
    trunk_declare(&params, &sizes, trunk);
    int64_t count = 0;
    for (int i = 0; i < params.count; i++)
        count += params.item[i].count;
    int64_t wanted = 33024 + 2816 + 329408 + 1664 + 2805248 + 87936384;
    cr_assert(count == wanted, "%lld parameters, wanted %lld", (long long)count,
              (long long)wanted);
    cr_assert(params.count == 10 + 6 + 129 + 2 + 372 + 4466, "%d tensors", params.count);
    params_close(&params);
    free(trunk);
}
