/* y = sigmoid(g) * p * mask. The result may be channel-first (for triangle products): it is then
 * made in tiles of rows and channels that are turned while in the cache. */
#include "kernels/cpu/tile.h"

enum { ROWS = 256, CHANNELS = 128, CHANNELS_TURNED = 64 };

/* How a [N,C] tensor is cut: into tiles of rows, which the threads share, and each of these into
 * `wide` channels. turned: y, or its gradient, goes through scratch, ROWS x wide of each thread. */
struct cut {
    int64_t rows, channels, wide, tiles;
    int threads;
    bool turned;
};

static struct cut cut_of(const struct backend *backend, const struct tensor *y)
{
    struct cut c = {.rows = y->dim[0], .channels = y->dim[1], .wide = CHANNELS, .threads = 1};
    c.tiles = (c.rows + ROWS - 1) / ROWS;
    c.turned = y->stride[1] != 1;
    if (c.turned)
        c.wide = CHANNELS_TURNED;
    if (c.rows * c.channels > CPU_SMALL)
        c.threads = cpu_threads(backend);
    return c;
}

static int64_t at_most(int64_t all, int64_t done, int64_t most)
{
    return all - done < most ? all - done : most;
}

/* Element (n, c) of a [N,C] tensor. */
static real *place(const struct tensor *t, int64_t n, int64_t c)
{
    return t->data ? cpu_data(t) + n * t->stride[0] + c * t->stride[1] : NULL;
}

CPU_LEAF static void gate_tile(int64_t rows, int64_t channels, const real *restrict p, int64_t p_ld,
                               const real *restrict g, int64_t g_ld, const real *restrict mask,
                               real *restrict y, int64_t y_ld)
{
    for (int64_t t = 0; t < rows; t++) {
        real m = mask ? mask[t] : 1;
        for (int64_t c = 0; c < channels; c++)
            y[t * y_ld + c] = cpu_sigmoid(g[t * g_ld + c]) * p[t * p_ld + c] * m;
    }
}

/* Rows first.. of the result; tile: scratch where it is channel-first, else NULL. */
static void rows_forward(const struct op_gate *a, struct cut cut, int64_t first, real *tile)
{
    int64_t rows = at_most(cut.rows, first, ROWS);
    for (int64_t c = 0; c < cut.channels; c += cut.wide) {
        int64_t channels = at_most(cut.channels, c, cut.wide);
        real *y = place(&a->y, first, c);
        gate_tile(rows, channels, place(&a->p, first, c), a->p.stride[0], place(&a->g, first, c),
                  a->g.stride[0], a->mask.data ? cpu_data(&a->mask) + first : NULL, tile ? tile : y,
                  tile ? cut.wide : a->y.stride[0]);
        if (tile)
            tile_move(rows, channels, tile, cut.wide, 1, false, y, a->y.stride[0], a->y.stride[1]);
    }
}

void CPU_NAME(gate)(struct backend *backend, const struct op_gate *a)
{
    struct cut cut = cut_of(backend, &a->y);
    real *scratch = cut.turned ? cpu_scratch(backend, cut.threads * ROWS * cut.wide) : NULL;
    CPU_STOP_WHERE_COUNTED(backend);
#pragma omp parallel for num_threads(cut.threads) schedule(static) if (cut.threads > 1)
    for (int part = 0; part < cut.threads; part++)
        for (int64_t i = cpu_part(cut.tiles, cut.threads, part);
             i < cpu_part(cut.tiles, cut.threads, part + 1); i++)
            rows_forward(a, cut, i * ROWS, cut.turned ? scratch + part * ROWS * cut.wide : NULL);
}

/* A gradient to write; data NULL: nobody wants it. */
struct to {
    real *data;
    int64_t ld;
    bool add;
};

/* Row t of a gradient that is replaced, else the row that is made in its stead. */
static inline real *row_or(struct to to, int64_t t, real *instead)
{
    return to.data && !to.add ? to.data + t * to.ld : instead;
}

static inline void row_add(struct to to, int64_t t, int64_t channels, const real *restrict v)
{
    if (to.data && to.add)
        for (int64_t c = 0; c < channels; c++)
            to.data[t * to.ld + c] += v[c];
}

static inline void gate_row_back(int64_t channels, const real *restrict p, const real *restrict g,
                                 real m, const real *restrict dy, real *restrict dp,
                                 real *restrict dg)
{
    for (int64_t c = 0; c < channels; c++) {
        real s = cpu_sigmoid(g[c]), v = dy[c] * m * s;
        dp[c] = v;
        dg[c] = v * p[c] * (1 - s);
    }
}

/* dp = dy m sigmoid(g), dg = dp p (1 - sigmoid(g)); channels <= CHANNELS. */
CPU_LEAF static void gate_tile_back(int64_t rows, int64_t channels, const real *restrict p,
                                    int64_t p_ld, const real *restrict g, int64_t g_ld,
                                    const real *restrict mask, const real *restrict dy,
                                    int64_t dy_ld, struct to dp, struct to dg)
{
    real sp[CHANNELS], sg[CHANNELS];
    for (int64_t t = 0; t < rows; t++) {
        gate_row_back(channels, p + t * p_ld, g + t * g_ld, mask ? mask[t] : 1, dy + t * dy_ld,
                      row_or(dp, t, sp), row_or(dg, t, sg));
        row_add(dp, t, channels, sp);
        row_add(dg, t, channels, sg);
    }
}

static struct to to_of(const struct tensor *t, int64_t n, int64_t c)
{
    return (struct to){place(t, n, c), t->stride[0], t->add};
}

/* The gradients of rows first..; tile: scratch where that of y is channel-first, else NULL. */
static void rows_back(const struct op_gate *a, const struct op_gate *g, struct cut cut,
                      int64_t first, real *tile)
{
    int64_t rows = at_most(cut.rows, first, ROWS);
    for (int64_t c = 0; c < cut.channels; c += cut.wide) {
        int64_t channels = at_most(cut.channels, c, cut.wide);
        const real *dy = place(&g->y, first, c);
        if (tile)
            tile_move(rows, channels, dy, g->y.stride[0], g->y.stride[1], false, tile, cut.wide, 1);
        gate_tile_back(
            rows, channels, place(&a->p, first, c), a->p.stride[0], place(&a->g, first, c),
            a->g.stride[0], a->mask.data ? cpu_data(&a->mask) + first : NULL, tile ? tile : dy,
            tile ? cut.wide : g->y.stride[0], to_of(&g->p, first, c), to_of(&g->g, first, c));
    }
}

void CPU_NAME(gate_back)(struct backend *backend, const struct op_gate *a, const struct op_gate *g)
{
    struct cut cut = cut_of(backend, &g->y);
    real *scratch = cut.turned ? cpu_scratch(backend, cut.threads * ROWS * cut.wide) : NULL;
    CPU_STOP_WHERE_COUNTED(backend);
#pragma omp parallel for num_threads(cut.threads) schedule(static) if (cut.threads > 1)
    for (int part = 0; part < cut.threads; part++)
        for (int64_t i = cpu_part(cut.tiles, cut.threads, part);
             i < cpu_part(cut.tiles, cut.threads, part + 1); i++)
            rows_back(a, g, cut, i * ROWS, cut.turned ? scratch + part * ROWS * cut.wide : NULL);
}
