/* In which bin the distance of two points lies, as one of K: what recycling and templates tell of
 * positions. */
#include "kernels/cpu/cpu.h"

void CPU_NAME(distance_bins)(struct backend *backend, const struct op_distance_bins *a)
{
    int64_t length = a->y.dim[0], bins = a->y.dim[2], ld = a->y.stride[1];
    real *edge = cpu_scratch(backend, bins + 1);
    CPU_STOP_WHERE_COUNTED(backend);
    ASSERT(tensor_dense(&a->x) && (a->y.stride[2] == 1 || bins == 1));
    double step = bins > 1 ? (a->last - a->first) / (double)(bins - 1) : 0;
    for (int64_t k = 0; k < bins; k++) {
        double at = a->first + (double)k * step;
        edge[k] = (real)(at * at);
    }
    edge[bins] = (real)1e8;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)                        \
    if (length * length * bins > CPU_SMALL)
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j < length; j++) {
            const real *x = cpu_data(&a->x) + 3 * i, *to = cpu_data(&a->x) + 3 * j;
            const real *mask = cpu_data(&a->mask);
            real d[3] = {x[0] - to[0], x[1] - to[1], x[2] - to[2]};
            real square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            real one = mask ? mask[i] * mask[j] : 1;
            real *y = cpu_data(&a->y) + i * a->y.stride[0] + j * ld;
            for (int64_t k = 0; k < bins; k++)
                y[k] = square > edge[k] && square < edge[k + 1] ? one : 0;
        }
}
