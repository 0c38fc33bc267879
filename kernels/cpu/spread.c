/* One row copied to many, and back: the sum of the rows. */
#include "kernels/cpu/cpu.h"

void CPU_NAME(spread)(struct backend *backend, const struct op_spread *a)
{
    int64_t rows = a->y.dim[0], columns = a->y.dim[1];
    const real *t = cpu_data(&a->t);
    real *y = cpu_data(&a->y);
    ASSERT(tensor_dense(&a->t) && (a->y.stride[1] == 1 || columns == 1));
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)                        \
    if (rows * columns > CPU_SMALL)
    for (int64_t i = 0; i < rows; i++)
        memcpy(y + i * a->y.stride[0], t, (size_t)columns * sizeof *t);
}

/* dt[n] = (add ? dt : 0) + sum of the rows, for columns [first, end). */
CPU_LEAF static void sum_rows(int64_t rows, int64_t first, int64_t end, const real *restrict dy,
                              int64_t ld, bool add, real *restrict dt)
{
    for (int64_t n = first; n < end; n++)
        dt[n] = (add ? dt[n] : 0) + dy[n];
    for (int64_t i = 1; i < rows; i++)
        for (int64_t n = first; n < end; n++)
            dt[n] += dy[i * ld + n];
}

void CPU_NAME(spread_back)(struct backend *backend, const struct op_spread *a,
                           const struct op_spread *g)
{
    int64_t rows = a->y.dim[0], columns = a->y.dim[1], block = 1024;
    int64_t blocks = (columns + block - 1) / block;
    if (!g->t.data)
        return;
    ASSERT(tensor_dense(&g->t) && (g->y.stride[1] == 1 || columns == 1));
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (blocks > 1)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t end = (b + 1) * block < columns ? (b + 1) * block : columns;
        sum_rows(rows, b * block, end, cpu_data(&g->y), g->y.stride[0], g->t.add, cpu_data(&g->t));
    }
}
