/* mask_norm: y[i,j] = 1 / (eps + sum_s mask[s,i] mask[s,j]), one thread an element. */
#include "kernels/cuda/index.cuh"

static __global__ void mask_norm_elements(struct op_mask_norm a)
{
    int64_t i = thread_row(), j = thread_column();
    if (i >= a.y.dim[0] || j >= a.y.dim[1])
        return;
    float sum = 0;
    for (int64_t s = 0; s < a.mask.dim[0]; s++)
        sum += *at(a.mask, s, i) * *at(a.mask, s, j);
    *at(a.y, i, j) = 1.0f / ((float)a.eps + sum);
}

void cuda_mask_norm(struct backend *backend, const struct op_mask_norm *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, mask_norm_elements, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), *a);
}
