/* attention, forward: one thread a query, all keys in turn, softmax on the way (the sum and what
 * it weighs are rescaled when a larger logit comes; Dao et al. 2022, with scalars for tiles).
 * B sequences, Q queries, K keys, H heads, D floats a head. */
#include "kernels/cuda/attention.cuh"

/* y[b,q,h,:] = factor of the gate * weighted / sum; lse = top + log(sum); all keys masked: 0 and
 * -inf. */
template <int WIDTH>
__device__ inline void query_finish(const struct op_attention &a, struct attention_place at_,
                                    const float (&weighted)[WIDTH], float top, float sum)
{
    float *y = at(a.y, at_.b, at_.row, at_.h);
    float inverse = sum > 0 ? 1.0f / sum : 0.0f;
#pragma unroll
    for (int d = 0; d < WIDTH; d++) {
        if (d >= a.y.dim[3])
            continue;
        float value = weighted[d] * inverse;
        if (a.gate.data) {
            float x = *at(a.gate, at_.b, at_.row, at_.h, d);
            value *= sigmoid(a.gate_bias.data ? x + *at(a.gate_bias, at_.h, d) : x);
        }
        y[d * a.y.stride[3]] = value;
    }
    *at(a.lse, at_.b, at_.h, at_.row) = sum > 0 ? top + logf(sum) : -INFINITY;
}

template <int WIDTH>
static __global__ __launch_bounds__(ATTENTION_THREADS) void attention_queries(struct op_attention a,
                                                                              float factor)
{
    __shared__ float key[ATTENTION_STAGE][WIDTH], value[ATTENTION_STAGE][WIDTH];
    __shared__ bool allowed[ATTENTION_STAGE];
    struct attention_place p = place_of_thread(a.q.dim[1]);
    bool present = p.row < a.q.dim[1];
    float query[WIDTH], weighted[WIDTH], top = -INFINITY, sum = 0;
    row_load(query, a.q, p.b, p.row, p.h, factor);
#pragma unroll
    for (int d = 0; d < WIDTH; d++)
        weighted[d] = 0;
    for (int64_t first = 0; first < a.k.dim[1]; first += ATTENTION_STAGE) {
        __syncthreads();
        stage_load(key, WIDTH, a.k, p.b, first, p.h, (int)threadIdx.x, ATTENTION_THREADS);
        stage_load(value, WIDTH, a.v, p.b, first, p.h, (int)threadIdx.x, ATTENTION_THREADS);
        if (threadIdx.x < ATTENTION_STAGE) {
            int64_t k = first + threadIdx.x;
            allowed[threadIdx.x] = k < a.k.dim[1] && key_allowed(a.mask, p.b, k);
        }
        __syncthreads();
        for (int j = 0; present && j < ATTENTION_STAGE; j++) {
            if (!allowed[j])
                continue;
            float logit = dot(query, key[j]);
            if (a.bias.data)
                logit += *at(a.bias, p.h, p.row, first + j);
            if (logit > top) {
                float shrink = expf(top - logit);
                sum *= shrink;
#pragma unroll
                for (int d = 0; d < WIDTH; d++)
                    weighted[d] *= shrink;
                top = logit;
            }
            float weight = expf(logit - top);
            sum += weight;
#pragma unroll
            for (int d = 0; d < WIDTH; d++)
                weighted[d] += weight * value[j][d];
        }
    }
    if (present)
        query_finish(a, p, weighted, top, sum);
}

void cuda_attention(struct backend *backend, const struct op_attention *a)
{
    struct device *device = device_begin(backend);
    ATTENTION_LAUNCH(device, attention_queries, a->q.dim[3],
                     attention_grid(a->q.dim[0], a->q.dim[1], a->q.dim[2]), dim3(ATTENTION_THREADS),
                     *a, attention_factor(a));
}
