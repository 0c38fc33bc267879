/* Two runs of the same case of an op compared: all results, and all gradients. For backend against
 * backend, and for one backend under different conditions. */
#ifndef TESTS_KERNELS_OP_COMPARE_H
#define TESTS_KERNELS_OP_COMPARE_H

#include "tests/kernels/op_case.h"

#include <criterion/criterion.h>
#include <math.h>

/* What one run of a case left: arguments and results, gradients. */
struct op_run {
    struct backend *backend;
    const struct op_case *c;
    struct op_bound args, gradients;
};

/* Binds the case to b and runs it, backward too where there is one. */
static inline void op_run_make(struct backend *b, const struct op_case *c, struct op_run *run)
{
    run->backend = b;
    run->c = c;
    op_case_bind(b, c, false, false, 0, &run->args);
    c->info->run(b, run->args.args);
    if (!c->info->back)
        return;
    op_case_bind(b, c, true, false, 0, &run->gradients);
    c->info->back(b, run->args.args, run->gradients.args);
}

static inline void op_run_release(struct op_run *run)
{
    op_case_release(run->backend, &run->args);
    if (run->c->info->back)
        op_case_release(run->backend, &run->gradients);
}

/* Root of the sum of squared differences of each result and gradient, against that of y, or
 * against 1 a number where y is smaller: the inputs are of order 1, and some gradients vanish (a
 * softmax over one key). The two cases may differ in strides. */
static inline void op_run_compare(const struct op_run *x, const struct op_run *y, double tolerance)
{
    const struct op_case *c = x->c;
    for (int f = 0; f < c->info->field_count; f++) {
        enum op_field_kind kind = c->info->field[f].kind;
        bool result = kind == OP_FIELD_OUT || kind == OP_FIELD_AUX || kind == OP_FIELD_IO;
        bool gradient = c->info->back && (kind == OP_FIELD_IN || kind == OP_FIELD_OPT);
        if (!c->present[f] || (!result && !gradient))
            continue;
        double error = 0, square = 0;
        double *vx = op_case_read(x->backend, x->c, f, result ? &x->args : &x->gradients);
        double *vy = op_case_read(y->backend, y->c, f, result ? &y->args : &y->gradients);
        int64_t count = op_case_count(c, f);
        for (int64_t i = 0; i < count; i++) {
            if (isinf(vx[i]) && isinf(vy[i]) && (vx[i] > 0) == (vy[i] > 0))
                continue;
            error += (vx[i] - vy[i]) * (vx[i] - vy[i]);
            square += vy[i] * vy[i];
        }
        cr_assert(sqrt(error) <= tolerance * (sqrt(square) + sqrt((double)count)),
                  "%s: %s%s: %s and %s differ: rms error %.3g of rms %.3g", c->info->name,
                  result ? "" : "d ", c->info->field[f].name, x->backend->name, y->backend->name,
                  sqrt(error / (double)count), sqrt(square / (double)count));
        free(vx);
        free(vy);
    }
}

/* `seeds` cases of every op, sizes up to `largest` and up to 12 in turn, in both backends. */
static inline void ops_compare(struct backend *x, struct backend *y, double tolerance,
                               uint32_t largest, uint64_t seeds)
{
    for (int op = 0; op < OP_COUNT; op++)
        for (uint64_t seed = 100; seed < 100 + seeds; seed++) {
            struct op_case c = op_case_make((enum op)op, seed, seed & 1 ? largest : 12);
            struct op_run rx, ry;
            op_run_make(x, &c, &rx);
            op_run_make(y, &c, &ry);
            op_run_compare(&rx, &ry, tolerance);
            op_run_release(&rx);
            op_run_release(&ry);
            op_case_free(&c);
        }
}

/* The same with exchanged axes in x (op_case_exchange), and plain ones in y. */
static inline void ops_compare_views(struct backend *x, struct backend *y, double tolerance,
                                     uint32_t largest, uint64_t seeds)
{
    static const enum op viewed[] = {OP_layer_norm, OP_gate,       OP_matmul,
                                     OP_attention,  OP_outer_mean, OP_copy};
    for (size_t i = 0; i < sizeof viewed / sizeof *viewed; i++)
        for (uint64_t seed = 300; seed < 300 + seeds; seed++) {
            struct op_case plain = op_case_make(viewed[i], seed, seed & 1 ? largest : 12);
            struct op_case exchanged = plain;
            struct rng rng = rng_open(seed, 0, 0, "exchange", 0);
            struct op_run rx, ry;
            op_case_exchange(&exchanged, &rng);
            op_run_make(x, &exchanged, &rx);
            op_run_make(y, &plain, &ry);
            op_run_compare(&rx, &ry, tolerance);
            op_run_release(&rx);
            op_run_release(&ry);
            op_case_free(&plain);
        }
}

#endif
