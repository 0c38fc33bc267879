/* Rectifier; the arithmetic is in kernels/each/frame.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/frame.h"

EACH_KERNEL(struct relu_call, relu_item)
EACH_KERNEL(struct relu_call, relu_back_item)

void cuda_relu(struct backend *backend, const struct op_relu *a)
{
    struct device *device = device_begin(backend);
    struct relu_call c = {};
    c.a = *a;
    EACH(device, a->x.dim[0], relu_item, c);
}

void cuda_relu_back(struct backend *backend, const struct op_relu *a, const struct op_relu *g)
{
    struct device *device = device_begin(backend);
    struct relu_call c = {};
    c.a = *a, c.g = *g;
    EACH(device, a->x.dim[0], relu_back_item, c);
}
