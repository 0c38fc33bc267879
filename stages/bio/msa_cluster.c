/* Clusters of alignment rows; see msa_cluster.h. */
#include "stages/bio/msa_cluster.h"

#include "engine/base/error.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Symbols that equal nothing: 0xff in clusters where gap or [MASK] stands, 0xfe in the padding of
 * extra rows. */
enum { NEVER_CLUSTER = 0xff, NEVER_EXTRA = 0xfe, LANE = 64 };

static uint32_t equal_plain(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += a[i] == b[i];
    return count;
}

count_equal_fn *count_equal_plain(void)
{
    return equal_plain;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint32_t equal_avx2(const uint8_t *a, const uint8_t *b,
                                                           size_t n)
{
    __m256i total = _mm256_setzero_si256(), zero = _mm256_setzero_si256();
    for (size_t i = 0; i < n;) {
        __m256i sum = _mm256_setzero_si256();
        size_t end = n - i > 252 * 32 ? i + 252 * 32 : n; /* bytes of sum stay below 256 */
        for (; i < end; i += 32) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(a + i));
            __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(b + i));
            sum = _mm256_sub_epi8(sum, _mm256_cmpeq_epi8(x, y));
        }
        total = _mm256_add_epi64(total, _mm256_sad_epu8(sum, zero));
    }
    return (uint32_t)(_mm256_extract_epi64(total, 0) + _mm256_extract_epi64(total, 1) +
                      _mm256_extract_epi64(total, 2) + _mm256_extract_epi64(total, 3));
}

__attribute__((target("avx512bw,avx512f"))) static uint32_t equal_avx512(const uint8_t *a,
                                                                         const uint8_t *b, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i += 64)
        count += (uint64_t)__builtin_popcountll(_mm512_cmpeq_epi8_mask(
            _mm512_loadu_si512((const void *)(a + i)), _mm512_loadu_si512((const void *)(b + i))));
    return (uint32_t)count;
}

count_equal_fn *count_equal_avx2(void)
{
    return __builtin_cpu_supports("avx2") ? equal_avx2 : NULL;
}

count_equal_fn *count_equal_avx512(void)
{
    return __builtin_cpu_supports("avx512bw") ? equal_avx512 : NULL;
}
#else
count_equal_fn *count_equal_avx2(void)
{
    return NULL;
}

count_equal_fn *count_equal_avx512(void)
{
    return NULL;
}
#endif

static count_equal_fn *count_equal_best(void)
{
    count_equal_fn *best = count_equal_avx512();
    if (!best)
        best = count_equal_avx2();
    return best ? best : count_equal_plain();
}

void msa_assign(const struct msa_source *source, const struct msa_choice *choice,
                struct arena *arena, uint32_t *assignment)
{
    if (choice->extra == 0)
        return;
    struct arena_mark mark = arena_mark(arena);
    count_equal_fn *count_equal = count_equal_best();
    size_t length = source->length, padded = (length + LANE - 1) / LANE * LANE;
    uint8_t *clusters = arena_alloc(arena, choice->clusters * padded);
    uint8_t *row = arena_alloc(arena, padded);
    for (uint32_t c = 0; c < choice->clusters; c++) {
        uint8_t *to = clusters + c * padded;
        const uint8_t *from = choice->masked + c * length;
        for (size_t j = 0; j < length; j++)
            to[j] = from[j] >= MSA_GAP ? NEVER_CLUSTER : from[j];
        memset(to + length, NEVER_CLUSTER, padded - length);
    }
    memset(row, NEVER_EXTRA, padded);
    for (uint32_t e = 0; e < choice->extra; e++) {
        uint32_t best = 0, best_score = 0;
        memcpy(row, source->msa + choice->extra_row[e] * length, length);
        for (uint32_t c = 0; c < choice->clusters; c++) {
            uint32_t score = count_equal(clusters + c * padded, row, padded);
            if (score > best_score) {
                best_score = score;
                best = c;
            }
        }
        assignment[e] = best;
    }
    arena_rewind(arena, mark);
}

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
