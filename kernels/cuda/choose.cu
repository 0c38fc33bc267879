/* choose: y[n,:] = choice[n] > 0 ? b[n,:] : a[n,:]. One thread an element. */
#include "kernels/cuda/index.cuh"

static __global__ void choose_elements(struct op_choose a)
{
    int64_t n = thread_row(), c = thread_column();
    if (n < a.y.dim[0] && c < a.y.dim[1])
        *at(a.y, n, c) = *at(a.choice, n) > 0 ? *at(a.b, n, c) : *at(a.a, n, c);
}

void cuda_choose(struct backend *backend, const struct op_choose *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, choose_elements, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), *a);
}
