/* pick: y[n,:] = x[n,index[n],:]. One thread an element. */
#include "kernels/cuda/index.cuh"

static __global__ void pick_elements(struct op_pick a)
{
    int64_t n = thread_row(), c = thread_column();
    if (n < a.y.dim[0] && c < a.y.dim[1])
        *at(a.y, n, c) = *at(a.x, n, index_at(a.index, n), c);
}

void cuda_pick(struct backend *backend, const struct op_pick *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, pick_elements, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), *a);
}
