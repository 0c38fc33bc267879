/* Sums and maxima over a warp or a block in an order that is always the same. In the butterfly of
 * a warp both partners add the same two numbers, so that all lanes end with the same bits. */
#ifndef KERNELS_CUDA_REDUCE_CUH
#define KERNELS_CUDA_REDUCE_CUH

#include "kernels/cuda/index.cuh"

/* All 32 lanes call it; all get the sum. */
template <class T> __device__ inline T warp_sum(T value)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

__device__ inline float warp_max(float value)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

/* All BLOCK threads of a one-dimensional block call it; all get the sum. */
__device__ inline double block_sum(double value)
{
    __shared__ double part[BLOCK_WARPS];
    value = warp_sum(value);
    __syncthreads();
    if (warp_lane() == 0)
        part[threadIdx.x / WARP] = value;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < BLOCK_WARPS; i++)
        sum += part[i];
    return sum;
}

#endif
