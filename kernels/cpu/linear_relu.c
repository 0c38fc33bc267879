/* Linear layer followed by max(0, .): the first half of every transition. */
#include "kernels/cpu/cpu.h"

CPU_LEAF static void bias_relu(int64_t rows, int64_t out, real *restrict y, int64_t ld,
                               const real *restrict b)
{
    for (int64_t n = 0; n < rows; n++)
        for (int64_t o = 0; o < out; o++) {
            real v = y[n * ld + o] + b[o];
            y[n * ld + o] = v < 0 ? 0 : v; /* written so that not-a-number passes */
        }
}

void CPU_NAME(linear_relu)(struct backend *backend, const struct op_linear_relu *a)
{
    int64_t rows = a->x.dim[0], in = a->x.dim[1], out = a->y.dim[1];
    struct cpu_matrix x = cpu_matrix_of(&a->x, 0, 1), w = cpu_matrix_of(&a->w, 0, 1);
    struct cpu_matrix y = cpu_matrix_of(&a->y, 0, 1);
    ASSERT(!y.transposed);
    const real *b = cpu_data(&a->b);
    int64_t part = cpu_gemm_part(rows, out, in), parts = (rows + part - 1) / part;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (parts > 1)
    for (int64_t p = 0; p < parts; p++) {
        int64_t first = p * part, count = rows - first < part ? rows - first : part;
        cpu_gemm(count, out, in, 1, cpu_rows_from(x, first), cpu_transposed(w), 0,
                 cpu_rows_from(y, first));
        bias_relu(count, out, y.data + first * y.ld, y.ld, b);
    }
}

void CPU_NAME(linear_relu_back)(struct backend *backend, const struct op_linear_relu *a,
                                const struct op_linear_relu *g)
{
    int64_t rows = a->x.dim[0], in = a->x.dim[1], out = a->y.dim[1];
    cpu_weight_gradient(backend, &g->y, &a->x, NULL, &a->y, &g->w, &g->b);
    CPU_STOP_WHERE_COUNTED(backend);
    if (g->x.data)
        cpu_gemm_rows(backend, rows, in, out, 1, cpu_matrix_of(&g->y, 0, 1),
                      cpu_matrix_of(&a->w, 0, 1), g->x.add ? 1 : 0, cpu_matrix_of(&g->x, 0, 1));
}
