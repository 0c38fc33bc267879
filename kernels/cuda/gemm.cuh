/* Products of strided matrices by cuBLAS, in float32 without TF32. */
#ifndef KERNELS_CUDA_GEMM_CUH
#define KERNELS_CUDA_GEMM_CUH

#include "kernels/cuda/device.cuh"

/* y[b] (+)= a[b] times c[b]: a[B,M,K], c[B,K,N], y[B,M,N]; of each matrix one of the two strides
 * is 1 (an axis of size 1 fits any stride); y's matrices do not overlap. */
void gemm(struct device *device, struct tensor a, struct tensor c, struct tensor y, bool add);

/* t[M,K] as [1,M,K]. */
static inline struct tensor matrix(struct tensor t)
{
    ASSERT_INT(t.rank, ==, 2);
    t.rank = 3;
    t.dim[2] = t.dim[1], t.stride[2] = t.stride[1];
    t.dim[1] = t.dim[0], t.stride[1] = t.stride[0];
    t.dim[0] = 1, t.stride[0] = 0;
    return t;
}

/* The matrices of t[B,M,K] transposed: a view. */
static inline struct tensor transposed(struct tensor t)
{
    return tensor_swap(t, 1, 2);
}

#endif
