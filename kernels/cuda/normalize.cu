/* Rows of unit length; the arithmetic is in kernels/each/frame.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/frame.h"

EACH_KERNEL(struct normalize_call, normalize_item)
EACH_KERNEL(struct normalize_call, normalize_back_item)

void cuda_normalize(struct backend *backend, const struct op_normalize *a)
{
    struct device *device = device_begin(backend);
    struct normalize_call c = {};
    c.a = *a;
    EACH(device, a->x.dim[0], normalize_item, c);
}

void cuda_normalize_back(struct backend *backend, const struct op_normalize *a,
                         const struct op_normalize *g)
{
    struct device *device = device_begin(backend);
    struct normalize_call c = {};
    c.a = *a, c.g = *g;
    EACH(device, a->x.dim[0], normalize_back_item, c);
}
