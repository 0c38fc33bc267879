/* Violations of stereochemistry against the reference: values and gradient, in float and double. */
#include "tests/kernels/golden.h"

enum { LENGTH = 24, SLOTS = 14, TYPES = 21, ATOMS = LENGTH * SLOTS };

/* Each bond's share of the mean over all that are there: weight[L,3]. */
static void weights_make(struct golden *g, double *weight)
{
    const double *exists = golden_values(g, "in.ex", NULL);
    const double *index = golden_values(g, "in.ri", NULL);
    double sum[3] = {0};
    for (int n = 0; n + 1 < LENGTH; n++) {
        const double *here = exists + n * SLOTS, *next = here + SLOTS;
        double bond = index[n + 1] - index[n] == 1 ? here[2] * next[0] : 0;
        const double all[3] = {bond, bond * here[1], bond * next[1]};
        for (int k = 0; k < 3; k++)
            sum[k] += weight[3 * n + k] = all[k];
    }
    for (int i = 0; i < 3 * LENGTH; i++)
        weight[i] /= sum[i % 3] + 1e-6;
}

static double total(const double *x, int64_t count, int64_t step)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i * step];
    return sum;
}

static void violation_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    rig_open(&r, g, b);
    struct tape *t = &r.tape;
    const char *where = b->real == TENSOR_F64 ? "double" : "float";
    const char *bonds[3] = {"c_n", "ca_c_n", "c_n_ca"};
    double weight[3 * LENGTH] = {0}, radius[TYPES * SLOTS] = {0};
    const double *exists = golden_values(g, "in.ex", NULL);
    const double *type = golden_values(g, "in.aatype", NULL);
    const double *to37 = golden_values(g, "in.r14", NULL);
    const double *radii = golden_values(g, "cfg.atomtype_radius", NULL);
    weights_make(g, weight);
    for (int i = 0; i < ATOMS; i++)
        if (exists[i] > 0)
            radius[(int)type[i / SLOTS] * SLOTS + i % SLOTS] = radii[(int)to37[i]];
    struct op_violation a = {.atom = tape_tensor(t, 3, LENGTH, SLOTS, 3, 1),
                             .exists = rig_constant(&r, "in.ex"),
                             .weight = tape_constant(t, b->real, 2, LENGTH, 3, 1, 1),
                             .index = rig_integers(&r, "in.ri"),
                             .aatype = rig_integers(&r, "in.aatype"),
                             .radius = tape_constant(t, b->real, 2, TYPES, SLOTS, 1, 1),
                             .lower = rig_constant(&r, "cfg.atom14_lower"),
                             .upper = rig_constant(&r, "cfg.atom14_upper"),
                             .bond = tape_tensor(t, 2, LENGTH, 3, 1, 1),
                             .between = tape_tensor(t, 2, LENGTH, SLOTS, 1, 1),
                             .within = tape_tensor(t, 2, LENGTH, SLOTS, 1, 1)};
    rig_put(b, a.atom.data, golden_values(g, "in.pos", NULL), ATOMS * 3);
    rig_put(b, a.weight.data, weight, 3 * LENGTH);
    rig_put(b, a.radius.data, radius, TYPES * SLOTS);
    tape_violation(t, a);
    const double *bond = rig_get(&r, a.bond.data, 3 * LENGTH);
    double *between = rig_get(&r, a.between.data, ATOMS);
    double *within = rig_get(&r, a.within.data, ATOMS);
    double share = 1 / (1e-6 + total(exists, ATOMS, 1)), loss = 0;
    double up = *golden_values(g, "gout.loss", NULL), seed[3][ATOMS];
    for (int k = 0; k < 3; k++) {
        char key[32];
        snprintf(key, sizeof key, "out.%s", bonds[k]);
        double sum = total(bond + k, LENGTH, 3);
        golden_check(g, key, &sum, 1, where);
        loss += sum;
        snprintf(key, sizeof key, "gout.%s", bonds[k]);
        for (int n = 0; n < LENGTH; n++)
            seed[0][3 * n + k] = up + *golden_values(g, key, NULL);
    }
    if (b->real == TENSOR_F64) {
        /* An eps of 1e-6 under the root, as bonds have it, would be off by 8e-7. */
        const double *clash = golden_values(g, "out.between_clash", NULL);
        double error = 0, square = 0;
        for (int i = 0; i < ATOMS; i++) {
            error += (between[i] - clash[i]) * (between[i] - clash[i]);
            square += clash[i] * clash[i];
        }
        cr_assert(sqrt(error / square) < 3e-7, "clashes are off by %.3g", sqrt(error / square));
    }
    golden_check(g, "out.between_clash", between, ATOMS, where);
    golden_check(g, "out.within", within, ATOMS, where);
    loss += share * (total(between, ATOMS, 1) + total(within, ATOMS, 1));
    golden_check(g, "out.loss", &loss, 1, where);
    const double *up_between = golden_values(g, "gout.between_clash", NULL);
    const double *up_within = golden_values(g, "gout.within", NULL);
    for (int i = 0; i < ATOMS; i++) {
        seed[1][i] = up * share + up_between[i];
        seed[2][i] = up * share + up_within[i];
    }
    const struct tensor out[3] = {a.bond, a.between, a.within};
    for (int k = 0; k < 3; k++) {
        int64_t count = tensor_count(&out[k]);
        struct tensor staging = tape_constant(t, b->real, 1, count, 1, 1, 1);
        rig_put(b, staging.data, seed[k], count);
        tape_seed(t, out[k], staging.data); /* cpu memory is host memory */
    }
    tape_back(t);
    rig_check_input(&r, a.atom, "gin.pos");
    rig_close(&r);
}

Test(golden_violation, values_and_gradient)
{
    struct golden g;
    golden_open(&g, "loss_violation");
    struct backend *backend[2] = {cpu_backend_open_double(2), golden_backend(2)};
    for (int i = 0; i < 2; i++) {
        violation_case(&g, backend[i]);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}
