/* The nearest training chain; see nearest.h. Aligned with gaps and free ends: scores of all chains
 * by rows alone, then the way back for the best one. */
#include "stages/learn/nearest.h"

#include "engine/base/error.h"
#include "stages/bio/residue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 5, NONE = -(1 << 28) };

/* How a cell was reached. */
enum { BY_PAIR, BY_GAP_A, BY_GAP_B };

void nearest_add(struct nearest *nearest, const char *key, int64_t length, const uint8_t *aatype,
                 const float *positions, const uint8_t *mask, struct arena *arena)
{
    if (nearest->count == NEAREST_CHAINS_MAX)
        return;
    if (nearest->count == nearest->room) {
        int64_t room = nearest->room ? 2 * nearest->room : 256;
        struct nearest_chain *grown = arena_alloc(arena, (size_t)room * sizeof *grown);
        if (nearest->count)
            memcpy(grown, nearest->chain, (size_t)nearest->count * sizeof *grown);
        nearest->chain = grown, nearest->room = room;
    }
    uint8_t *types = arena_alloc(arena, (size_t)length);
    float *ca = arena_alloc(arena, (size_t)length * 3 * sizeof *ca);
    memcpy(types, aatype, (size_t)length);
    for (int64_t n = 0; n < length; n++)
        for (int axis = 0; axis < 3; axis++)
            ca[3 * n + axis] = mask[n * ATOM37 + ATOM_CA]
                                   ? positions[3 * (n * ATOM37 + ATOM_CA) + axis]
                                   : NAN;
    nearest->chain[nearest->count++] =
        (struct nearest_chain){arena_text(arena, key, strlen(key)), length, types, ca};
}

/* A cell of the alignment: its score, identical pairs on its way, and where it ended a gap. */
struct cell {
    int32_t score, pairs;
};

static bool is_better(struct cell a, struct cell b)
{
    return a.score > b.score || (a.score == b.score && a.pairs > b.pairs);
}

/* Where a and b are at their best: pairs, and the last residues that are aligned. */
struct end {
    struct cell best;
    int64_t i, j;
};

/* way[a_count,b_count]: how each cell was reached and, in the upper bits, how long the gap was;
 * NULL: not wanted. met, gap: [b_count + 1]; gap_from: [b_count + 1]. */
static struct end align(int64_t a_count, const uint8_t *a, int64_t b_count, const uint8_t *b,
                        struct cell *met, struct cell *gap, int32_t *gap_from, int32_t *way)
{
    struct end end = {.best = {0, 0}, .i = -1, .j = -1};
    for (int64_t j = 0; j <= b_count; j++)
        met[j] = (struct cell){0, 0}, gap[j] = (struct cell){NONE, 0};
    for (int64_t i = 0; i < a_count; i++) {
        struct cell diagonal = met[0], across = {NONE, 0};
        int64_t across_from = 0;
        for (int64_t j = 0; j < b_count; j++) {
            bool same = a[i] == b[j];
            struct cell cell = {diagonal.score + same, diagonal.pairs + same};
            int32_t how = BY_PAIR;
            if (is_better(gap[j + 1], cell))
                cell = gap[j + 1], how = BY_GAP_A | (int32_t)(i - gap_from[j + 1]) << 2;
            if (is_better(across, cell))
                cell = across, how = BY_GAP_B | (int32_t)(j - across_from) << 2;
            diagonal = met[j + 1];
            met[j + 1] = cell;
            if (way)
                way[i * b_count + j] = how;
            struct cell opened = {cell.score - GAP, cell.pairs};
            if (is_better(opened, gap[j + 1]))
                gap[j + 1] = opened, gap_from[j + 1] = (int32_t)i;
            if (is_better(opened, across))
                across = opened, across_from = j;
            bool last = i + 1 == a_count || j + 1 == b_count;
            if (last && is_better(cell, end.best))
                end = (struct end){cell, i, j};
        }
    }
    return end;
}

const struct nearest_chain *nearest_copy(const struct nearest *nearest, int64_t length,
                                         const uint8_t *aatype, float *ca, int64_t *identical)
{
    int64_t longest = 0, best = -1;
    struct end end = {{-1, -1}, -1, -1};
    for (int64_t k = 0; k < nearest->count; k++)
        longest = nearest->chain[k].length > longest ? nearest->chain[k].length : longest;
    size_t width = (size_t)longest + 1;
    struct cell *met = malloc(2 * width * sizeof *met);
    int32_t *from = malloc(width * sizeof *from);
    ASSERT(met && from);
    for (int64_t k = 0; k < nearest->count; k++) {
        const struct nearest_chain *c = &nearest->chain[k];
        struct end found =
            align(length, aatype, c->length, c->aatype, met, met + width, from, NULL);
        if (found.best.pairs > end.best.pairs)
            end = found, best = k;
    }
    for (int64_t n = 0; n < 3 * length; n++)
        ca[n] = NAN;
    const struct nearest_chain *chain = best < 0 ? NULL : &nearest->chain[best];
    if (chain && end.best.pairs > 0) {
        int32_t *way = malloc((size_t)(length * chain->length) * sizeof *way);
        ASSERT(way);
        align(length, aatype, chain->length, chain->aatype, met, met + width, from, way);
        for (int64_t i = end.i, j = end.j; i >= 0 && j >= 0;) {
            int32_t how = way[i * chain->length + j], step = how >> 2;
            if ((how & 3) == BY_GAP_A) {
                i -= step;
            } else if ((how & 3) == BY_GAP_B) {
                j -= step;
            } else {
                memcpy(ca + 3 * i--, chain->ca + 3 * j--, 3 * sizeof *ca);
            }
        }
        free(way);
    }
    free(met);
    free(from);
    *identical = chain ? end.best.pairs : 0;
    return chain;
}
