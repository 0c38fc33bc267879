/* Random numbers as pure functions: Philox4x32-10 (Salmon et al. 2011), keyed by where a draw
 * belongs - (seed, epoch, position, stage name, draw) - and never by worker, host or time. Also a
 * keyed permutation of 0..n-1 that needs no table. */
#ifndef FOLDMILL_BASE_RNG_H
#define FOLDMILL_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One Philox4x32-10 block: out[4] from counter[4] and key[2]. */
void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* 64-bit hash of a NUL-terminated name (XXH3), for keys. */
uint64_t hash_name(const char *name);

struct rng {
    uint32_t counter[4], key[2], buffer[4];
    int left; /* unused words in buffer */
};

/* The stream of one stage's draws for one position of one epoch. `draw` separates streams inside
 * the stage (say: 0 crop, 1 + pass for each recycling pass). */
struct rng rng_open(uint64_t seed, uint64_t epoch, uint64_t position, const char *stage,
                    uint32_t draw);

uint32_t rng_u32(struct rng *rng);
uint64_t rng_u64(struct rng *rng);
/* Uniform in [0, 1), a multiple of 2^-24. */
float rng_uniform(struct rng *rng);
/* Uniform in [0, 1), a multiple of 2^-53. */
double rng_uniform_double(struct rng *rng);
/* Uniform in 0..n-1 without bias (Lemire); n >= 1. */
uint32_t rng_below(struct rng *rng, uint32_t n);
/* Standard normal (Box-Muller, two draws). */
float rng_normal(struct rng *rng);
/* order[0..n) becomes a uniform permutation of 0..n-1 (Fisher-Yates). */
void rng_permutation(struct rng *rng, uint32_t *order, uint32_t n);

/* The image of index under the permutation of 0..n-1 named by (seed, epoch): a Feistel network
 * with cycle walking, so that order needs neither memory nor agreement. index < n. */
uint64_t permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t index);

#ifdef __cplusplus
}
#endif
#endif
