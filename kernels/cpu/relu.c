/* Rectifier; the arithmetic is in kernels/each/frame.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/frame.h"

void CPU_NAME(relu)(struct backend *backend, const struct op_relu *a)
{
    struct relu_call c = {.a = *a};
    EACH(backend, a->x.dim[0], 2, relu_item, &c);
}

void CPU_NAME(relu_back)(struct backend *backend, const struct op_relu *a,
                          const struct op_relu *g)
{
    struct relu_call c = {.a = *a, .g = *g};
    EACH(backend, a->x.dim[0], 2, relu_back_item, &c);
}
