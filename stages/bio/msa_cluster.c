/* Sums over clusters of alignment rows; see msa_cluster.h. */
#include "stages/bio/msa_cluster.h"

#include "engine/base/error.h"

#include <string.h>

static int16_t saturated(int32_t value)
{
    return (int16_t)(value < INT16_MAX ? value : INT16_MAX);
}

/* The deletions of a row inside the columns, each given to `add`. */
struct deletion_range {
    int32_t from, to;
};

static struct deletion_range deletions_of(const struct msa_source *source, uint32_t row,
                                          uint32_t start, uint32_t width)
{
    struct deletion_range range = {source->deletion_start[row], source->deletion_start[row + 1]};
    while (range.from < range.to && source->deletion_column[range.from] < (int32_t)start)
        range.from++;
    int32_t end = range.from;
    while (end < range.to && source->deletion_column[end] < (int32_t)(start + width))
        end++;
    range.to = end;
    return range;
}

void msa_deletions(const struct msa_source *source, uint32_t row, uint32_t start, uint32_t width,
                   int16_t *values)
{
    struct deletion_range range = deletions_of(source, row, start, width);
    for (int32_t d = range.from; d < range.to; d++)
        values[source->deletion_column[d] - (int32_t)start] = saturated(source->deletion_count[d]);
}

static void add_row(const struct msa_source *source, uint32_t row, const uint8_t *symbols,
                    uint32_t start, uint32_t width, int16_t *counts, int32_t *deletions)
{
    for (uint32_t j = 0; j < width; j++) {
        int16_t *count = &counts[j * MSA_SYMBOLS + symbols[start + j]];
        *count = saturated(*count + 1);
    }
    struct deletion_range range = deletions_of(source, row, start, width);
    for (int32_t d = range.from; d < range.to; d++) {
        int32_t *sum = &deletions[source->deletion_column[d] - (int32_t)start];
        if (__builtin_add_overflow(*sum, source->deletion_count[d], sum))
            *sum = INT32_MAX;
    }
}

void msa_summarize(const struct msa_source *source, const struct msa_choice *choice,
                   const uint32_t *assignment, uint32_t start, uint32_t width, int16_t *counts,
                   int32_t *deletions, int32_t *sizes)
{
    size_t length = source->length;
    ASSERT_INT(start + width, <=, length);
    for (uint32_t c = 0; c < choice->clusters; c++)
        add_row(source, choice->cluster_row[c], choice->masked + c * length, start, width,
                counts + (size_t)c * width * MSA_SYMBOLS, deletions + (size_t)c * width);
    for (uint32_t e = 0; e < choice->extra; e++) {
        uint32_t c = assignment[e], row = choice->extra_row[e];
        add_row(source, row, source->msa + row * length, start, width,
                counts + (size_t)c * width * MSA_SYMBOLS, deletions + (size_t)c * width);
        sizes[c]++;
    }
}
