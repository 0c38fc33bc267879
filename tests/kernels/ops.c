/* One case each for every op of the table, made from its row: gradients of the double backend
 * against central differences, backend against backend, one thread against many. */
#include "tests/kernels/op_compare.h"

enum { SEEDS = 10, DIFFERENCES_MAX = 40 };

/* sum over OUT fields of upstream gradient times value. */
static double objective(struct backend *b, const struct op_case *c, const struct op_bound *bound)
{
    double sum = 0;
    c->info->run(b, bound->args);
    for (int f = 0; f < c->info->field_count; f++) {
        if (c->info->field[f].kind != OP_FIELD_OUT)
            continue;
        double *out = op_case_read(b, c, f, bound);
        for (int64_t i = 0; i < op_case_count(c, f); i++)
            sum += out[i] * c->value[f][i];
        free(out);
    }
    return sum;
}

static void check_gradient(struct backend *b, struct op_case *c, uint64_t seed, bool add)
{
    const double prefill = 3, h = 1e-5;
    struct op_bound a, g;
    op_case_bind(b, c, false, false, 0, &a);
    op_case_bind(b, c, true, add, prefill, &g);
    objective(b, c, &a);
    c->info->back(b, a.args, g.args);
    struct rng rng = rng_open(seed, 0, 0, "differences", 0);
    for (int f = 0; f < c->info->field_count; f++) {
        const struct op_field *field = &c->info->field[f];
        if ((field->kind != OP_FIELD_IN && field->kind != OP_FIELD_OPT) || !c->present[f])
            continue;
        double *gradient = op_case_read(b, c, f, &g);
        int64_t count = op_case_count(c, f);
        for (int64_t n = 0; n < count && n < DIFFERENCES_MAX; n++) {
            int64_t i = count <= DIFFERENCES_MAX ? n : rng_below(&rng, (uint32_t)count);
            double kept = c->value[f][i];
            c->value[f][i] = kept + h;
            op_case_write(b, c, f, &a, c->value[f], 0);
            double up = objective(b, c, &a);
            c->value[f][i] = kept - h;
            op_case_write(b, c, f, &a, c->value[f], 0);
            double down = objective(b, c, &a);
            c->value[f][i] = kept;
            op_case_write(b, c, f, &a, c->value[f], 0);
            double wanted = (up - down) / (2 * h) + (add ? prefill : 0);
            cr_assert(fabs(wanted - gradient[i]) <= 1e-6 * (1 + fabs(wanted)),
                      "%s seed %d: d %s[%lld]: by differences %.10g, by the op %.10g",
                      c->info->name, (int)seed, field->name, (long long)i, wanted, gradient[i]);
        }
        free(gradient);
    }
    op_case_release(b, &a);
    op_case_release(b, &g);
}

Test(ops, gradients_against_differences)
{
    struct backend *b = cpu_backend_open_double(2);
    int checked = 0;
    for (int op = 0; op < OP_COUNT; op++)
        for (uint64_t seed = 0; seed < SEEDS && op_describe((enum op)op)->back; seed++) {
            struct op_case c = op_case_make((enum op)op, seed, seed < 7 ? 6 : 21);
            check_gradient(b, &c, seed, seed & 1);
            op_case_free(&c);
            checked++;
        }
    cr_assert(checked >= 12 * SEEDS, "only %d cases", checked);
    b->close(b);
}

Test(ops, float_agrees_with_double)
{
    struct backend *x = cpu_backend_open(2), *y = cpu_backend_open_double(2);
    ops_compare(x, y, 3e-6, 100, SEEDS);
    x->close(x);
    y->close(y);
}

Test(ops, views_agree_with_dense_tensors)
{
    struct backend *x = cpu_backend_open(2), *y = cpu_backend_open_double(2);
    ops_compare_views(x, y, 3e-6, 100, SEEDS);
    x->close(x);
    y->close(y);
}

/* One thread and five give the same bits, float and double the same numbers. */
static void compare_three(const struct op_case *c, struct backend *one, struct backend *five,
                          struct backend *exact)
{
    struct op_run a, b, e;
    op_run_make(one, c, &a);
    op_run_make(five, c, &b);
    op_run_make(exact, c, &e);
    op_run_compare(&a, &b, 0);
    op_run_compare(&a, &e, 3e-6);
    op_run_release(&a);
    op_run_release(&b);
    op_run_release(&e);
}

/* Gates and layer norms of channel-first data are made in tiles: more than one of rows and of
 * channels, and ends of both that no register fills. */
Test(ops, tiles_of_channel_first_tensors)
{
    static const enum op tiled[] = {OP_gate, OP_layer_norm};
    struct backend *one = cpu_backend_open(1), *five = cpu_backend_open(5);
    struct backend *exact = cpu_backend_open_double(2);
    int exchanges = 0;
    for (size_t i = 0; i < sizeof tiled / sizeof *tiled; i++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct rng rng = rng_open(seed, 0, 0, "exchange", 0);
            struct op_case c = op_case_make_sized(tiled[i], seed, 1, "N=700 C=150");
            op_case_exchange(&c, &rng);
            for (int f = 0; f < c.info->field_count; f++)
                exchanges += c.axis[f][0] != c.axis[f][1];
            compare_three(&c, one, five, exact);
            op_case_free(&c);
            c = op_case_make_sized(tiled[i], seed, 1, "N=70 C=37");
            op_case_exchange(&c, &rng);
            check_gradient(exact, &c, seed, seed & 1);
            op_case_free(&c);
        }
    cr_assert(exchanges >= 4, "only %d channel-first tensors", exchanges);
    one->close(one);
    five->close(five);
    exact->close(exact);
}

/* More rows than groups of them, more queries than a block, rows whose mask hides nothing, some
 * and all keys, and threads that begin within a row's heads. */
Test(ops, attention_of_rows_that_are_masked_and_not)
{
    struct backend *one = cpu_backend_open(1), *five = cpu_backend_open(5);
    struct backend *exact = cpu_backend_open_double(2);
    int masked = 0;
    for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
        struct op_case c = op_case_make_sized(OP_attention, seed, 1, "B=21 H=3 Q=70 K=37 D=20");
        for (int f = 0; f < c.info->field_count; f++)
            if (c.info->field[f].kind == OP_FIELD_MASK && c.present[f]) {
                for (int64_t i = 0; i < op_case_count(&c, f); i++)
                    if (i / c.size['K'] % 3 != 1)
                        c.value[f][i] = i / c.size['K'] % 3 == 0;
                masked++;
            }
        compare_three(&c, one, five, exact);
        op_case_free(&c);
    }
    cr_assert(masked >= 2, "only %d cases with a mask", masked);
    one->close(one);
    five->close(five);
    exact->close(exact);
}

static int field_named(const struct op_case *c, const char *name)
{
    for (int f = 0; f < c->info->field_count; f++)
        if (strcmp(c->info->field[f].name, name) == 0)
            return f;
    cr_assert(false, "%s has no %s", c->info->name, name);
    return -1;
}

/* A query that is not a number must not come out as one: steps with such a loss are skipped. */
Test(ops, attention_to_what_is_no_number_is_none)
{
    struct backend *b = cpu_backend_open(2);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct op_case c = op_case_make_sized(OP_attention, seed, 1, "B=3 H=2 Q=20 K=37 D=20");
        int q = field_named(&c, "q"), y = field_named(&c, "y"), mask = field_named(&c, "mask");
        for (int64_t i = 0; c.present[mask] && i < op_case_count(&c, mask); i++)
            c.value[mask][i] = 1;
        for (int64_t d = 0; d < c.size['D']; d++)
            c.value[q][d] = NAN; /* of the first query and head */
        struct op_run run;
        op_run_make(b, &c, &run);
        double *values = op_case_read(b, &c, y, &run.args);
        for (int64_t i = 0; i < op_case_count(&c, y); i++)
            cr_assert(isnan(values[i]) == (i < c.size['D']), "number %d is %g", (int)i, values[i]);
        free(values);
        op_run_release(&run);
        op_case_free(&c);
    }
    b->close(b);
}

Test(ops, one_thread_and_five_give_the_same_bits)
{
    struct backend *x = cpu_backend_open(1), *y = cpu_backend_open(5);
    ops_compare(x, y, 0, 150, SEEDS);
    x->close(x);
    y->close(y);
}

Test(ops, cuda_agrees_with_the_cpu)
{
    struct backend *x, *y = cpu_backend_open(2);
    struct error err;
    if (backend_open("cuda", 0, &x, &err) != STATUS_OK) {
        y->close(y);
        cr_skip("no CUDA backend: %s", err.text);
    }
    ops_compare(x, y, 3e-5, 100, SEEDS);
    ops_compare_views(x, y, 3e-5, 100, SEEDS);
    x->close(x);
    y->close(y);
}

Test(ops, the_table_describes_every_row)
{
    cr_assert(strstr(OPS_TEXT, "attention: IN q B,Q,H,D*;") != NULL, "text of the rows");
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = op_describe((enum op)op);
        cr_assert(info->field_count > 0 && info->field_count <= OP_FIELDS_MAX, "%s: %d fields",
                  info->name, info->field_count);
        for (int f = 0; f < info->field_count; f++)
            cr_assert(info->field[f].offset < info->args_bytes, "%s.%s", info->name,
                      info->field[f].name);
    }
}
