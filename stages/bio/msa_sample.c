/* Rows and masks of a pass; see msa_sample.h. */
#include "stages/bio/msa_sample.h"

#include "engine/base/error.h"

#include <string.h>

uint32_t msa_block_rows(uint32_t rows, float fraction)
{
    float product = (float)rows * fraction;
    return (uint32_t)product;
}

uint32_t msa_block_delete(uint32_t rows, uint32_t block, const uint32_t *starts, uint32_t count,
                          uint32_t *kept)
{
    uint32_t left = 0;
    for (uint32_t row = 0; row < rows; row++) {
        bool deleted = false;
        for (uint32_t b = 0; b < count && block && row > 0; b++) {
            /* Rows start .. start+block-1, cut to 1 .. rows-1: a block past the end takes the last.
             */
            uint64_t first = starts[b], last = first + block - 1;
            if (first < 1)
                first = 1;
            if (first > rows - 1)
                first = rows - 1;
            if (last > rows - 1)
                last = rows - 1;
            if (last < 1)
                last = 1;
            deleted |= row >= first && row <= last;
        }
        if (!deleted)
            kept[left++] = row;
    }
    return left;
}

uint32_t *msa_rows_cut(uint32_t rows, uint32_t limit, struct rng *rng, struct arena *arena)
{
    ASSERT(limit >= 1 && limit <= rows);
    uint32_t *kept = arena_alloc(arena, (size_t)limit * sizeof *kept), count = 0;
    kept[count++] = 0;
    for (uint32_t row = 1; count < limit; row++) /* as many of those left as are wanted of them */
        if (rng_below(rng, rows - row) < limit - count)
            kept[count++] = row;
    return kept;
}

void msa_reorder(uint32_t *rows, uint32_t count, const uint32_t *order, struct arena *arena)
{
    if (count < 2)
        return;
    struct arena_mark mark = arena_mark(arena);
    uint32_t *before = arena_alloc(arena, count * sizeof *before);
    memcpy(before, rows, count * sizeof *before);
    for (uint32_t i = 0; i + 1 < count; i++) {
        ASSERT_INT(order[i], <, count - 1);
        rows[i + 1] = before[1 + order[i]];
    }
    arena_rewind(arena, mark);
}

void msa_apply_mask(const struct msa_source *source, const uint32_t *rows, uint32_t count,
                    const uint8_t *mask, const uint8_t *drawn, uint8_t *masked)
{
    size_t length = source->length;
    for (uint32_t r = 0; r < count; r++) {
        const uint8_t *row = msa_row(source, rows[r]);
        for (size_t j = 0; j < length; j++)
            masked[r * length + j] = mask[r * length + j] ? drawn[r * length + j] : row[j];
    }
}

uint8_t msa_replacement(const int32_t *profile, uint32_t rows, uint8_t symbol, double u)
{
    const double least = 1e-10, sum = 1 + MSA_SYMBOLS * least; /* profile/rows sums to 1 */
    double left = u * sum - (0.7 + least), share = 0.1 / rows;
    if (left < 0)
        return MSA_MASK;
    for (int c = 0; c < MSA_PROFILE - 1; c++) {
        double weight = (c < 20 ? 0.1 * 0.05 : 0) + share * profile[c] + least;
        if (c == symbol)
            weight += 0.1;
        if (left < weight)
            return (uint8_t)c;
        left -= weight;
    }
    return MSA_PROFILE - 1;
}

/* mask[cells]: each 1 with this probability. A byte of randomness decides, and where it is on the
 * border, one time in 256, another 24 bits. */
static void draw_positions(float fraction, size_t cells, struct rng *rng, uint8_t *mask)
{
    uint64_t limit = (uint64_t)((double)fraction * 0x1p32);
    uint32_t border = (uint32_t)(limit >> 24), rest = (uint32_t)limit & 0xffffff;
    for (size_t i = 0; i < cells; i += 4) {
        uint32_t word = rng_u32(rng);
        for (size_t j = i; j < i + 4 && j < cells; j++, word >>= 8) {
            uint32_t byte = word & 255;
            mask[j] = byte < border || (byte == border && rng_u32(rng) >> 8 < rest);
        }
    }
}

/* Mask positions, and what stands there instead. */
static void draw_mask(const struct msa_source *source, const struct msa_settings *settings,
                      struct rng *rng, struct arena *arena, struct msa_choice *choice)
{
    size_t length = source->length, cells = choice->clusters * length;
    uint8_t *mask = arena_alloc(arena, cells), *masked = arena_alloc(arena, cells);
    draw_positions(settings->mask_fraction, cells, rng, mask);
    for (uint32_t r = 0; r < choice->clusters; r++) {
        const uint8_t *row = msa_row(source, choice->cluster_row[r]);
        uint8_t *to = masked + r * length;
        memcpy(to, row, length);
        for (size_t j = 0; j < length; j++)
            if (mask[r * length + j])
                to[j] = msa_replacement(source->profile + j * MSA_PROFILE, source->rows, row[j],
                                        rng_uniform_double(rng));
    }
    choice->mask = mask;
    choice->masked = masked;
}

struct msa_choice msa_choose_rows(const struct msa_source *source,
                                  const struct msa_settings *settings, bool distillation,
                                  struct rng *rng, struct arena *arena)
{
    uint32_t count = settings->rows ? settings->row_count : source->rows, starts[MSA_BLOCKS_MAX];
    uint32_t *rows = arena_alloc(arena, (size_t)count * sizeof *rows);
    uint32_t *order = arena_alloc(arena, (size_t)count * sizeof *order);
    uint32_t block =
        settings->block_delete && count > 1 ? msa_block_rows(count, settings->block_fraction) : 0;
    ASSERT_INT(settings->blocks, <=, MSA_BLOCKS_MAX);
    for (uint32_t b = 0; block && b < settings->blocks; b++)
        starts[b] = 1 + rng_below(rng, count - 1);
    count = msa_block_delete(count, block, starts, block ? settings->blocks : 0, rows);
    for (uint32_t i = 0; settings->rows && i < count; i++)
        rows[i] = settings->rows[rows[i]];
    if (distillation && settings->distillation_rows && count > settings->distillation_rows) {
        rng_permutation(rng, order, count - 1);
        msa_reorder(rows, count, order, arena);
        count = settings->distillation_rows;
    }
    rng_permutation(rng, order, count - 1);
    msa_reorder(rows, count, order, arena);
    struct msa_choice choice = {.cluster_row = rows};
    choice.clusters = count < settings->clusters ? count : settings->clusters;
    choice.extra = count - choice.clusters;
    choice.extra_row = rows + choice.clusters;
    return choice;
}

void msa_choose_mask(const struct msa_source *source, const struct msa_settings *settings,
                     struct rng *rng, struct arena *arena, struct msa_choice *choice)
{
    draw_mask(source, settings, rng, arena, choice);
    uint32_t *kept = arena_alloc(arena, (size_t)choice->extra * sizeof *kept);
    rng_permutation(rng, kept, choice->extra);
    choice->extra_kept = kept;
    choice->extra_kept_count = choice->extra < settings->extra ? choice->extra : settings->extra;
}

struct msa_choice msa_choose(const struct msa_source *source, const struct msa_settings *settings,
                             bool distillation, struct rng *rng, struct arena *arena)
{
    struct msa_choice choice = msa_choose_rows(source, settings, distillation, rng, arena);
    msa_choose_mask(source, settings, rng, arena, &choice);
    return choice;
}
