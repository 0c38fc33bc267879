/* Items of binary_xent: cross entropies of sigmoids. */
#ifndef KERNELS_EACH_BINARY_XENT_H
#define KERNELS_EACH_BINARY_XENT_H

#include "kernels/each/each.h"

struct binary_xent_call {
    struct op_binary_xent a, g;
};

EACH_FN void binary_xent_item(const struct binary_xent_call *c, int64_t n)
{
    const struct op_binary_xent *a = &c->a;
    real x = *each_at1(&a->x, n), size = x < 0 ? -x : x;
    real soft = (x > 0 ? x : 0) + real_log(1 + real_exp(-size));
    *each_at1(&a->y, n) = *each_at1(&a->weight, n) * (soft - *each_at1(&a->target, n) * x);
}

EACH_FN void binary_xent_back_item(const struct binary_xent_call *c, int64_t n)
{
    const struct op_binary_xent *a = &c->a, *g = &c->g;
    real x = *each_at1(&a->x, n), small = real_exp(x < 0 ? x : -x);
    real sigmoid = (x < 0 ? small : 1) / (1 + small);
    each_put(&g->x, each_at1(&g->x, n), *each_at1(&g->y, n) * *each_at1(&a->weight, n) *
                                            (sigmoid - *each_at1(&a->target, n)));
}

#endif
