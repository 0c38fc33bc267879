/* Packing symbols into five bits each; see symbols5.h. */
#include "engine/symbols5.h"

#include <string.h>

#if defined __x86_64__
#include <immintrin.h>
#endif

bool symbols5_fit(const uint8_t *symbols, size_t count)
{
    unsigned seen = 0;
    for (size_t i = 0; i < count; i++)
        seen |= symbols[i];
    return seen < 32;
}

static uint64_t pack_group(uint64_t x)
{
    x = (x & 0x001f001f001f001f) | (x >> 3 & 0x03e003e003e003e0); /* pairs: 10 bits in 16 */
    x = (x & 0x000003ff000003ff) | (x >> 6 & 0x000ffc00000ffc00); /* fours: 20 bits in 32 */
    return (x & 0xfffff) | (x >> 12 & 0xfffff00000);              /* all eight: 40 bits */
}

static uint64_t unpack_group(uint64_t x)
{
    x = (x & 0xfffff) | (x >> 20 & 0xfffff) << 32;
    x = (x & 0x000003ff000003ff) | (x & 0x000ffc00000ffc00) << 6;
    return (x & 0x001f001f001f001f) | (x & 0x03e003e003e003e0) << 3;
}

void symbols5_pack(const uint8_t *symbols, size_t count, uint8_t *packed)
{
    for (; count >= 8; count -= 8, symbols += 8, packed += 5) {
        uint64_t group;
        memcpy(&group, symbols, 8);
        group = pack_group(group);
        memcpy(packed, &group, 5);
    }
    if (count) {
        uint64_t group = 0;
        memcpy(&group, symbols, count);
        group = pack_group(group);
        memcpy(packed, &group, 5);
    }
}

void symbols5_unpack_plain(const uint8_t *packed, size_t count, uint8_t *symbols)
{
    for (; count >= 16; count -= 8, symbols += 8, packed += 5) { /* eight bytes are there */
        uint64_t group;
        memcpy(&group, packed, 8);
        group = unpack_group(group & 0xffffffffff);
        memcpy(symbols, &group, 8);
    }
    while (count) {
        size_t part = count < 8 ? count : 8;
        uint64_t group = 0;
        memcpy(&group, packed, 5);
        group = unpack_group(group);
        memcpy(symbols, &group, part);
        count -= part, symbols += part, packed += 5;
    }
}

#if defined __x86_64__
/* Each symbol's two bytes are brought into a lane of 16 bits, whose multiplication moves the five
 * bits to the top: 32 symbols from 20 bytes a turn. */
__attribute__((target("avx2"))) static size_t unpack_avx2(const uint8_t *packed, size_t count,
                                                          uint8_t *symbols)
{
    const __m256i pick = _mm256_setr_epi8(0, 1, 0, 1, 1, 2, 1, 2, 2, 3, 3, 4, 3, 4, 4, -1, 5, 6, 5,
                                          6, 6, 7, 6, 7, 7, 8, 8, 9, 8, 9, 9, -1);
    const __m256i lift =
        _mm256_setr_epi16(1 << 11, 1 << 6, 1 << 9, 1 << 4, 1 << 7, 1 << 10, 1 << 5, 1 << 8, 1 << 11,
                          1 << 6, 1 << 9, 1 << 4, 1 << 7, 1 << 10, 1 << 5, 1 << 8);
    size_t done = 0;
    for (; count - done >= 48; done += 32) { /* 30 bytes are there, 26 are read */
        const uint8_t *from = packed + done / 8 * 5;
        __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
        __m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(from + 10)));
        low = _mm256_srli_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(low, pick), lift), 11);
        high = _mm256_srli_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(high, pick), lift), 11);
        __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), 0xd8);
        _mm256_storeu_si256((__m256i *)(symbols + done), both);
    }
    return done;
}
#endif

void symbols5_unpack(const uint8_t *packed, size_t count, uint8_t *symbols)
{
    size_t done = 0;
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2"))
        done = unpack_avx2(packed, count, symbols);
#endif
    symbols5_unpack_plain(packed + done / 8 * 5, count - done, symbols + done);
}
