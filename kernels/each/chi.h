/* Items of chi: one residue's torsions against the true ones and against unit length (AF2 suppl.
 * algorithm 27). */
#ifndef KERNELS_EACH_CHI_H
#define KERNELS_EACH_CHI_H

#include "kernels/each/each.h"

enum { CHI_ANGLES = 7, CHI_FIRST = 3, CHI_COUNT = 4 };

#define CHI_EPS 1e-8 /* under the root of a length */

struct chi_call {
    struct op_chi a, g;
};

/* Which truth is nearer to chi k of residue n, iteration b: d[2] from it, and its square. */
EACH_FN real chi_error(const struct op_chi *a, int64_t b, int64_t n, int k, real *d)
{
    const real *x = each_at4(&a->angle, b, n, CHI_FIRST + k, 0);
    const real *t = each_at3(&a->truth, n, k, 0), *o = each_at3(&a->other, n, k, 0);
    real one[2] = {x[0] - t[0], x[1] - t[1]}, two[2] = {x[0] - o[0], x[1] - o[1]};
    real near = one[0] * one[0] + one[1] * one[1], far = two[0] * two[0] + two[1] * two[1];
    bool other = far < near;
    d[0] = other ? two[0] : one[0], d[1] = other ? two[1] : one[1];
    return other ? far : near;
}

EACH_FN void chi_item(const struct chi_call *c, int64_t n)
{
    const struct op_chi *a = &c->a;
    real sum = 0, d[2];
    for (int64_t b = 0; b < a->angle.dim[0]; b++) {
        for (int k = 0; k < CHI_COUNT; k++)
            sum += *each_at2(&a->chi_weight, n, k) * chi_error(a, b, n, k, d);
        for (int k = 0; k < CHI_ANGLES; k++) {
            const real *raw = each_at4(&a->raw, b, n, k, 0);
            real off = real_sqrt(raw[0] * raw[0] + raw[1] * raw[1] + (real)CHI_EPS) - 1;
            sum += *each_at1(&a->norm_weight, n) * (off < 0 ? -off : off);
        }
    }
    *each_at1(&a->part, n) = sum;
}

EACH_FN void chi_back_item(const struct chi_call *c, int64_t n)
{
    const struct op_chi *a = &c->a, *g = &c->g;
    real up = *each_at1(&g->part, n), d[2];
    for (int64_t b = 0; b < a->angle.dim[0]; b++)
        for (int k = 0; k < CHI_ANGLES; k++) {
            const real *raw = each_at4(&a->raw, b, n, k, 0);
            real length = real_sqrt(raw[0] * raw[0] + raw[1] * raw[1] + (real)CHI_EPS);
            real slope = up * *each_at1(&a->norm_weight, n) * (length < 1 ? -1 : 1) / length;
            real chi = 0;
            d[0] = d[1] = 0;
            if (k >= CHI_FIRST) {
                chi_error(a, b, n, k - CHI_FIRST, d);
                chi = 2 * up * *each_at2(&a->chi_weight, n, k - CHI_FIRST);
            }
            for (int i = 0; i < 2 && g->raw.data; i++)
                each_put(&g->raw, each_at4(&g->raw, b, n, k, i), slope * raw[i]);
            for (int i = 0; i < 2 && g->angle.data; i++)
                each_put(&g->angle, each_at4(&g->angle, b, n, k, i), chi * d[i]);
        }
}

#endif
