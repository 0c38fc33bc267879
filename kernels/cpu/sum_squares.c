/* The sum of squares of a long vector, in double, in fixed blocks. */
#include "kernels/cpu/cpu.h"

enum { BLOCK = 1 << 14 };

CPU_LEAF static double block_sum(int64_t count, const real *restrict x)
{
    double lane[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= count; i += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (int l = 0; i < count; i++, l++)
        lane[l] += (double)x[i] * (double)x[i];
    double sum = 0;
    for (int l = 0; l < CPU_LANES; l++)
        sum += lane[l];
    return sum;
}

void CPU_NAME(sum_squares)(struct backend *backend, const struct op_sum_squares *a)
{
    ASSERT(tensor_dense(&a->x));
    int64_t count = tensor_count(&a->x), blocks = (count + BLOCK - 1) / BLOCK;
    double *part = (double *)(void *)cpu_scratch(
        backend, (blocks * (int64_t)sizeof(double)) / (int64_t)sizeof(real));
    CPU_STOP_WHERE_COUNTED(backend);
    const real *x = cpu_data(&a->x);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (blocks > 1)
    for (int64_t b = 0; b < blocks; b++)
        part[b] = block_sum(count - b * BLOCK < BLOCK ? count - b * BLOCK : BLOCK, x + b * BLOCK);
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++)
        sum += part[b];
    *cpu_data(&a->y) = (real)sum;
}
