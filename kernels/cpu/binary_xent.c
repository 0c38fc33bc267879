/* Cross entropy of yes or no; the arithmetic is in kernels/each/binary_xent.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/binary_xent.h"

void CPU_NAME(binary_xent)(struct backend *backend, const struct op_binary_xent *a)
{
    struct binary_xent_call c = {.a = *a};
    EACH(backend, a->x.dim[0], 20, binary_xent_item, &c);
}

void CPU_NAME(binary_xent_back)(struct backend *backend, const struct op_binary_xent *a,
                           const struct op_binary_xent *g)
{
    struct binary_xent_call c = {.a = *a, .g = *g};
    EACH(backend, a->x.dim[0], 20, binary_xent_back_item, &c);
}
