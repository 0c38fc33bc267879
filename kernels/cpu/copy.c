/* Copies between tensors of any strides. */
#include "kernels/cpu/cpu.h"

/* to[j,k,l] = (add ? to : 0) + from[j,k,l] for one index of the first axis; the longest of the
 * inner loops is the contiguous one where there is one. */
static void copy_slice(const struct tensor *from, const struct tensor *to, int64_t i, bool add)
{
    const int64_t *fs = from->stride, *ts = to->stride, *dim = to->dim;
    const real *x = cpu_data(from) + i * fs[0];
    real *y = cpu_data(to) + i * ts[0];
    for (int64_t j = 0; j < dim[1]; j++)
        for (int64_t k = 0; k < dim[2]; k++) {
            const real *row = x + j * fs[1] + k * fs[2];
            real *out = y + j * ts[1] + k * ts[2];
            for (int64_t l = 0; l < dim[3]; l++)
                out[l * ts[3]] = (add ? out[l * ts[3]] : 0) + row[l * fs[3]];
        }
}

static void copy(struct backend *backend, const struct tensor *from, const struct tensor *to,
                 bool add)
{
    bool parallel = tensor_count(to) > CPU_SMALL;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (parallel)
    for (int64_t i = 0; i < to->dim[0]; i++)
        copy_slice(from, to, i, add);
}

void CPU_NAME(copy)(struct backend *backend, const struct op_copy *a)
{
    copy(backend, &a->x, &a->y, false);
}

void CPU_NAME(copy_back)(struct backend *backend, const struct op_copy *a, const struct op_copy *g)
{
    (void)a;
    if (g->x.data)
        copy(backend, &g->y, &g->x, g->x.add);
}
