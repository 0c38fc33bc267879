/* The mean of each column of an MSA over the rows that have it: the query of global attention. */
#include "kernels/cpu/cpu.h"

static real norm_of(const struct op_mask_mean *a, int64_t l)
{
    real sum = 0;
    for (int64_t s = 0; s < a->x.dim[0]; s++)
        sum += a->mask.data ? cpu_data(&a->mask)[s * a->x.dim[1] + l] : 1;
    return 1 / ((real)a->eps + sum);
}

/* to[c] += scale from[c]. */
CPU_LEAF static void add_row(int64_t channels, real scale, const real *restrict from,
                             real *restrict to)
{
    for (int64_t c = 0; c < channels; c++)
        to[c] += scale * from[c];
}

CPU_LEAF static void set_row(int64_t channels, real scale, const real *restrict from,
                             real *restrict to)
{
    for (int64_t c = 0; c < channels; c++)
        to[c] = scale * from[c];
}

void CPU_NAME(mask_mean)(struct backend *backend, const struct op_mask_mean *a)
{
    int64_t rows = a->x.dim[0], length = a->x.dim[1], channels = a->x.dim[2];
    ASSERT(tensor_dense(&a->x) && tensor_dense(&a->y));
    ASSERT(!a->mask.data || tensor_dense(&a->mask));
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)                        \
    if (rows * length * channels > CPU_SMALL)
    for (int64_t l = 0; l < length; l++) {
        real norm = norm_of(a, l), *y = cpu_data(&a->y) + l * channels;
        memset(y, 0, (size_t)channels * sizeof *y);
        for (int64_t s = 0; s < rows; s++) {
            real m = a->mask.data ? cpu_data(&a->mask)[s * length + l] : 1;
            add_row(channels, m * norm, cpu_data(&a->x) + (s * length + l) * channels, y);
        }
    }
}

void CPU_NAME(mask_mean_back)(struct backend *backend, const struct op_mask_mean *a,
                              const struct op_mask_mean *g)
{
    int64_t rows = a->x.dim[0], length = a->x.dim[1], channels = a->x.dim[2];
    if (!g->x.data)
        return;
    ASSERT(tensor_dense(&g->x) && tensor_dense(&g->y));
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)                        \
    if (rows * length * channels > CPU_SMALL)
    for (int64_t l = 0; l < length; l++) {
        real norm = norm_of(a, l);
        const real *up = cpu_data(&g->y) + l * channels;
        for (int64_t s = 0; s < rows; s++) {
            real m = a->mask.data ? cpu_data(&a->mask)[s * length + l] : 1;
            real *to = cpu_data(&g->x) + (s * length + l) * channels;
            if (g->x.add)
                add_row(channels, m * norm, up, to);
            else
                set_row(channels, m * norm, up, to);
        }
    }
}
