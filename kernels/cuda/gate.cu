/* gate: y[n,c] = sigmoid(g[n,c]) p[n,c] mask[n]. One thread an element; 8 neighbouring rows a
 * block, so that a channel-first y (strides [1, N]) is written in whole sectors. */
#include "kernels/cuda/index.cuh"

static __global__ void gate_elements(struct op_gate a)
{
    int64_t n = thread_row(), c = thread_column();
    if (n < a.y.dim[0] && c < a.y.dim[1])
        *at(a.y, n, c) = sigmoid(*at(a.g, n, c)) * *at(a.p, n, c) * mask_at(a.mask, n);
}

/* With s = sigmoid(g), t = gy mask: gp (+)= t s, gg (+)= t p s (1 - s), 1 - s = sigmoid(-g). */
static __global__ void gate_elements_back(struct op_gate a, struct op_gate grad)
{
    int64_t n = thread_row(), c = thread_column();
    if (n >= a.p.dim[0] || c >= a.p.dim[1])
        return;
    float x = *at(a.g, n, c), s = sigmoid(x), t = *at(grad.y, n, c) * mask_at(a.mask, n);
    if (grad.p.data)
        put(grad.p, at(grad.p, n, c), t * s);
    if (grad.g.data)
        put(grad.g, at(grad.g, n, c), t * *at(a.p, n, c) * s * sigmoid(-x));
}

void cuda_gate(struct backend *backend, const struct op_gate *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, gate_elements, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), *a);
}

void cuda_gate_back(struct backend *backend, const struct op_gate *a, const struct op_gate *g)
{
    struct device *device = device_begin(backend);
    if (g->p.data || g->g.data)
        LAUNCH(device, gate_elements_back, rows_grid(a->p.dim[0], a->p.dim[1]), rows_block(), *a,
               *g);
}
