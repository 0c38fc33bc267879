/* What the files of kernels/each share. They hold the geometry of the structure module and of its
 * losses as functions of one item (a residue, an atom, a frame): the cpu backend runs them in a
 * loop (kernels/cpu/each.h, float and double), the CUDA backend one thread an item
 * (kernels/cuda/each.cuh). An item writes only what is its own, so no order of items changes a bit.
 * The including file gives `real`, EACH_FN, real_sqrt, real_exp and real_log. */
#ifndef KERNELS_EACH_EACH_H
#define KERNELS_EACH_EACH_H

#include "kernels/ops.h"

enum { EACH_LANES = 8 };

EACH_FN real *each_at1(const struct tensor *t, int64_t i)
{
    return (real *)t->data + i * t->stride[0];
}

EACH_FN real *each_at2(const struct tensor *t, int64_t i, int64_t j)
{
    return (real *)t->data + i * t->stride[0] + j * t->stride[1];
}

EACH_FN real *each_at3(const struct tensor *t, int64_t i, int64_t j, int64_t k)
{
    return (real *)t->data + i * t->stride[0] + j * t->stride[1] + k * t->stride[2];
}

EACH_FN real *each_at4(const struct tensor *t, int64_t i, int64_t j, int64_t k, int64_t l)
{
    return (real *)t->data + i * t->stride[0] + j * t->stride[1] + k * t->stride[2] +
           l * t->stride[3];
}

EACH_FN int32_t each_index(const struct tensor *t, int64_t i)
{
    return ((const int32_t *)t->data)[i * t->stride[0]];
}

/* mask[n], or 1 where there is none. */
EACH_FN real each_mask(const struct tensor *t, int64_t n)
{
    return t->data ? *each_at1(t, n) : (real)1;
}

/* Writes a gradient: adds where it is asked to. */
EACH_FN void each_put(const struct tensor *t, real *place, real value)
{
    *place = t->add ? *place + value : value;
}

/* sum a[i] b[i] in lanes, which compilers turn into vectors. */
EACH_FN real each_dot(int64_t count, const real *a, const real *b)
{
    real lane[EACH_LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + EACH_LANES <= count; i += EACH_LANES)
        for (int l = 0; l < EACH_LANES; l++)
            lane[l] += a[i + l] * b[i + l];
    for (; i < count; i++)
        sum += a[i] * b[i];
    for (int l = 0; l < EACH_LANES; l++)
        sum += lane[l];
    return sum;
}

/* y = R x, R row-major. */
EACH_FN void each_turn(const real *r, const real *x, real *y)
{
    for (int a = 0; a < 3; a++)
        y[a] = r[3 * a] * x[0] + r[3 * a + 1] * x[1] + r[3 * a + 2] * x[2];
}

/* y = R^T x. */
EACH_FN void each_turn_back(const real *r, const real *x, real *y)
{
    for (int a = 0; a < 3; a++)
        y[a] = r[a] * x[0] + r[3 + a] * x[1] + r[6 + a] * x[2];
}

/* c = A B, 3 x 3. */
EACH_FN void each_product(const real *a, const real *b, real *c)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            c[3 * i + j] =
                a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

#endif
