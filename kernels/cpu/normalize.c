/* Rows of unit length; the arithmetic is in kernels/each/frame.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/frame.h"

void CPU_NAME(normalize)(struct backend *backend, const struct op_normalize *a)
{
    struct normalize_call c = {.a = *a};
    EACH(backend, a->x.dim[0], a->x.dim[1], normalize_item, &c);
}

void CPU_NAME(normalize_back)(struct backend *backend, const struct op_normalize *a,
                          const struct op_normalize *g)
{
    struct normalize_call c = {.a = *a, .g = *g};
    EACH(backend, a->x.dim[0], a->x.dim[1], normalize_back_item, &c);
}
