/* Runs the item functions of kernels/each on the device, one thread an item. */
#ifndef KERNELS_CUDA_EACH_CUH
#define KERNELS_CUDA_EACH_CUH

#include "kernels/cuda/device.cuh"

#include <math.h>

typedef float real;
#define EACH_FN   __device__ inline
#define real_sqrt sqrtf
#define real_exp  expf
#define real_log  logf

#include "kernels/each/each.h"

#ifdef __CUDACC__
#define EACH_CALL const __grid_constant__
#else
#define EACH_CALL const
#endif

enum { EACH_BLOCK = 64 };

/* The kernel of one item function, which takes a call of this type. */
#define EACH_KERNEL(type, function)                                                                \
    static __global__ void function##_kernel(EACH_CALL type call, int64_t count)                   \
    {                                                                                              \
        int64_t i = (int64_t)blockIdx.x * EACH_BLOCK + threadIdx.x;                                \
        if (i < count)                                                                             \
            function(&call, i);                                                                    \
    }

#define EACH(device, count, function, call)                                                        \
    do {                                                                                           \
        if ((count) > 0)                                                                           \
            LAUNCH(device, function##_kernel, blocks_of(count, EACH_BLOCK), EACH_BLOCK, call,      \
                   (int64_t)(count));                                                              \
    } while (0)

#endif
