/* attention, backward, without atomics: the weights p are made again from lse by three kernels, of
 * which each owns what it sums: a thread a query (gq), a thread a key (gk, gv), a thread an element
 * of bias (gbias, over all sequences in turn). With up = gy * gate factor:
 *   gv[k] = sum_q p up[q];  dp = up[q] . v[k];  delta[q] = sum_d gy y (= sum_k p dp);
 *   ds = p (dp - delta);  gq = sum_k ds k / sqrt(D);  gk = sum_q ds q / sqrt(D);
 *   gbias = sum_b ds;  with s = sigmoid(gate + gate_bias): ggate = gy y (1 - s).
 * The last holds because y = s o and ds/dgate = s (1 - s): no division by a small s. */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/columns.cuh"

/* What the kernels read: the arguments, up[B,Q,H,D] (gy where there is no gate), delta[B,H,Q]. */
struct attention_back {
    struct op_attention a;
    struct tensor up, delta;
    float factor; /* 1 / sqrt(D) */
};

/* gate + gate_bias. */
__device__ inline float gate_sum(const struct op_attention &a, int64_t b, int64_t q, int64_t h,
                                 int64_t d)
{
    float x = *at(a.gate, b, q, h, d);
    return a.gate_bias.data ? x + *at(a.gate_bias, h, d) : x;
}

/* delta, up and ggate: one warp a row (b, q, h). */
static __global__ void attention_prepare(struct attention_back back, struct tensor gy,
                                         struct tensor ggate, int64_t rows)
{
    int64_t row = warp_row(), heads = gy.dim[2], queries = gy.dim[1];
    if (row >= rows)
        return; /* the whole warp */
    int64_t h = row % heads, q = row / heads % queries, b = row / heads / queries;
    float sum = 0;
    for (int64_t d = warp_lane(); d < gy.dim[3]; d += WARP) {
        float g = *at(gy, b, q, h, d), along = g * *at(back.a.y, b, q, h, d);
        sum += along;
        if (!back.a.gate.data)
            continue;
        float x = gate_sum(back.a, b, q, h, d);
        *at(back.up, b, q, h, d) = g * sigmoid(x);
        if (ggate.data)
            put(ggate, at(ggate, b, q, h, d), along * sigmoid(-x));
    }
    sum = warp_sum(sum);
    if (warp_lane() == 0)
        *at(back.delta, b, h, q) = sum;
}

/* gy y (1 - s) as rows n = (b,q), columns c = (h,d): its sums are the gradient of gate_bias. */
struct gate_bias_term {
    struct op_attention a;
    struct tensor gy;

    __device__ float operator()(int64_t n, int64_t c) const
    {
        int64_t b = n / gy.dim[1], q = n % gy.dim[1], h = c / gy.dim[3], d = c % gy.dim[3];
        float along = *at(gy, b, q, h, d) * *at(a.y, b, q, h, d);
        return along * sigmoid(-gate_sum(a, b, q, h, d));
    }
};

/* gq: one thread a query, all keys in turn. */
template <int WIDTH>
static __global__ __launch_bounds__(ATTENTION_THREADS) void queries_back(struct attention_back back,
                                                                         struct tensor gq)
{
    __shared__ float key[ATTENTION_STAGE][WIDTH], value[ATTENTION_STAGE][WIDTH];
    __shared__ bool allowed[ATTENTION_STAGE];
    const struct op_attention &a = back.a;
    struct attention_place p = place_of_thread(a.q.dim[1]);
    bool present = p.row < a.q.dim[1];
    float query[WIDTH], up[WIDTH], sum[WIDTH];
    row_load(query, a.q, p.b, p.row, p.h, back.factor);
    row_load(up, back.up, p.b, p.row, p.h, 1.0f);
#pragma unroll
    for (int d = 0; d < WIDTH; d++)
        sum[d] = 0;
    float lse = present ? *at(a.lse, p.b, p.h, p.row) : 0;
    float delta = present ? *at(back.delta, p.b, p.h, p.row) : 0;
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
            float ds = expf(logit - lse) * (dot(up, value[j]) - delta);
#pragma unroll
            for (int d = 0; d < WIDTH; d++)
                sum[d] += ds * key[j][d];
        }
    }
    if (present)
        row_put(gq, p.b, p.row, p.h, sum, back.factor);
}

/* gk and gv (each may be absent): one thread a key, all queries in turn. */
template <int WIDTH>
static __global__ __launch_bounds__(ATTENTION_THREADS) void keys_back(struct attention_back back,
                                                                      struct tensor gk,
                                                                      struct tensor gv)
{
    __shared__ float query[ATTENTION_STAGE][WIDTH], up[ATTENTION_STAGE][WIDTH];
    __shared__ float lse[ATTENTION_STAGE], delta[ATTENTION_STAGE];
    const struct op_attention &a = back.a;
    struct attention_place p = place_of_thread(a.k.dim[1]);
    bool present = p.row < a.k.dim[1];
    bool allowed = present && key_allowed(a.mask, p.b, p.row);
    float key[WIDTH], value[WIDTH], key_sum[WIDTH], value_sum[WIDTH];
    row_load(key, a.k, p.b, p.row, p.h, back.factor);
    row_load(value, a.v, p.b, p.row, p.h, 1.0f);
#pragma unroll
    for (int d = 0; d < WIDTH; d++)
        key_sum[d] = value_sum[d] = 0;
    int64_t queries = a.q.dim[1];
    for (int64_t first = 0; first < queries; first += ATTENTION_STAGE) {
        int staged = ATTENTION_STAGE;
        if (queries - first < staged)
            staged = (int)(queries - first);
        __syncthreads();
        stage_load(query, WIDTH, a.q, p.b, first, p.h, (int)threadIdx.x, ATTENTION_THREADS);
        stage_load(up, WIDTH, back.up, p.b, first, p.h, (int)threadIdx.x, ATTENTION_THREADS);
        if ((int)threadIdx.x < staged) {
            lse[threadIdx.x] = *at(a.lse, p.b, p.h, first + threadIdx.x);
            delta[threadIdx.x] = *at(back.delta, p.b, p.h, first + threadIdx.x);
        }
        __syncthreads();
        for (int i = 0; allowed && i < staged; i++) {
            float logit = dot(key, query[i]);
            if (a.bias.data)
                logit += *at(a.bias, p.h, first + i, p.row);
            float weight = expf(logit - lse[i]), ds = weight * (dot(value, up[i]) - delta[i]);
#pragma unroll
            for (int d = 0; d < WIDTH; d++) {
                key_sum[d] += ds * query[i][d];
                value_sum[d] += weight * up[i][d];
            }
        }
    }
    if (present && gk.data)
        row_put(gk, p.b, p.row, p.h, key_sum, back.factor);
    if (present && gv.data)
        row_put(gv, p.b, p.row, p.h, value_sum, 1.0f);
}

/* gbias[h,q,k]: a block owns 16 queries by 16 keys of one head, and walks the sequences. */
enum { BIAS_TILE = 16 };

template <int WIDTH>
static __global__ __launch_bounds__(BLOCK) void bias_back(struct attention_back back,
                                                          struct tensor gbias)
{
    __shared__ float query[BIAS_TILE][WIDTH + 1], up[BIAS_TILE][WIDTH + 1];
    __shared__ float key[BIAS_TILE][WIDTH + 1], value[BIAS_TILE][WIDTH + 1];
    const struct op_attention &a = back.a;
    int64_t first_k = (int64_t)blockIdx.x * BIAS_TILE, first_q = (int64_t)blockIdx.y * BIAS_TILE;
    int64_t h = blockIdx.z, q = first_q + threadIdx.y, k = first_k + threadIdx.x;
    int thread = (int)(threadIdx.y * BIAS_TILE + threadIdx.x);
    bool present = q < a.q.dim[1] && k < a.k.dim[1];
    float sum = 0;
    for (int64_t b = 0; b < a.q.dim[0]; b++) {
        __syncthreads();
        stage_load(query, WIDTH, a.q, b, first_q, h, thread, BLOCK);
        stage_load(up, WIDTH, back.up, b, first_q, h, thread, BLOCK);
        stage_load(key, WIDTH, a.k, b, first_k, h, thread, BLOCK);
        stage_load(value, WIDTH, a.v, b, first_k, h, thread, BLOCK);
        __syncthreads();
        if (!present || !key_allowed(a.mask, b, k))
            continue;
        float logit = 0, dp = 0;
#pragma unroll
        for (int d = 0; d < WIDTH; d++) {
            logit += query[threadIdx.y][d] * key[threadIdx.x][d];
            dp += up[threadIdx.y][d] * value[threadIdx.x][d];
        }
        logit = logit * back.factor + *at(a.bias, h, q, k);
        sum += expf(logit - *at(a.lse, b, h, q)) * (dp - *at(back.delta, b, h, q));
    }
    if (present)
        put(gbias, at(gbias, h, q, k), sum);
}

static void bias_launch(struct device *device, const struct attention_back *back,
                        const struct tensor *gbias)
{
    const struct op_attention *a = &back->a;
    unsigned tiles_q = blocks_of(a->q.dim[1], BIAS_TILE);
    ASSERT(tiles_q <= 65535 && a->q.dim[2] <= 65535);
    dim3 grid(blocks_of(a->k.dim[1], BIAS_TILE), tiles_q, (unsigned)a->q.dim[2]);
    ATTENTION_LAUNCH(device, bias_back, a->q.dim[3], grid, dim3(BIAS_TILE, BIAS_TILE), *back,
                     *gbias);
}

void cuda_attention_back(struct backend *backend, const struct op_attention *a,
                         const struct op_attention *g)
{
    struct device *device = device_begin(backend);
    const int64_t *size = a->q.dim; /* B, Q, H, D */
    struct attention_back back = {*a, g->y, {}, attention_factor(a)};
    if (a->gate.data)
        back.up = scratch_tensor(device, 4, size[0], size[1], size[2], size[3]);
    back.delta = scratch_tensor(device, 3, size[0], size[2], size[1], 1);
    int64_t rows = size[0] * size[1] * size[2];
    LAUNCH(device, attention_prepare, dim3(blocks_of(rows, BLOCK_WARPS)), dim3(BLOCK), back, g->y,
           g->gate, rows);
    if (g->gate_bias.data) {
        struct gate_bias_term term = {*a, g->y};
        column_sums(device, term, size[0] * size[1], &g->gate_bias);
    }
    if (g->q.data)
        ATTENTION_LAUNCH(device, queries_back, size[3], attention_grid(size[0], size[1], size[2]),
                         dim3(ATTENTION_THREADS), back, g->q);
    if (g->k.data || g->v.data)
        ATTENTION_LAUNCH(device, keys_back, size[3], attention_grid(size[0], a->k.dim[1], size[2]),
                         dim3(ATTENTION_THREADS), back, g->k, g->v);
    if (g->bias.data)
        bias_launch(device, &back, &g->bias);
}
