/* The attention core. A unit of work is one (row group, head, block of queries): its logits
 * [queries, K] stay in the cache, and the four products of the backward pass are small GEMMs. Sums
 * over the rows B (of the pair bias and of the gate's bias) are made in fixed groups of rows. */
#include "kernels/cpu/cpu.h"

enum { QUERIES_MAX = 128 };

/* logits[q,k] += bias; then the softmax over the allowed keys, unnormalised weights replaced by
 * probabilities. */
CPU_LEAF static void softmax_rows(int64_t queries, int64_t keys, real *restrict logits,
                                  const real *restrict bias, const real *restrict mask,
                                  real *restrict lse)
{
    for (int64_t q = 0; q < queries; q++) {
        real *row = logits + q * keys;
        if (bias)
            for (int64_t k = 0; k < keys; k++)
                row[k] += bias[q * keys + k];
        if (mask)
            for (int64_t k = 0; k < keys; k++)
                row[k] = mask[k] > 0 ? row[k] : (real)-INFINITY;
        real top[CPU_LANES];
        for (int l = 0; l < CPU_LANES; l++)
            top[l] = (real)-INFINITY;
        int64_t k = 0;
        for (; k + CPU_LANES <= keys; k += CPU_LANES)
            for (int l = 0; l < CPU_LANES; l++)
                top[l] = row[k + l] > top[l] ? row[k + l] : top[l];
        for (int l = 0; k < keys; k++, l++)
            top[l] = row[k] > top[l] ? row[k] : top[l];
        real max = top[0], lane[CPU_LANES] = {0};
        for (int l = 1; l < CPU_LANES; l++)
            max = top[l] > max ? top[l] : max;
        if (mask && !(max > (real)-INFINITY)) { /* every key is masked */
            memset(row, 0, (size_t)keys * sizeof *row);
            lse[q] = (real)-INFINITY;
            continue;
        }
        for (k = 0; k < keys; k++)
            row[k] = mask && !(mask[k] > 0) ? 0 : cpu_exp(row[k] - max);
        for (k = 0; k + CPU_LANES <= keys; k += CPU_LANES)
            for (int l = 0; l < CPU_LANES; l++)
                lane[l] += row[k + l];
        for (int l = 0; k < keys; k++, l++)
            lane[l] += row[k];
        real sum = cpu_lanes_sum(lane), inverse = 1 / sum;
        for (k = 0; k < keys; k++)
            row[k] *= inverse;
        lse[q] = max + (real)log((double)sum);
    }
}

/* y[q,d] *= sigmoid(gate[q,d] + gate_bias[d]). */
CPU_LEAF static void apply_gate(int64_t queries, int64_t dims, real *restrict y, int64_t y_ld,
                                const real *restrict gate, int64_t gate_ld,
                                const real *restrict gate_bias)
{
    for (int64_t q = 0; q < queries; q++)
        for (int64_t d = 0; d < dims; d++) {
            real x = gate[q * gate_ld + d] + (gate_bias ? gate_bias[d] : 0);
            y[q * y_ld + d] *= cpu_sigmoid(x);
        }
}

/* Where item (b, i, h) of a [B,I,H,D] tensor begins; NULL when it is absent. */
static real *item(const struct tensor *t, int64_t b, int64_t i, int64_t h)
{
    if (!t->data)
        return NULL;
    return cpu_data(t) + b * t->stride[0] + i * t->stride[1] + h * t->stride[2];
}

static void check(const struct op_attention *a)
{
    int64_t dims = a->q.dim[3];
    const struct tensor *t[] = {&a->q, &a->k, &a->v, &a->gate, &a->y};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (t[i]->data)
            ASSERT((t[i]->stride[3] == 1 || dims == 1) && t[i]->dim[3] == dims);
    ASSERT(!a->bias.data || tensor_dense(&a->bias));
}

void CPU_NAME(attention)(struct backend *backend, const struct op_attention *a)
{
    check(a);
    int64_t rows = a->q.dim[0], queries = a->q.dim[1], heads = a->q.dim[2], dims = a->q.dim[3];
    int64_t keys = a->k.dim[1], block = queries < QUERIES_MAX ? queries : QUERIES_MAX;
    int threads = cpu_threads(backend);
    real *scratch = cpu_scratch(backend, threads * block * keys);
    CPU_STOP_WHERE_COUNTED(backend);
    real alpha = 1 / (real)sqrt((double)dims);
    const real *bias = cpu_data(&a->bias), *mask = cpu_data(&a->mask);
    int64_t units = rows * heads;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int part = 0; part < threads; part++) {
        real *p = scratch + part * block * keys;
        for (int64_t u = cpu_part(units, threads, part); u < cpu_part(units, threads, part + 1);
             u++) {
            int64_t b = u / heads, h = u % heads;
            struct cpu_matrix k = {item(&a->k, b, 0, h), a->k.stride[1], true};
            struct cpu_matrix v = {item(&a->v, b, 0, h), a->v.stride[1], false};
            for (int64_t first = 0; first < queries; first += block) {
                int64_t n = queries - first < block ? queries - first : block;
                struct cpu_matrix q = {item(&a->q, b, first, h), a->q.stride[1], false};
                struct cpu_matrix y = {item(&a->y, b, first, h), a->y.stride[1], false};
                cpu_gemm(n, keys, dims, alpha, q, k, 0, cpu_dense(p, keys));
                softmax_rows(n, keys, p, bias ? bias + (h * queries + first) * keys : NULL,
                             mask ? mask + b * a->mask.stride[0] : NULL,
                             cpu_data(&a->lse) + u * queries + first);
                cpu_gemm(n, dims, keys, 1, cpu_dense(p, keys), v, 0, y);
                if (a->gate.data)
                    apply_gate(n, dims, y.data, y.ld, item(&a->gate, b, first, h),
                               a->gate.stride[1],
                               a->gate_bias.data ? cpu_data(&a->gate_bias) + h * dims : NULL);
            }
        }
    }
}

/* Per query: up[q,d] = dy * sigmoid(gate), delta[q] = sum_d dy y, and the gate's gradient
 * dy y (1 - sigmoid), which dgate_row[dims] holds for a moment. gate_bias is given with gate. */
CPU_LEAF static void gate_back(int64_t queries, int64_t dims, const real *restrict dy,
                               int64_t dy_ld, const real *restrict y, int64_t y_ld,
                               const real *restrict gate, int64_t gate_ld,
                               const real *restrict gate_bias, real *restrict up,
                               real *restrict delta, real *restrict dgate, int64_t dgate_ld,
                               bool dgate_add, real *restrict dgate_row,
                               real *restrict dgate_bias)
{
    for (int64_t q = 0; q < queries; q++) {
        const real *own_dy = dy + q * dy_ld, *own_y = y + q * y_ld;
        real lane[CPU_LANES] = {0}, *own = up + q * dims;
        for (int64_t d = 0; d < dims; d++) /* first the products, summed in lanes below */
            own[d] = own_dy[d] * own_y[d];
        for (int64_t d = 0; d < dims; d++)
            lane[d % CPU_LANES] += own[d];
        delta[q] = cpu_lanes_sum(lane);
        if (!gate) {
            memcpy(own, own_dy, (size_t)dims * sizeof *own);
            continue;
        }
        const real *x = gate + q * gate_ld;
        for (int64_t d = 0; d < dims; d++) {
            real s = cpu_sigmoid(x[d] + gate_bias[d]), v = own[d] * (1 - s);
            own[d] = own_dy[d] * s;
            dgate_row[d] = v;
            dgate_bias[d] += v;
        }
        real *to = dgate + q * dgate_ld;
        if (dgate && dgate_add)
            for (int64_t d = 0; d < dims; d++)
                to[d] += dgate_row[d];
        else if (dgate)
            memcpy(to, dgate_row, (size_t)dims * sizeof *to);
    }
}

/* logits become probabilities again, by the saved lse. */
CPU_LEAF static void restore_rows(int64_t queries, int64_t keys, real *restrict logits,
                                  const real *restrict bias, const real *restrict mask,
                                  const real *restrict lse)
{
    for (int64_t q = 0; q < queries; q++) {
        real *row = logits + q * keys;
        bool none = !(lse[q] > (real)-INFINITY) && mask;
        if (bias)
            for (int64_t k = 0; k < keys; k++)
                row[k] += bias[q * keys + k];
        for (int64_t k = 0; k < keys; k++)
            row[k] = none || (mask && !(mask[k] > 0)) ? 0 : cpu_exp(row[k] - lse[q]);
    }
}

/* ds = p * (dp - delta), and its sum over the rows of the group. */
CPU_LEAF static void logits_back(int64_t queries, int64_t keys, const real *restrict p,
                                 real *restrict dp, const real *restrict delta,
                                 real *restrict dbias)
{
    for (int64_t i = 0; i < queries * keys; i += keys)
        for (int64_t k = i; k < i + keys; k++)
            dp[k] = p[k] * (dp[k] - delta[i / keys]);
    if (dbias)
        for (int64_t k = 0; k < queries * keys; k++)
            dbias[k] += dp[k];
}

struct work {
    const struct op_attention *a, *g;
    int64_t queries, keys, heads, dims, block;
    real alpha;
};

/* All gradients of one (row, head). p, dp: [block, keys]; up: [block, dims]; delta: [block]; a row
 * of the gate's gradient and one of zeros: [dims]. */
static void unit_back(const struct work *w, int64_t b, int64_t h, real *p, real *dbias,
                      real *dgate_bias)
{
    const struct op_attention *a = w->a, *g = w->g;
    int64_t keys = w->keys, dims = w->dims;
    real *dp = p + w->block * keys, *up = dp + w->block * keys, *delta = up + w->block * dims;
    real *dgate_row = delta + w->block, *no_bias = dgate_row + dims;
    memset(no_bias, 0, (size_t)dims * sizeof *no_bias);
    struct cpu_matrix k = {item(&a->k, b, 0, h), a->k.stride[1], false};
    struct cpu_matrix v = {item(&a->v, b, 0, h), a->v.stride[1], false};
    for (int64_t first = 0; first < w->queries; first += w->block) {
        int64_t n = w->queries - first < w->block ? w->queries - first : w->block;
        real later = first > 0 ? 1 : 0; /* keys and values collect over the blocks of queries */
        struct cpu_matrix q = {item(&a->q, b, first, h), a->q.stride[1], false};
        const real *mask = a->mask.data ? cpu_data(&a->mask) + b * a->mask.stride[0] : NULL;
        const real *bias = cpu_data(&a->bias);
        gate_back(n, dims, item(&g->y, b, first, h), g->y.stride[1], item(&a->y, b, first, h),
                  a->y.stride[1], item(&a->gate, b, first, h), a->gate.stride[1],
                  a->gate_bias.data ? cpu_data(&a->gate_bias) + h * dims : no_bias, up, delta,
                  item(&g->gate, b, first, h), g->gate.stride[1], g->gate.add, dgate_row,
                  dgate_bias);
        cpu_gemm(n, keys, dims, w->alpha, q, cpu_transposed(k), 0, cpu_dense(p, keys));
        restore_rows(n, keys, p, bias ? bias + (h * w->queries + first) * keys : NULL, mask,
                     cpu_data(&a->lse) + (b * w->heads + h) * w->queries + first);
        if (g->v.data)
            cpu_gemm(keys, dims, n, 1, cpu_transposed(cpu_dense(p, keys)), cpu_dense(up, dims),
                     g->v.add ? 1 : later,
                     (struct cpu_matrix){item(&g->v, b, 0, h), g->v.stride[1], false});
        cpu_gemm(n, keys, dims, 1, cpu_dense(up, dims), cpu_transposed(v), 0, cpu_dense(dp, keys));
        logits_back(n, keys, p, dp, delta, dbias ? dbias + first * keys : NULL);
        if (g->q.data)
            cpu_gemm(n, dims, keys, w->alpha, cpu_dense(dp, keys), k, g->q.add ? 1 : 0,
                     (struct cpu_matrix){item(&g->q, b, first, h), g->q.stride[1], false});
        if (g->k.data)
            cpu_gemm(keys, dims, n, w->alpha, cpu_transposed(cpu_dense(dp, keys)), q,
                     g->k.add ? 1 : later,
                     (struct cpu_matrix){item(&g->k, b, 0, h), g->k.stride[1], false});
    }
}

void CPU_NAME(attention_back)(struct backend *backend, const struct op_attention *a,
                              const struct op_attention *g)
{
    check(a);
    struct work w = {.a = a,
                     .g = g,
                     .queries = a->q.dim[1],
                     .keys = a->k.dim[1],
                     .heads = a->q.dim[2],
                     .dims = a->q.dim[3]};
    w.block = w.queries < QUERIES_MAX ? w.queries : QUERIES_MAX;
    w.alpha = 1 / (real)sqrt((double)w.dims);
    int64_t rows = a->q.dim[0], bias_size = g->bias.data ? w.heads * w.queries * w.keys : 0;
    int groups = rows < CPU_GROUPS ? (int)rows : CPU_GROUPS;
    int64_t gate_size = w.heads * w.dims, step = bias_size + gate_size;
    int64_t units = groups * w.heads;
    int64_t own = 2 * w.block * w.keys + w.block * (w.dims + 1) + 2 * w.dims;
    real *scratch = cpu_scratch(backend, groups * step + units * own);
    CPU_STOP_WHERE_COUNTED(backend);
    memset(scratch, 0, (size_t)(groups * step) * sizeof *scratch);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int64_t unit = 0; unit < units; unit++) {
        int group = (int)(unit / w.heads);
        int64_t h = unit % w.heads, end = cpu_part(rows, groups, group + 1);
        real *sums = scratch + group * step;
        for (int64_t b = cpu_part(rows, groups, group); b < end; b++)
            unit_back(&w, b, h, scratch + groups * step + unit * own,
                      bias_size ? sums + h * w.queries * w.keys : NULL,
                      sums + bias_size + h * w.dims);
    }
    if (g->bias.data) {
        ASSERT(tensor_dense(&g->bias));
        cpu_sum_parts(backend, bias_size, groups, scratch, step, g->bias.add, cpu_data(&g->bias));
    }
    if (g->gate_bias.data)
        cpu_sum_parts(backend, gate_size, groups, scratch + bias_size, step, g->gate_bias.add,
                      cpu_data(&g->gate_bias));
}
