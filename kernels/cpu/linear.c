/* Linear layer: y = res + scale * (x w^T + b); rows cut into parts, the epilogue applied while a
 * part is in the cache. */
#include "kernels/cpu/cpu.h"

/* y[n,o] = res[n,o] + scale[n] * (y[n,o] + b[o]). */
CPU_LEAF static void epilogue(int64_t rows, int64_t out, real *restrict y, int64_t y_ld,
                              const real *restrict b, const real *restrict scale,
                              const real *restrict res, int64_t res_ld)
{
    for (int64_t n = 0; n < rows; n++) {
        real s = scale ? scale[n] : 1, *row = y + n * y_ld;
        if (b)
            for (int64_t o = 0; o < out; o++)
                row[o] += b[o];
        if (scale)
            for (int64_t o = 0; o < out; o++)
                row[o] *= s;
        if (res)
            for (int64_t o = 0; o < out; o++)
                row[o] += res[n * res_ld + o];
    }
}

void CPU_NAME(linear)(struct backend *backend, const struct op_linear *a)
{
    int64_t rows = a->x.dim[0], in = a->x.dim[1], out = a->y.dim[1];
    struct cpu_matrix x = cpu_matrix_of(&a->x, 0, 1), w = cpu_matrix_of(&a->w, 0, 1);
    struct cpu_matrix y = cpu_matrix_of(&a->y, 0, 1);
    ASSERT(!y.transposed);
    const real *b = cpu_data(&a->b), *scale = cpu_data(&a->scale), *res = cpu_data(&a->res);
    int64_t part = cpu_gemm_part(rows, out, in), parts = (rows + part - 1) / part;
    bool plain = !b && !scale && !res;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (parts > 1)
    for (int64_t p = 0; p < parts; p++) {
        int64_t first = p * part, count = rows - first < part ? rows - first : part;
        cpu_gemm(count, out, in, 1, cpu_rows_from(x, first), cpu_transposed(w), 0,
                 cpu_rows_from(y, first));
        if (!plain)
            epilogue(count, out, y.data + first * y.ld, y.ld, b, scale ? scale + first : NULL,
                     res ? res + first * a->res.stride[0] : NULL, a->res.stride[0]);
    }
}

void CPU_NAME(linear_back)(struct backend *backend, const struct op_linear *a,
                           const struct op_linear *g)
{
    int64_t rows = a->x.dim[0], in = a->x.dim[1], out = a->y.dim[1];
    const real *scale = cpu_data(&a->scale);
    struct cpu_matrix dy = cpu_matrix_of(&g->y, 0, 1), w = cpu_matrix_of(&a->w, 0, 1);
    if (g->w.data || g->b.data)
        cpu_weight_gradient(backend, &g->y, &a->x, scale, NULL, &g->w, &g->b);
    if (g->res.data && !cpu_counts(backend))
        cpu_copy_rows(backend, rows, out, dy.data, dy.ld, g->res.add, cpu_data(&g->res),
                      g->res.stride[0]);
    if (!g->x.data)
        return;
    struct cpu_matrix dx = cpu_matrix_of(&g->x, 0, 1);
    real beta = g->x.add ? 1 : 0;
    if (!scale) {
        CPU_STOP_WHERE_COUNTED(backend);
        cpu_gemm_rows(backend, rows, in, out, 1, dy, w, beta, dx);
        return;
    }
    real *scaled = cpu_scratch(backend, rows * out);
    CPU_STOP_WHERE_COUNTED(backend);
    int64_t part = cpu_gemm_part(rows, in, out), parts = (rows + part - 1) / part;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (parts > 1)
    for (int64_t p = 0; p < parts; p++) {
        int64_t first = p * part, count = rows - first < part ? rows - first : part;
        real *to = scaled + first * out;
        cpu_scale_rows(count, out, dy.data + first * dy.ld, dy.ld, scale + first, to);
        cpu_gemm(count, in, out, 1, cpu_dense(to, out), w, beta, cpu_rows_from(dx, first));
    }
}
