/* fill: y = value. */
#include "kernels/cuda/index.cuh"

static __global__ void fill_elements(struct tensor y, float value, int64_t count)
{
    int64_t n = thread_element();
    if (n < count)
        *at(y, n) = value;
}

void cuda_fill(struct backend *backend, const struct op_fill *a)
{
    struct device *device = device_begin(backend);
    int64_t count = tensor_count(&a->y);
    LAUNCH(device, fill_elements, dim3(blocks_of(count, BLOCK)), dim3(BLOCK), a->y, (float)a->value,
           count);
}
