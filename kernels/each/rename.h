/* Item of rename: which names fit one residue's ambiguous atoms better (AF2 suppl. algorithm
 * 26). */
#ifndef KERNELS_EACH_RENAME_H
#define KERNELS_EACH_RENAME_H

#include "kernels/each/each.h"

enum { RENAME_SLOTS = 14 };

#define RENAME_EPS 1e-10

struct rename_call {
    struct op_rename a;
};

EACH_FN real rename_distance(const struct tensor *x, int64_t n, int i, int64_t m, int j)
{
    real square = (real)RENAME_EPS;
    const real *from = each_at3(x, n, i, 0), *to = each_at3(x, m, j, 0);
    for (int k = 0; k < 3; k++)
        square += (from[k] - to[k]) * (from[k] - to[k]);
    return real_sqrt(square);
}

/* How much more atom i of n is off by its first name than by the other one. */
EACH_FN double rename_atom(const struct op_rename *a, int64_t n, int i)
{
    double sum = 0;
    for (int64_t m = 0; m < a->atom.dim[0]; m++)
        for (int j = 0; j < RENAME_SLOTS; j++) {
            real mask = *each_at2(&a->exists, m, j) * (1 - *each_at2(&a->ambiguous, m, j));
            if (mask == 0)
                continue;
            real distance = rename_distance(&a->atom, n, i, m, j);
            real one = distance - rename_distance(&a->truth, n, i, m, j);
            real two = distance - rename_distance(&a->other, n, i, m, j);
            sum += (double)(mask * (real_sqrt((real)RENAME_EPS + one * one) -
                                    real_sqrt((real)RENAME_EPS + two * two)));
        }
    return sum;
}

EACH_FN void rename_item(const struct rename_call *c, int64_t n)
{
    const struct op_rename *a = &c->a;
    double sum = 0;
    for (int i = 0; i < RENAME_SLOTS; i++) {
        real mask = *each_at2(&a->exists, n, i) * *each_at2(&a->ambiguous, n, i);
        if (mask != 0)
            sum += (double)mask * rename_atom(a, n, i);
    }
    *each_at1(&a->y, n) = sum > 0 ? 1 : 0;
}

#endif
