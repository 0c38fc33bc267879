/* embed_pair: z[i,j,:] = left[i,:] + right[j,:] + w[:,bin(i,j)] + b; L residues, C channels. The
 * gradient of w: a warp owns 32 columns of one i and adds rows j to its 65 sums in turn; the sums
 * over i follow in order. */
#include "kernels/cuda/columns.cuh"

__device__ inline int relpos_bin(int32_t from, int32_t to)
{
    const int64_t most = RELPOS_MAX;
    int64_t apart = (int64_t)from - to;
    apart = apart < -most ? -most : apart > most ? most : apart;
    return (int)(apart + most);
}

static __global__ void embed_pair_elements(struct op_embed_pair a)
{
    int64_t pair = thread_row(), c = thread_column(), length = a.z.dim[0];
    if (pair >= length * length || c >= a.z.dim[2])
        return;
    int64_t i = pair / length, j = pair % length;
    int bin = relpos_bin(index_at(a.index, i), index_at(a.index, j));
    *at(a.z, i, j, c) = *at(a.left, i, c) + *at(a.right, j, c) + *at(a.w, c, bin) + *at(a.b, c);
}

/* gleft[i,c] (+)= sum_j gz[i,j,c]; with gz's first two axes exchanged: gright. */
static __global__ void embed_pair_side(struct tensor gz, struct tensor side)
{
    int64_t i = thread_row(), c = thread_column();
    if (i >= side.dim[0] || c >= side.dim[1])
        return;
    float sum = 0;
    for (int64_t j = 0; j < gz.dim[1]; j++)
        sum += *at(gz, i, j, c);
    put(side, at(side, i, c), sum);
}

/* part[i,c,bin] = sum of gz[i,j,c] over j with that bin. Block: one warp; grid: i, tiles of c. */
static __global__ void embed_pair_bins(struct tensor gz, struct tensor index, float *part)
{
    __shared__ float sum[TILE_COLUMNS][RELPOS_BINS]; /* each thread touches its own row only */
    int64_t i = blockIdx.x, channels = gz.dim[2], c = thread_column();
    if (c >= channels)
        return;
    for (int bin = 0; bin < RELPOS_BINS; bin++)
        sum[threadIdx.x][bin] = 0;
    int32_t from = index_at(index, i);
    for (int64_t j = 0; j < gz.dim[1]; j++)
        sum[threadIdx.x][relpos_bin(from, index_at(index, j))] += *at(gz, i, j, c);
    for (int bin = 0; bin < RELPOS_BINS; bin++)
        part[(i * channels + c) * RELPOS_BINS + bin] = sum[threadIdx.x][bin];
}

/* gz[i,j,c] as rows n = (i,j). */
struct pair_term {
    struct tensor gz;

    __device__ float operator()(int64_t n, int64_t c) const
    {
        return *at(gz, n / gz.dim[1], n % gz.dim[1], c);
    }
};

void cuda_embed_pair(struct backend *backend, const struct op_embed_pair *a)
{
    struct device *device = device_begin(backend);
    int64_t length = a->z.dim[0];
    LAUNCH(device, embed_pair_elements, rows_grid(length * length, a->z.dim[2]), rows_block(), *a);
}

void cuda_embed_pair_back(struct backend *backend, const struct op_embed_pair *a,
                          const struct op_embed_pair *g)
{
    struct device *device = device_begin(backend);
    int64_t length = a->z.dim[0], channels = a->z.dim[2];
    if (g->left.data)
        LAUNCH(device, embed_pair_side, rows_grid(length, channels), rows_block(), g->z, g->left);
    if (g->right.data)
        LAUNCH(device, embed_pair_side, rows_grid(length, channels), rows_block(),
               tensor_swap(g->z, 0, 1), g->right);
    if (g->b.data) {
        struct pair_term term = {g->z};
        column_sums(device, term, length * length, &g->b);
    }
    if (g->w.data) {
        struct tensor part = scratch_tensor(device, 2, length, channels * RELPOS_BINS, 1, 1);
        LAUNCH(device, embed_pair_bins, dim3((unsigned)length, rows_grid(1, channels).y),
               dim3(TILE_COLUMNS), g->z, a->index, (float *)part.data);
        struct column_term term = {part};
        column_sums(device, term, length, &g->w);
    }
}
