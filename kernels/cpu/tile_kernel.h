/* One instruction set's product of tile.c, which includes this with TILE_SET (a name), TILE_VECTOR
 * (bytes of a register), TILE_SUMS (registers for sums) and TILE_TURNS (1: with transposes by
 * shuffles) defined and the target chosen: blocks of rows x vectors whose sums stay in registers
 * while t runs. It takes these four words away again. */
#define TILE_PASTE(a, b) a##_##b
#define TILE_JOIN(a, b)  TILE_PASTE(a, b)
#define TILE_FN(name)    TILE_JOIN(name, TILE_SET)
#define TILE_UNROLL      _Pragma("GCC unroll 24")
#define TILE_PART        ((int)(TILE_VECTOR / sizeof(real)))

typedef real TILE_FN(vector) __attribute__((vector_size(TILE_VECTOR), aligned(sizeof(real))));

/* rows x vectors of c; both are constants where this is inlined. */
static inline __attribute__((always_inline)) void
TILE_FN(block)(int rows, int vectors, int64_t k, const real *a, int64_t a_row, int64_t a_step,
               const real *b, int64_t b_ld, bool add, real *c, int64_t c_ld)
{
    TILE_FN(vector) sum[TILE_SUMS];
    TILE_UNROLL for (int r = 0; r < rows; r++)
        TILE_UNROLL for (int v = 0; v < vectors; v++)
            sum[r * vectors + v] =
                add ? *(TILE_FN(vector) *)(c + r * c_ld + v * TILE_PART) : (TILE_FN(vector)){0};
    for (int64_t t = 0; t < k; t++) {
        TILE_FN(vector) row[4];
        TILE_UNROLL for (int v = 0; v < vectors; v++)
            row[v] = *(const TILE_FN(vector) *)(b + t * b_ld + v * TILE_PART);
        TILE_UNROLL for (int r = 0; r < rows; r++) {
            real x = a[r * a_row + t * a_step];
            TILE_UNROLL for (int v = 0; v < vectors; v++)
                sum[r * vectors + v] += x * row[v];
        }
    }
    TILE_UNROLL for (int r = 0; r < rows; r++)
        TILE_UNROLL for (int v = 0; v < vectors; v++)
            *(TILE_FN(vector) *)(c + r * c_ld + v * TILE_PART) = sum[r * vectors + v];
}

#define TILE_BLOCK(rows, vectors)                                                                  \
    TILE_FN(block)(rows, vectors, k, a + i * a_row, a_row, a_step, b + j, b_ld, add,               \
                   c + i * c_ld + j, c_ld)

/* Columns j.. of c, `vectors` of them at once, all rows. */
#define TILE_STRIPE(vectors)                                                                       \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; i + TILE_SUMS / (vectors) <= m; i += TILE_SUMS / (vectors))                         \
            TILE_BLOCK(TILE_SUMS / (vectors), vectors);                                            \
        for (; i + 4 <= m && 4 * (vectors) <= TILE_SUMS; i += 4)                                   \
            TILE_BLOCK(4, vectors);                                                                \
        for (; i + 2 <= m; i += 2)                                                                 \
            TILE_BLOCK(2, vectors);                                                                \
        for (; i < m; i++)                                                                         \
            TILE_BLOCK(1, vectors);                                                                \
    } while (0)

static void TILE_FN(product)(int64_t m, int64_t n, int64_t k, const real *a, int64_t a_row,
                             int64_t a_step, const real *b, int64_t b_ld, bool add, real *c,
                             int64_t c_ld)
{
    int64_t j = 0;
    for (; j + 4 * TILE_PART <= n; j += 4 * TILE_PART)
        TILE_STRIPE(4);
    for (; j + 2 * TILE_PART <= n; j += 2 * TILE_PART)
        TILE_STRIPE(2);
    for (; j < n; j += TILE_PART)
        TILE_STRIPE(1);
}

#if TILE_TURNS
typedef TILE_INDEX TILE_FN(places) __attribute__((vector_size(TILE_VECTOR)));

/* Lanes of a square's rows change places: in turn halves, quarters ... of rows `half` apart. */
static inline __attribute__((always_inline)) void TILE_FN(swap)(TILE_FN(vector) * row, int half)
{
    TILE_FN(places) low, high;
    TILE_UNROLL for (int j = 0; j < TILE_PART; j++)
    {
        low[j] = (TILE_INDEX)(j & half ? TILE_PART + j - half : j);
        high[j] = (TILE_INDEX)(j & half ? TILE_PART + j : j + half);
    }
    TILE_UNROLL for (int i = 0; i < TILE_PART; i++)
    {
        if (i & half)
            continue;
        TILE_FN(vector) a = row[i], b = row[i + half];
        row[i] = __builtin_shuffle(a, b, low);
        row[i + half] = __builtin_shuffle(a, b, high);
    }
}

/* One square of to[j * to_ld + i] = (add ? itself : 0) + scale x[i * ld + j]; add is a constant. */
static inline __attribute__((always_inline)) void
TILE_FN(square)(real scale, const real *x, int64_t ld, bool add, real *to, int64_t to_ld)
{
    TILE_FN(vector) row[TILE_PART];
    TILE_UNROLL for (int r = 0; r < TILE_PART; r++)
        row[r] = scale * *(const TILE_FN(vector) *)(x + r * ld);
    TILE_UNROLL for (int half = TILE_PART / 2; half > 0; half /= 2)
        TILE_FN(swap)(row, half);
    TILE_UNROLL for (int r = 0; r < TILE_PART; r++)
    {
        TILE_FN(vector) *at = (TILE_FN(vector) *)(to + r * to_ld);
        *at = add ? *at + row[r] : row[r];
    }
}

/* The whole squares of [n,d]. Those follow each other that share rows of the side whose rows lie
 * further apart: its pages and lines are then read, or written, in runs. */
static void TILE_FN(turn)(int64_t n, int64_t d, real scale, const real *x, int64_t ld, bool add,
                          real *to, int64_t to_ld)
{
    int64_t down = n / TILE_PART, across = d / TILE_PART;
    for (int64_t s = 0; s < down * across; s++) {
        int64_t i = (ld > to_ld ? s / across : s % down) * TILE_PART;
        int64_t j = (ld > to_ld ? s % across : s / down) * TILE_PART;
        if (add)
            TILE_FN(square)(scale, x + i * ld + j, ld, true, to + j * to_ld + i, to_ld);
        else
            TILE_FN(square)(scale, x + i * ld + j, ld, false, to + j * to_ld + i, to_ld);
    }
}
#endif

#undef TILE_SET
#undef TILE_VECTOR
#undef TILE_SUMS
#undef TILE_TURNS
#undef TILE_PASTE
#undef TILE_JOIN
#undef TILE_FN
#undef TILE_PART
#undef TILE_UNROLL
#undef TILE_BLOCK
#undef TILE_STRIPE
