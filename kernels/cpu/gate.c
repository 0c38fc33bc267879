/* y = sigmoid(g) * p * mask. The result may be channel-first (for triangle products): it is then
 * made in tiles of rows and turned while in the cache. */
#include "kernels/cpu/cpu.h"

enum { TILE = 16 };

CPU_LEAF static void gate_rows(int count, int64_t channels, const real *restrict p, int64_t p_ld,
                               const real *restrict g, int64_t g_ld, const real *restrict mask,
                               real *restrict y, int64_t y_ld)
{
    for (int t = 0; t < count; t++) {
        real m = mask ? mask[t] : 1;
        for (int64_t c = 0; c < channels; c++)
            y[t * y_ld + c] = cpu_sigmoid(g[t * g_ld + c]) * p[t * p_ld + c] * m;
    }
}

/* to[t * s0 + c * s1] = tile[t, c]; s0 is 1 where it matters. */
CPU_LEAF static void turn_out(int count, int64_t channels, const real *restrict tile,
                              real *restrict to, int64_t s0, int64_t s1)
{
    for (int64_t c = 0; c < channels; c++)
        for (int t = 0; t < count; t++)
            to[t * s0 + c * s1] = tile[t * channels + c];
}

CPU_LEAF static void turn_in(int count, int64_t channels, const real *restrict from, int64_t s0,
                             int64_t s1, real *restrict tile)
{
    for (int64_t c = 0; c < channels; c++)
        for (int t = 0; t < count; t++)
            tile[t * channels + c] = from[t * s0 + c * s1];
}

void CPU_NAME(gate)(struct backend *backend, const struct op_gate *a)
{
    int64_t rows = a->p.dim[0], channels = a->p.dim[1], tiles = (rows + TILE - 1) / TILE;
    int threads = rows * channels > CPU_SMALL ? cpu_threads(backend) : 1;
    bool turned = a->y.stride[1] != 1;
    real *scratch = turned ? cpu_scratch(backend, threads * TILE * channels) : NULL;
    CPU_STOP_WHERE_COUNTED(backend);
    const real *mask = cpu_data(&a->mask), *p = cpu_data(&a->p), *g = cpu_data(&a->g);
    real *y = cpu_data(&a->y);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int part = 0; part < threads; part++)
        for (int64_t i = cpu_part(tiles, threads, part); i < cpu_part(tiles, threads, part + 1);
             i++) {
            int64_t first = i * TILE;
            int count = (int)(rows - first < TILE ? rows - first : TILE);
            real *to = turned ? scratch + part * TILE * channels : y + first * a->y.stride[0];
            gate_rows(count, channels, p + first * a->p.stride[0], a->p.stride[0],
                      g + first * a->g.stride[0], a->g.stride[0], mask ? mask + first : NULL, to,
                      turned ? channels : a->y.stride[0]);
            if (turned)
                turn_out(count, channels, to, y + first * a->y.stride[0], a->y.stride[0],
                         a->y.stride[1]);
        }
}

/* to[c] = (add ? to[c] : 0) + v[c]. */
static inline void store(int64_t channels, const real *restrict v, bool add, real *restrict to)
{
    if (add)
        for (int64_t c = 0; c < channels; c++)
            to[c] += v[c];
    else
        for (int64_t c = 0; c < channels; c++)
            to[c] = v[c];
}

/* One row: sp = dy m sigmoid(g), sg = sp p (1 - sigmoid(g)). */
CPU_LEAF static void gate_row_back(int64_t channels, const real *restrict p,
                                   const real *restrict g, real m, const real *restrict dy,
                                   real *restrict sp, real *restrict sg)
{
    for (int64_t c = 0; c < channels; c++) {
        real s = cpu_sigmoid(g[c]), v = dy[c] * m * s;
        sp[c] = v;
        sg[c] = v * p[c] * (1 - s);
    }
}

void CPU_NAME(gate_back)(struct backend *backend, const struct op_gate *a, const struct op_gate *g)
{
    int64_t rows = a->p.dim[0], channels = a->p.dim[1], tiles = (rows + TILE - 1) / TILE;
    int threads = rows * channels > CPU_SMALL ? cpu_threads(backend) : 1;
    bool turned = g->y.stride[1] != 1;
    real *scratch = cpu_scratch(backend, threads * (TILE + 2) * channels);
    CPU_STOP_WHERE_COUNTED(backend);
    const real *mask = cpu_data(&a->mask), *dy = cpu_data(&g->y);
    real *dp = cpu_data(&g->p), *dg = cpu_data(&g->g);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int part = 0; part < threads; part++) {
        real *sp = scratch + part * (TILE + 2) * channels, *sg = sp + channels;
        for (int64_t i = cpu_part(tiles, threads, part); i < cpu_part(tiles, threads, part + 1);
             i++) {
            int64_t first = i * TILE, ld = g->y.stride[0];
            int count = (int)(rows - first < TILE ? rows - first : TILE);
            const real *up = dy + first * ld;
            if (turned) {
                real *tile = sg + channels;
                turn_in(count, channels, up, ld, g->y.stride[1], tile);
                up = tile, ld = channels;
            }
            for (int64_t n = first; n < first + count; n++) {
                gate_row_back(channels, cpu_data(&a->p) + n * a->p.stride[0],
                              cpu_data(&a->g) + n * a->g.stride[0], mask ? mask[n] : 1,
                              up + (n - first) * ld, sp, sg);
                if (dp)
                    store(channels, sp, g->p.add, dp + n * g->p.stride[0]);
                if (dg)
                    store(channels, sg, g->g.add, dg + n * g->g.stride[0]);
            }
        }
    }
}
