/* Small matrix products between operands that stay in the cache, where packing them for BLAS would
 * cost as much as the product. The kernels are compiled for AVX-512, AVX2 and plain x86-64 and
 * chosen when called; sums are made in the order of t, by fused multiply-adds where the processor
 * has them, so results are the same in every run on a machine and with any number of threads. */
#ifndef FOLDMILL_KERNELS_CPU_TILE_H
#define FOLDMILL_KERNELS_CPU_TILE_H

#include "kernels/cpu/cpu.h"

enum { TILE_LANES = 64 / sizeof(real) };

/* Columns of a padded operand. */
static inline int64_t tile_width(int64_t n)
{
    return (n + TILE_LANES - 1) / TILE_LANES * TILE_LANES;
}

/* c[i * c_ld + j] = (add ? itself : 0) + sum_t a[i * a_row + t * a_step] b[t * b_ld + j], for
 * i < m, j < n, t < k; n a multiple of TILE_LANES. k may be 0. */
void CPU_NAME(tile_product)(int64_t m, int64_t n, int64_t k, const real *a, int64_t a_row,
                            int64_t a_step, const real *b, int64_t b_ld, bool add, real *c,
                            int64_t c_ld);
#define tile_product CPU_NAME(tile_product)

/* to[n, tile_width(d)] = scale x[n,d], columns beyond filled with zeros. */
void CPU_NAME(tile_pack)(int64_t n, int64_t d, real scale, const real *x, int64_t ld, real *to);
#define tile_pack CPU_NAME(tile_pack)

/* to[d, tile_width(n)] = scale x[n,d] transposed, columns beyond filled with zeros. */
void CPU_NAME(tile_turn)(int64_t n, int64_t d, real scale, const real *x, int64_t ld, real *to);
#define tile_turn CPU_NAME(tile_turn)

/* to[i * to_row + j * to_column] = (add ? itself : 0) + x[i * row + j * column], i < n, j < d; fast
 * where it is a transpose, j contiguous in one and i in the other. The same bits everywhere. */
void CPU_NAME(tile_move)(int64_t n, int64_t d, const real *x, int64_t row, int64_t column, bool add,
                         real *to, int64_t to_row, int64_t to_column);
#define tile_move CPU_NAME(tile_move)

#endif
