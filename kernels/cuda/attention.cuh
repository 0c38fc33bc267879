/* What the forward and backward kernels of attention share. Rows of q, k, v are of D floats, held
 * in registers in arrays of WIDTH >= D whose rest is zero (WIDTH 8, 16, 32, 64 or 128, a
 * template argument); rows that all threads need are staged in shared memory, KEYS at a time. */
#ifndef KERNELS_CUDA_ATTENTION_CUH
#define KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/reduce.cuh"

enum { ATTENTION_THREADS = 64, ATTENTION_STAGE = 32, ATTENTION_WIDTH_MAX = 128 };

/* to[d] = factor * t[b,n,h,d]; zero past D, and everywhere where there is no such row. */
template <int WIDTH>
__device__ inline void row_load(float (&to)[WIDTH], const struct tensor &t, int64_t b, int64_t n,
                                int64_t h, float factor)
{
    const float *from = at(t, b, n < t.dim[1] ? n : 0, h);
    bool present = n < t.dim[1];
#pragma unroll
    for (int d = 0; d < WIDTH; d++)
        to[d] = present && d < t.dim[3] ? factor * from[d * t.stride[3]] : 0.0f;
}

/* t[b,n,h,d] (+)= factor * from[d]. */
template <int WIDTH>
__device__ inline void row_put(const struct tensor &t, int64_t b, int64_t n, int64_t h,
                               const float (&from)[WIDTH], float factor)
{
    float *to = at(t, b, n, h);
#pragma unroll
    for (int d = 0; d < WIDTH; d++)
        if (d < t.dim[3])
            put(t, to + d * t.stride[3], factor * from[d]);
}

/* stage[r][d] = t[b,first + r,h,d], zero outside, by all threads of a block of `threads`. */
template <int ROWS, int PITCH>
__device__ inline void stage_load(float (&stage)[ROWS][PITCH], int width, const struct tensor &t,
                                  int64_t b, int64_t first, int64_t h, int thread, int threads)
{
    for (int place = thread; place < ROWS * width; place += threads) {
        int r = place / width, d = place % width;
        bool present = first + r < t.dim[1] && d < t.dim[3];
        stage[r][d] = present ? *at(t, b, first + r, h, d) : 0.0f;
    }
}

template <int WIDTH, int OTHER>
__device__ inline float dot(const float (&x)[WIDTH], const float (&y)[OTHER])
{
    float sum = 0;
#pragma unroll
    for (int d = 0; d < WIDTH; d++)
        sum += x[d] * y[d];
    return sum;
}

/* Key k of sequence b takes part. */
__device__ inline bool key_allowed(const struct tensor &mask, int64_t b, int64_t k)
{
    return !mask.data || *at(mask, b, k) > 0;
}

/* Blocks of ATTENTION_THREADS rows: x of the grid counts b and the tiles of rows, y heads. */
static inline dim3 attention_grid(int64_t batch, int64_t rows, int64_t heads)
{
    int64_t tiles = (rows + ATTENTION_THREADS - 1) / ATTENTION_THREADS;
    ASSERT_INT(heads, <=, 65535);
    return dim3(blocks_of(batch * tiles, 1), (unsigned)heads);
}

struct attention_place {
    int64_t b, row, h;
};

__device__ inline struct attention_place place_of_thread(int64_t rows)
{
    int64_t tiles = (rows + ATTENTION_THREADS - 1) / ATTENTION_THREADS;
    struct attention_place place;
    place.b = blockIdx.x / tiles;
    place.row = blockIdx.x % tiles * ATTENTION_THREADS + threadIdx.x;
    place.h = blockIdx.y;
    return place;
}

/* 1 / sqrt(D). */
static inline float attention_factor(const struct op_attention *a)
{
    ASSERT_INT(a->q.dim[3], <=, ATTENTION_WIDTH_MAX);
    return (float)(1.0 / sqrt((double)a->q.dim[3]));
}

/* Launches KERNEL<WIDTH> with the least WIDTH that holds D. */
#define ATTENTION_LAUNCH(device, kernel, depth, grid, block, ...)                                  \
    do {                                                                                           \
        if ((depth) <= 8)                                                                          \
            LAUNCH(device, kernel<8>, grid, block, __VA_ARGS__);                                   \
        else if ((depth) <= 16)                                                                    \
            LAUNCH(device, kernel<16>, grid, block, __VA_ARGS__);                                  \
        else if ((depth) <= 32)                                                                    \
            LAUNCH(device, kernel<32>, grid, block, __VA_ARGS__);                                  \
        else if ((depth) <= 64)                                                                    \
            LAUNCH(device, kernel<64>, grid, block, __VA_ARGS__);                                  \
        else                                                                                       \
            LAUNCH(device, kernel<128>, grid, block, __VA_ARGS__);                                 \
    } while (0)

#endif
