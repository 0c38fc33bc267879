/* Philox4x32-10 and what is made of it; see rng.h. */
#include "engine/base/rng.h"

#include "engine/base/error.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

uint64_t hash_name(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

struct rng rng_open(uint64_t seed, uint64_t epoch, uint64_t position, const char *stage,
                    uint32_t draw)
{
    /* The name of the stream is hashed into the 64-bit key and the upper half of the counter
     * (128 bits of identity); the lower half counts blocks. */
    uint64_t identity[5] = {seed, epoch, position, hash_name(stage), draw};
    XXH128_hash_t hash = XXH3_128bits(identity, sizeof identity);
    struct rng rng = {
        .counter = {0, 0, (uint32_t)hash.high64, (uint32_t)(hash.high64 >> 32)},
        .key = {(uint32_t)hash.low64, (uint32_t)(hash.low64 >> 32)},
    };
    return rng;
}

uint32_t rng_u32(struct rng *rng)
{
    if (rng->left == 0) {
        philox(rng->counter, rng->key, rng->buffer);
        if (++rng->counter[0] == 0)
            rng->counter[1]++;
        rng->left = 4;
    }
    return rng->buffer[4 - rng->left--];
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t low = rng_u32(rng);
    return low | (uint64_t)rng_u32(rng) << 32;
}

float rng_uniform(struct rng *rng)
{
    return (float)(rng_u32(rng) >> 8) * 0x1p-24f;
}

double rng_uniform_double(struct rng *rng)
{
    return (double)(rng_u64(rng) >> 11) * 0x1p-53;
}

uint32_t rng_below(struct rng *rng, uint32_t n)
{
    ASSERT_INT(n, >=, 1);
    uint64_t product = (uint64_t)rng_u32(rng) * n;
    if ((uint32_t)product < n) {
        uint32_t threshold = (0u - n) % n;
        while ((uint32_t)product < threshold)
            product = (uint64_t)rng_u32(rng) * n;
    }
    return (uint32_t)(product >> 32);
}

float rng_normal(struct rng *rng)
{
    double u = 1.0 - rng_uniform_double(rng), v = rng_uniform_double(rng);
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

void rng_permutation(struct rng *rng, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = rng_below(rng, i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

uint64_t permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t index)
{
    ASSERT_INT(index, <, n);
    int half_bits = 1;
    while (half_bits < 32 && (uint64_t)1 << (2 * half_bits) < n)
        half_bits++;
    uint32_t mask = half_bits == 32 ? 0xffffffffu : ((uint32_t)1 << half_bits) - 1;
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    do {
        uint32_t left = (uint32_t)(index >> half_bits) & mask, right = (uint32_t)index & mask;
        for (uint32_t round = 0; round < 6; round++) {
            uint32_t counter[4] = {right, round, (uint32_t)epoch, (uint32_t)(epoch >> 32)}, out[4];
            philox(counter, key, out);
            uint32_t next = left ^ (out[0] & mask);
            left = right;
            right = next;
        }
        index = (uint64_t)left << half_bits | right;
    } while (index >= n);
    return index;
}
