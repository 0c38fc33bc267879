/* Matrix products over cblas, cut into parts that the threads share. */
#include "kernels/cpu/cpu.h"

#include <cblas.h>

enum { ROWS_MIN = 64, ROWS_MAX = 1024, FLOP_MIN = 1 << 18 };

struct cpu_matrix cpu_matrix_of(const struct tensor *t, int i, int j)
{
    real *data = cpu_data(t);
    if (t->stride[j] == 1 || t->dim[j] == 1) {
        int64_t ld = t->dim[i] == 1 ? t->dim[j] : t->stride[i];
        if (ld >= t->dim[j])
            return (struct cpu_matrix){data, ld, false};
    }
    ASSERT(t->stride[i] == 1 || t->dim[i] == 1);
    int64_t ld = t->dim[j] == 1 ? t->dim[i] : t->stride[j];
    ASSERT_INT(ld, >=, t->dim[i]);
    return (struct cpu_matrix){data, ld, true};
}

void cpu_gemm(int64_t m, int64_t n, int64_t k, real alpha, struct cpu_matrix a, struct cpu_matrix b,
              real beta, struct cpu_matrix c)
{
    ASSERT(m > 0 && n > 0 && k > 0 && m <= INT32_MAX && n <= INT32_MAX && k <= INT32_MAX);
    ASSERT(a.ld <= INT32_MAX && b.ld <= INT32_MAX && c.ld <= INT32_MAX);
    if (c.transposed) { /* c^T = b^T a^T */
        struct cpu_matrix left = cpu_transposed(b), right = cpu_transposed(a);
        int64_t swap = m;
        m = n, n = swap;
        a = left, b = right;
    }
    CBLAS_TRANSPOSE ta = a.transposed ? CblasTrans : CblasNoTrans;
    CBLAS_TRANSPOSE tb = b.transposed ? CblasTrans : CblasNoTrans;
#ifdef CPU_DOUBLE
    cblas_dgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, alpha, a.data, (int)a.ld, b.data,
                (int)b.ld, beta, c.data, (int)c.ld);
#else
    cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, alpha, a.data, (int)a.ld, b.data,
                (int)b.ld, beta, c.data, (int)c.ld);
#endif
}

int64_t cpu_gemm_part(int64_t m, int64_t n, int64_t k)
{
    int64_t rows = (m + 3) / 4, rows_flop = FLOP_MIN / (n * k) + 1;
    rows = rows > ROWS_MAX ? ROWS_MAX : rows;
    rows = rows < rows_flop ? rows_flop : rows;
    return (rows + ROWS_MIN - 1) / ROWS_MIN * ROWS_MIN;
}

void cpu_gemm_rows(struct backend *backend, int64_t m, int64_t n, int64_t k, real alpha,
                   struct cpu_matrix a, struct cpu_matrix b, real beta, struct cpu_matrix c)
{
    int64_t rows = cpu_gemm_part(m, n, k);
    int64_t parts = (m + rows - 1) / rows;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (parts > 1)
    for (int64_t part = 0; part < parts; part++) {
        int64_t first = part * rows, count = m - first < rows ? m - first : rows;
        cpu_gemm(count, n, k, alpha, cpu_rows_from(a, first), b, beta, cpu_rows_from(c, first));
    }
}

/* sum[o] += s[n] dy[n,o], in the order of n; four rows share what is read and written of sum. */
CPU_LEAF static void add_rows(int64_t rows, int64_t columns, const real *restrict dy, int64_t ld,
                              const real *restrict scale, real *restrict sum)
{
    int64_t n = 0;
    for (; n + 4 <= rows && !scale; n += 4) {
        const real *row = dy + n * ld;
        for (int64_t o = 0; o < columns; o++)
            sum[o] = (((sum[o] + row[o]) + row[ld + o]) + row[2 * ld + o]) + row[3 * ld + o];
    }
    for (; n < rows; n++) {
        real s = scale ? scale[n] : 1;
        for (int64_t o = 0; o < columns; o++)
            sum[o] += s * dy[n * ld + o];
    }
}

/* dy[n,o] stays where y[n,o] > 0 and is 0 elsewhere; sum[o] += it. */
CPU_LEAF static void mask_rows(int64_t rows, int64_t columns, const real *restrict y, int64_t y_ld,
                               real *restrict dy, int64_t ld, real *restrict sum)
{
    for (int64_t n = 0; n < rows; n++)
        for (int64_t o = 0; o < columns; o++) {
            real v = y[n * y_ld + o] > 0 ? dy[n * ld + o] : 0;
            dy[n * ld + o] = v;
            sum[o] += v;
        }
}

CPU_LEAF void cpu_scale_rows(int64_t rows, int64_t columns, const real *restrict x, int64_t ld,
                             const real *restrict scale, real *restrict to)
{
    for (int64_t n = 0; n < rows; n++)
        for (int64_t i = 0; i < columns; i++)
            to[n * columns + i] = scale[n] * x[n * ld + i];
}

CPU_LEAF static void copy_range(int64_t first, int64_t end, int64_t columns,
                                const real *restrict from, int64_t from_ld, bool add,
                                real *restrict to, int64_t to_ld)
{
    for (int64_t n = first; n < end; n++)
        for (int64_t i = 0; i < columns; i++)
            to[n * to_ld + i] = (add ? to[n * to_ld + i] : 0) + from[n * from_ld + i];
}

void cpu_copy_rows(struct backend *backend, int64_t rows, int64_t columns, const real *from,
                   int64_t from_ld, bool add, real *to, int64_t to_ld)
{
    if (from == to)
        return;
    int threads = rows * columns > CPU_SMALL ? cpu_threads(backend) : 1;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int part = 0; part < threads; part++)
        copy_range(cpu_part(rows, threads, part), cpu_part(rows, threads, part + 1), columns, from,
                   from_ld, add, to, to_ld);
}

void cpu_weight_gradient(struct backend *backend, const struct tensor *dy, const struct tensor *x,
                         const real *scale, const struct tensor *relu, const struct tensor *dw,
                         const struct tensor *db)
{
    int64_t rows = dy->dim[0], out = dy->dim[1], in = x->dim[1];
    int parts = rows >= CPU_GROUPS * ROWS_MIN ? CPU_GROUPS : 1;
    int64_t step = (dw->data ? out * in : 0) + out, widest = (rows + parts - 1) / parts + 1;
    int64_t scaled = scale && dw->data ? widest * in : 0;
    real *scratch = cpu_scratch(backend, parts * (step + scaled));
    CPU_STOP_WHERE_COUNTED(backend);
    struct cpu_matrix my = cpu_matrix_of(dy, 0, 1), mx = cpu_matrix_of(x, 0, 1);
    ASSERT(!my.transposed && !mx.transposed);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (parts > 1)
    for (int p = 0; p < parts; p++) {
        int64_t first = cpu_part(rows, parts, p), count = cpu_part(rows, parts, p + 1) - first;
        real *sum = scratch + p * step;
        struct cpu_matrix px = cpu_rows_from(mx, first), py = cpu_rows_from(my, first);
        memset(sum, 0, (size_t)out * sizeof *sum);
        if (relu) {
            struct cpu_matrix y = cpu_rows_from(cpu_matrix_of(relu, 0, 1), first);
            mask_rows(count, out, y.data, y.ld, py.data, py.ld, sum);
        } else if (db->data) {
            add_rows(count, out, py.data, py.ld, scale ? scale + first : NULL, sum);
        }
        if (scaled) {
            real *copy = scratch + parts * step + p * scaled;
            cpu_scale_rows(count, in, px.data, px.ld, scale + first, copy);
            px = cpu_dense(copy, in);
        }
        if (dw->data)
            cpu_gemm(out, in, count, 1, cpu_transposed(py), px, 0, cpu_dense(sum + out, in));
    }
    if (db->data)
        cpu_sum_parts(backend, out, parts, scratch, step, db->add, cpu_data(db));
    if (dw->data)
        cpu_sum_parts(backend, out * in, parts, scratch + out, step, dw->add, cpu_data(dw));
}

CPU_LEAF static void sum_range(int64_t first, int64_t end, int parts, const real *restrict from,
                               int64_t step, bool add, real *restrict to)
{
    for (int64_t n = first; n < end; n++)
        to[n] = (add ? to[n] : 0) + from[n];
    for (int p = 1; p < parts; p++)
        for (int64_t n = first; n < end; n++)
            to[n] += from[p * step + n];
}

void cpu_sum_parts(struct backend *backend, int64_t n, int parts, const real *from, int64_t step,
                   bool add, real *to)
{
    const int64_t block = 4096;
    int64_t blocks = (n + block - 1) / block;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (n > CPU_SMALL)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t end = (b + 1) * block < n ? (b + 1) * block : n;
        sum_range(b * block, end, parts, from, step, add, to);
    }
}
