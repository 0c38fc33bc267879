/* Cross entropy of yes or no; the arithmetic is in kernels/each/binary_xent.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/binary_xent.h"

EACH_KERNEL(struct binary_xent_call, binary_xent_item)
EACH_KERNEL(struct binary_xent_call, binary_xent_back_item)

void cuda_binary_xent(struct backend *backend, const struct op_binary_xent *a)
{
    struct device *device = device_begin(backend);
    struct binary_xent_call c = {};
    c.a = *a;
    EACH(device, a->x.dim[0], binary_xent_item, c);
}

void cuda_binary_xent_back(struct backend *backend, const struct op_binary_xent *a,
                      const struct op_binary_xent *g)
{
    struct device *device = device_begin(backend);
    struct binary_xent_call c = {};
    c.a = *a, c.g = *g;
    EACH(device, a->x.dim[0], binary_xent_back_item, c);
}
