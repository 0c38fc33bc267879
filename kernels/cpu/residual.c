/* Residual with dropout: y = x + drop(u). The factors are drawn again in backward, not stored. */
#include "kernels/cpu/cpu.h"

#include "engine/base/rng.h"

/* factor[e] = 0 or 1 / (1 - rate), for e in 4 * [first, end). */
static void draw(const struct op_residual *a, int64_t first, int64_t end, real *factor)
{
    const uint32_t key[2] = {(uint32_t)a->seed, (uint32_t)(a->seed >> 32)};
    real keep = (real)(1 / (1 - a->rate));
    for (int64_t i = first; i < end; i++) {
        uint32_t counter[4] = {(uint32_t)i, (uint32_t)a->site, (uint32_t)a->position,
                               (uint32_t)(a->position >> 32)};
        uint32_t word[4];
        philox(counter, key, word);
        for (int w = 0; w < 4; w++)
            factor[4 * i + w] = (double)(word[w] >> 8) * 0x1p-24 < a->rate ? 0 : keep;
    }
}

/* The factors of all elements of the mask, in scratch. */
static const real *mask_of(struct backend *backend, const struct op_residual *a)
{
    ASSERT_INT(a->shared, >=, -1);
    ASSERT_INT(a->shared, <=, 1);
    ASSERT(a->rate >= 0 && a->rate < 1);
    int64_t count = tensor_count(&a->y) / (a->shared < 0 ? 1 : a->y.dim[a->shared]);
    int64_t quads = (count + 3) / 4;
    ASSERT_INT(quads, <=, UINT32_MAX);
    real *factor = cpu_scratch(backend, 4 * quads);
    int threads = count > CPU_SMALL ? cpu_threads(backend) : 1;
    if (cpu_counts(backend))
        return NULL;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int p = 0; p < threads; p++)
        draw(a, cpu_part(quads, threads, p), cpu_part(quads, threads, p + 1), factor);
    return factor;
}

/* to = from + factor * u for one row of columns; from NULL: only the product. */
CPU_LEAF static void row_add(int64_t columns, const real *from, const real *u, const real *factor,
                             real *to)
{
    for (int64_t c = 0; c < columns; c++)
        to[c] = (from ? from[c] : 0) + (factor ? factor[c] * u[c] : u[c]);
}

/* to = from + factor * u over all [A,B] rows. */
static void apply(struct backend *backend, const struct op_residual *a, const real *from,
                  const real *u, real *to)
{
    const real *factor = a->rate > 0 ? mask_of(backend, a) : NULL;
    CPU_STOP_WHERE_COUNTED(backend);
    int64_t outer = a->y.dim[0], inner = a->y.dim[1], columns = a->y.dim[2];
    int threads = outer * inner * columns > CPU_SMALL ? cpu_threads(backend) : 1;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t i = 0; i < outer; i++)
        for (int64_t j = 0; j < inner; j++) {
            int64_t at = (i * inner + j) * columns;
            int64_t row = a->shared == 0 ? j : a->shared == 1 ? i : i * inner + j;
            row_add(columns, from ? from + at : NULL, u + at,
                    factor ? factor + row * columns : NULL, to + at);
        }
}

void CPU_NAME(residual)(struct backend *backend, const struct op_residual *a)
{
    ASSERT(tensor_dense(&a->x) && tensor_dense(&a->u) && tensor_dense(&a->y));
    apply(backend, a, cpu_data(&a->x), cpu_data(&a->u), cpu_data(&a->y));
}

void CPU_NAME(residual_back)(struct backend *backend, const struct op_residual *a,
                             const struct op_residual *g)
{
    const real *dy = cpu_data(&g->y);
    ASSERT(tensor_dense(&g->y));
    if (g->u.data) {
        real *du = cpu_data(&g->u);
        ASSERT(tensor_dense(&g->u) && du != dy);
        apply(backend, a, g->u.add ? du : NULL, dy, du);
    }
    CPU_STOP_WHERE_COUNTED(backend);
    if (g->x.data)
        cpu_copy_rows(backend, tensor_count(&g->y) / g->y.dim[2], g->y.dim[2], dy, g->y.dim[2],
                      g->x.add, cpu_data(&g->x), g->x.stride[1]);
}
