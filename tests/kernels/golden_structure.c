/* The structure module against the reference: outputs and all gradients, in float and double. */
#include "kernels/net/head_structure.h"
#include "kernels/net/structure.h"
#include "tests/kernels/golden.h"

typedef void case_run(struct golden *g, struct backend *b);

static void run_case(const char *name, case_run *run)
{
    struct golden g;
    golden_open(&g, name);
    struct backend *backend[2] = {cpu_backend_open_double(1), golden_backend(1)};
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

/* count rows of 12 as rows of a 4 x 4 matrix, and back: fill is what the last row holds. */
static double *as_4x4(struct rig *r, const double *x, int64_t count)
{
    double *y = arena_zero(&r->g->arena, (size_t)count * 16, sizeof *y);
    for (int64_t n = 0; n < count; n++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                y[16 * n + 4 * i + j] = i == 3 ? j == 3 : j == 3 ? x[12 * n + 9 + i]
                                                                 : x[12 * n + 3 * i + j];
    return y;
}

static double *from_4x4(struct rig *r, const double *x, int64_t count)
{
    double *y = arena_zero(&r->g->arena, (size_t)count * 12, sizeof *y);
    for (int64_t n = 0; n < count; n++)
        for (int i = 0; i < 3; i++) {
            y[12 * n + 9 + i] = x[16 * n + 4 * i + 3];
            for (int j = 0; j < 3; j++)
                y[12 * n + 3 * i + j] = x[16 * n + 4 * i + j];
        }
    return y;
}

/* An input with a gradient, of these sizes. */
static struct tensor input(struct rig *r, const char *key, int rank, int64_t d0, int64_t d1,
                           int64_t d2)
{
    struct tensor x = tape_tensor(&r->tape, rank, d0, d1, d2, 1);
    rig_put(r->b, x.data, golden_values(r->g, key, NULL), tensor_count(&x));
    return x;
}

static void seed(struct rig *r, struct tensor y, const double *up)
{
    int64_t count = tensor_count(&y);
    struct tensor staging = tape_constant(&r->tape, r->b->real, 1, count, 1, 1, 1);
    rig_put(r->b, staging.data, up, count);
    tape_seed(&r->tape, y, staging.data); /* cpu memory is host memory */
}

static void check(struct rig *r, struct tensor y, const char *key)
{
    golden_check(r->g, key, rig_get(r, y.data, tensor_count(&y)), tensor_count(&y), where(r));
}

static struct structure_sizes sizes_small(void)
{
    return (struct structure_sizes){.c_s = 40, .c_z = 24, .heads = 4, .dims = 8,
                                    .query_points = 4, .value_points = 8, .angle_channels = 16,
                                    .angle_layers = 2, .iterations = 8};
}

static void ipa_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct structure_sizes sizes = sizes_small();
    if (strcmp(g->name, "ipa_true") == 0)
        sizes.c_s = 384, sizes.c_z = 128, sizes.heads = 12, sizes.dims = 16;
    struct point_attention a = point_attention_declare(&r.params, "", &sizes);
    rig_open(&r, g, b);
    struct tensor s = input(&r, "in.s", 2, 13, sizes.c_s, 1);
    struct tensor z = input(&r, "in.z", 3, 13, 13, sizes.c_z);
    struct tensor rot = input(&r, "in.rot", 2, 13, 9, 1);
    struct tensor trans = input(&r, "in.trans", 2, 13, 3, 1);
    const double *mask = golden_values(g, "in.mask", NULL);
    struct tensor y =
        point_attention_run(&r.tape, &a, &sizes, s, z, rot, trans, rig_constant(&r, "in.mask"));
    double *got = rig_get(&r, y.data, 13 * sizes.c_s), *up = golden_values(g, "gout.y", NULL);
    golden_mask(got, 13 * sizes.c_s, mask, sizes.c_s);
    golden_mask(up, 13 * sizes.c_s, mask, sizes.c_s);
    golden_check(g, "out.y", got, 13 * sizes.c_s, where(&r));
    seed(&r, y, up);
    tape_back(&r.tape);
    rig_check_input(&r, s, "gin.s");
    rig_check_input(&r, z, "gin.z");
    rig_check_input(&r, rot, "gin.rot");
    rig_check_input(&r, trans, "gin.trans");
    rig_close(&r);
}

Test(golden_structure, ipa)
{
    run_case("ipa", ipa_case);
}

Test(golden_structure, ipa_true)
{
    run_case("ipa_true", ipa_case);
}

static void transition_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct structure_transition a = structure_transition_declare(&r.params, "", 40);
    rig_open(&r, g, b);
    struct tensor s = input(&r, "in.s", 2, 13, 40, 1);
    struct tensor y = structure_transition_run(&r.tape, &a, s, 0.1, 0);
    check(&r, y, "out.y");
    seed(&r, y, golden_values(g, "gout.y", NULL));
    tape_back(&r.tape);
    rig_check_input(&r, s, "gin.s");
    rig_close(&r);
}

Test(golden_structure, transition)
{
    run_case("sm_transition", transition_case);
}

static void angle_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct structure_sizes sizes = sizes_small();
    struct angle_net a = angle_net_declare(&r.params, "", &sizes);
    rig_open(&r, g, b);
    struct tensor s = input(&r, "in.s", 2, 13, 40, 1), s0 = input(&r, "in.s0", 2, 13, 40, 1);
    struct tensor raw = tape_tensor(&r.tape, 3, 13, 7, 2, 1);
    struct tensor angle = tape_tensor(&r.tape, 3, 13, 7, 2, 1);
    angle_net_run(&r.tape, &a, s, s0, raw, angle);
    check(&r, raw, "out.unnormalized");
    check(&r, angle, "out.angles");
    seed(&r, raw, golden_values(g, "gout.unnormalized", NULL));
    seed(&r, angle, golden_values(g, "gout.angles", NULL));
    tape_back(&r.tape);
    rig_check_input(&r, s, "gin.s");
    rig_check_input(&r, s0, "gin.s0");
    rig_close(&r);
}

Test(golden_structure, angle_resnet)
{
    run_case("angle_resnet", angle_case);
}

static void update_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct layer linear = linear_declare(&r.params, "", "linear", 6, 40, INIT_ZERO);
    rig_open(&r, g, b);
    struct tensor s = input(&r, "in.s", 2, 13, 40, 1);
    struct tensor quat = input(&r, "in.quat", 2, 13, 4, 1);
    struct tensor trans = input(&r, "in.trans", 2, 13, 3, 1);
    struct op_frame_update a = {
        .quat = quat, .trans = trans, .update = linear_run(&r.tape, linear, s)};
    a.new_quat = tape_tensor(&r.tape, 2, 13, 4, 1, 1);
    a.new_rot = tape_tensor(&r.tape, 2, 13, 9, 1, 1);
    a.new_trans = tape_tensor(&r.tape, 2, 13, 3, 1, 1);
    tape_frame_update(&r.tape, a);
    check(&r, a.new_quat, "out.quat");
    check(&r, a.new_rot, "out.rot");
    check(&r, a.new_trans, "out.trans");
    seed(&r, a.new_quat, golden_values(g, "gout.quat", NULL));
    seed(&r, a.new_rot, golden_values(g, "gout.rot", NULL));
    seed(&r, a.new_trans, golden_values(g, "gout.trans", NULL));
    tape_back(&r.tape);
    rig_check_input(&r, s, "gin.s");
    rig_check_input(&r, quat, "gin.quat");
    rig_check_input(&r, trans, "gin.trans");
    rig_close(&r);
}

Test(golden_structure, backbone_update)
{
    run_case("backbone_update", update_case);
}

/* The reference's tables, of the case torsion_to_atom14. */
static struct residue_tables tables(struct rig *r, struct golden *from)
{
    struct tape *t = &r->tape;
    struct residue_tables x = {.base = tape_constant(t, r->b->real, 3, 21, 8, 12, 1),
                               .group = tape_constant(t, TENSOR_I32, 2, 21, 14, 1, 1),
                               .place = tape_constant(t, r->b->real, 3, 21, 14, 3, 1),
                               .exists = tape_constant(t, r->b->real, 2, 21, 14, 1, 1)};
    const double *group = golden_values(from, "cfg.atom14_group", NULL);
    rig_put(r->b, x.base.data, from_4x4(r, golden_values(from, "cfg.default_frame", NULL), 168),
            168 * 12);
    rig_put(r->b, x.place.data, golden_values(from, "cfg.atom14_pos", NULL), 21 * 42);
    rig_put(r->b, x.exists.data, golden_values(from, "cfg.atom14_mask", NULL), 21 * 14);
    for (int i = 0; i < 21 * 14; i++)
        ((int32_t *)x.group.data)[i] = (int32_t)group[i];
    return x;
}

static void atoms_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    rig_open(&r, g, b);
    struct residue_tables x = tables(&r, g);
    struct op_atoms a = {.rot = input(&r, "in.rot", 2, 24, 9, 1),
                         .trans = input(&r, "in.trans", 2, 24, 3, 1),
                         .angle = input(&r, "in.ang", 3, 24, 7, 2),
                         .aatype = rig_integers(&r, "in.aatype"),
                         .base = x.base, .group = x.group, .place = x.place, .exists = x.exists,
                         .frame = tape_tensor(&r.tape, 3, 24, 8, 12, 1),
                         .atom = tape_tensor(&r.tape, 3, 24, 14, 3, 1),
                         .unit = 1};
    tape_atoms(&r.tape, a);
    check(&r, a.atom, "out.atom14");
    golden_check(g, "out.frames", as_4x4(&r, rig_get(&r, a.frame.data, 24 * 96), 192), 24 * 128,
                 where(&r));
    seed(&r, a.atom, golden_values(g, "gout.atom14", NULL));
    seed(&r, a.frame, from_4x4(&r, golden_values(g, "gout.frames", NULL), 192));
    tape_back(&r.tape);
    rig_check_input(&r, a.rot, "gin.rot");
    rig_check_input(&r, a.trans, "gin.trans");
    rig_check_input(&r, a.angle, "gin.ang");
    rig_close(&r);
}

Test(golden_structure, torsion_to_atom14)
{
    run_case("torsion_to_atom14", atoms_case);
}

/* got[I,N,width] against the key, padded residues left out on both sides; seeds y. */
static void check_valid(struct rig *r, struct tensor y, double *got, const char *name,
                        const double *mask)
{
    const struct npz_array *array;
    char key[64];
    snprintf(key, sizeof key, "gout.%s", name);
    double *up = golden_values(r->g, key, &array);
    int64_t count = (int64_t)array->count, width = count / (8 * 24);
    for (int64_t i = 0; i < count; i++) {
        got[i] *= mask[i / width % 24];
        up[i] *= mask[i / width % 24];
    }
    snprintf(key, sizeof key, "out.%s", name);
    double *wanted = golden_values(r->g, key, NULL), error = 0, square = 0, rms, own;
    golden_manifest(r->g, key, &rms, &own);
    for (int64_t i = 0; i < count; i++) {
        double d = (got[i] - wanted[i]) * mask[i / width % 24];
        error += d * d;
        square += wanted[i] * wanted[i] * mask[i / width % 24];
    }
    double limit = 8 * own > 2e-6 ? 8 * own : 2e-6;
    cr_assert(sqrt(error / square) <= limit, "%s (%s): %.3g, limit %.3g", key, where(r),
              sqrt(error / square), limit);
    if (y.rank == 4 && y.dim[3] == 12)
        up = from_4x4(r, up, 8 * 24 * 8);
    if (strcmp(name, "frames") != 0)
        seed(r, y, up);
}

/* The reference gives frames as quaternion and translation in Angstrom. */
static void check_frames(struct rig *r, const struct structure_out *out, const double *mask)
{
    enum { COUNT = 8 * 24 };
    double *got = arena_zero(&r->g->arena, COUNT * 7, sizeof *got);
    const double *quat = rig_get(r, out->quat.data, COUNT * 4);
    const double *trans = rig_get(r, out->trans.data, COUNT * 3);
    double *up = golden_values(r->g, "gout.frames", NULL);
    double *up_quat = arena_zero(&r->g->arena, COUNT * 4, sizeof *up_quat);
    double *up_trans = arena_zero(&r->g->arena, COUNT * 3, sizeof *up_trans);
    for (int64_t n = 0; n < COUNT; n++)
        for (int i = 0; i < 7; i++) {
            double v = up[7 * n + i] * mask[n % 24];
            got[7 * n + i] = i < 4 ? quat[4 * n + i] : trans[3 * n + i - 4] * STRUCTURE_UNIT;
            if (i < 4)
                up_quat[4 * n + i] = v;
            else
                up_trans[3 * n + i - 4] = v * STRUCTURE_UNIT;
        }
    check_valid(r, out->quat, got, "frames", mask);
    seed(r, out->quat, up_quat);
    seed(r, out->trans, up_trans);
}

static void whole_case(struct golden *g, struct backend *b, struct golden *facts)
{
    struct rig r = {0};
    struct structure_sizes sizes = sizes_small();
    struct structure_net a = structure_net_declare(&r.params, "", &sizes);
    a.every = true;
    rig_open(&r, g, b);
    struct residue_tables x = tables(&r, facts);
    struct tape_stream z = rig_stream(&r, "in.z");
    double *mask = golden_values(g, "in.mask", NULL);
    /* the gradient of s outlives the module: it is the pass's, as of a stream */
    struct tape_stream first = tape_stream_open(&r.tape, 1, 24, 40);
    rig_put(b, first.now.data, golden_values(g, "in.s", NULL), 24 * 40);
    struct tensor s = tensor_rows(first.now);
    struct structure_out out = structure_net_run(&r.tape, &a, s, &z, rig_integers(&r, "in.aatype"),
                                                 rig_constant(&r, "in.mask"), &x);
    check_frames(&r, &out, mask);
    check_valid(&r, out.raw, rig_get(&r, out.raw.data, 8 * 24 * 14), "unnormalized_angles", mask);
    check_valid(&r, out.angle, rig_get(&r, out.angle.data, 8 * 24 * 14), "angles", mask);
    check_valid(&r, out.atom, rig_get(&r, out.atom.data, 8 * 24 * 42), "positions", mask);
    check_valid(&r, out.frame, as_4x4(&r, rig_get(&r, out.frame.data, 8 * 24 * 96), 8 * 24 * 8),
                "sidechain_frames", mask);
    double *states = golden_values(g, "gout.states", NULL);
    const double *single = golden_values(g, "gout.single", NULL);
    for (int i = 0; i < 24 * 40; i++)
        states[7 * 24 * 40 + i] += single[i];
    for (int i = 0; i < 8 * 24 * 40; i++)
        states[i] *= mask[i / 40 % 24];
    seed(&r, out.single, states);
    tape_back(&r.tape);
    rig_check_input(&r, first.now, "gin.s");
    rig_check_input(&r, z.now, "gin.z");
    rig_close(&r);
}

Test(golden_structure, the_whole_module)
{
    struct golden g, facts;
    golden_open(&g, "structure_module");
    golden_open(&facts, "torsion_to_atom14");
    struct backend *backend[2] = {cpu_backend_open_double(1), golden_backend(1)};
    for (int i = 0; i < 2; i++) {
        whole_case(&g, backend[i], &facts);
        backend[i]->close(backend[i]);
    }
    golden_close(&facts);
    golden_close(&g);
}

static void plddt_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct plddt_head h = plddt_head_declare(&r.params, "", 40, 16);
    rig_open(&r, g, b);
    struct tensor s = input(&r, "in.s", 2, 13, 40, 1);
    struct tensor y = plddt_head_run(&r.tape, &h, s);
    check(&r, y, "out.logits");
    const double *x = rig_get(&r, y.data, 13 * 50), *of = golden_values(g, "gout.plddt", NULL);
    double *up = golden_values(g, "gout.logits", NULL), plddt[13];
    plddt_values(13, x, plddt);
    golden_check(g, "out.plddt", plddt, 13, where(&r));
    for (int n = 0; n < 13; n++) { /* the case also differentiates pLDDT itself */
        double sum = 0;
        for (int k = 0; k < 50; k++)
            sum += exp(x[50 * n + k]);
        for (int k = 0; k < 50; k++)
            up[50 * n + k] +=
                of[n] * exp(x[50 * n + k]) / sum * (100 * (k + 0.5) / 50 - plddt[n]);
    }
    seed(&r, y, up);
    tape_back(&r.tape);
    rig_check_input(&r, s, "gin.s");
    rig_close(&r);
}

Test(golden_structure, head_plddt)
{
    run_case("head_plddt", plddt_case);
}

static void linear_head_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    bool pairs = strcmp(g->name, "head_tm") == 0;
    struct layer linear = pairs ? aligned_head_declare(&r.params, "", 24)
                                : resolved_head_declare(&r.params, "", 40);
    rig_open(&r, g, b);
    struct tensor x = pairs ? input(&r, "in.z", 2, 169, 24, 1) : input(&r, "in.s", 2, 13, 40, 1);
    struct tensor y = linear_run(&r.tape, linear, x);
    check(&r, y, pairs ? "out.logits" : "out.y");
    seed(&r, y, golden_values(g, pairs ? "gout.logits" : "gout.y", NULL));
    tape_back(&r.tape);
    rig_check_input(&r, x, pairs ? "gin.z" : "gin.s");
    rig_close(&r);
}

Test(golden_structure, head_tm)
{
    run_case("head_tm", linear_head_case);
}

Test(golden_structure, head_exp_resolved)
{
    run_case("head_exp_resolved", linear_head_case);
}
