/* One over the number of MSA rows in which both residues are known: the outer product's norm. */
#include "kernels/cpu/cpu.h"

void CPU_NAME(mask_norm)(struct backend *backend, const struct op_mask_norm *a)
{
    int64_t rows = a->mask.dim[0], length = a->mask.dim[1];
    ASSERT(tensor_dense(&a->y));
    struct cpu_matrix mask = cpu_matrix_of(&a->mask, 0, 1);
    real *y = cpu_data(&a->y);
    cpu_gemm_rows(backend, length, length, rows, 1, cpu_transposed(mask), mask, 0,
                  cpu_dense(y, length));
    for (int64_t i = 0; i < length * length; i++)
        y[i] = 1 / ((real)a->eps + y[i]);
}
