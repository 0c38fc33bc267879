/* sum_squares: y[0] = sum of x[n]^2 in double: sums of blocks, their number fixed by
 * the shape, then one block over these. Not finite where x is not. */
#include "kernels/cuda/reduce.cuh"

enum { SUM_BLOCKS_MAX = 1024, SUM_THREAD_MIN = 16 }; /* terms a thread, where there are enough */

static __global__ void square_parts(struct tensor x, int blocks, double *part)
{
    double sum = 0;
    for (int64_t n = thread_element(); n < x.dim[0]; n += (int64_t)blocks * BLOCK) {
        double value = (double)*at(x, n);
        sum += value * value;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}

static __global__ void square_total(const double *part, int blocks, struct tensor y)
{
    double sum = 0;
    for (int i = (int)threadIdx.x; i < blocks; i += BLOCK)
        sum += part[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        *at(y, 0) = (float)sum;
}

void cuda_sum_squares(struct backend *backend, const struct op_sum_squares *a)
{
    struct device *device = device_begin(backend);
    int blocks = (int)blocks_of(a->x.dim[0], (int64_t)SUM_THREAD_MIN * BLOCK);
    if (blocks > SUM_BLOCKS_MAX)
        blocks = SUM_BLOCKS_MAX;
    double *part = scratch_doubles(device, blocks);
    LAUNCH(device, square_parts, dim3((unsigned)blocks), dim3(BLOCK), a->x, blocks, part);
    LAUNCH(device, square_total, dim3(1), dim3(BLOCK), part, blocks, a->y);
}
