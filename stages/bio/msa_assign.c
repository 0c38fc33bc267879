/* Two ways to count equal columns of a row and a cluster; see msa_assign.h.
 *
 * Bytes: a vector of columns is compared and its 0/-1 bytes are subtracted from byte counters,
 * which are summed before they can overflow; four clusters share the loads of a row.
 *
 * Bits: a symbol is five bits, and a plane holds one of them for 64 columns. Columns are equal
 * where no plane differs: one three-input operation a plane. A vector holds the planes of eight
 * clusters, a row's plane is broadcast, and a population count adds to eight scores at once. So 512
 * columns cost seven operations, and no sum across a vector is needed until a row's best is known.
 */
#include "stages/bio/msa_assign.h"

#include "engine/base/error.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { QUAD = 4, LANE = 32 };

/* Bytes that equal nothing: where a cluster has a gap or [MASK], and behind the last column. */
enum { NEVER_CLUSTER = 0xff, NEVER_ROW = 0xfe };

/* Scores of four clusters, each of `padded` bytes, against row[padded]; padded: multiple of LANE.
 */
typedef void score_quad_fn(const uint8_t *row, const uint8_t *clusters, size_t padded,
                           uint32_t score[QUAD]);

typedef uint8_t bytes16 __attribute__((vector_size(16)));

static void score_plain(const uint8_t *row, const uint8_t *clusters, size_t padded,
                        uint32_t score[QUAD])
{
    memset(score, 0, QUAD * sizeof *score);
    for (size_t begin = 0; begin < padded; begin += 255 * sizeof(bytes16)) {
        size_t left = padded - begin, most = 255 * sizeof(bytes16);
        size_t end = begin + (left < most ? left : most);
        bytes16 sum[QUAD] = {{0}};
        for (size_t i = begin; i < end; i += sizeof(bytes16)) {
            bytes16 a, b;
            memcpy(&a, row + i, sizeof a);
            for (size_t c = 0; c < QUAD; c++) {
                memcpy(&b, clusters + c * padded + i, sizeof b);
                sum[c] -= (bytes16)(a == b);
            }
        }
        for (size_t c = 0; c < QUAD; c++)
            for (size_t i = 0; i < sizeof(bytes16); i++)
                score[c] += sum[c][i];
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void score_avx2(const uint8_t *row, const uint8_t *clusters,
                                                       size_t padded, uint32_t score[QUAD])
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i total[QUAD] = {zero, zero, zero, zero};
    for (size_t begin = 0; begin < padded; begin += 255 * 32) {
        size_t left = padded - begin, end = begin + (left < 255 * 32 ? left : 255 * 32);
        __m256i sum[QUAD] = {zero, zero, zero, zero};
        for (size_t i = begin; i < end; i += 32) {
            __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(row + i));
#pragma GCC unroll 4
            for (size_t c = 0; c < QUAD; c++) {
                const void *at = clusters + c * padded + i;
                __m256i equal = _mm256_cmpeq_epi8(a, _mm256_loadu_si256((const __m256i *)at));
                sum[c] = _mm256_sub_epi8(sum[c], equal);
            }
        }
#pragma GCC unroll 4
        for (size_t c = 0; c < QUAD; c++)
            total[c] = _mm256_add_epi64(total[c], _mm256_sad_epu8(sum[c], zero));
    }
#pragma GCC unroll 4
    for (size_t c = 0; c < QUAD; c++)
        score[c] =
            (uint32_t)(_mm256_extract_epi64(total[c], 0) + _mm256_extract_epi64(total[c], 1) +
                       _mm256_extract_epi64(total[c], 2) + _mm256_extract_epi64(total[c], 3));
}
#endif

static void assign_bytes(score_quad_fn *score_quad, const struct msa_source *source,
                         const struct msa_choice *choice, struct arena *arena, uint32_t *assignment)
{
    size_t length = source->length, padded = (length + LANE - 1) / LANE * LANE;
    size_t quads = ((size_t)choice->clusters + QUAD - 1) / QUAD;
    uint8_t *clusters = arena_alloc(arena, quads * QUAD * padded);
    uint8_t *row = arena_alloc(arena, padded);
    memset(clusters, NEVER_CLUSTER, quads * QUAD * padded);
    for (size_t c = 0; c < choice->clusters; c++)
        for (size_t j = 0; j < length; j++) {
            uint8_t symbol = choice->masked[c * length + j];
            clusters[c * padded + j] = symbol >= MSA_GAP ? NEVER_CLUSTER : symbol;
        }
    memset(row, NEVER_ROW, padded);
    for (size_t e = 0; e < choice->extra; e++) {
        uint32_t best = 0, best_score = 0;
        memcpy(row, msa_row(source, choice->extra_row[e]), length);
        for (size_t q = 0; q < quads; q++) {
            uint32_t score[QUAD];
            score_quad(row, clusters + q * QUAD * padded, padded, score);
            for (size_t c = 0; c < QUAD; c++)
                if (score[c] > best_score) {
                    best_score = score[c];
                    best = (uint32_t)(q * QUAD + c);
                }
        }
        assignment[e] = best;
    }
}

#if defined(__x86_64__)
/* Of bits. A tile of clusters and a block of rows stay in the first-level cache together at usual
 * lengths; STEP rows share the loads of a cluster's planes. */
enum { PLANES = 5, LANES = 8, TILE = 2 * LANES, STEP = 8, BLOCK = 32, NEVER_BITS = 31 };

#define BITS_TARGET __attribute__((target("avx512f,avx512bw,avx512vpopcntdq")))

/* plane[PLANES * stride]: the bits of symbols[0..63]; those beyond `count` are of `beyond`. */
BITS_TARGET static inline void planes_of(const uint8_t *symbols, size_t count, uint8_t beyond,
                                         bool cluster, size_t stride, uint64_t *plane)
{
    __mmask64 there = count >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << count) - 1;
    __m512i x = _mm512_mask_loadu_epi8(_mm512_set1_epi8((char)beyond), there, symbols);
    if (cluster) /* gap and [MASK] become what no row holds */
        x = _mm512_mask_mov_epi8(x, _mm512_cmpge_epu8_mask(x, _mm512_set1_epi8(MSA_GAP)),
                                 _mm512_set1_epi8(NEVER_BITS));
#pragma GCC unroll 5
    for (int p = 0; p < PLANES; p++)
        plane[(size_t)p * stride] = _mm512_test_epi8_mask(x, _mm512_set1_epi8((char)(1 << p)));
}

/* Raises best[STEP, 8 lanes] by the scores of TILE clusters; rows[chunks, PLANES, STEP],
 * tile[TILE / LANES, chunks, PLANES, LANES]. A value is score * 2^32 + (2^32 - 1 - cluster), so
 * that the largest is the highest score, and of these the lowest cluster. */
BITS_TARGET static void tile_score(const uint64_t *rows, const uint64_t *tile, size_t chunks,
                                   uint32_t first, __m512i *best)
{
    enum { GROUPS = TILE / LANES };
    const size_t group_words = chunks * PLANES * LANES;
    const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    __m512i score[STEP][GROUPS];
    for (int r = 0; r < STEP; r++)
        for (int g = 0; g < GROUPS; g++)
            score[r][g] = _mm512_setzero_si512();
    for (size_t k = 0; k < chunks; k++) {
        __m512i equal[STEP][GROUPS];
#pragma GCC unroll 5
        for (size_t p = 0; p < PLANES; p++) {
            __m512i a[GROUPS];
#pragma GCC unroll 2
            for (size_t g = 0; g < GROUPS; g++)
                a[g] = _mm512_load_si512(tile + g * group_words + (k * PLANES + p) * LANES);
#pragma GCC unroll 8
            for (size_t r = 0; r < STEP; r++) {
                __m512i b = _mm512_set1_epi64((long long)rows[(k * PLANES + p) * STEP + r]);
                /* not (a xor b), then equal and not (a xor b) */
#pragma GCC unroll 2
                for (size_t g = 0; g < GROUPS; g++)
                    equal[r][g] = p == 0 ? _mm512_ternarylogic_epi64(a[g], a[g], b, 0x81)
                                         : _mm512_ternarylogic_epi64(equal[r][g], a[g], b, 0x90);
            }
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < STEP; r++)
#pragma GCC unroll 2
            for (size_t g = 0; g < GROUPS; g++)
                score[r][g] = _mm512_add_epi64(score[r][g], _mm512_popcnt_epi64(equal[r][g]));
    }
    for (uint32_t g = 0; g < GROUPS; g++) {
        __m512i last = _mm512_set1_epi64(UINT32_MAX - (int64_t)(first + g * LANES));
        __m512i order = _mm512_sub_epi64(last, lane);
        for (int r = 0; r < STEP; r++)
            best[r] = _mm512_max_epu64(best[r],
                                       _mm512_or_si512(_mm512_slli_epi64(score[r][g], 32), order));
    }
}

BITS_TARGET static void assign_bits(const struct msa_source *source,
                                    const struct msa_choice *choice, struct arena *arena,
                                    uint32_t *assignment)
{
    size_t length = source->length, chunks = (length + 63) / 64;
    size_t tiles = ((size_t)choice->clusters + TILE - 1) / TILE;
    size_t tile_words = TILE * chunks * PLANES, step_words = STEP * chunks * PLANES;
    uint64_t *tile = arena_alloc(arena, tiles * tile_words * sizeof *tile);
    uint64_t *rows = arena_alloc(arena, BLOCK / STEP * step_words * sizeof *rows);
    memset(tile, 0xff, tiles * tile_words * sizeof *tile); /* NEVER_BITS everywhere */
    /* The last step of rows may be part of an older one, or zeros; its results are not read. */
    memset(rows, 0, BLOCK / STEP * step_words * sizeof *rows);
    for (size_t c = 0; c < choice->clusters; c++)
        for (size_t k = 0; k < chunks; k++)
            planes_of(choice->masked + c * length + k * 64, length - k * 64, NEVER_BITS, true,
                      LANES, tile + (c / LANES * chunks + k) * PLANES * LANES + c % LANES);
    for (size_t begin = 0; begin < choice->extra; begin += BLOCK) {
        size_t count = choice->extra - begin < BLOCK ? choice->extra - begin : BLOCK;
        __m512i best[BLOCK];
        for (size_t r = 0; r < BLOCK; r++)
            best[r] = _mm512_setzero_si512();
        for (size_t r = 0; r < count; r++)
            for (size_t k = 0; k < chunks; k++)
                planes_of(msa_row(source, choice->extra_row[begin + r]) + k * 64,
                          length - k * 64, 0, false, STEP,
                          rows + r / STEP * step_words + k * PLANES * STEP + r % STEP);
        /* Rows lie anywhere in a matrix that fits no cache: the next ones are fetched meanwhile. */
        for (size_t e = begin + BLOCK; e < choice->extra && e < begin + 2 * BLOCK; e++)
            for (size_t j = 0; j < length; j += 64)
                _mm_prefetch(msa_row(source, choice->extra_row[e]) + j, _MM_HINT_T1);
        for (size_t t = 0; t < tiles; t++)
            for (size_t r = 0; r < count; r += STEP)
                tile_score(rows + r / STEP * step_words, tile + t * tile_words, chunks,
                           (uint32_t)(t * TILE), best + r);
        for (size_t r = 0; r < count; r++) {
            uint64_t most = (uint64_t)_mm512_reduce_max_epu64(best[r]);
            assignment[begin + r] = UINT32_MAX - (uint32_t)most;
        }
    }
}
#endif

bool msa_assign_by(enum msa_assign_way way, const struct msa_source *source,
                   const struct msa_choice *choice, struct arena *arena, uint32_t *assignment)
{
#if defined(__x86_64__)
    bool can = way == MSA_ASSIGN_PLAIN ||
               (way == MSA_ASSIGN_AVX2 && __builtin_cpu_supports("avx2")) ||
               (way == MSA_ASSIGN_AVX512 && __builtin_cpu_supports("avx512f") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vpopcntdq"));
#else
    bool can = way == MSA_ASSIGN_PLAIN;
#endif
    if (!can)
        return false;
    if (choice->extra == 0)
        return true;
    struct arena_mark mark = arena_mark(arena);
#if defined(__x86_64__)
    if (way == MSA_ASSIGN_AVX512)
        assign_bits(source, choice, arena, assignment);
    else
        assign_bytes(way == MSA_ASSIGN_AVX2 ? score_avx2 : score_plain, source, choice, arena,
                     assignment);
#else
    assign_bytes(score_plain, source, choice, arena, assignment);
#endif
    arena_rewind(arena, mark);
    return true;
}

void msa_assign(const struct msa_source *source, const struct msa_choice *choice,
                struct arena *arena, uint32_t *assignment)
{
    for (int way = MSA_ASSIGN_AVX512; way >= MSA_ASSIGN_PLAIN; way--)
        if (msa_assign_by((enum msa_assign_way)way, source, choice, arena, assignment))
            return;
}
