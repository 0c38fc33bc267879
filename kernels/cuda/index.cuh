/* Where the elements of a tensor lie, for kernels: tensors are passed to them by value, strides
 * and all, so that one kernel serves every view. Also how threads are laid over rows and columns.
 */
#ifndef KERNELS_CUDA_INDEX_CUH
#define KERNELS_CUDA_INDEX_CUH

#include "kernels/cuda/device.cuh"

#include <math.h>

__device__ inline float *at(const struct tensor &t, int64_t i)
{
    return (float *)t.data + i * t.stride[0];
}

__device__ inline float *at(const struct tensor &t, int64_t i, int64_t j)
{
    return (float *)t.data + i * t.stride[0] + j * t.stride[1];
}

__device__ inline float *at(const struct tensor &t, int64_t i, int64_t j, int64_t k)
{
    return (float *)t.data + i * t.stride[0] + j * t.stride[1] + k * t.stride[2];
}

__device__ inline float *at(const struct tensor &t, int64_t i, int64_t j, int64_t k, int64_t l)
{
    return (float *)t.data + i * t.stride[0] + j * t.stride[1] + k * t.stride[2] + l * t.stride[3];
}

/* Element i of an index tensor. */
__device__ inline int32_t index_at(const struct tensor &t, int64_t i)
{
    return ((const int32_t *)t.data)[i * t.stride[0]];
}

/* Element `flat` of t in row-major order of its axes. Index: uint32_t where it holds the number of
 * elements (division of 64-bit numbers is slow on a device), else uint64_t. */
template <class Index> __device__ inline float *at_flat(const struct tensor &t, Index flat)
{
    float *data = (float *)t.data;
    for (int axis = t.rank - 1; axis >= 0; axis--) {
        Index size = (Index)t.dim[axis], rest = flat / size;
        data += (int64_t)(flat - rest * size) * t.stride[axis];
        flat = rest;
    }
    return data;
}

/* mask[n], or 1 where the mask is absent. */
__device__ inline float mask_at(const struct tensor &mask, int64_t n)
{
    return mask.data ? *at(mask, n) : 1.0f;
}

/* Writes a gradient: adds where it is asked to. */
__device__ inline void put(const struct tensor &t, float *place, float value)
{
    *place = t.add ? *place + value : value;
}

/* sigmoid(x) = 1 / (1 + exp(-x)), without overflow on either side. */
__host__ __device__ inline float sigmoid(float x)
{
    float e = expf(-fabsf(x)), small = e / (1.0f + e), large = 1.0f / (1.0f + e);
    return x < 0 ? small : large;
}

/* One thread an element of [N,C]: 8 rows by 32 columns a block. Rows lie along x of the grid,
 * which alone may be longer than 65535. */
enum { TILE_ROWS = 8, TILE_COLUMNS = 32 };

static inline dim3 rows_grid(int64_t rows, int64_t columns)
{
    int64_t tiles = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    ASSERT_INT(tiles, <=, 65535);
    return dim3(blocks_of(rows, TILE_ROWS), (unsigned)tiles);
}

static inline dim3 rows_block(void)
{
    return dim3(TILE_COLUMNS, TILE_ROWS);
}

__device__ inline int64_t thread_row(void)
{
    return (int64_t)blockIdx.x * TILE_ROWS + threadIdx.y;
}

__device__ inline int64_t thread_column(void)
{
    return (int64_t)blockIdx.y * TILE_COLUMNS + threadIdx.x;
}

/* One thread an element of a flat range, BLOCK threads a block. */
__device__ inline int64_t thread_element(void)
{
    return (int64_t)blockIdx.x * BLOCK + threadIdx.x;
}

/* One warp a row, BLOCK / WARP rows a block: the row, and this thread's place in its warp. */
enum { BLOCK_WARPS = BLOCK / WARP };

__device__ inline int64_t warp_row(void)
{
    return (int64_t)blockIdx.x * BLOCK_WARPS + threadIdx.x / WARP;
}

__device__ inline int warp_lane(void)
{
    return (int)(threadIdx.x % WARP);
}

#endif
