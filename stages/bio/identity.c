/* Affine-gap alignment with free extension; see identity.h. */
#include "stages/bio/identity.h"

#include <stdint.h>

/* A cell counts score and identical pairs in one number, so that sums and comparisons of such
 * numbers are those of (score, pairs) in lexicographic order. */
#define SCORE_ONE ((int64_t)1 << 24)
#define GAP_COST  (5 * SCORE_ONE)
#define UNREACHED (-((int64_t)1 << 60))

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

double sequence_identity(struct span a, struct span b, struct arena *scratch)
{
    if (a.size == 0 || b.size == 0)
        return 0;
    struct arena_mark mark = arena_mark(scratch);
    /* met[j]: the best alignment of a[..i] and b[..j]; gap[j]: the best of a[..i'] and b[..j], i' <
     * i, less the cost of the gap that the letters of a behind i' make. */
    int64_t *met = arena_zero(scratch, b.size + 1, sizeof *met);
    int64_t *gap = arena_alloc(scratch, (b.size + 1) * sizeof *gap);
    for (size_t j = 0; j <= b.size; j++)
        gap[j] = UNREACHED;
    int64_t best = 0;
    for (size_t i = 1; i <= a.size; i++) {
        int64_t diagonal = met[0], across = UNREACHED;
        for (size_t j = 1; j <= b.size; j++) {
            int64_t pair = diagonal + (a.data[i - 1] == b.data[j - 1] ? SCORE_ONE + 1 : 0);
            /* Unequal pairs cost nothing, so starting anew here, at 0, is an alignment too. */
            int64_t cell = larger(larger(pair, gap[j]), larger(across, 0));
            diagonal = met[j];
            met[j] = cell;
            gap[j] = larger(gap[j], cell - GAP_COST);
            across = larger(across, cell - GAP_COST);
        }
        best = larger(best, met[b.size]);
    }
    for (size_t j = 1; j <= b.size; j++)
        best = larger(best, met[j]);
    arena_rewind(scratch, mark);
    size_t shorter = a.size < b.size ? a.size : b.size;
    return (double)(best & (SCORE_ONE - 1)) / (double)shorter;
}
