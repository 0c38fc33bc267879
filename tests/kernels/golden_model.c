/* The whole network against the reference's small model: what every pass recycles, representations,
 * structure and head logits of the last one. */
#include "kernels/net/model.h"
#include "tests/kernels/tiny_model.h"

enum { PASSES_MAX = 3, C_M = 32, C_Z = 24, C_S = 40 };

static struct model_sizes tiny_model_sizes(void)
{
    return (struct model_sizes){.trunk = tiny_trunk_sizes(),
                                .structure = {.c_s = C_S, .c_z = C_Z, .heads = 4, .dims = 8,
                                              .query_points = 4, .value_points = 8,
                                              .angle_channels = 16, .angle_layers = 2,
                                              .iterations = 8},
                                .plddt_hidden = 16};
}

/* Facts by residue type, of the case that holds them. */
static struct residue_tables tables_take(struct rig *r, struct golden *from)
{
    double base[21 * 8 * 12];
    const double *frame = golden_values(from, "cfg.default_frame", NULL);
    for (int n = 0; n < 21 * 8; n++)
        for (int i = 0; i < 12; i++)
            base[12 * n + i] = i < 9 ? frame[16 * n + 4 * (i / 3) + i % 3]
                                     : frame[16 * n + 4 * (i - 9) + 3];
    return (struct residue_tables){
        .base = constant(r, base, 3, 21, 8, 12),
        .group = integers(r, golden_values(from, "cfg.atom14_group", NULL), 2, 21, 14),
        .place = constant(r, golden_values(from, "cfg.atom14_pos", NULL), 3, 21, 14, 3),
        .exists = constant(r, golden_values(from, "cfg.atom14_mask", NULL), 2, 21, 14, 1)};
}

static struct model_pass model_pass_take(struct rig *r, int number, struct golden *facts)
{
    enum { GLYCINE = 7, CA = 1, CB = 4 };
    struct model_pass p = {.trunk = tiny_pass(r, number)};
    const double *type = tiny_values(r, "in.aatype", number);
    double beta[LENGTH];
    for (int i = 0; i < LENGTH; i++)
        beta[i] = (int)type[i] == GLYCINE ? CA : CB;
    p.aatype = integers(r, type, 1, LENGTH, 1);
    p.seq_mask = constant(r, tiny_values(r, "in.seq_mask", number), 1, LENGTH, 1, 1);
    p.beta_atom = integers(r, beta, 1, LENGTH, 1);
    p.tables = tables_take(r, facts);
    return p;
}

/* x[rows,L,width] against the array where the residues are, or the pairs of them: what padding
 * holds is not defined. */
static void check_valid(struct rig *r, struct tensor x, const char *key, int64_t rows,
                        const double *mask, bool pairs)
{
    const struct npz_array *a;
    const double *wanted = golden_values(r->g, key, &a);
    int64_t count = (int64_t)a->count, width = count / rows / LENGTH;
    const double *got = rig_get(r, x.data, count);
    double error = 0, square = 0;
    for (int64_t i = 0; i < count; i++) {
        if (mask[i / width % LENGTH] == 0 || (pairs && mask[i / width / LENGTH] == 0))
            continue;
        error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
        square += wanted[i] * wanted[i];
    }
    cr_assert(square > 0 && sqrt(error / square) < (r->b->real == TENSOR_F64 ? 2e-6 : 1e-4),
              "%s %s: rms error / rms %.3g", r->g->name, key, sqrt(error / square));
}

/* The reference's backbone: quaternion and translation in Angstrom; ours are in units of 10. */
static void check_frames(struct rig *r, const struct structure_out *out, const double *mask)
{
    const double *wanted = golden_values(r->g, "out.sm.frames", NULL);
    const double *quat = rig_get(r, out->quat.data, 8 * LENGTH * 4);
    const double *trans = rig_get(r, out->trans.data, 8 * LENGTH * 3);
    double worst = 0;
    for (int n = 0; n < 8 * LENGTH; n++) {
        for (int i = 0; i < 4 && mask[n % LENGTH] > 0; i++)
            worst = fmax(worst, fabs(quat[4 * n + i] - wanted[7 * n + i]));
        for (int i = 0; i < 3 && mask[n % LENGTH] > 0; i++)
            worst = fmax(worst, fabs(STRUCTURE_UNIT * trans[3 * n + i] - wanted[7 * n + 4 + i]));
    }
    cr_assert(worst < (r->b->real == TENSOR_F64 ? 1e-4 : 2e-3), "%s: frames differ by %g",
              r->g->name, worst);
}

static struct recycled recycled_make(struct backend *b)
{
    size_t size = tensor_kind_bytes(b->real);
    struct recycled x = {tensor_make(NULL, b->real, 2, LENGTH, C_M, 1, 1),
                         tensor_make(NULL, b->real, 3, LENGTH, LENGTH, C_Z, 1),
                         tensor_make(NULL, b->real, 2, LENGTH, 3, 1, 1)};
    struct tensor *all[3] = {&x.m, &x.z, &x.beta};
    for (int i = 0; i < 3; i++) {
        all[i]->data = b->alloc(b, (size_t)tensor_count(all[i]) * size);
        cr_assert(all[i]->data != NULL, "memory");
        b->ops.fill(b, &(struct op_fill){.y = tensor_flat(*all[i])});
    }
    return x;
}

static void model_case(struct golden *g, struct golden *facts, struct backend *b, int passes)
{
    struct rig r = {0};
    struct model_sizes sizes = tiny_model_sizes();
    struct model *model = arena_zero(&g->arena, 1, sizeof *model);
    model_declare(&r.params, &sizes, model);
    model->structure.every = true; /* the case has all iterations */
    cr_assert(r.params.count == 429, "%d parameters, wanted 429", r.params.count);
    rig_open(&r, g, b);
    struct recycled before = recycled_make(b);
    struct model_pass p = {0};
    for (int i = 0; i < passes; i++) {
        tape_reset(&r.tape, false);
        p = model_pass_take(&r, i, facts);
        p.trunk.before = before;
        model_run(&r.tape, model, &p);
        if (i + 1 < passes)
            model_recycle(&r.tape, &p, &before);
    }
    model_heads_run(&r.tape, model, &p);
    const double *mask = tiny_values(&r, "in.seq_mask", passes - 1);
    check_valid(&r, p.m.now, "out.msa", 5, mask, false);
    check_valid(&r, p.z.now, "out.pair", LENGTH, mask, true);
    check_valid(&r, p.s.now, "out.single", 1, mask, false);
    check_frames(&r, &p.structure, mask);
    check_valid(&r, p.structure.atom, "out.sm.positions", 8, mask, false);
    check_valid(&r, p.distogram, "out.distogram_logits", LENGTH, mask, true);
    check_valid(&r, p.masked_msa, "out.masked_msa_logits", 5, mask, false);
    check_valid(&r, p.plddt, "out.lddt_logits", 1, mask, false);
    check_valid(&r, p.resolved, "out.experimentally_resolved_logits", 1, mask, false);
    b->release(b, before.m.data), b->release(b, before.z.data), b->release(b, before.beta.data);
    rig_free(&r);
}

static void model_cases(const char *name, int passes)
{
    struct golden g, facts;
    golden_open(&g, name);
    golden_open(&facts, "torsion_to_atom14");
    struct backend *backend[2] = {cpu_backend_open_double(2), golden_backend(2)};
    for (int i = 0; i < 2; i++) {
        model_case(&g, &facts, backend[i], passes);
        backend[i]->close(backend[i]);
    }
    golden_close(&facts);
    golden_close(&g);
}

Test(golden_model, one_pass)
{
    model_cases("tiny_model_r0", 1);
}

Test(golden_model, three_passes_with_padding)
{
    model_cases("tiny_model_r2_pad", 3);
}

Test(golden_model, the_published_network_has_its_parameters)
{
    struct params params;
    struct model_sizes sizes = model_sizes_published();
    struct model *model = calloc(1, sizeof *model);
    int64_t count = 0;
    cr_assert(model != NULL, "memory");
    params_open(&params);
    model_declare(&params, &sizes, model);
    for (int i = 0; i < params.count; i++)
        count += params.item[i].count;
    cr_assert(count == 93229082, "%lld parameters", (long long)count);
    params_close(&params);
    free(model);
}
