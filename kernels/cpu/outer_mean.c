/* Outer product mean with its projection. A unit of work is a block of residues i, cut by shapes
 * alone: the products of each with all j, [L, C*C], are made, projected and forgotten; backward
 * makes them again. Several residues share what BLAS packs of b and w. */
#include "kernels/cpu/tile.h"

enum { RESIDUES = 4 };

struct sizes {
    int64_t s, l, c, o;
};

/* to[i][c][s] = a[s,i,c] for one i, and to[s][j][e] = b[s,j,e]: the layouts that GEMMs want. */
static void pack(struct backend *backend, const struct op_outer_mean *a, struct sizes z, real *to_a,
                 real *to_b)
{
    const real *from_a = cpu_data(&a->a), *from_b = cpu_data(&a->b);
    const int64_t *sa = a->a.stride, *sb = a->b.stride;
    ASSERT((sa[2] == 1 && sb[2] == 1) || z.c == 1);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int64_t i = 0; i < z.l; i++) {
        tile_move(z.s, z.c, from_a + i * sa[1], sa[0], 1, false, to_a + i * z.c * z.s, 1, z.s);
        for (int64_t s = 0; s < z.s; s++)
            memcpy(to_b + (s * z.l + i) * z.c, from_b + s * sb[0] + i * sb[1],
                   (size_t)z.c * sizeof(real));
    }
}

/* from[c][j][e] <-> to[j][c][e]. */
CPU_LEAF static void turn(struct sizes z, const real *restrict from, real *restrict to,
                          bool backwards)
{
    for (int64_t j = 0; j < z.l; j++)
        for (int64_t c = 0; c < z.c; c++) {
            const real *x = from + (backwards ? (j * z.c + c) * z.c : (c * z.l + j) * z.c);
            real *y = to + (backwards ? (c * z.l + j) * z.c : (j * z.c + c) * z.c);
            for (int64_t e = 0; e < z.c; e++)
                y[e] = x[e];
        }
}

/* outer[i,j, c*e] = sum_s a[i,c,s] b[s,j,e] for n residues i; by way of raw[i,c, j*e]. */
static void outer_products(struct sizes z, int64_t n, real *a, real *b, real *raw, real *outer)
{
    int64_t wide = z.l * z.c, size = wide * z.c;
    cpu_gemm(n * z.c, wide, z.s, 1, cpu_dense(a, z.s), cpu_dense(b, wide), 0, cpu_dense(raw, wide));
    for (int64_t i = 0; i < n; i++)
        turn(z, raw + i * size, outer + i * size, false);
}

/* y[j,o] = res[j,o] + scale[j] * (y[j,o] + bias[o]) for n rows j. */
CPU_LEAF static void finish(struct sizes z, int64_t n, real *restrict y, const real *restrict bias,
                            const real *restrict scale, const real *restrict res)
{
    for (int64_t j = 0; j < n; j++) {
        real s = scale ? scale[j] : 1;
        for (int64_t o = 0; o < z.o; o++)
            y[j * z.o + o] = (res ? res[j * z.o + o] : 0) + s * (y[j * z.o + o] + bias[o]);
    }
}

static struct sizes sizes_of(const struct op_outer_mean *a)
{
    ASSERT(tensor_dense(&a->y) && tensor_dense(&a->w));
    ASSERT(!a->res.data || tensor_dense(&a->res));
    ASSERT(!a->scale.data || tensor_dense(&a->scale));
    return (struct sizes){a->a.dim[0], a->a.dim[1], a->a.dim[2], a->y.dim[2]};
}

/* Residues of a unit. */
static int64_t block_of(struct sizes z)
{
    return z.l < RESIDUES ? z.l : RESIDUES;
}

void CPU_NAME(outer_mean)(struct backend *backend, const struct op_outer_mean *a)
{
    struct sizes z = sizes_of(a);
    int64_t packed = z.s * z.l * z.c, square = z.c * z.c;
    int64_t block = block_of(z), blocks = (z.l + block - 1) / block, own = 2 * block * z.l * square;
    int threads = cpu_threads(backend);
    real *pa = cpu_scratch(backend, 2 * packed + threads * own);
    CPU_STOP_WHERE_COUNTED(backend);
    real *pb = pa + packed;
    pack(backend, a, z, pa, pb);
    const real *scale = cpu_data(&a->scale), *res = cpu_data(&a->res), *bias = cpu_data(&a->bias);
    struct cpu_matrix w = cpu_dense(cpu_data(&a->w), square);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        real *raw = pb + packed + t * own, *outer = raw + block * z.l * square;
        for (int64_t u = cpu_part(blocks, threads, t); u < cpu_part(blocks, threads, t + 1); u++) {
            int64_t i = u * block, n = z.l - i < block ? z.l - i : block;
            real *y = cpu_data(&a->y) + i * z.l * z.o;
            outer_products(z, n, pa + i * z.c * z.s, pb, raw, outer);
            cpu_gemm(n * z.l, z.o, square, 1, cpu_dense(outer, square), cpu_transposed(w), 0,
                     cpu_dense(y, z.o));
            finish(z, n * z.l, y, bias, scale ? scale + i * z.l : NULL,
                   res ? res + i * z.l * z.o : NULL);
        }
    }
}

/* up[j,o] = scale[j] dy[j,o], and dbias[o] += its sum, for n rows j. */
CPU_LEAF static void scale_up(struct sizes z, int64_t n, const real *restrict dy,
                              const real *restrict scale, real *restrict up, real *restrict dbias)
{
    for (int64_t j = 0; j < n; j++) {
        real s = scale ? scale[j] : 1;
        for (int64_t o = 0; o < z.o; o++) {
            up[j * z.o + o] = s * dy[j * z.o + o];
            dbias[o] += up[j * z.o + o];
        }
    }
}

struct group_sums {
    real *bias, *w, *b; /* [O], [O,C,C], [S,L,C]: this group's sums over its residues i */
};

/* The gradients that n residues from i on give; da is their own [n,C,S], the others are added to
 * sums. a_i is [n,C,S], scratch as large as for block_of residues. */
static void residues_back(const struct op_outer_mean *a, const struct op_outer_mean *g,
                          struct sizes z, int64_t i, int64_t n, real *a_i, real *b, real *da,
                          struct group_sums sums, bool first, real *scratch)
{
    int64_t square = z.c * z.c, wide = z.l * z.c;
    real *raw = scratch, *outer = raw + n * z.l * square, *up = outer + n * z.l * square;
    real beta = first ? 0 : 1;
    scale_up(z, n * z.l, cpu_data(&g->y) + i * z.l * z.o,
             a->scale.data ? cpu_data(&a->scale) + i * z.l : NULL, up, sums.bias);
    if (g->w.data) {
        outer_products(z, n, a_i, b, raw, outer);
        cpu_gemm(z.o, square, n * z.l, 1, cpu_transposed(cpu_dense(up, z.o)),
                 cpu_dense(outer, square), beta, cpu_dense(sums.w, square));
    }
    if (!g->a.data && !g->b.data)
        return;
    cpu_gemm(n * z.l, square, z.o, 1, cpu_dense(up, z.o), cpu_dense(cpu_data(&a->w), square), 0,
             cpu_dense(outer, square));
    for (int64_t r = 0; r < n; r++)
        turn(z, outer + r * z.l * square, raw + r * z.l * square, true);
    if (g->a.data)
        cpu_gemm(n * z.c, z.s, wide, 1, cpu_dense(raw, wide), cpu_transposed(cpu_dense(b, wide)), 0,
                 cpu_dense(da, z.s));
    if (g->b.data)
        cpu_gemm(z.s, wide, n * z.c, 1, cpu_transposed(cpu_dense(a_i, z.s)), cpu_dense(raw, wide),
                 beta, cpu_dense(sums.b, wide));
}

/* to[s,c] = (add ? to : 0) + from[s,c]. */
CPU_LEAF static void give_rows(int64_t rows, int64_t columns, const real *restrict from, int64_t ld,
                               bool add, real *restrict to, int64_t to_ld)
{
    for (int64_t s = 0; s < rows; s++)
        for (int64_t c = 0; c < columns; c++)
            to[s * to_ld + c] = (add ? to[s * to_ld + c] : 0) + from[s * ld + c];
}

/* g.a[s,i,c] = da[i][c][s] and g.b[s,j,e] = db[s][j][e], added or replaced. */
static void unpack(struct backend *backend, const struct op_outer_mean *g, struct sizes z,
                   const real *da, const real *db)
{
    real *to_a = cpu_data(&g->a), *to_b = cpu_data(&g->b);
    const int64_t *sa = g->a.stride, *sb = g->b.stride;
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int64_t i = 0; i < z.l; i++) {
        if (to_a)
            tile_move(z.c, z.s, da + i * z.c * z.s, z.s, 1, g->a.add, to_a + i * sa[1], 1, sa[0]);
        if (to_b)
            give_rows(z.s, z.c, db + i * z.c, z.l * z.c, g->b.add, to_b + i * sb[1], sb[0]);
    }
}

void CPU_NAME(outer_mean_back)(struct backend *backend, const struct op_outer_mean *a,
                               const struct op_outer_mean *g)
{
    struct sizes z = sizes_of(a);
    ASSERT(tensor_dense(&g->y));
    int64_t packed = z.s * z.l * z.c, square = z.c * z.c;
    int64_t block = block_of(z), own = block * z.l * (2 * square + z.o),
            step = z.o + z.o * square + packed;
    int groups = z.l < CPU_GROUPS ? (int)z.l : CPU_GROUPS;
    real *pa = cpu_scratch(backend, 3 * packed + groups * (step + own));
    CPU_STOP_WHERE_COUNTED(backend);
    real *pb = pa + packed, *da = pb + packed, *sums = da + packed;
    pack(backend, a, z, pa, pb);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static)
    for (int p = 0; p < groups; p++) {
        real *base = sums + p * step;
        struct group_sums part = {base, base + z.o, base + z.o + z.o * square};
        memset(part.bias, 0, (size_t)z.o * sizeof(real));
        int64_t first = cpu_part(z.l, groups, p), end = cpu_part(z.l, groups, p + 1);
        for (int64_t i = first; i < end; i += block)
            residues_back(a, g, z, i, end - i < block ? end - i : block, pa + i * z.c * z.s, pb,
                          da + i * z.c * z.s, part, i == first, sums + groups * step + p * own);
    }
    if (g->bias.data)
        cpu_sum_parts(backend, z.o, groups, sums, step, g->bias.add, cpu_data(&g->bias));
    if (g->w.data)
        cpu_sum_parts(backend, z.o * square, groups, sums + z.o, step, g->w.add, cpu_data(&g->w));
    if (g->b.data) /* pb has done its work: it takes the sum */
        cpu_sum_parts(backend, packed, groups, sums + z.o + z.o * square, step, false, pb);
    unpack(backend, g, z, da, pb);
    if (g->res.data)
        cpu_copy_rows(backend, z.l * z.l, z.o, cpu_data(&g->y), z.o, g->res.add, cpu_data(&g->res),
                      z.o);
}
