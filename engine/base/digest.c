/* Copy and digest in one pass; see digest.h. Blocks of 256 bytes are 32 words of 64 bits, each with
 * a sum of its own: word l of block b adds lo(x) * hi(x), where x = word ^ (key[l % 8] + b * STEP),
 * and its neighbour's sum adds the word itself, so that a zero factor hides nothing. The last block
 * is filled up with zeros; XXH3 of the sums, seeded with the size, ends it. */
#include "engine/base/digest.h"

#include "engine/base/error.h"

#include <stdbool.h>
#include <string.h>
#include <xxhash.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { BLOCK = DIGEST_PIECE, LANES = 32, KEYS = 8 };

static const uint64_t step = 0x9e3779b97f4a7c15; /* 2^64 / golden ratio, odd */
static const uint64_t first_key[KEYS] __attribute__((aligned(64))) = {
    0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89,
    0x452821e638d01377, 0xbe5466cf34e90c6c, 0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917};

/* The sums over whole blocks, from the keys of the first. */
typedef void blocks_fn(unsigned char *to, const unsigned char *from, size_t blocks,
                       uint64_t key[KEYS], uint64_t sum[LANES]);

static void blocks_plain(unsigned char *to, const unsigned char *from, size_t blocks,
                         uint64_t key[KEYS], uint64_t sum[LANES])
{
    for (size_t b = 0; b < blocks; b++) {
        uint64_t word[LANES];
        memcpy(word, from + b * BLOCK, BLOCK);
        if (to)
            memcpy(to + b * BLOCK, word, BLOCK);
        for (int l = 0; l < LANES; l++) {
            uint64_t x = word[l] ^ key[l % KEYS];
            sum[l] += (x & UINT32_MAX) * (x >> 32) + word[l ^ 1];
        }
        for (int k = 0; k < KEYS; k++)
            key[k] += step;
    }
}

static inline void add_by(blocks_fn *sums, struct digest *digest, void *to, const void *from,
                          size_t bytes)
{
    unsigned char last[BLOCK] = {0};
    size_t blocks = bytes / BLOCK, rest = bytes % BLOCK;
    sums(to, from, blocks, digest->key, digest->sum);
    if (rest) {
        memcpy(last, (const unsigned char *)from + blocks * BLOCK, rest);
        if (to)
            memcpy((unsigned char *)to + blocks * BLOCK, last, rest);
        blocks_plain(NULL, last, 1, digest->key, digest->sum);
    }
    digest->bytes += bytes;
}

void digest_begin(struct digest *digest)
{
    memset(digest->sum, 0, sizeof digest->sum);
    memcpy(digest->key, first_key, sizeof first_key);
    digest->bytes = 0;
}

uint64_t digest_end(const struct digest *digest)
{
    return XXH3_64bits_withSeed(digest->sum, sizeof digest->sum, digest->bytes);
}

/* The digest by one way of summing. */
static inline uint64_t digest_by(blocks_fn *sums, void *to, const void *from, size_t bytes)
{
    struct digest digest;
    digest_begin(&digest);
    add_by(sums, &digest, to, from, bytes);
    return digest_end(&digest);
}

static uint64_t by_plain(void *to, const void *from, size_t bytes)
{
    return digest_by(blocks_plain, to, from, bytes);
}

digest_fn *digest_plain(void)
{
    return by_plain;
}

#if defined(__x86_64__)
#define AVX2   __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f")))

AVX2 static inline __m256i add_avx2(__m256i sum, __m256i word, __m256i key)
{
    __m256i x = _mm256_xor_si256(word, key);
    __m256i product = _mm256_mul_epu32(x, _mm256_srli_epi64(x, 32));
    return _mm256_add_epi64(sum, _mm256_add_epi64(product, _mm256_shuffle_epi32(word, 0x4e)));
}

AVX2 static void blocks_avx2(unsigned char *to, const unsigned char *from, size_t blocks,
                             uint64_t key[KEYS], uint64_t sum[LANES])
{
    enum { VECTORS = 8 };
    __m256i k[2], s[VECTORS];
    __m256i more = _mm256_set1_epi64x((long long)step);
    memcpy(k, key, sizeof k);
    memcpy(s, sum, sizeof s);
    for (size_t b = 0; b < blocks; b++) {
        const __m256i *in = (const __m256i *)(const void *)(from + b * BLOCK);
        __m256i *out = to ? (__m256i *)(void *)(to + b * BLOCK) : NULL;
        for (int v = 0; v < VECTORS; v++) {
            __m256i word = _mm256_loadu_si256(in + v);
            if (out)
                _mm256_storeu_si256(out + v, word);
            s[v] = add_avx2(s[v], word, k[v % 2]);
        }
        k[0] = _mm256_add_epi64(k[0], more);
        k[1] = _mm256_add_epi64(k[1], more);
    }
    memcpy(key, k, sizeof k);
    memcpy(sum, s, sizeof s);
}

AVX512 static inline __m512i add_avx512(__m512i sum, __m512i word, __m512i key)
{
    __m512i x = _mm512_xor_si512(word, key);
    __m512i product = _mm512_mul_epu32(x, _mm512_srli_epi64(x, 32));
    __m512i neighbour = _mm512_shuffle_epi32(word, (_MM_PERM_ENUM)0x4e);
    return _mm512_add_epi64(sum, _mm512_add_epi64(product, neighbour));
}

AVX512 static void blocks_avx512(unsigned char *to, const unsigned char *from, size_t blocks,
                                 uint64_t key[KEYS], uint64_t sum[LANES])
{
    enum { VECTORS = 4 };
    __m512i k = _mm512_loadu_si512(key), s[VECTORS];
    __m512i more = _mm512_set1_epi64((long long)step);
    memcpy(s, sum, sizeof s);
    for (size_t b = 0; b < blocks; b++) {
        for (int v = 0; v < VECTORS; v++) {
            size_t at = b * BLOCK + (size_t)v * sizeof k;
            __m512i word = _mm512_loadu_si512(from + at);
            if (to)
                _mm512_storeu_si512(to + at, word);
            s[v] = add_avx512(s[v], word, k);
        }
        k = _mm512_add_epi64(k, more);
    }
    _mm512_storeu_si512(key, k);
    memcpy(sum, s, sizeof s);
}

static uint64_t by_avx2(void *to, const void *from, size_t bytes)
{
    return digest_by(blocks_avx2, to, from, bytes);
}

static uint64_t by_avx512(void *to, const void *from, size_t bytes)
{
    return digest_by(blocks_avx512, to, from, bytes);
}

digest_fn *digest_avx2(void)
{
    return __builtin_cpu_supports("avx2") ? by_avx2 : NULL;
}

digest_fn *digest_avx512(void)
{
    return __builtin_cpu_supports("avx512f") ? by_avx512 : NULL;
}
#else
digest_fn *digest_avx2(void)
{
    return NULL;
}

digest_fn *digest_avx512(void)
{
    return NULL;
}
#endif

static blocks_fn *blocks_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return blocks_avx512;
    if (__builtin_cpu_supports("avx2"))
        return blocks_avx2;
#endif
    return blocks_plain;
}

uint64_t digest_bytes(const void *data, size_t bytes)
{
    return digest_by(blocks_best(), NULL, data, bytes);
}

uint64_t digest_copy(void *to, const void *from, size_t bytes)
{
    return digest_by(blocks_best(), to, from, bytes);
}

void digest_add(struct digest *digest, void *to, const void *from, size_t bytes)
{
    ASSERT(digest->bytes % BLOCK == 0);
    add_by(blocks_best(), digest, to, from, bytes);
}
