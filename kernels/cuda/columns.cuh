/* Sums over the rows of a [N,C] array of terms, as gradients of biases and weights need: first
 * over a fixed number of groups of rows, then over the groups. No atomics: the order of the sums
 * follows from the shape. */
#ifndef KERNELS_CUDA_COLUMNS_CUH
#define KERNELS_CUDA_COLUMNS_CUH

#include "kernels/cuda/index.cuh"

enum { COLUMN_GROUPS_MAX = 256, COLUMN_GROUP_ROWS_MIN = 64 };

/* part[group,c] = sum of term(n, c) over the rows n of the group. Block: rows_block(). */
template <class Term>
__global__ void column_parts(Term term, int64_t rows, int64_t columns, int64_t group_rows,
                             float *part)
{
    __shared__ float lane[TILE_ROWS][TILE_COLUMNS];
    int64_t c = (int64_t)blockIdx.x * TILE_COLUMNS + threadIdx.x, group = blockIdx.y;
    int64_t end = (group + 1) * group_rows < rows ? (group + 1) * group_rows : rows;
    float sum = 0;
    if (c < columns)
        for (int64_t n = group * group_rows + threadIdx.y; n < end; n += TILE_ROWS)
            sum += term(n, c);
    lane[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < columns) {
        float total = 0;
        for (int i = 0; i < TILE_ROWS; i++)
            total += lane[i][threadIdx.x];
        part[group * columns + c] = total;
    }
}

/* out[c] (+)= sum over groups of part[group,c]; out's axes are walked in row-major order. */
static __global__ void column_totals(const float *part, int64_t groups, int64_t columns,
                                     struct tensor out)
{
    int64_t c = thread_element();
    if (c >= columns)
        return;
    float total = 0;
    for (int64_t group = 0; group < groups; group++)
        total += part[group * columns + c];
    put(out, at_flat(out, (uint64_t)c), total);
}

/* out (+)= sum over n of term(n, c), n < rows, c < elements of out. Term: a struct with
 * __device__ float operator()(int64_t n, int64_t c) const. */
template <class Term>
void column_sums(struct device *device, Term term, int64_t rows, const struct tensor *out)
{
    int64_t columns = tensor_count(out);
    int64_t group_rows = (rows + COLUMN_GROUPS_MAX - 1) / COLUMN_GROUPS_MAX;
    if (group_rows < COLUMN_GROUP_ROWS_MIN)
        group_rows = COLUMN_GROUP_ROWS_MIN;
    int64_t groups = (rows + group_rows - 1) / group_rows;
    float *part = scratch_floats(device, groups * columns);
    LAUNCH(device, (column_parts<Term>), dim3(blocks_of(columns, TILE_COLUMNS), (unsigned)groups),
           rows_block(), term, rows, columns, group_rows, part);
    LAUNCH(device, column_totals, dim3(blocks_of(columns, BLOCK)), dim3(BLOCK), part, groups,
           columns, *out);
}

/* The term x[n,c]. */
struct column_term {
    struct tensor x;

    __device__ float operator()(int64_t n, int64_t c) const
    {
        return *at(x, n, c);
    }
};

#endif
