/* matmul: y[b] = a[b] b[b] over views, and its gradients a' = y' b^T, b' = a^T y'. */
#include "kernels/cuda/gemm.cuh"

void cuda_matmul(struct backend *backend, const struct op_matmul *a)
{
    gemm(device_begin(backend), a->a, a->b, a->y, false);
}

void cuda_matmul_back(struct backend *backend, const struct op_matmul *a, const struct op_matmul *g)
{
    struct device *device = device_begin(backend);
    if (g->a.data)
        gemm(device, g->y, transposed(a->b), g->a, g->a.add);
    if (g->b.data)
        gemm(device, transposed(a->a), g->y, g->b, g->b.add);
}
