/* Layer normalisation over the last axis. Rows that do not lie contiguous (channel-first input) are
 * turned a tile at a time, so that the arithmetic sees rows only. */
#include "kernels/cpu/tile.h"

enum { TILE = 64 };

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

/* Sum of (r - mean)^2, in fixed lanes. */
static inline real row_squares(const real *restrict r, real mean, int64_t n)
{
    real lane[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++) {
            real d = r[i + l] - mean;
            lane[l] += d * d;
        }
    for (int l = 0; i < n; i++, l++)
        lane[l] += (r[i] - mean) * (r[i] - mean);
    return cpu_lanes_sum(lane);
}

CPU_LEAF static void normalise(int count, int64_t channels, const real *restrict x, int64_t ld,
                               const real *restrict w, const real *restrict b, real *restrict y,
                               int64_t y_ld, real *restrict stat)
{
    for (int t = 0; t < count; t++) {
        const real *row = x + t * ld;
        real *to = y + t * y_ld, mean = row_sum(row, channels) / (real)channels;
        real squares = row_squares(row, mean, channels);
        real rstd = 1 / (real)sqrt((double)(squares / (real)channels) + LAYER_NORM_EPS);
        for (int64_t c = 0; c < channels; c++)
            to[c] = (row[c] - mean) * rstd * w[c] + b[c];
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
                tile_move(count, channels, x, ld, a->x.stride[1], false, tile, channels, 1);
                x = tile, ld = channels;
            }
            normalise(count, channels, x, ld, w, b, cpu_data(&a->y) + first * a->y.stride[0],
                      a->y.stride[0], cpu_data(&a->stat) + 2 * first);
        }
}

/* What the gradient of a row needs of it: the sums over channels of dy w and of dy w hat, where
 * hat = (x - mean) rstd. dw and db are added to. */
static inline void row_sums(int64_t n, const real *restrict x, real mean, real rstd,
                            const real *restrict w, const real *restrict dy, real *restrict dw,
                            real *restrict db, real *restrict sum, real *restrict dot)
{
    real sums[CPU_LANES] = {0}, dots[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES)
        for (int l = 0; l < CPU_LANES; l++) {
            real up = dy[i + l], hat = (x[i + l] - mean) * rstd, v = up * w[i + l];
            dw[i + l] += up * hat;
            db[i + l] += up;
            sums[l] += v;
            dots[l] += v * hat;
        }
    for (int l = 0; i < n; i++, l++) {
        real up = dy[i], hat = (x[i] - mean) * rstd, v = up * w[i];
        dw[i] += up * hat;
        db[i] += up;
        sums[l] += v;
        dots[l] += v * hat;
    }
    *sum = cpu_lanes_sum(sums);
    *dot = cpu_lanes_sum(dots);
}

/* The gradient of a row; add is a constant. */
static inline __attribute__((always_inline)) void
row_gradient(int64_t n, const real *restrict x, real mean, real rstd, const real *restrict w,
             const real *restrict dy, real sum, real dot, bool add, real *restrict dx)
{
    for (int64_t c = 0; c < n; c++) {
        real v = rstd * (dy[c] * w[c] - sum - (x[c] - mean) * rstd * dot);
        dx[c] = add ? dx[c] + v : v;
    }
}

/* dx of some rows, where it is not NULL, and their part of the sums dw and db. */
CPU_LEAF static void differentiate(int count, int64_t channels, const real *restrict x, int64_t ld,
                                   const real *restrict w, const real *restrict stat,
                                   const real *restrict dy, int64_t dy_ld, real *restrict dx,
                                   int64_t dx_ld, bool add, real *restrict dw, real *restrict db)
{
    for (int t = 0; t < count; t++) {
        const real *row = x + t * ld, *up = dy + t * dy_ld;
        real mean = stat[2 * t], rstd = stat[2 * t + 1], sum, dot;
        row_sums(channels, row, mean, rstd, w, up, dw, db, &sum, &dot);
        sum /= (real)channels, dot /= (real)channels;
        if (dx && add)
            row_gradient(channels, row, mean, rstd, w, up, sum, dot, true, dx + t * dx_ld);
        else if (dx)
            row_gradient(channels, row, mean, rstd, w, up, sum, dot, false, dx + t * dx_ld);
    }
}

/* The gradients of the tile's rows; sums: dw and db, then scratch for a tile of x and one of dx. */
static void tile_back(const struct op_layer_norm *a, const struct op_layer_norm *g, int64_t first,
                      real *sums)
{
    int64_t rows = a->x.dim[0], channels = a->x.dim[1], ld = a->x.stride[0];
    int64_t dx_ld = g->x.stride[0], count = rows - first < TILE ? rows - first : TILE;
    real *in = sums + 2 * channels, *out = in + TILE * channels;
    const real *x = cpu_data(&a->x) + first * ld;
    real *dx = g->x.data ? cpu_data(&g->x) + first * dx_ld : NULL;
    bool turned = dx && g->x.stride[1] != 1;
    if (a->x.stride[1] != 1) {
        tile_move(count, channels, x, ld, a->x.stride[1], false, in, channels, 1);
        x = in, ld = channels;
    }
    differentiate((int)count, channels, x, ld, cpu_data(&a->w), cpu_data(&a->stat) + 2 * first,
                  cpu_data(&g->y) + first * g->y.stride[0], g->y.stride[0], turned ? out : dx,
                  turned ? channels : dx_ld, g->x.add && !turned, sums, sums + channels);
    if (turned)
        tile_move(count, channels, out, channels, 1, g->x.add, dx, dx_ld, g->x.stride[1]);
}

void CPU_NAME(layer_norm_back)(struct backend *backend, const struct op_layer_norm *a,
                               const struct op_layer_norm *g)
{
    int64_t channels = a->x.dim[1], tiles = (a->x.dim[0] + TILE - 1) / TILE;
    int64_t step = 2 * (1 + TILE) * channels; /* dw, db; x tile, dx tile */
    real *scratch = cpu_scratch(backend, CPU_GROUPS * step);
    CPU_STOP_WHERE_COUNTED(backend);
    ASSERT(g->y.stride[1] == 1 || channels == 1);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int p = 0; p < CPU_GROUPS; p++) {
        real *sums = scratch + p * step;
        memset(sums, 0, (size_t)(2 * channels) * sizeof *sums);
        for (int64_t i = cpu_part(tiles, CPU_GROUPS, p); i < cpu_part(tiles, CPU_GROUPS, p + 1);
             i++)
            tile_back(a, g, i * TILE, sums);
    }
    if (g->w.data)
        cpu_sum_parts(backend, channels, CPU_GROUPS, scratch, step, g->w.add, cpu_data(&g->w));
    if (g->b.data)
        cpu_sum_parts(backend, channels, CPU_GROUPS, scratch + channels, step, g->b.add,
                      cpu_data(&g->b));
}
