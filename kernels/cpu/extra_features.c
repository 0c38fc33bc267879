/* The features of the rows of an extra MSA out of its compact form. */
#include "kernels/cpu/cpu.h"

enum { CLASSES = 23, FEATURES = 25 };

void CPU_NAME(extra_features)(struct backend *backend, const struct op_extra_features *a)
{
    int64_t cells = a->y.dim[0];
    const int32_t *msa = a->msa.data;
    ASSERT(tensor_dense(&a->y));
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (cells > CPU_SMALL)
    for (int64_t n = 0; n < cells; n++) {
        real *y = cpu_data(&a->y) + n * FEATURES;
        memset(y, 0, CLASSES * sizeof *y);
        y[msa[n]] = 1;
        y[CLASSES] = cpu_data(&a->has_deletion)[n];
        y[CLASSES + 1] = cpu_data(&a->deletion)[n];
    }
}
