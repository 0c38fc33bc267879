/* Losses behind the structure module against the reference: values and gradients, in float and
 * double. */
#include "kernels/net/targets.h"
#include "tests/kernels/golden.h"

enum { LENGTH = 24, SLOTS = 14, ATOMS = 37, CA = 1 };

static const char *where(const struct rig *r)
{
    return r->b->real == TENSOR_F64 ? "double" : "float";
}

static float *floats(struct rig *r, const char *key)
{
    const struct npz_array *a;
    const double *x = golden_values(r->g, key, &a);
    float *y = arena_zero(&r->g->arena, a->count, sizeof *y);
    for (uint64_t i = 0; i < a->count; i++)
        y[i] = (float)x[i];
    return y;
}

/* An array with a gradient, of these sizes; and host numbers as a constant. */
static struct tensor input(struct rig *r, const char *key, int rank, int64_t d0, int64_t d1,
                           int64_t d2, int64_t d3)
{
    struct tensor x = tape_tensor(&r->tape, rank, d0, d1, d2, d3);
    rig_put(r->b, x.data, golden_values(r->g, key, NULL), tensor_count(&x));
    return x;
}

static struct tensor constant(struct rig *r, const float *values, int rank, int64_t d0, int64_t d1,
                              int64_t d2)
{
    struct tensor t = tape_constant(&r->tape, r->b->real, rank, d0, d1, d2, 1);
    double *wide = arena_zero(&r->g->arena, (size_t)tensor_count(&t), sizeof *wide);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        wide[i] = (double)values[i];
    rig_put(r->b, t.data, wide, tensor_count(&t));
    return t;
}

static struct tensor integers(struct rig *r, const int32_t *values, int64_t count)
{
    struct tensor t = tape_constant(&r->tape, TENSOR_I32, 1, count, 1, 1, 1);
    r->b->copy_in(r->b, t.data, values, (size_t)count * sizeof *values);
    return t;
}

/* The sum of y against the case, and backward from there. */
static void check_loss(struct rig *r, struct tensor y, const char *out, const char *gout)
{
    double sum = 0;
    const double *x = rig_get(r, y.data, tensor_count(&y));
    for (int64_t i = 0; i < tensor_count(&y); i++)
        sum += x[i];
    golden_check(r->g, out, &sum, 1, where(r));
    tape_seed_value(&r->tape, y, *golden_values(r->g, gout, NULL));
    tape_back(&r->tape);
}

static void plddt_case(struct rig *r)
{
    float predicted[LENGTH * 3], truth[LENGTH * 3], mask[LENGTH], weight[LENGTH];
    const float *pred = floats(r, "in.pred"), *pos = floats(r, "in.pos"), *am = floats(r, "in.am");
    double lddt[LENGTH];
    int32_t bin[LENGTH];
    for (int n = 0; n < LENGTH; n++) {
        memcpy(predicted + 3 * n, pred + 3 * (n * ATOMS + CA), 3 * sizeof *pred);
        memcpy(truth + 3 * n, pos + 3 * (n * ATOMS + CA), 3 * sizeof *pos);
        mask[n] = am[n * ATOMS + CA];
    }
    lddt_ca(LENGTH, predicted, truth, mask, lddt);
    golden_check(r->g, "out.lddt_ca", lddt, LENGTH, where(r));
    plddt_targets(LENGTH, lddt, mask, *golden_values(r->g, "in.res", NULL), bin, weight);
    struct tensor x = input(r, "in.logits", 2, LENGTH, 50, 1, 1);
    struct tensor loss =
        loss_run(&r->tape, x, integers(r, bin, LENGTH), constant(r, weight, 1, LENGTH, 1, 1));
    check_loss(r, loss, "out.loss", "gout.loss");
    rig_check_input(r, x, "gin.logits");
}

static void resolved_case(struct rig *r)
{
    enum { ALL = LENGTH * ATOMS };
    float weight[ALL];
    resolved_weights(ALL, floats(r, "in.ex"), *golden_values(r->g, "in.res", NULL), weight);
    struct tensor x = input(r, "in.logits", 1, ALL, 1, 1, 1);
    struct tensor y = tape_tensor(&r->tape, 1, ALL, 1, 1, 1);
    tape_binary_xent(&r->tape,
                     (struct op_binary_xent){.x = x,
                                             .target = tensor_flat(rig_constant(r, "in.am")),
                                             .weight = constant(r, weight, 1, ALL, 1, 1),
                                             .y = y});
    check_loss(r, y, "out.y", "gout.y");
    rig_check_input(r, x, "gin.logits");
}

/* The rotation of a quaternion (w,x,y,z). */
static void quat_rotation(const double *q, float *r)
{
    double w = q[0], x = q[1], y = q[2], z = q[3];
    double turn[9] = {w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y),
                      2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x),
                      2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z};
    for (int i = 0; i < 9; i++)
        r[i] = (float)turn[i];
}

static void aligned_error_case(struct rig *r)
{
    enum { PAIRS = LENGTH * LENGTH };
    float rot[LENGTH * 9], trans[LENGTH * 3], true_rot[LENGTH * 9], true_trans[LENGTH * 3];
    const double *frame = golden_values(r->g, "in.aff", NULL);
    const double *gt = golden_values(r->g, "in.gt", NULL);
    static int32_t bin[PAIRS];
    static float weight[PAIRS];
    for (int n = 0; n < LENGTH; n++) {
        quat_rotation(frame + 7 * n, rot + 9 * n);
        for (int i = 0; i < 3; i++) {
            trans[3 * n + i] = (float)frame[7 * n + 4 + i];
            true_trans[3 * n + i] = (float)gt[16 * n + 4 * i + 3];
            for (int j = 0; j < 3; j++)
                true_rot[9 * n + 3 * i + j] = (float)gt[16 * n + 4 * i + j];
        }
    }
    aligned_error_targets(LENGTH, rot, trans, true_rot, true_trans, floats(r, "in.gm"),
                          *golden_values(r->g, "in.res", NULL), bin, weight);
    struct tensor x = input(r, "in.logits", 2, PAIRS, 64, 1, 1);
    struct tensor loss =
        loss_run(&r->tape, x, integers(r, bin, PAIRS), constant(r, weight, 1, PAIRS, 1, 1));
    check_loss(r, loss, "out.y", "gout.y");
    rig_check_input(r, x, "gin.logits");
}

static void chi_case(struct rig *r)
{
    enum { ITERATIONS = 3 };
    float other[LENGTH * 8], chi_weight[LENGTH * 4], norm_weight[LENGTH];
    const double *type = golden_values(r->g, "in.aatype", NULL);
    int32_t aatype[LENGTH];
    for (int n = 0; n < LENGTH; n++)
        aatype[n] = (int32_t)type[n];
    const float *truth = floats(r, "in.chi");
    chi_targets(LENGTH, ITERATIONS, aatype, truth, floats(r, "in.chi_mask"),
                floats(r, "in.seq_mask"), other, chi_weight, norm_weight);
    struct op_chi a = {.angle = input(r, "in.a", 4, ITERATIONS, LENGTH, 7, 2),
                       .raw = input(r, "in.u", 4, ITERATIONS, LENGTH, 7, 2),
                       .truth = constant(r, truth, 3, LENGTH, 4, 2),
                       .other = constant(r, other, 3, LENGTH, 4, 2),
                       .chi_weight = constant(r, chi_weight, 2, LENGTH, 4, 1),
                       .norm_weight = constant(r, norm_weight, 1, LENGTH, 1, 1),
                       .part = tape_tensor(&r->tape, 1, LENGTH, 1, 1, 1)};
    tape_chi(&r->tape, a);
    check_loss(r, a.part, "out.y", "gout.y");
    rig_check_input(r, a.angle, "gin.a");
    rig_check_input(r, a.raw, "gin.u");
}

static void rename_case(struct rig *r)
{
    struct op_rename a = {.atom = rig_constant(r, "in.pred"),
                          .truth = rig_constant(r, "in.atom14_gt_positions"),
                          .other = rig_constant(r, "in.atom14_alt_gt_positions"),
                          .exists = rig_constant(r, "in.atom14_gt_exists"),
                          .ambiguous = rig_constant(r, "in.atom14_atom_is_ambiguous"),
                          .y = tape_constant(&r->tape, r->b->real, 1, LENGTH, 1, 1, 1)};
    tape_rename(&r->tape, a);
    golden_check(r->g, "out.alt_naming_is_better", rig_get(r, a.y.data, LENGTH), LENGTH, where(r));
    const char *key[2][3] = {{"in.atom14_gt_positions", "in.atom14_alt_gt_positions",
                              "out.renamed_atom14_gt_positions"},
                             {"in.atom14_gt_exists", "in.atom14_alt_gt_exists",
                              "out.renamed_atom14_gt_exists"}};
    for (int k = 0; k < 2; k++) {
        int64_t width = k ? SLOTS : 3 * SLOTS;
        struct tensor x = rig_constant(r, key[k][0]), y = rig_constant(r, key[k][1]);
        struct tensor to = tape_constant(&r->tape, r->b->real, 2, LENGTH, width, 1, 1);
        tape_choose(&r->tape,
                    (struct op_choose){
                        .choice = a.y,
                        .a = tensor_make(x.data, x.kind, 2, LENGTH, width, 1, 1),
                        .b = tensor_make(y.data, y.kind, 2, LENGTH, width, 1, 1),
                        .y = to});
        golden_check(r->g, key[k][2], rig_get(r, to.data, LENGTH * width), LENGTH * width,
                     where(r));
    }
}

/* The case renames nothing: the same with both namings exchanged renames all that is ambiguous. */
static void exchanged_case(struct rig *r)
{
    const double *ambiguous = golden_values(r->g, "in.atom14_atom_is_ambiguous", NULL);
    const double *exists = golden_values(r->g, "in.atom14_gt_exists", NULL);
    struct op_rename a = {.atom = rig_constant(r, "in.pred"),
                          .truth = rig_constant(r, "in.atom14_alt_gt_positions"),
                          .other = rig_constant(r, "in.atom14_gt_positions"),
                          .exists = rig_constant(r, "in.atom14_gt_exists"),
                          .ambiguous = rig_constant(r, "in.atom14_atom_is_ambiguous"),
                          .y = tape_constant(&r->tape, r->b->real, 1, LENGTH, 1, 1, 1)};
    tape_rename(&r->tape, a);
    const double *choice = rig_get(r, a.y.data, LENGTH);
    for (int n = 0; n < LENGTH; n++) {
        bool any = false;
        for (int i = 0; i < SLOTS; i++)
            any = any || ambiguous[SLOTS * n + i] * exists[SLOTS * n + i] > 0;
        cr_assert(choice[n] == any, "residue %d: %g", n, choice[n]);
    }
}

static void run_case(const char *name, void (*run)(struct rig *r))
{
    struct golden g;
    golden_open(&g, name);
    struct backend *backend[2] = {cpu_backend_open_double(2), golden_backend(2)};
    for (int i = 0; i < 2; i++) {
        struct rig r = {0};
        rig_open(&r, &g, backend[i]);
        run(&r);
        rig_free(&r);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}

Test(golden_losses, plddt)
{
    run_case("loss_plddt", plddt_case);
}

Test(golden_losses, resolved_atoms)
{
    run_case("loss_exp_resolved", resolved_case);
}

Test(golden_losses, aligned_error)
{
    run_case("loss_tm", aligned_error_case);
}

Test(golden_losses, torsions)
{
    run_case("loss_supervised_chi", chi_case);
}

Test(golden_losses, names_of_ambiguous_atoms)
{
    run_case("renamed_ground_truth", rename_case);
    run_case("renamed_ground_truth", exchanged_case);
}
