/* The products of tile.h for each instruction set, and their choice. */
#include "kernels/cpu/tile.h"

#if defined(__x86_64__) && !defined(__clang__)
#define TILE_CHOICE 1
#else
#define TILE_CHOICE 0
#endif

#ifdef CPU_DOUBLE
#define TILE_INDEX int64_t
#else
#define TILE_INDEX int32_t
#endif

#if TILE_CHOICE
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,fma")
#define TILE_SET    avx512
#define TILE_VECTOR 64
#define TILE_SUMS   24
#define TILE_TURNS  1
#include "kernels/cpu/tile_kernel.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define TILE_SET    avx2
#define TILE_VECTOR 32
#define TILE_SUMS   12
#define TILE_TURNS  1
#include "kernels/cpu/tile_kernel.h"
#pragma GCC pop_options
#endif

#define TILE_SET    plain
#define TILE_VECTOR 16
#define TILE_SUMS   12
#define TILE_TURNS  0
#include "kernels/cpu/tile_kernel.h"

/* By their registers: 16, 32, 64 bytes. */
enum tile_set { SET_PLAIN, SET_AVX2, SET_AVX512 };

static enum tile_set set_choose(void)
{
#if TILE_CHOICE
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return SET_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return SET_AVX2;
#endif
    return SET_PLAIN;
}

void tile_product(int64_t m, int64_t n, int64_t k, const real *a, int64_t a_row, int64_t a_step,
                  const real *b, int64_t b_ld, bool add, real *c, int64_t c_ld)
{
    switch (set_choose()) {
#if TILE_CHOICE
    case SET_AVX512:
        product_avx512(m, n, k, a, a_row, a_step, b, b_ld, add, c, c_ld);
        break;
    case SET_AVX2:
        product_avx2(m, n, k, a, a_row, a_step, b, b_ld, add, c, c_ld);
        break;
#else
    case SET_AVX512:
    case SET_AVX2:
#endif
    case SET_PLAIN:
        product_plain(m, n, k, a, a_row, a_step, b, b_ld, add, c, c_ld);
        break;
    }
}

CPU_LEAF void tile_pack(int64_t n, int64_t d, real scale, const real *restrict x, int64_t ld,
                        real *restrict to)
{
    int64_t width = tile_width(d);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++)
            to[i * width + j] = scale * x[i * ld + j];
        for (int64_t j = d; j < width; j++)
            to[i * width + j] = 0;
    }
}

/* to[j * to_ld + i] = (add ? itself : 0) + scale x[i * ld + j]: squares of the widest registers
 * that d holds, and what is beyond them. */
static void turn(int64_t n, int64_t d, real scale, const real *x, int64_t ld, bool add, real *to,
                 int64_t to_ld)
{
    int64_t part = 1, rows = 0, columns;
#if TILE_CHOICE
    enum tile_set set = set_choose();
    while (set > SET_PLAIN && (part = (int64_t)((16u << set) / sizeof(real))) > d)
        set--;
    if (set == SET_AVX512)
        turn_avx512(n, d, scale, x, ld, add, to, to_ld);
    if (set == SET_AVX2)
        turn_avx2(n, d, scale, x, ld, add, to, to_ld);
    rows = set == SET_PLAIN ? 0 : n / part * part;
#endif
    columns = d / part * part;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i < rows ? columns : 0; j < d; j++) {
            real *at = to + j * to_ld + i, v = scale * x[i * ld + j];
            *at = add ? *at + v : v; /* as the squares do: -0 stays */
        }
}

void tile_turn(int64_t n, int64_t d, real scale, const real *x, int64_t ld, real *to)
{
    int64_t width = tile_width(n);
    turn(n, d, scale, x, ld, false, to, width);
    for (int64_t j = 0; j < d; j++)
        memset(to + j * width + n, 0, (size_t)(width - n) * sizeof *to);
}

void tile_move(int64_t n, int64_t d, const real *x, int64_t row, int64_t column, bool add, real *to,
               int64_t to_row, int64_t to_column)
{
    if (column == 1 && to_row == 1)
        turn(n, d, 1, x, row, add, to, to_column);
    else if (row == 1 && to_column == 1)
        turn(d, n, 1, x, column, add, to, to_row);
    else
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < d; j++) {
                real *at = to + i * to_row + j * to_column;
                *at = add ? *at + x[i * row + j * column] : x[i * row + j * column];
            }
}
