/* layer_norm over the last axis of x[N,C]: one warp a row. Rows next to each other are in one
 * block, so that a channel-first x (strides [1, N]) is read in whole sectors of 8 floats too. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/reduce.cuh"

/* mean = sum x / C; rstd = 1 / sqrt(sum (x - mean)^2 / C + eps); y = (x - mean) rstd w + b. */
static __global__ void layer_norm_rows(struct op_layer_norm a)
{
    int64_t n = warp_row(), columns = a.x.dim[1];
    if (n >= a.x.dim[0])
        return; /* the whole warp */
    float sum = 0, square = 0;
    for (int64_t c = warp_lane(); c < columns; c += WARP)
        sum += *at(a.x, n, c);
    float mean = warp_sum(sum) / (float)columns;
    for (int64_t c = warp_lane(); c < columns; c += WARP) {
        float d = *at(a.x, n, c) - mean;
        square += d * d;
    }
    float variance = warp_sum(square) / (float)columns;
    float rstd = 1.0f / sqrtf(variance + (float)LAYER_NORM_EPS);
    for (int64_t c = warp_lane(); c < columns; c += WARP)
        *at(a.y, n, c) = (*at(a.x, n, c) - mean) * rstd * *at(a.w, c) + *at(a.b, c);
    if (warp_lane() == 0) {
        *at(a.stat, n, 0) = mean;
        *at(a.stat, n, 1) = rstd;
    }
}

/* With h = (x - mean) rstd and t = gy w: gx (+)= rstd (t - mean_c(t) - h mean_c(t h)). */
static __global__ void layer_norm_rows_back(struct op_layer_norm a, struct tensor gy,
                                            struct tensor gx)
{
    int64_t n = warp_row(), columns = a.x.dim[1];
    if (n >= a.x.dim[0])
        return;
    float mean = *at(a.stat, n, 0), rstd = *at(a.stat, n, 1);
    float plain = 0, along = 0;
    for (int64_t c = warp_lane(); c < columns; c += WARP) {
        float t = *at(gy, n, c) * *at(a.w, c);
        plain += t;
        along += t * ((*at(a.x, n, c) - mean) * rstd);
    }
    plain = warp_sum(plain) / (float)columns;
    along = warp_sum(along) / (float)columns;
    for (int64_t c = warp_lane(); c < columns; c += WARP) {
        float t = *at(gy, n, c) * *at(a.w, c), h = (*at(a.x, n, c) - mean) * rstd;
        put(gx, at(gx, n, c), rstd * (t - plain - h * along));
    }
}

/* gy h: its sums over rows are the gradient of w. */
struct layer_norm_term {
    struct tensor x, stat, gy;

    __device__ float operator()(int64_t n, int64_t c) const
    {
        return *at(gy, n, c) * ((*at(x, n, c) - *at(stat, n, 0)) * *at(stat, n, 1));
    }
};

void cuda_layer_norm(struct backend *backend, const struct op_layer_norm *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, layer_norm_rows, dim3(blocks_of(a->x.dim[0], BLOCK_WARPS)), dim3(BLOCK), *a);
}

void cuda_layer_norm_back(struct backend *backend, const struct op_layer_norm *a,
                          const struct op_layer_norm *g)
{
    struct device *device = device_begin(backend);
    if (g->x.data)
        LAUNCH(device, layer_norm_rows_back, dim3(blocks_of(a->x.dim[0], BLOCK_WARPS)), dim3(BLOCK),
               *a, g->y, g->x);
    if (g->w.data) {
        struct layer_norm_term term = {a->x, a->stat, g->y};
        column_sums(device, term, a->x.dim[0], &g->w);
    }
    if (g->b.data) {
        struct column_term term = {g->y};
        column_sums(device, term, a->x.dim[0], &g->b);
    }
}
