/* One of several vectors of each item. */
#include "kernels/cpu/cpu.h"

void CPU_NAME(pick)(struct backend *backend, const struct op_pick *a)
{
    (void)backend;
    const int32_t *index = a->index.data;
    for (int64_t n = 0; n < a->y.dim[0]; n++)
        for (int64_t c = 0; c < a->y.dim[1]; c++)
            cpu_data(&a->y)[n * a->y.stride[0] + c * a->y.stride[1]] = cpu_data(
                &a->x)[n * a->x.stride[0] + index[n] * a->x.stride[1] + c * a->x.stride[2]];
}
