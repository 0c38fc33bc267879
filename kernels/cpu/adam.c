/* Adam and the moving average of the weights, one pass over the flat buffers. */
#include "kernels/cpu/cpu.h"

CPU_LEAF static void update(const struct op_adam *a, int64_t count, const real *restrict grad,
                            real *restrict w, real *restrict m, real *restrict v,
                            real *restrict ema)
{
    const real scale = (real)a->scale, b1 = (real)a->b1, b2 = (real)a->b2, eps = (real)a->eps;
    const real c1 = (real)(1 - a->b1), c2 = (real)(1 - a->b2), decay = (real)a->decay;
    const real c3 = (real)(1 - a->decay), rate = (real)(a->rate / a->fix1);
    const real root = (real)(1 / sqrt(a->fix2));
    for (int64_t i = 0; i < count; i++) {
        real t = grad[i] * scale;
        m[i] = b1 * m[i] + c1 * t;
        v[i] = b2 * v[i] + c2 * t * t;
#ifdef CPU_DOUBLE
        real deviation = sqrt(v[i]);
#else
        real deviation = sqrtf(v[i]);
#endif
        w[i] -= rate * m[i] / (deviation * root + eps);
        ema[i] = decay * ema[i] + c3 * w[i];
    }
}

void CPU_NAME(adam)(struct backend *backend, const struct op_adam *a)
{
    const int64_t block = 1 << 14;
    ASSERT(tensor_dense(&a->grad) && tensor_dense(&a->w) && tensor_dense(&a->m));
    ASSERT(tensor_dense(&a->v) && tensor_dense(&a->ema));
    int64_t count = tensor_count(&a->w), blocks = (count + block - 1) / block;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (blocks > 1)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t at = b * block, size = count - at < block ? count - at : block;
        update(a, size, cpu_data(&a->grad) + at, cpu_data(&a->w) + at, cpu_data(&a->m) + at,
               cpu_data(&a->v) + at, cpu_data(&a->ema) + at);
    }
}
