/* Recycling, the extra MSA and templates against the reference: features, outputs and all
 * gradients, in float and in double. */
#include "tests/kernels/golden.h"

typedef void case_run(struct golden *g, struct backend *b);

static void run_case(const char *name, case_run *run)
{
    struct golden g;
    golden_open(&g, name);
    struct backend *backend[2] = {cpu_backend_open_double(2), golden_backend(2)};
    for (int i = 0; i < 2; i++) {
        run(&g, backend[i]);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}

static const char *where(const struct rig *r)
{
    return r->b->real == TENSOR_F64 ? "double" : "float";
}

/* A stream of zeros. */
static struct tape_stream zero_stream(struct rig *r, int64_t d0, int64_t d1, int64_t d2)
{
    struct tape_stream s = tape_stream_open(&r->tape, d0, d1, d2);
    rig_put(r->b, s.now.data, arena_zero(&r->g->arena, (size_t)(d0 * d1 * d2), sizeof(double)),
            d0 * d1 * d2);
    return s;
}

static void recycle_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct recycle recycle = recycle_declare(&r.params, "", 32, 24);
    rig_open(&r, g, b);
    struct tape_stream m = zero_stream(&r, 2, 13, 32), z = zero_stream(&r, 13, 13, 24);
    struct recycled before = {rig_constant(&r, "in.m0"), rig_constant(&r, "in.z"),
                              rig_constant(&r, "in.x")};
    recycle_run(&r.tape, &recycle, &before, &m, &z);
    const double *rows = rig_get(&r, m.now.data, 2 * 13 * 32);
    for (int i = 0; i < 13 * 32; i++)
        cr_assert(rows[13 * 32 + i] == 0, "the second row is not changed");
    double *up = arena_zero(&g->arena, 2 * 13 * 32, sizeof *up);
    memcpy(up, golden_values(g, "gout.m", NULL), 13 * 32 * sizeof *up);
    struct tensor staging = tape_constant(&r.tape, b->real, 1, 2 * 13 * 32, 1, 1, 1);
    rig_put(b, staging.data, up, 2 * 13 * 32);
    tape_seed(&r.tape, m.now, staging.data); /* cpu memory is host memory */
    golden_check(g, "out.m", rows, 13 * 32, where(&r));
    rig_check_output(&r, z.now, "out.z", "gout.z");
    tape_back(&r.tape);
    rig_close(&r);
}

Test(golden_embed, recycling_embedder)
{
    run_case("recycling_embedder", recycle_case);
}

static void extra_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct layer linear =
        linear_declare(&r.params, "", "linear", 16, EXTRA_FEATURES, INIT_LECUN);
    rig_open(&r, g, b);
    struct tensor features = extra_features_run(&r.tape, rig_integers(&r, "in.extra_msa"),
                                                rig_constant(&r, "in.extra_has_deletion"),
                                                rig_constant(&r, "in.extra_deletion_value"));
    int64_t count = tensor_count(&features);
    golden_check(g, "out.feat", rig_get(&r, features.data, count), count, where(&r));
    struct tape_stream m;
    extra_embed_run(&r.tape, linear, features, 9, &m);
    rig_check_output(&r, m.now, "out.y", "gout.y");
    tape_back(&r.tape);
    rig_close(&r);
}

Test(golden_embed, extra_msa_embedder)
{
    run_case("extra_msa_embedder", extra_case);
}

static void single_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct template_single s = template_single_declare(&r.params, "", 32);
    rig_open(&r, g, b);
    struct tape_stream y = zero_stream(&r, 2, 13, 32);
    template_single_run(&r.tape, &s, rig_constant(&r, "in.x"), y.now);
    rig_check_output(&r, y.now, "out.y", "gout.y");
    tape_back(&r.tape);
    rig_close(&r);
}

Test(golden_embed, template_single_embedder)
{
    run_case("template_single_embedder", single_case);
}

static void stack_case(struct golden *g, struct backend *b)
{
    enum { TEMPLATES = 2, LENGTH = 13, CHANNELS = 16, SIZE = LENGTH * LENGTH * CHANNELS };
    struct rig r = {0};
    struct block_sizes sizes = {.c_z = CHANNELS, .triangle_hidden = 16, .pair_heads = 2,
                                .pair_head_dims = 8, .transition_factor = 2};
    struct template_stack s = template_stack_declare(&r.params, "", &sizes, 2, 0);
    rig_open(&r, g, b);
    struct tape *t = &r.tape;
    struct masks masks = {.pair = rig_constant(&r, "in.mask")};
    masks.pair = tensor_make(masks.pair.data, b->real, 2, LENGTH, LENGTH, 1, 1);
    masks.pair_columns = mask_turn(t, masks.pair);
    const double *values = golden_values(g, "in.t", NULL);
    struct tape_stream all = zero_stream(&r, TEMPLATES, LENGTH * LENGTH, CHANNELS);
    struct tape_stream in[TEMPLATES], now[TEMPLATES];
    for (int i = 0; i < TEMPLATES; i++) {
        in[i] = tape_stream_open(t, LENGTH, LENGTH, CHANNELS);
        rig_put(b, in[i].now.data, values + i * SIZE, SIZE);
        now[i] = in[i];
    }
    for (int i = 0; i < TEMPLATES; i++)
        template_stack_run(t, &s, &masks, i, &now[i], tensor_at(all.now, i));
    const double *mask = rig_get(&r, masks.pair.data, LENGTH * LENGTH);
    double *both = arena_zero(&g->arena, TEMPLATES * LENGTH * LENGTH, sizeof *both);
    for (int i = 0; i < TEMPLATES; i++)
        memcpy(both + i * LENGTH * LENGTH, mask, LENGTH * LENGTH * sizeof *both);
    rig_check_masked(&r, all.now, "out.y", "gout.y", both);
    tape_back(t);
    double *gin = arena_zero(&g->arena, TEMPLATES * SIZE, sizeof *gin);
    for (int i = 0; i < TEMPLATES; i++)
        memcpy(gin + i * SIZE, rig_get(&r, tape_gradient(t, in[i].now).data, SIZE),
               SIZE * sizeof *gin);
    golden_check(g, "gin.t", gin, TEMPLATES * SIZE, where(&r));
    rig_close(&r);
}

Test(golden_embed, template_pair_stack)
{
    run_case("template_pair_stack", stack_case);
}

static void pointwise_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct template_attention a = template_attention_declare(&r.params, "", 16, 24, 2, 8);
    rig_open(&r, g, b);
    struct tape_stream z = rig_stream(&r, "in.z"), before = z;
    struct tape_stream templates = tape_stream_open(&r.tape, 3, 13 * 13, 16);
    rig_put(b, templates.now.data, golden_values(g, "in.t", NULL), 3 * 13 * 13 * 16);
    struct tensor any = tape_constant(&r.tape, b->real, 1, 1, 1, 1, 1);
    rig_put(b, any.data, &(double){1}, 1);
    template_attention_run(&r.tape, &a, templates.now, rig_constant(&r, "in.tmask"), any, &z);
    rig_check_update(&r, &before, &z, "z", NULL);
    rig_check_input(&r, templates.now, "gin.t");
    rig_close(&r);
}

Test(golden_embed, template_pointwise_att)
{
    run_case("template_pointwise_att", pointwise_case);
}

/* Without a template nothing is added, and nothing that says so is learnt. */
Test(golden_embed, without_templates_the_pair_representation_stays)
{
    struct golden g;
    golden_open(&g, "template_pointwise_att");
    struct backend *b = cpu_backend_open(1);
    struct rig r = {0};
    struct template_attention a = template_attention_declare(&r.params, "", 16, 24, 2, 8);
    rig_open(&r, &g, b);
    struct tape_stream z = rig_stream(&r, "in.z"), before = z;
    struct tape_stream templates = zero_stream(&r, 3, 13 * 13, 16);
    struct tensor none = tape_constant(&r.tape, b->real, 1, 3, 1, 1, 1);
    struct tensor any = tape_constant(&r.tape, b->real, 1, 1, 1, 1, 1);
    rig_put(b, none.data, (double[3]){0, 0, 0}, 3);
    rig_put(b, any.data, &(double){0}, 1);
    template_attention_run(&r.tape, &a, templates.now, none, any, &z);
    int64_t count = tensor_count(&z.now);
    const double *x = rig_get(&r, before.now.data, count), *y = rig_get(&r, z.now.data, count);
    for (int64_t i = 0; i < count; i++)
        cr_assert(x[i] == y[i], "element %lld", (long long)i);
    tape_seed_value(&r.tape, z.now, 1);
    tape_back(&r.tape);
    const double *gradient = rig_get(&r, r.gradients, r.params.size);
    for (int64_t i = 0; i < r.params.size; i++)
        cr_assert(gradient[i] == 0, "gradient %lld", (long long)i);
    rig_free(&r);
    b->close(b);
    golden_close(&g);
}

/* values[L], or [L,width] of rank 2, as a constant. */
static struct tensor template_rows(struct rig *r, const double *values, int64_t rank, int64_t width)
{
    int64_t length = 24;
    struct tensor y = rank == 1 ? tape_constant(&r->tape, r->b->real, 1, length, 1, 1, 1)
                                : tape_constant(&r->tape, r->b->real, 2, length, width, 1, 1);
    rig_put(r->b, y.data, values, length * width);
    return y;
}

/* One template's atoms out of the case's arrays. */
static struct template_atoms atoms_of(struct rig *r, int number)
{
    enum { LENGTH = 24, ATOMS = 37 };
    struct golden *g = r->g;
    const double *xyz = golden_values(g, "in.template_all_atom_positions", NULL);
    const double *known = golden_values(g, "in.template_all_atom_mask", NULL);
    const double *type = golden_values(g, "in.template_aatype", NULL);
    int32_t types[LENGTH];
    double backbone[LENGTH * 9], mask[LENGTH];
    for (int i = 0; i < LENGTH; i++) {
        int64_t n = number * LENGTH + i;
        types[i] = (int32_t)type[n];
        for (int k = 0; k < 9; k++)
            backbone[9 * i + k] = xyz[n * ATOMS * 3 + k];
        mask[i] = known[n * ATOMS] * known[n * ATOMS + 1] * known[n * ATOMS + 2];
    }
    struct template_atoms a = {
        .type = tape_constant(&r->tape, TENSOR_I32, 1, LENGTH, 1, 1, 1),
        .beta = template_rows(
            r, golden_values(g, "in.template_pseudo_beta", NULL) + number * LENGTH * 3, 2, 3),
        .beta_mask = template_rows(
            r, golden_values(g, "in.template_pseudo_beta_mask", NULL) + number * LENGTH, 1, 1),
        .backbone = template_rows(r, backbone, 2, 9),
        .mask = template_rows(r, mask, 1, 1)};
    r->b->copy_in(r->b, a.type.data, types, sizeof types);
    return a;
}

static void features_case(struct golden *g, struct backend *b)
{
    enum { TEMPLATES = 2, LENGTH = 24, SIZE = LENGTH * LENGTH * TEMPLATE_PAIR_FEATURES };
    struct rig r = {0};
    rig_open(&r, g, b);
    double *both = arena_zero(&g->arena, TEMPLATES * SIZE, sizeof *both);
    for (int unit = 0; unit < 2; unit++) {
        for (int i = 0; i < TEMPLATES; i++) {
            struct template_atoms a = atoms_of(&r, i);
            struct tensor y = template_pair_features_run(&r.tape, &a, unit);
            memcpy(both + i * SIZE, rig_get(&r, y.data, SIZE), SIZE * sizeof *both);
        }
        golden_check(g, unit ? "out.pair_unitvec" : "out.pair", both, TEMPLATES * SIZE, where(&r));
    }
    rig_close(&r);
}

static float *floats(struct golden *g, const char *key)
{
    const struct npz_array *a;
    const double *values = golden_values(g, key, &a);
    float *result = arena_zero(&g->arena, a->count, sizeof *result);
    for (uint64_t i = 0; i < a->count; i++)
        result[i] = (float)values[i];
    return result;
}

static void angles_check(struct golden *g)
{
    enum { COUNT = 2 * 24, SIZE = COUNT * TEMPLATE_ANGLE_FEATURES };
    const double *type = golden_values(g, "in.template_aatype", NULL);
    int32_t types[COUNT];
    float y[SIZE];
    double got[SIZE];
    for (int i = 0; i < COUNT; i++)
        types[i] = (int32_t)type[i];
    template_angle_features(COUNT, types, floats(g, "in.template_torsion_angles_sin_cos"),
                            floats(g, "in.template_alt_torsion_angles_sin_cos"),
                            floats(g, "in.template_torsion_angles_mask"), y);
    for (int i = 0; i < SIZE; i++)
        got[i] = (double)y[i];
    golden_check(g, "out.angle", got, SIZE, "host");
}

Test(golden_embed, template_features)
{
    struct golden g;
    golden_open(&g, "template_features");
    angles_check(&g);
    golden_close(&g);
    run_case("template_features", features_case);
}
