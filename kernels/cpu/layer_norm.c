/* Layer normalisation over the last axis. Rows that do not lie contiguous (channel-first input) are
 * gathered a tile at a time, so that the arithmetic sees rows only. */
#include "kernels/cpu/cpu.h"

enum { TILE = 16 };

/* Sum of r, in fixed lanes. */
static inline real row_sum(const real *restrict r, int64_t n)
{
    real lane[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++)
            lane[l] += r[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += r[i];
    return cpu_lanes_sum(lane);
}

/* Sum of r * s, in fixed lanes. */
static inline real row_dot(const real *restrict r, const real *restrict s, int64_t n)
{
    real lane[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++)
            lane[l] += r[i + l] * s[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += r[i] * s[i];
    return cpu_lanes_sum(lane);
}

/* tile[t,c] = x[first + t, c]. */
static void tile_gather(const struct tensor *x, int64_t first, int count, real *restrict tile)
{
    const real *data = cpu_data(x) + first * x->stride[0];
    int64_t channels = x->dim[1], s0 = x->stride[0], s1 = x->stride[1];
    for (int64_t c = 0; c < channels; c++)
        for (int t = 0; t < count; t++)
            tile[t * channels + c] = data[t * s0 + c * s1];
}

CPU_LEAF static void normalise(int count, int64_t channels, const real *restrict x, int64_t ld,
                               const real *restrict w, const real *restrict b, real *restrict y,
                               int64_t y_ld, real *restrict stat)
{
    for (int t = 0; t < count; t++) {
        const real *row = x + t * ld;
        real *to = y + t * y_ld, mean = row_sum(row, channels) / (real)channels;
        for (int64_t c = 0; c < channels; c++)
            to[c] = row[c] - mean;
        real squares = row_dot(to, to, channels);
        real rstd = 1 / (real)sqrt((double)(squares / (real)channels) + LAYER_NORM_EPS);
        for (int64_t c = 0; c < channels; c++)
            to[c] = to[c] * rstd * w[c] + b[c];
        stat[2 * t] = mean;
        stat[2 * t + 1] = rstd;
    }
}

void CPU_NAME(layer_norm)(struct backend *backend, const struct op_layer_norm *a)
{
    int64_t rows = a->x.dim[0], channels = a->x.dim[1], tiles = (rows + TILE - 1) / TILE;
    ASSERT(a->y.stride[1] == 1 || channels == 1);
    bool gathered = a->x.stride[1] != 1;
    int threads = rows * channels > CPU_SMALL ? cpu_threads(backend) : 1;
    real *scratch = gathered ? cpu_scratch(backend, threads * TILE * channels) : NULL;
    CPU_STOP_WHERE_COUNTED(backend);
    const real *w = cpu_data(&a->w), *b = cpu_data(&a->b);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int p = 0; p < threads; p++)
        for (int64_t i = cpu_part(tiles, threads, p); i < cpu_part(tiles, threads, p + 1); i++) {
            int64_t first = i * TILE, ld = a->x.stride[0];
            int count = (int)(rows - first < TILE ? rows - first : TILE);
            const real *x = cpu_data(&a->x) + first * ld;
            if (gathered) {
                real *tile = scratch + p * TILE * channels;
                tile_gather(&a->x, first, count, tile);
                x = tile, ld = channels;
            }
            normalise(count, channels, x, ld, w, b, cpu_data(&a->y) + first * a->y.stride[0],
                      a->y.stride[0], cpu_data(&a->stat) + 2 * first);
        }
}

/* dx (dense tile), dw and db sums of some rows. x and dx may be the same memory. */
CPU_LEAF static void differentiate(int count, int64_t channels, const real *x, int64_t ld,
                                   const real *restrict w, const real *restrict stat,
                                   const real *restrict dy, int64_t dy_ld, real *dx,
                                   real *restrict hat, real *restrict dw, real *restrict db)
{
    for (int t = 0; t < count; t++) {
        const real *row = x + t * ld, *up = dy + t * dy_ld;
        real mean = stat[2 * t], rstd = stat[2 * t + 1], *to = dx + t * channels;
        for (int64_t c = 0; c < channels; c++)
            hat[c] = (row[c] - mean) * rstd;
        for (int64_t c = 0; c < channels; c++) {
            dw[c] += up[c] * hat[c];
            db[c] += up[c];
        }
        for (int64_t c = 0; c < channels; c++)
            to[c] = up[c] * w[c];
        real sum = row_sum(to, channels) / (real)channels;
        real dot = row_dot(to, hat, channels) / (real)channels;
        for (int64_t c = 0; c < channels; c++)
            to[c] = rstd * (to[c] - sum - hat[c] * dot);
    }
}

CPU_LEAF static void tile_store(int count, int64_t channels, const real *restrict tile, bool add,
                                real *restrict dx, int64_t s0, int64_t s1)
{
    if (s1 == 1 && add) {
        for (int t = 0; t < count; t++)
            for (int64_t c = 0; c < channels; c++)
                dx[t * s0 + c] += tile[t * channels + c];
    } else if (s1 == 1) {
        for (int t = 0; t < count; t++)
            memcpy(dx + t * s0, tile + t * channels, (size_t)channels * sizeof *dx);
    } else {
        for (int64_t c = 0; c < channels; c++)
            for (int t = 0; t < count; t++)
                dx[t * s0 + c * s1] = (add ? dx[t * s0 + c * s1] : 0) + tile[t * channels + c];
    }
}

void CPU_NAME(layer_norm_back)(struct backend *backend, const struct op_layer_norm *a,
                               const struct op_layer_norm *g)
{
    int64_t rows = a->x.dim[0], channels = a->x.dim[1], tiles = (rows + TILE - 1) / TILE;
    int64_t step = (2 + 1 + 2 * TILE) * channels; /* dw, db; hat; x tile, dx tile */
    real *scratch = cpu_scratch(backend, CPU_GROUPS * step);
    CPU_STOP_WHERE_COUNTED(backend);
    bool gathered = a->x.stride[1] != 1;
    const real *w = cpu_data(&a->w), *dy = cpu_data(&g->y), *stat = cpu_data(&a->stat);
    ASSERT(g->y.stride[1] == 1 || channels == 1);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int p = 0; p < CPU_GROUPS; p++) {
        real *sums = scratch + p * step, *hat = sums + 2 * channels, *tile = hat + channels;
        real *out = tile + TILE * channels;
        memset(sums, 0, (size_t)(2 * channels) * sizeof *sums);
        int64_t end = cpu_part(tiles, CPU_GROUPS, p + 1);
        for (int64_t i = cpu_part(tiles, CPU_GROUPS, p); i < end; i++) {
            int64_t first = i * TILE, ld = a->x.stride[0];
            int count = (int)(rows - first < TILE ? rows - first : TILE);
            const real *x = cpu_data(&a->x) + first * ld;
            if (gathered) {
                tile_gather(&a->x, first, count, tile);
                x = tile, ld = channels;
            }
            differentiate(count, channels, x, ld, w, stat + 2 * first, dy + first * g->y.stride[0],
                          g->y.stride[0], out, hat, sums, sums + channels);
            if (g->x.data)
                tile_store(count, channels, out, g->x.add,
                           cpu_data(&g->x) + first * g->x.stride[0], g->x.stride[0],
                           g->x.stride[1]);
        }
    }
    if (g->w.data)
        cpu_sum_parts(backend, channels, CPU_GROUPS, scratch, step, g->w.add, cpu_data(&g->w));
    if (g->b.data)
        cpu_sum_parts(backend, channels, CPU_GROUPS, scratch + channels, step, g->b.add,
                      cpu_data(&g->b));
}
