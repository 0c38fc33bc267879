/* Items of violation: bonds and angles between residues, overlaps of atoms, and distances inside a
 * residue (AF2 suppl. 1.9.11). Every pair is looked at from both of its ends, so that an item
 * writes its own residue alone. */
#ifndef KERNELS_EACH_VIOLATION_H
#define KERNELS_EACH_VIOLATION_H

#include "kernels/each/each.h"

enum { VIOLATION_SLOTS = 14, SLOT_N = 0, SLOT_CA = 1, SLOT_C = 2, SLOT_SG = 5 };

#define VIOLATION_EPS       1e-6  /* under the roots of bonds, and beside sums of masks */
#define VIOLATION_APART     1e-10 /* under the roots of atoms that are not bonded */
#define VIOLATION_TOLERANCE 12.0  /* standard deviations */
#define VIOLATION_OVERLAP   1.5   /* Angstrom */

struct violation_call {
    struct op_violation a, g;
};

/* An upstream gradient; 0 where nothing came. */
EACH_FN real violation_up(const struct tensor *g, int64_t n, int64_t i)
{
    return g->data ? *each_at2(g, n, i) : 0;
}

/* y = a - b of two atoms of n and m; returns its length with eps under the root. */
EACH_FN real violation_between(const struct op_violation *a, int64_t n, int i, int64_t m, int j,
                               real eps, real *y)
{
    real square = eps;
    const real *x = each_at3(&a->atom, n, i, 0), *to = each_at3(&a->atom, m, j, 0);
    for (int k = 0; k < 3; k++) {
        y[k] = x[k] - to[k];
        square += y[k] * y[k];
    }
    return real_sqrt(square);
}

/* What the bond of residues n and n + 1 should be: C-N, then the cosines of CA-C-N and C-N-CA, with
 * their deviations (Engh and Huber; C-N is longer before proline). */
EACH_FN void violation_true(const struct op_violation *a, int64_t n, real *wanted, real *deviation)
{
    enum { PROLINE = 14 };
    bool proline = each_index(&a->aatype, n + 1) == PROLINE;
    wanted[0] = proline ? (real)1.341 : (real)1.329;
    deviation[0] = proline ? (real)0.016 : (real)0.014;
    /* This cosine's deviation is 0.0311; the reference takes that of the bond, and so do we. */
    wanted[1] = (real)-0.4473, deviation[1] = (real)0.014;
    wanted[2] = (real)-0.5203, deviation[2] = (real)0.0353;
}

/* Bond n: values[3] and, for gradients g[3] of them, d[4][3] += those of CA, C, N, CA. */
EACH_FN void violation_bond(const struct op_violation *a, int64_t n, real *values, const real *g,
                            real d[4][3])
{
    real cac[3], cn[3], nca[3], wanted[3], deviation[3], x[3], slope[3];
    real eps = (real)VIOLATION_EPS;
    real length[3] = {violation_between(a, n, SLOT_CA, n, SLOT_C, eps, cac),
                      violation_between(a, n + 1, SLOT_N, n, SLOT_C, eps, cn),
                      violation_between(a, n + 1, SLOT_CA, n + 1, SLOT_N, eps, nca)};
    violation_true(a, n, wanted, deviation);
    for (int k = 0; k < 3; k++)
        cac[k] /= length[0], cn[k] /= length[1], nca[k] /= length[2];
    x[0] = length[1];
    x[1] = cac[0] * cn[0] + cac[1] * cn[1] + cac[2] * cn[2];
    x[2] = -(cn[0] * nca[0] + cn[1] * nca[1] + cn[2] * nca[2]);
    for (int k = 0; k < 3; k++) {
        real off = x[k] - wanted[k], error = real_sqrt(eps + off * off);
        real over = error - (real)VIOLATION_TOLERANCE * deviation[k];
        values[k] = over > 0 ? over : 0;
        slope[k] = over > 0 && g ? g[k] * off / error : 0;
    }
    for (int k = 0; k < 3 && d; k++) {
        /* of the unit vectors; a length's own gradient is the unit vector */
        real dcac = slope[1] * (cn[k] - x[1] * cac[k]) / length[0];
        real dcn = slope[0] * cn[k] + (slope[1] * (cac[k] - x[1] * cn[k]) +
                                       slope[2] * (-nca[k] - x[2] * cn[k])) / length[1];
        real dnca = slope[2] * (-cn[k] - x[2] * nca[k]) / length[2];
        d[0][k] += dcac;
        d[1][k] -= dcac + dcn;
        d[2][k] += dcn - dnca;
        d[3][k] += dnca;
    }
}

/* Whether atoms i of n and j of m may overlap: not the peptide bond, nor the slots of a disulfide
 * bridge. */
EACH_FN bool violation_pair(const struct op_violation *a, int64_t n, int i, int64_t m, int j)
{
    int32_t here = each_index(&a->index, n), there = each_index(&a->index, m);
    if (here == there || (i == SLOT_SG && j == SLOT_SG))
        return false;
    if ((here + 1 == there && i == SLOT_C && j == SLOT_N) ||
        (there + 1 == here && j == SLOT_C && i == SLOT_N))
        return false;
    return *each_at2(&a->exists, n, i) > 0 && *each_at2(&a->exists, m, j) > 0;
}

EACH_FN real violation_radius(const struct op_violation *a, int64_t n, int i)
{
    return *each_at2(&a->radius, each_index(&a->aatype, n), i);
}

/* The sum over all atoms of other residues of the overlaps with atom i of n; up and d: gradient. */
EACH_FN real violation_overlaps(const struct violation_call *c, int64_t n, int i, real *d)
{
    const struct op_violation *a = &c->a, *g = &c->g;
    real sum = 0, y[3], up = d ? violation_up(&g->between, n, i) : 0;
    real reach = violation_radius(a, n, i) - (real)VIOLATION_OVERLAP;
    for (int64_t m = 0; m < a->atom.dim[0]; m++)
        for (int j = 0; j < VIOLATION_SLOTS; j++) {
            if (!violation_pair(a, n, i, m, j))
                continue;
            real length = violation_between(a, n, i, m, j, (real)VIOLATION_APART, y);
            real over = violation_radius(a, m, j) + reach - length;
            if (over <= 0)
                continue;
            sum += over;
            for (int k = 0; k < 3 && d; k++)
                d[k] -= (up + violation_up(&g->between, m, j)) * y[k] / length;
        }
    return sum;
}

/* The same inside the residue: what distances are outside their bounds, seen from both atoms. */
EACH_FN real violation_inside(const struct violation_call *c, int64_t n, int i, real *d)
{
    const struct op_violation *a = &c->a, *g = &c->g;
    int32_t type = each_index(&a->aatype, n);
    real sum = 0, y[3], up = d ? violation_up(&g->within, n, i) : 0;
    for (int j = 0; j < VIOLATION_SLOTS; j++) {
        if (i == j || *each_at2(&a->exists, n, i) <= 0 || *each_at2(&a->exists, n, j) <= 0)
            continue;
        real length = violation_between(a, n, i, n, j, (real)VIOLATION_APART, y);
        real slope = 0;
        for (int turned = 0; turned < 2; turned++) {
            int p = turned ? j : i, q = turned ? i : j;
            real low = *each_at3(&a->lower, type, p, q) - length;
            real high = length - *each_at3(&a->upper, type, p, q);
            sum += (low > 0 ? low : 0) + (high > 0 ? high : 0);
            slope += (real)((high > 0) - (low > 0));
        }
        for (int k = 0; k < 3 && d; k++)
            d[k] += slope * (up + violation_up(&g->within, n, j)) * y[k] / length;
    }
    return sum;
}

EACH_FN void violation_item(const struct violation_call *c, int64_t n)
{
    const struct op_violation *a = &c->a;
    real values[3] = {0};
    if (n + 1 < a->atom.dim[0])
        violation_bond(a, n, values, NULL, NULL);
    for (int k = 0; k < 3; k++)
        *each_at2(&a->bond, n, k) = *each_at2(&a->weight, n, k) * values[k];
    for (int i = 0; i < VIOLATION_SLOTS; i++) {
        *each_at2(&a->between, n, i) = violation_overlaps(c, n, i, NULL);
        *each_at2(&a->within, n, i) = violation_inside(c, n, i, NULL);
    }
}

EACH_FN void violation_back_item(const struct violation_call *c, int64_t n)
{
    const struct op_violation *a = &c->a, *g = &c->g;
    real d[VIOLATION_SLOTS][3] = {{0}}, values[3], up[3];
    for (int64_t b = n - 1; b <= n; b++) {
        real bond[4][3] = {{0}};
        if (b < 0 || b + 1 >= a->atom.dim[0])
            continue;
        for (int k = 0; k < 3; k++)
            up[k] = violation_up(&g->bond, b, k) * *each_at2(&a->weight, b, k);
        violation_bond(a, b, values, up, bond);
        for (int k = 0; k < 3; k++) {
            d[SLOT_CA][k] += bond[b == n ? 0 : 3][k];
            d[b == n ? SLOT_C : SLOT_N][k] += bond[b == n ? 1 : 2][k];
        }
    }
    for (int i = 0; i < VIOLATION_SLOTS; i++) {
        violation_overlaps(c, n, i, d[i]);
        violation_inside(c, n, i, d[i]);
        for (int k = 0; k < 3; k++)
            each_put(&g->atom, each_at3(&g->atom, n, i, k), d[i][k]);
    }
}

#endif
