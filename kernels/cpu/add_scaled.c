/* A long vector, scaled, added to another. */
#include "kernels/cpu/cpu.h"

void CPU_NAME(add_scaled)(struct backend *backend, const struct op_add_scaled *a)
{
    ASSERT(tensor_dense(&a->x) && tensor_dense(&a->y));
    ASSERT_INT(tensor_count(&a->x), ==, tensor_count(&a->y));
    int64_t count = tensor_count(&a->y);
    const real *x = cpu_data(&a->x), scale = (real)a->scale;
    real *y = cpu_data(&a->y);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (count > 1 << 14)
    for (int64_t i = 0; i < count; i++)
        y[i] += scale * x[i];
}
