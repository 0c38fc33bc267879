/* linear and linear_relu: cuBLAS for the products, one pass over y for what stands around them.
 * N rows, I inputs, O outputs. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/gemm.cuh"

/* y[n,o] = res[n,o] + scale[n] * (y[n,o] + b[o]), y holding the product. */
static __global__ void linear_finish(struct op_linear a)
{
    int64_t n = thread_row(), o = thread_column();
    if (n >= a.y.dim[0] || o >= a.y.dim[1])
        return;
    float value = *at(a.y, n, o);
    if (a.b.data)
        value += *at(a.b, o);
    value *= mask_at(a.scale, n);
    if (a.res.data)
        value += *at(a.res, n, o);
    *at(a.y, n, o) = value;
}

/* to[n,o] = scale[n] * gy[n,o]. */
static __global__ void linear_scale(struct tensor to, struct tensor scale, struct tensor gy)
{
    int64_t n = thread_row(), o = thread_column();
    if (n < to.dim[0] && o < to.dim[1])
        *at(to, n, o) = *at(scale, n) * *at(gy, n, o);
}

/* Gradients of x w^T + b: up[N,O] is what comes from above.
 * gx[N,I] (+)= up w, gw[O,I] (+)= up^T x, gb[O] (+)= sum over rows of up. */
static void products_back(struct device *device, const struct tensor *x, const struct tensor *w,
                          const struct tensor *up, const struct tensor *gx, const struct tensor *gw,
                          const struct tensor *gb)
{
    if (gx->data)
        gemm(device, matrix(*up), matrix(*w), matrix(*gx), gx->add);
    if (gw->data)
        gemm(device, transposed(matrix(*up)), matrix(*x), matrix(*gw), gw->add);
    if (gb->data) {
        struct column_term term = {*up};
        column_sums(device, term, up->dim[0], gb);
    }
}

void cuda_linear(struct backend *backend, const struct op_linear *a)
{
    struct device *device = device_begin(backend);
    gemm(device, matrix(a->x), transposed(matrix(a->w)), matrix(a->y), false);
    if (a->b.data || a->scale.data || a->res.data)
        LAUNCH(device, linear_finish, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), *a);
}

void cuda_linear_back(struct backend *backend, const struct op_linear *a, const struct op_linear *g)
{
    struct device *device = device_begin(backend);
    struct tensor up = g->y;
    if (a->scale.data && (g->x.data || g->w.data || g->b.data)) {
        up = scratch_tensor(device, 2, g->y.dim[0], g->y.dim[1], 1, 1);
        LAUNCH(device, linear_scale, rows_grid(up.dim[0], up.dim[1]), rows_block(), up, a->scale,
               g->y);
    }
    products_back(device, &a->x, &a->w, &up, &g->x, &g->w, &g->b);
    if (g->res.data)
        strided_copy(device, &g->y, &g->res);
}

/* y = max(0, y + b), y holding the product; what is not a number stays so. */
static __global__ void relu_finish(struct op_linear_relu a)
{
    int64_t n = thread_row(), o = thread_column();
    if (n >= a.y.dim[0] || o >= a.y.dim[1])
        return;
    float value = *at(a.y, n, o) + *at(a.b, o);
    *at(a.y, n, o) = value < 0 ? 0.0f : value;
}

/* gy[n,o] = 0 where y[n,o] <= 0. */
static __global__ void relu_mask(struct tensor y, struct tensor gy)
{
    int64_t n = thread_row(), o = thread_column();
    if (n < y.dim[0] && o < y.dim[1] && !(*at(y, n, o) > 0))
        *at(gy, n, o) = 0;
}

void cuda_linear_relu(struct backend *backend, const struct op_linear_relu *a)
{
    struct device *device = device_begin(backend);
    gemm(device, matrix(a->x), transposed(matrix(a->w)), matrix(a->y), false);
    LAUNCH(device, relu_finish, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), *a);
}

void cuda_linear_relu_back(struct backend *backend, const struct op_linear_relu *a,
                           const struct op_linear_relu *g)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, relu_mask, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), a->y, g->y);
    products_back(device, &a->x, &a->w, &g->y, &g->x, &g->w, &g->b);
}
