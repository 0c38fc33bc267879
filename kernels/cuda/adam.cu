/* adam: one step on dense arrays of N parameters, the moving average of the weights with it. */
#include "kernels/cuda/index.cuh"

/* The settings in float, as the other backends use them. */
struct adam_step {
    float scale, rate, b1, b2, one_minus_b1, one_minus_b2, fix1, fix2, eps, decay, one_minus_decay;
};

static __global__ void adam_elements(struct op_adam a, struct adam_step step, int64_t count)
{
    int64_t n = thread_element();
    if (n >= count)
        return;
    float t = *at(a.grad, n) * step.scale;
    float m = step.b1 * *at(a.m, n) + step.one_minus_b1 * t;
    float v = step.b2 * *at(a.v, n) + step.one_minus_b2 * t * t;
    float w = *at(a.w, n) - step.rate * (m / step.fix1) / (sqrtf(v / step.fix2) + step.eps);
    *at(a.m, n) = m;
    *at(a.v, n) = v;
    *at(a.w, n) = w;
    *at(a.ema, n) = step.decay * *at(a.ema, n) + step.one_minus_decay * w;
}

void cuda_adam(struct backend *backend, const struct op_adam *a)
{
    struct device *device = device_begin(backend);
    struct adam_step step;
    step.scale = (float)a->scale, step.rate = (float)a->rate;
    step.b1 = (float)a->b1, step.one_minus_b1 = (float)(1 - a->b1);
    step.b2 = (float)a->b2, step.one_minus_b2 = (float)(1 - a->b2);
    step.fix1 = (float)a->fix1, step.fix2 = (float)a->fix2;
    step.eps = (float)a->eps;
    step.decay = (float)a->decay, step.one_minus_decay = (float)(1 - a->decay);
    int64_t count = tensor_count(&a->w);
    LAUNCH(device, adam_elements, dim3(blocks_of(count, BLOCK)), dim3(BLOCK), *a, step, count);
}
