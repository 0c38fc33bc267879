/* Softmax cross entropy over rows, weighted, summed to one number. */
#include "kernels/cpu/cpu.h"

/* lse[n] = log sum_k exp x[n,k]. */
CPU_LEAF static void log_sum_rows(int64_t rows, int64_t classes, const real *restrict x, int64_t ld,
                                  real *restrict lse)
{
    for (int64_t n = 0; n < rows; n++) {
        const real *row = x + n * ld;
        real max = row[0], lane[CPU_LANES] = {0};
        for (int64_t k = 1; k < classes; k++)
            max = row[k] > max ? row[k] : max;
        int64_t k = 0;
        for (; k + CPU_LANES <= classes; k += CPU_LANES)
            for (int l = 0; l < CPU_LANES; l++)
                lane[l] += cpu_exp(row[k + l] - max);
        for (int l = 0; k < classes; k++, l++)
            lane[l] += cpu_exp(row[k] - max);
        lse[n] = max + (real)log((double)cpu_lanes_sum(lane));
    }
}

static void check(const struct op_xent *a)
{
    ASSERT(a->target.kind == TENSOR_I32 && tensor_dense(&a->target) && tensor_dense(&a->weight));
    ASSERT(a->x.stride[1] == 1 || a->x.dim[1] == 1);
}

void CPU_NAME(xent)(struct backend *backend, const struct op_xent *a)
{
    check(a);
    int64_t rows = a->x.dim[0], classes = a->x.dim[1], ld = a->x.stride[0];
    const real *x = cpu_data(&a->x), *weight = cpu_data(&a->weight);
    const int32_t *target = a->target.data;
    real *lse = cpu_data(&a->lse);
    int threads = rows * classes > CPU_SMALL ? cpu_threads(backend) : 1;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int p = 0; p < threads; p++) {
        int64_t first = cpu_part(rows, threads, p);
        log_sum_rows(cpu_part(rows, threads, p + 1) - first, classes, x + first * ld, ld,
                     lse + first);
    }
    double sum = 0;
    for (int64_t n = 0; n < rows; n++) {
        if (weight[n] > 0 || weight[n] < 0) {
            ASSERT(target[n] >= 0 && target[n] < classes);
            sum += (double)weight[n] * (double)(lse[n] - x[n * ld + target[n]]);
        }
    }
    *cpu_data(&a->loss) = (real)sum;
}

/* dx[n,k] = factor w[n] (softmax - one-hot). */
CPU_LEAF static void rows_back(int64_t rows, int64_t classes, const real *restrict x, int64_t ld,
                               const int32_t *restrict target, const real *restrict weight,
                               const real *restrict lse, real factor, bool add, real *restrict dx,
                               int64_t dx_ld)
{
    for (int64_t n = 0; n < rows; n++) {
        real w = factor * weight[n], *to = dx + n * dx_ld;
        bool used = weight[n] > 0 || weight[n] < 0;
        if (!used && !add)
            memset(to, 0, (size_t)classes * sizeof *to);
        if (!used)
            continue;
        for (int64_t k = 0; k < classes; k++)
            to[k] = (add ? to[k] : 0) + w * cpu_exp(x[n * ld + k] - lse[n]);
        to[target[n]] -= w;
    }
}

void CPU_NAME(xent_back)(struct backend *backend, const struct op_xent *a, const struct op_xent *g)
{
    check(a);
    int64_t rows = a->x.dim[0], classes = a->x.dim[1];
    real factor = *cpu_data(&g->loss);
    if (!g->x.data)
        return;
    int threads = rows * classes > CPU_SMALL ? cpu_threads(backend) : 1;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int p = 0; p < threads; p++) {
        int64_t first = cpu_part(rows, threads, p), count = cpu_part(rows, threads, p + 1) - first;
        rows_back(count, classes, cpu_data(&a->x) + first * a->x.stride[0], a->x.stride[0],
                  (const int32_t *)a->target.data + first, cpu_data(&a->weight) + first,
                  cpu_data(&a->lse) + first, factor, g->x.add,
                  cpu_data(&g->x) + first * g->x.stride[0], g->x.stride[0]);
    }
}
