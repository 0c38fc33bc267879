/* copy: y[a,b,c,d] = x[a,b,c,d], any strides on both sides. Where neither side's fastest axis is
 * the other's, a tile of both axes goes through shared memory, so that reads and writes both touch
 * neighbours. */
#include "kernels/cuda/copy.cuh"

#include "kernels/cuda/index.cuh"

enum { COPY_TILE = 32 };

/* One thread an element, in the row-major order of the axes. */
template <class Index>
static __global__ void copy_elements(struct tensor from, struct tensor to, int64_t count)
{
    int64_t element = thread_element();
    if (element < count)
        put(to, at_flat(to, (Index)element), *at_flat(from, (Index)element));
}

/* Axes 2 and 3 are `from`'s fastest and `to`'s fastest; blocks over tiles of both, times the
 * product of axes 0 and 1. Block: rows_block(). */
static __global__ void copy_tiles(struct tensor from, struct tensor to, int64_t tiles_2,
                                  int64_t tiles_3)
{
    __shared__ float tile[COPY_TILE][COPY_TILE + 1];
    int64_t block = blockIdx.x;
    int64_t first_3 = block % tiles_3 * COPY_TILE, first_2 = block / tiles_3 % tiles_2 * COPY_TILE;
    int64_t outer = block / tiles_3 / tiles_2, i = outer / to.dim[1], j = outer % to.dim[1];
    int64_t k = first_2 + threadIdx.x; /* neighbours in `from` */
    for (int row = (int)threadIdx.y; row < COPY_TILE; row += TILE_ROWS)
        if (k < to.dim[2] && first_3 + row < to.dim[3])
            tile[row][threadIdx.x] = *at(from, i, j, k, first_3 + row);
    __syncthreads();
    int64_t l = first_3 + threadIdx.x; /* neighbours in `to` */
    for (int row = (int)threadIdx.y; row < COPY_TILE; row += TILE_ROWS)
        if (l < to.dim[3] && first_2 + row < to.dim[2])
            put(to, at(to, i, j, first_2 + row, l), tile[threadIdx.x][row]);
}

/* The axis of more than one element with stride 1; -1: none. */
static int fastest_axis(const struct tensor *t)
{
    for (int axis = TENSOR_RANK_MAX - 1; axis >= 0; axis--)
        if (axis < t->rank && t->dim[axis] > 1 && t->stride[axis] == 1)
            return axis;
    return -1;
}

/* Both views with axis moved to the end, and four axes. */
static void axis_last(struct tensor *from, struct tensor *to, int axis, int place)
{
    *from = tensor_swap(*from, axis, place);
    *to = tensor_swap(*to, axis, place);
}

void strided_copy(struct device *device, const struct tensor *from, const struct tensor *to)
{
    int64_t count = tensor_count(to);
    ASSERT_INT(tensor_count(from), ==, count);
    ASSERT_INT(from->rank, ==, to->rank);
    int fast_from = fastest_axis(from), fast_to = fastest_axis(to);
    if (fast_from < 0 || fast_to < 0 || fast_from == fast_to) {
        LAUNCH(device, count <= UINT32_MAX ? copy_elements<uint32_t> : copy_elements<uint64_t>,
               dim3(blocks_of(count, BLOCK)), dim3(BLOCK), *from, *to, count);
        return;
    }
    struct tensor source = *from, target = *to;
    source.rank = target.rank = TENSOR_RANK_MAX; /* further axes have one element */
    axis_last(&source, &target, fast_to, 3);
    if (fast_from == 3) /* it was moved to where fast_to stood */
        fast_from = fast_to;
    axis_last(&source, &target, fast_from, 2);
    int64_t tiles_2 = (target.dim[2] + COPY_TILE - 1) / COPY_TILE;
    int64_t tiles_3 = (target.dim[3] + COPY_TILE - 1) / COPY_TILE;
    LAUNCH(device, copy_tiles,
           dim3(blocks_of(target.dim[0] * target.dim[1] * tiles_2 * tiles_3, 1)), rows_block(),
           source, target, tiles_2, tiles_3);
}

void cuda_copy(struct backend *backend, const struct op_copy *a)
{
    struct tensor y = a->y;
    y.add = false;
    strided_copy(device_begin(backend), &a->x, &y);
}

void cuda_copy_back(struct backend *backend, const struct op_copy *a, const struct op_copy *g)
{
    (void)a;
    if (g->x.data)
        strided_copy(device_begin(backend), &g->y, &g->x);
}
