/* The pair representation's start: left + right + the embedding of the clipped distance in the
 * sequence, a column of w (a one-hot times w, without the one-hot). */
#include "kernels/cpu/cpu.h"

static int64_t bin_of(const int32_t *index, int64_t i, int64_t j)
{
    int64_t distance = (int64_t)index[i] - index[j];
    distance = distance < -RELPOS_MAX ? -RELPOS_MAX : distance;
    distance = distance > RELPOS_MAX ? RELPOS_MAX : distance;
    return distance + RELPOS_MAX;
}

static void check(const struct op_embed_pair *a)
{
    ASSERT(a->index.kind == TENSOR_I32 && tensor_dense(&a->index) && tensor_dense(&a->z));
    ASSERT(tensor_dense(&a->left) && tensor_dense(&a->right) && tensor_dense(&a->w));
    ASSERT_INT(a->w.dim[1], ==, RELPOS_BINS);
}

CPU_LEAF static void add_three(int64_t channels, const real *restrict a, const real *restrict b,
                              const real *restrict c, real *restrict z)
{
    for (int64_t i = 0; i < channels; i++)
        z[i] = a[i] + b[i] + c[i];
}

void CPU_NAME(embed_pair)(struct backend *backend, const struct op_embed_pair *a)
{
    check(a);
    int64_t length = a->z.dim[0], channels = a->z.dim[2];
    const int32_t *index = a->index.data;
    const real *w = cpu_data(&a->w), *b = cpu_data(&a->b), *left = cpu_data(&a->left);
    real *table = cpu_scratch(backend, RELPOS_BINS * channels); /* w^T + b: [65, C] */
    CPU_STOP_WHERE_COUNTED(backend);
    for (int64_t bin = 0; bin < RELPOS_BINS; bin++)
        for (int64_t c = 0; c < channels; c++)
            table[bin * channels + c] = w[c * RELPOS_BINS + bin] + b[c];
    const real *right = cpu_data(&a->right);
    real *z = cpu_data(&a->z);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j < length; j++)
            add_three(channels, left + i * channels, right + j * channels,
                     table + bin_of(index, i, j) * channels, z + (i * length + j) * channels);
}

/* Sums of one row i: its own left[C], and the group's right[L,C] and bin table [65,C]. */
CPU_LEAF static void row_back(int64_t length, int64_t channels, const int32_t *index, int64_t i,
                              const real *restrict dz, real *restrict left, real *restrict right,
                              real *restrict table)
{
    for (int64_t j = 0; j < length; j++) {
        real *bin = table + bin_of(index, i, j) * channels;
        for (int64_t c = 0; c < channels; c++) {
            real v = dz[j * channels + c];
            left[c] += v;
            right[j * channels + c] += v;
            bin[c] += v;
        }
    }
}

void CPU_NAME(embed_pair_back)(struct backend *backend, const struct op_embed_pair *a,
                               const struct op_embed_pair *g)
{
    check(a);
    ASSERT(tensor_dense(&g->z));
    int64_t length = a->z.dim[0], channels = a->z.dim[2], table_size = RELPOS_BINS * channels;
    int64_t step = length * channels + table_size;
    int groups = length < CPU_GROUPS ? (int)length : CPU_GROUPS;
    real *left = cpu_scratch(backend, length * channels + groups * step + table_size);
    CPU_STOP_WHERE_COUNTED(backend);
    real *sums = left + length * channels, *total = sums + groups * step;
    memset(left, 0, (size_t)(length * channels + groups * step) * sizeof *left);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int p = 0; p < groups; p++)
        for (int64_t i = cpu_part(length, groups, p); i < cpu_part(length, groups, p + 1); i++)
            row_back(length, channels, a->index.data, i, cpu_data(&g->z) + i * length * channels,
                     left + i * channels, sums + p * step, sums + p * step + length * channels);
    if (g->left.data)
        cpu_sum_parts(backend, length * channels, 1, left, 0, g->left.add, cpu_data(&g->left));
    if (g->right.data)
        cpu_sum_parts(backend, length * channels, groups, sums, step, g->right.add,
                      cpu_data(&g->right));
    cpu_sum_parts(backend, table_size, groups, sums + length * channels, step, false, total);
    for (int64_t c = 0; c < channels; c++) {
        real sum = 0;
        for (int64_t bin = 0; bin < RELPOS_BINS; bin++) {
            real v = total[bin * channels + c];
            sum += v;
            if (g->w.data) {
                real *to = cpu_data(&g->w) + c * RELPOS_BINS + bin;
                *to = (g->w.add ? *to : 0) + v;
            }
        }
        if (g->b.data) {
            real *to = cpu_data(&g->b) + c;
            *to = (g->b.add ? *to : 0) + sum;
        }
    }
}
