/* mask_mean: y[l,c] = sum_s mask[s,l] x[s,l,c] / (eps + sum_s mask[s,l]), one thread an element of
 * y; backward one thread an element of x. */
#include "kernels/cuda/index.cuh"

__device__ inline float mean_mask(const struct tensor &mask, int64_t s, int64_t l)
{
    return mask.data ? *at(mask, s, l) : 1.0f;
}

/* norm[l] = 1 / (eps + sum_s mask[s,l]). */
static __global__ void mask_mean_norm(struct op_mask_mean a, float *norm)
{
    int64_t l = thread_element();
    if (l >= a.x.dim[1])
        return;
    float sum = 0;
    for (int64_t s = 0; s < a.x.dim[0]; s++)
        sum += mean_mask(a.mask, s, l);
    norm[l] = 1.0f / ((float)a.eps + sum);
}

static __global__ void mask_mean_elements(struct op_mask_mean a, const float *norm)
{
    int64_t l = thread_row(), c = thread_column();
    if (l >= a.x.dim[1] || c >= a.x.dim[2])
        return;
    float sum = 0;
    for (int64_t s = 0; s < a.x.dim[0]; s++)
        sum += mean_mask(a.mask, s, l) * *at(a.x, s, l, c);
    *at(a.y, l, c) = sum * norm[l];
}

static __global__ void mask_mean_elements_back(struct op_mask_mean a, struct op_mask_mean grad,
                                               const float *norm)
{
    int64_t n = thread_row(), c = thread_column(), length = a.x.dim[1];
    if (n >= a.x.dim[0] * length || c >= a.x.dim[2])
        return;
    int64_t s = n / length, l = n % length;
    put(grad.x, at(grad.x, s, l, c), mean_mask(a.mask, s, l) * norm[l] * *at(grad.y, l, c));
}

static float *norms(struct device *device, const struct op_mask_mean *a)
{
    float *norm = scratch_floats(device, a->x.dim[1]);
    LAUNCH(device, mask_mean_norm, dim3(blocks_of(a->x.dim[1], BLOCK)), dim3(BLOCK), *a, norm);
    return norm;
}

void cuda_mask_mean(struct backend *backend, const struct op_mask_mean *a)
{
    struct device *device = device_begin(backend);
    float *norm = norms(device, a);
    LAUNCH(device, mask_mean_elements, rows_grid(a->x.dim[1], a->x.dim[2]), rows_block(), *a, norm);
}

void cuda_mask_mean_back(struct backend *backend, const struct op_mask_mean *a,
                         const struct op_mask_mean *g)
{
    struct device *device = device_begin(backend);
    if (!g->x.data)
        return;
    float *norm = norms(device, a);
    LAUNCH(device, mask_mean_elements_back, rows_grid(a->x.dim[0] * a->x.dim[1], a->x.dim[2]),
           rows_block(), *a, *g, norm);
}
