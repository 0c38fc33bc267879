/* spread: y[a,n] = t[n]; backward sums over a. */
#include "kernels/cuda/columns.cuh"

static __global__ void spread_elements(struct op_spread a, int64_t count)
{
    int64_t element = thread_element(), columns = a.y.dim[1];
    if (element < count)
        *at(a.y, element / columns, element % columns) = *at(a.t, element % columns);
}

void cuda_spread(struct backend *backend, const struct op_spread *a)
{
    int64_t count = tensor_count(&a->y);
    struct device *device = device_begin(backend);
    LAUNCH(device, spread_elements, dim3(blocks_of(count, BLOCK)), dim3(BLOCK), *a, count);
}

void cuda_spread_back(struct backend *backend, const struct op_spread *a, const struct op_spread *g)
{
    struct device *device = device_begin(backend);
    if (g->t.data) {
        struct column_term term = {g->y};
        column_sums(device, term, a->y.dim[0], &g->t);
    }
}
