/* Batched matrix products over strided views; transposes are strides. */
#include "kernels/cpu/cpu.h"

/* y[b] = beta y[b] + a[b] b[b] for all b; units of work are (batch, part of rows). */
static void product(struct backend *backend, const struct tensor *ta, const struct tensor *tb,
                    bool add, const struct tensor *ty, bool swap_a, bool swap_b)
{
    struct cpu_matrix a = cpu_matrix_of(ta, 1, 2), b = cpu_matrix_of(tb, 1, 2);
    struct cpu_matrix y = cpu_matrix_of(ty, 1, 2);
    if (swap_a)
        a = cpu_transposed(a);
    if (swap_b)
        b = cpu_transposed(b);
    int64_t batch = ty->dim[0], m = ty->dim[1], n = ty->dim[2], k = ta->dim[swap_a ? 1 : 2];
    int64_t part = batch >= 16 ? m : cpu_gemm_part(m, n, k), parts = (m + part - 1) / part;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (batch * parts > 1)
    for (int64_t unit = 0; unit < batch * parts; unit++) {
        int64_t item = unit / parts, first = unit % parts * part;
        struct cpu_matrix ua = a, ub = b, uy = y;
        ua.data += item * ta->stride[0];
        ub.data += item * tb->stride[0];
        uy.data += item * ty->stride[0];
        cpu_gemm(m - first < part ? m - first : part, n, k, 1, cpu_rows_from(ua, first), ub,
                 add ? 1 : 0, cpu_rows_from(uy, first));
    }
}

void CPU_NAME(matmul)(struct backend *backend, const struct op_matmul *a)
{
    product(backend, &a->a, &a->b, false, &a->y, false, false);
}

void CPU_NAME(matmul_back)(struct backend *backend, const struct op_matmul *a,
                           const struct op_matmul *g)
{
    if (g->a.data) /* da = dy b^T */
        product(backend, &g->y, &a->b, g->a.add, &g->a, false, true);
    if (g->b.data) /* db = a^T dy */
        product(backend, &a->a, &g->y, g->b.add, &g->b, true, false);
}
