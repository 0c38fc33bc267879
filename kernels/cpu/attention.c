/* The attention core. A unit of work is one (row, head); its keys and values are packed once, and
 * for a block of queries the logits [queries, keys] stay in the cache (tile.h). Sums over the rows
 * B (of the pair bias and of the gate's bias) are made in fixed groups of rows. */
#include "kernels/cpu/tile.h"

enum { QUERIES_MAX = 64 };

/* Plain loops, each over a row in the cache, are what compilers turn into vectors. */
static inline __attribute__((always_inline)) void
row_bias(int64_t keys, real *restrict row, const real *restrict bias, const real *restrict mask)
{
    if (bias)
        for (int64_t k = 0; k < keys; k++)
            row[k] += bias[k];
    if (mask)
        for (int64_t k = 0; k < keys; k++)
            row[k] = mask[k] > 0 ? row[k] : (real)-INFINITY;
}

static inline __attribute__((always_inline)) real row_max(int64_t keys, const real *restrict row)
{
    real top[CPU_LANES];
    int64_t k = 0;
    for (int l = 0; l < CPU_LANES; l++)
        top[l] = (real)-INFINITY;
    for (; k + CPU_LANES <= keys; k += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++)
            top[l] = row[k + l] > top[l] ? row[k + l] : top[l];
    for (int l = 0; k < keys; k++, l++)
        top[l] = row[k] > top[l] ? row[k] : top[l];
    for (int l = 1; l < CPU_LANES; l++)
        top[0] = top[l] > top[0] ? top[l] : top[0];
    return top[0];
}

/* row[k] = exp(row[k] - shift), 0 where the mask is 0. */
static inline __attribute__((always_inline)) void row_exp(int64_t keys, real *restrict row,
                                                          real shift, const real *restrict mask)
{
    for (int64_t k = 0; k < keys; k++) {
        real x = cpu_exp(row[k] - shift);
        row[k] = !mask || mask[k] > 0 ? x : 0;
    }
}

static inline __attribute__((always_inline)) real row_sum(int64_t keys, const real *restrict row)
{
    real lane[CPU_LANES] = {0};
    int64_t k = 0;
    for (; k + CPU_LANES <= keys; k += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++)
            lane[l] += row[k + l];
    for (int l = 0; k < keys; k++, l++)
        lane[l] += row[k];
    return cpu_lanes_sum(lane);
}

/* log x, x >= 1, within 2 ulp or 1e-7: x = 2^n m, m between 0.7 and 1.42, and log m is the Taylor
 * sum of 2 artanh((m - 1) / (m + 1)). Infinite or not a number: at least 88. */
static inline __attribute__((always_inline)) real row_log(real x)
{
#ifdef CPU_DOUBLE
    return log(x);
#else
    union {
        float f;
        uint32_t u;
    } m = {x};
    uint32_t n = (m.u - 0x3F3504F3u) >> 23;
    m.u -= n << 23;
    float s = (m.f - 1) / (m.f + 1), square = s * s;
    float sum = ((square * (2.0f / 9) + 2.0f / 7) * square + 2.0f / 5) * square + 2.0f / 3;
    return (float)(int32_t)n * 0.693147181f + (sum * square * s + 2 * s);
#endif
}

/* Logits [queries, keys], rows ld apart, become unnormalised weights; inverse[q] is what makes them
 * probabilities, lse[q] the logarithm of their sum. A query whose every key is masked has zeros. */
CPU_LEAF static void softmax_rows(int64_t queries, int64_t keys, int64_t ld, real *restrict logits,
                                  const real *restrict bias, const real *restrict mask,
                                  real *restrict lse, real *restrict inverse)
{
    real top[QUERIES_MAX];
    for (int64_t q = 0; q < queries; q++) {
        real *row = logits + q * ld, max, sum;
        row_bias(keys, row, bias ? bias + q * keys : NULL, mask);
        max = row_max(keys, row);
        if (mask && !(max > (real)-INFINITY)) {
            memset(row, 0, (size_t)keys * sizeof *row);
            top[q] = (real)-INFINITY, lse[q] = 1, inverse[q] = 0;
            continue;
        }
        if (mask)
            row_exp(keys, row, max, mask);
        else
            row_exp(keys, row, max, NULL);
        sum = row_sum(keys, row);
        inverse[q] = 1 / sum;
        top[q] = max, lse[q] = sum;
    }
    for (int64_t q = 0; q < queries; q++)
        lse[q] = top[q] + row_log(lse[q]);
}

/* y[q,d] = o[q,d] * inverse[q] * sigmoid(gate[q,d] + gate_bias[d]); o is o_ld wide. */
CPU_LEAF static void output_rows(int64_t queries, int64_t dims, const real *restrict o,
                                 int64_t o_ld, const real *restrict inverse, real *restrict y,
                                 int64_t y_ld, const real *restrict gate, int64_t gate_ld,
                                 const real *restrict gate_bias)
{
    for (int64_t q = 0; q < queries; q++)
        if (!gate)
            for (int64_t d = 0; d < dims; d++)
                y[q * y_ld + d] = o[q * o_ld + d] * inverse[q];
        else
            for (int64_t d = 0; d < dims; d++)
                y[q * y_ld + d] = o[q * o_ld + d] * inverse[q] *
                                  cpu_sigmoid(gate[q * gate_ld + d] + gate_bias[d]);
}

/* Where item (b, i, h) of a [B,I,H,D] tensor begins; NULL when it is absent. */
static real *item(const struct tensor *t, int64_t b, int64_t i, int64_t h)
{
    if (!t->data)
        return NULL;
    return cpu_data(t) + b * t->stride[0] + i * t->stride[1] + h * t->stride[2];
}

/* Asks the memory for head h of row b of a [B,I,H,D] tensor: a line or two in each of many pages,
 * which no processor foresees. */
static void item_fetch(const struct tensor *t, int64_t b, int64_t h, bool write)
{
    const int64_t line = 64 / (int64_t)sizeof(real);
    for (int64_t i = 0; t->data && i < t->dim[1]; i++) {
        const real *x = item(t, b, i, h);
        for (int64_t d = 0; d < t->dim[3]; d += line)
            if (write)
                __builtin_prefetch(x + d, 1, 2);
            else
                __builtin_prefetch(x + d, 0, 2);
    }
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

/* What all units of one call share, and its scratch. */
struct work {
    const struct op_attention *a, *g;
    int64_t queries, keys, heads, dims, block, wide_keys, wide_dims;
    real alpha;
};

static struct work work_of(const struct op_attention *a, const struct op_attention *g)
{
    struct work w = {.a = a,
                     .g = g,
                     .queries = a->q.dim[1],
                     .keys = a->k.dim[1],
                     .heads = a->q.dim[2],
                     .dims = a->q.dim[3]};
    w.block = w.queries < QUERIES_MAX ? w.queries : QUERIES_MAX;
    w.wide_keys = tile_width(w.keys), w.wide_dims = tile_width(w.dims);
    w.alpha = 1 / (real)sqrt((double)w.dims);
    return w;
}

CPU_LEAF static int64_t keys_count(int64_t keys, const real *mask)
{
    int64_t count = 0;
    for (int64_t k = 0; k < keys; k++)
        count += mask[k] > 0;
    return count;
}

/* Row b of the mask and queries first.. of head h of the bias; NULL where absent, and where the
 * mask hides no key. */
static const real *mask_of(const struct work *w, int64_t b)
{
    const real *mask = w->a->mask.data ? cpu_data(&w->a->mask) + b * w->a->mask.stride[0] : NULL;
    return mask && keys_count(w->keys, mask) < w->keys ? mask : NULL;
}

static const real *bias_of(const struct work *w, int64_t h, int64_t first)
{
    return w->a->bias.data ? cpu_data(&w->a->bias) + (h * w->queries + first) * w->keys : NULL;
}

static const real *gate_bias_of(const struct work *w, int64_t h, const real *none)
{
    return w->a->gate_bias.data ? cpu_data(&w->a->gate_bias) + h * w->dims : none;
}

/* Asks for what the unit behind (b, h) will read and write, while this one computes. */
static void next_fetch(const struct work *w, int64_t b, int64_t h)
{
    const struct op_attention *a = w->a, *g = w->g;
    const struct tensor *reads[] = {&a->k, &a->v, &a->q, &a->gate};
    h = h + 1 < w->heads ? h + 1 : 0;
    b += h == 0;
    if (b == a->q.dim[0])
        return;
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
        item_fetch(reads[i], b, h, false);
    item_fetch(&a->y, b, h, !g);
    if (!g)
        return;
    const struct tensor *writes[] = {&g->q, &g->k, &g->v, &g->gate};
    item_fetch(&g->y, b, h, false);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        item_fetch(writes[i], b, h, true);
}

/* Reals of scratch of a unit, forward. */
static int64_t forward_scratch(const struct work *w)
{
    return w->dims * w->wide_keys + w->keys * w->wide_dims +
           w->block * (w->wide_keys + w->wide_dims + 1) + w->dims;
}

static void unit_forward(const struct work *w, int64_t b, int64_t h, real *scratch)
{
    const struct op_attention *a = w->a;
    real *k = scratch, *v = k + w->dims * w->wide_keys, *p = v + w->keys * w->wide_dims;
    real *o = p + w->block * w->wide_keys, *inverse = o + w->block * w->wide_dims;
    real *none = inverse + w->block;
    memset(none, 0, (size_t)w->dims * sizeof *none);
    tile_turn(w->keys, w->dims, w->alpha, item(&a->k, b, 0, h), a->k.stride[1], k);
    tile_pack(w->keys, w->dims, 1, item(&a->v, b, 0, h), a->v.stride[1], v);
    next_fetch(w, b, h);
    const real *mask = mask_of(w, b);
    for (int64_t first = 0; first < w->queries; first += w->block) {
        int64_t n = w->queries - first < w->block ? w->queries - first : w->block;
        tile_product(n, w->wide_keys, w->dims, item(&a->q, b, first, h), a->q.stride[1], 1, k,
                     w->wide_keys, false, p, w->wide_keys);
        softmax_rows(n, w->keys, w->wide_keys, p, bias_of(w, h, first), mask,
                     cpu_data(&a->lse) + (b * w->heads + h) * w->queries + first, inverse);
        tile_product(n, w->wide_dims, w->keys, p, w->wide_keys, 1, v, w->wide_dims, false, o,
                     w->wide_dims);
        output_rows(n, w->dims, o, w->wide_dims, inverse, item(&a->y, b, first, h), a->y.stride[1],
                    item(&a->gate, b, first, h), a->gate.stride[1], gate_bias_of(w, h, none));
    }
}

void CPU_NAME(attention)(struct backend *backend, const struct op_attention *a)
{
    check(a);
    struct work w = work_of(a, NULL);
    int64_t units = a->q.dim[0] * w.heads, own = forward_scratch(&w);
    int threads = cpu_threads(backend);
    real *scratch = cpu_scratch(backend, threads * own);
    CPU_STOP_WHERE_COUNTED(backend);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int part = 0; part < threads; part++)
        for (int64_t u = cpu_part(units, threads, part); u < cpu_part(units, threads, part + 1);
             u++)
            unit_forward(&w, u / w.heads, u % w.heads, scratch + part * own);
}

/* sum_d x[d] y[d]. */
static inline __attribute__((always_inline)) real row_dot(int64_t dims, const real *restrict x,
                                                          const real *restrict y)
{
    real lane[CPU_LANES] = {0};
    int64_t d = 0;
    for (; d + CPU_LANES <= dims; d += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++)
            lane[l] += x[d + l] * y[d + l];
    for (int l = 0; d < dims; d++, l++)
        lane[l] += x[d] * y[d];
    return cpu_lanes_sum(lane);
}

/* One query of gate_back, where there is a gate; the last two are constants. */
static inline __attribute__((always_inline)) void
gate_row(int64_t dims, const real *restrict dy, const real *restrict y, const real *restrict gate,
         const real *restrict gate_bias, real *restrict up, real *restrict dgate_bias,
         real *restrict dgate, bool dgate_there, bool dgate_add)
{
    for (int64_t d = 0; d < dims; d++) {
        real s = cpu_sigmoid(gate[d] + gate_bias[d]), v = dy[d] * y[d] * (1 - s);
        up[d] = dy[d] * s;
        dgate_bias[d] += v;
        if (dgate_there)
            dgate[d] = dgate_add ? dgate[d] + v : v;
    }
}

/* Per query: up[q,d] = dy * sigmoid(gate), delta[q] = sum_d dy y, and the gate's gradient
 * dy y (1 - sigmoid). gate_bias is given with gate; up is up_ld wide, zeros behind dims. */
CPU_LEAF static void gate_back(int64_t queries, int64_t dims, const real *restrict dy,
                               int64_t dy_ld, const real *restrict y, int64_t y_ld,
                               const real *restrict gate, int64_t gate_ld,
                               const real *restrict gate_bias, real *restrict up, int64_t up_ld,
                               real *restrict delta, real *restrict dgate, int64_t dgate_ld,
                               bool dgate_add, real *restrict dgate_bias)
{
    for (int64_t q = 0; q < queries; q++) {
        const real *own_dy = dy + q * dy_ld, *own_y = y + q * y_ld;
        real *own = up + q * up_ld;
        for (int64_t d = dims; d < up_ld; d++)
            own[d] = 0;
        delta[q] = row_dot(dims, own_dy, own_y);
        if (!gate) {
            memcpy(own, own_dy, (size_t)dims * sizeof *own);
            continue;
        }
        const real *x = gate + q * gate_ld;
        real *to = dgate ? dgate + q * dgate_ld : NULL;
        if (!dgate)
            gate_row(dims, own_dy, own_y, x, gate_bias, own, dgate_bias, to, false, false);
        else if (dgate_add)
            gate_row(dims, own_dy, own_y, x, gate_bias, own, dgate_bias, to, true, true);
        else
            gate_row(dims, own_dy, own_y, x, gate_bias, own, dgate_bias, to, true, false);
    }
}

static inline __attribute__((always_inline)) void
row_restore(int64_t keys, real *restrict p, real *restrict dp, const real *restrict bias,
            const real *restrict mask, real lse, real delta)
{
    for (int64_t k = 0; k < keys; k++) {
        real x = cpu_exp(p[k] + (bias ? bias[k] : 0) - lse);
        x = !mask || mask[k] > 0 ? x : 0;
        p[k] = x;
        dp[k] = x * (dp[k] - delta);
    }
}

/* Logits become probabilities again, by the saved lse, and the gradients dp of these the gradients
 * of the logits, p (dp - delta), whose sum over the rows of the group dbias collects. */
CPU_LEAF static void restore_rows(int64_t queries, int64_t keys, int64_t ld, real *restrict p,
                                  real *restrict dp, const real *restrict bias,
                                  const real *restrict mask, const real *restrict lse,
                                  const real *restrict delta, real *restrict dbias)
{
    for (int64_t q = 0; q < queries; q++) {
        real *row = p + q * ld, *drow = dp + q * ld;
        const real *add = bias ? bias + q * keys : NULL;
        if (mask && !(lse[q] > (real)-INFINITY)) { /* every key is masked */
            memset(row, 0, (size_t)keys * sizeof *row);
            memset(drow, 0, (size_t)keys * sizeof *drow);
            continue;
        }
        if (mask && add)
            row_restore(keys, row, drow, add, mask, lse[q], delta[q]);
        else if (mask)
            row_restore(keys, row, drow, NULL, mask, lse[q], delta[q]);
        else if (add)
            row_restore(keys, row, drow, add, NULL, lse[q], delta[q]);
        else
            row_restore(keys, row, drow, NULL, NULL, lse[q], delta[q]);
        if (dbias)
            for (int64_t k = 0; k < keys; k++)
                dbias[q * keys + k] += drow[k];
    }
}

/* The gradient of n rows, from ld apart, goes to g's tensor. */
CPU_LEAF static void give_rows(int64_t n, int64_t dims, const real *restrict from, int64_t ld,
                               bool add, real *restrict to, int64_t to_ld)
{
    for (int64_t i = 0; i < n; i++)
        if (add)
            for (int64_t d = 0; d < dims; d++)
                to[i * to_ld + d] += from[i * ld + d];
        else
            memcpy(to + i * to_ld, from + i * ld, (size_t)dims * sizeof *to);
}

/* Reals of scratch of a unit, backward. */
static int64_t backward_scratch(const struct work *w)
{
    return 2 * w->dims * w->wide_keys + 3 * w->keys * w->wide_dims +
           w->block * (2 * w->wide_keys + 3 * w->wide_dims + 1) + w->dims;
}

/* All gradients of one (row, head). */
static void unit_back(const struct work *w, int64_t b, int64_t h, real *scratch, real *dbias,
                      real *dgate_bias)
{
    const struct op_attention *a = w->a, *g = w->g;
    int64_t keys = w->keys, dims = w->dims, wk = w->wide_keys, wd = w->wide_dims;
    real *k_turned = scratch, *v_turned = k_turned + dims * wk, *k = v_turned + dims * wk;
    real *dk = k + keys * wd, *dv = dk + keys * wd, *p = dv + keys * wd, *dp = p + w->block * wk;
    real *q = dp + w->block * wk, *up = q + w->block * wd, *dq = up + w->block * wd;
    real *delta = dq + w->block * wd, *none = delta + w->block;
    memset(none, 0, (size_t)dims * sizeof *none);
    tile_turn(keys, dims, w->alpha, item(&a->k, b, 0, h), a->k.stride[1], k_turned);
    tile_turn(keys, dims, 1, item(&a->v, b, 0, h), a->v.stride[1], v_turned);
    if (g->q.data)
        tile_pack(keys, dims, w->alpha, item(&a->k, b, 0, h), a->k.stride[1], k);
    next_fetch(w, b, h);
    const real *mask = mask_of(w, b);
    for (int64_t first = 0; first < w->queries; first += w->block) {
        int64_t n = w->queries - first < w->block ? w->queries - first : w->block;
        bool later = first > 0; /* keys and values collect over the blocks of queries */
        gate_back(n, dims, item(&g->y, b, first, h), g->y.stride[1], item(&a->y, b, first, h),
                  a->y.stride[1], item(&a->gate, b, first, h), a->gate.stride[1],
                  gate_bias_of(w, h, none), up, wd, delta, item(&g->gate, b, first, h),
                  g->gate.stride[1], g->gate.add, dgate_bias);
        tile_product(n, wk, dims, item(&a->q, b, first, h), a->q.stride[1], 1, k_turned, wk, false,
                     p, wk);
        tile_product(n, wk, dims, up, wd, 1, v_turned, wk, false, dp, wk);
        restore_rows(n, keys, wk, p, dp, bias_of(w, h, first), mask,
                     cpu_data(&a->lse) + (b * w->heads + h) * w->queries + first, delta,
                     dbias ? dbias + first * keys : NULL);
        if (g->v.data)
            tile_product(keys, wd, n, p, 1, wk, up, wd, later, dv, wd);
        if (g->k.data) {
            tile_pack(n, dims, w->alpha, item(&a->q, b, first, h), a->q.stride[1], q);
            tile_product(keys, wd, n, dp, 1, wk, q, wd, later, dk, wd);
        }
        if (!g->q.data)
            continue;
        tile_product(n, wd, keys, dp, wk, 1, k, wd, false, dq, wd);
        give_rows(n, dims, dq, wd, g->q.add, item(&g->q, b, first, h), g->q.stride[1]);
    }
    if (g->k.data)
        give_rows(keys, dims, dk, wd, g->k.add, item(&g->k, b, 0, h), g->k.stride[1]);
    if (g->v.data)
        give_rows(keys, dims, dv, wd, g->v.add, item(&g->v, b, 0, h), g->v.stride[1]);
}

/* Heads h.. of rows first.., row by row, since the heads of a row lie in the same pages. sums: of
 * these rows' group, the bias and the gate's. */
static void heads_back(const struct work *w, int64_t first, int64_t end, int64_t h, int64_t h_end,
                       real *scratch, real *sums, int64_t bias_size)
{
    for (int64_t b = first; b < end; b++)
        for (int64_t i = h; i < h_end; i++)
            unit_back(w, b, i, scratch, bias_size ? sums + i * w->queries * w->keys : NULL,
                      sums + bias_size + i * w->dims);
}

void CPU_NAME(attention_back)(struct backend *backend, const struct op_attention *a,
                              const struct op_attention *g)
{
    check(a);
    struct work w = work_of(a, g);
    int64_t rows = a->q.dim[0], bias_size = g->bias.data ? w.heads * w.queries * w.keys : 0;
    int groups = rows < CPU_GROUPS ? (int)rows : CPU_GROUPS;
    int64_t gate_size = w.heads * w.dims, step = bias_size + gate_size;
    int64_t units = groups * w.heads, own = backward_scratch(&w);
    int threads = cpu_threads(backend);
    real *scratch = cpu_scratch(backend, groups * step + threads * own);
    CPU_STOP_WHERE_COUNTED(backend);
    memset(scratch, 0, (size_t)(groups * step) * sizeof *scratch);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int part = 0; part < threads; part++) {
        int64_t end = cpu_part(units, threads, part + 1), count;
        for (int64_t u = cpu_part(units, threads, part); u < end; u += count) {
            int group = (int)(u / w.heads);
            int64_t h = u % w.heads;
            count = w.heads - h < end - u ? w.heads - h : end - u;
            heads_back(&w, cpu_part(rows, groups, group), cpu_part(rows, groups, group + 1), h,
                       h + count, scratch + groups * step + part * own, scratch + group * step,
                       bias_size);
        }
    }
    if (g->bias.data) {
        ASSERT(tensor_dense(&g->bias));
        cpu_sum_parts(backend, bias_size, groups, scratch, step, g->bias.add, cpu_data(&g->bias));
    }
    if (g->gate_bias.data)
        cpu_sum_parts(backend, gate_size, groups, scratch + bias_size, step, g->gate_bias.add,
                      cpu_data(&g->gate_bias));
}
