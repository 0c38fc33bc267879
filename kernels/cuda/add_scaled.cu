/* add_scaled: y = y + scale x. */
#include "kernels/cuda/index.cuh"

static __global__ void add_elements(struct tensor x, struct tensor y, float scale, int64_t count)
{
    int64_t n = thread_element();
    if (n < count)
        *at(y, n) += scale * *at(x, n);
}

void cuda_add_scaled(struct backend *backend, const struct op_add_scaled *a)
{
    struct device *device = device_begin(backend);
    int64_t count = tensor_count(&a->y);
    LAUNCH(device, add_elements, dim3(blocks_of(count, BLOCK)), dim3(BLOCK), a->x, a->y,
           (float)a->scale, count);
}
