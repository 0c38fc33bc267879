/* xent: softmax cross entropy of rows x[N,K], one warp a row; the rows' terms are then summed in
 * double by one block. */
#include "kernels/cuda/reduce.cuh"

/* lse = log sum_k exp x[n,k], about the row's maximum. */
static __global__ void xent_rows(struct op_xent a, float *term)
{
    int64_t n = warp_row(), kinds = a.x.dim[1];
    if (n >= a.x.dim[0])
        return;
    float top = -INFINITY, sum = 0;
    for (int64_t k = warp_lane(); k < kinds; k += WARP)
        top = fmaxf(top, *at(a.x, n, k));
    top = warp_max(top);
    for (int64_t k = warp_lane(); k < kinds; k += WARP)
        sum += expf(*at(a.x, n, k) - top);
    float lse = top + logf(warp_sum(sum));
    if (warp_lane() == 0) {
        float weight = *at(a.weight, n);
        *at(a.lse, n) = lse;
        term[n] = weight == 0 ? 0.0f : weight * (lse - *at(a.x, n, index_at(a.target, n)));
    }
}

static __global__ void xent_total(const float *term, int64_t rows, struct tensor loss)
{
    double sum = 0;
    for (int64_t n = threadIdx.x; n < rows; n += BLOCK)
        sum += (double)term[n];
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        *at(loss, 0) = (float)sum;
}

/* gx[n,k] (+)= gloss weight[n] (exp(x[n,k] - lse[n]) - (k = target[n])); 0 where weight is 0. */
static __global__ void xent_back(struct op_xent a, struct tensor gloss, struct tensor gx)
{
    int64_t n = thread_row(), k = thread_column();
    if (n >= a.x.dim[0] || k >= a.x.dim[1])
        return;
    float weight = *at(a.weight, n), value = 0;
    if (weight != 0) {
        float hit = k == index_at(a.target, n) ? 1.0f : 0.0f;
        value = *at(gloss, 0) * weight * (expf(*at(a.x, n, k) - *at(a.lse, n)) - hit);
    }
    put(gx, at(gx, n, k), value);
}

void cuda_xent(struct backend *backend, const struct op_xent *a)
{
    struct device *device = device_begin(backend);
    int64_t rows = a->x.dim[0];
    float *term = scratch_floats(device, rows);
    LAUNCH(device, xent_rows, dim3(blocks_of(rows, BLOCK_WARPS)), dim3(BLOCK), *a, term);
    LAUNCH(device, xent_total, dim3(1), dim3(BLOCK), term, rows, a->loss);
}

void cuda_xent_back(struct backend *backend, const struct op_xent *a, const struct op_xent *g)
{
    struct device *device = device_begin(backend);
    if (g->x.data)
        LAUNCH(device, xent_back, rows_grid(a->x.dim[0], a->x.dim[1]), rows_block(), *a, g->loss,
               g->x);
}
