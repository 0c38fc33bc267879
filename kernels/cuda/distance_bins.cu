/* distance_bins: y[i,j,k] = mask[i] mask[j] where the squared distance of x[i] and x[j] lies
 * between the squares of edges k and k + 1. One thread an element. */
#include "kernels/cuda/index.cuh"

/* The square of edge k of `bins`; of the end for k = bins. */
__device__ inline float bin_edge(const struct op_distance_bins &a, int64_t k, int64_t bins)
{
    if (k == bins)
        return 1e8f;
    double step = bins > 1 ? (a.last - a.first) / (double)(bins - 1) : 0;
    double edge = a.first + (double)k * step;
    return (float)(edge * edge);
}

static __global__ void distance_bins_elements(struct op_distance_bins a)
{
    int64_t pair = thread_row(), k = thread_column(), length = a.y.dim[0], bins = a.y.dim[2];
    if (pair >= length * length || k >= bins)
        return;
    int64_t i = pair / length, j = pair % length;
    float x = *at(a.x, i, 0) - *at(a.x, j, 0), y = *at(a.x, i, 1) - *at(a.x, j, 1);
    float z = *at(a.x, i, 2) - *at(a.x, j, 2), square = x * x + y * y + z * z;
    bool inside = square > bin_edge(a, k, bins) && square < bin_edge(a, k + 1, bins);
    *at(a.y, i, j, k) = inside ? mask_at(a.mask, i) * mask_at(a.mask, j) : 0.0f;
}

void cuda_distance_bins(struct backend *backend, const struct op_distance_bins *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, distance_bins_elements, rows_grid(a->y.dim[0] * a->y.dim[0], a->y.dim[2]),
           rows_block(), *a);
}
