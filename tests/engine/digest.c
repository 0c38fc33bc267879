/* Copy and digest in one pass: all sets of instructions agree, nothing in a payload goes unseen,
 * and the digest is that of the copy even while the source changes. */
#include "engine/base/digest.h"

#include "engine/base/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 1100, GUARD = 64 };

static unsigned char payload[SIZE + GUARD];

static void fill(void)
{
    struct rng rng = rng_open(1, 0, 0, "digest", 0);
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (unsigned char)rng_below(&rng, 256);
}

Test(digest, every_set_of_instructions_copies_and_gives_the_same)
{
    digest_fn *const kinds[] = {digest_avx2(), digest_avx512()};
    unsigned char copy[SIZE + GUARD];
    fill();
    for (size_t size = 0; size <= SIZE; size++) {
        const unsigned char *from = payload + size % GUARD;
        uint64_t plain = digest_plain()(NULL, from, size);
        cr_assert(digest_bytes(from, size) == plain, "%zu bytes", size);
        memset(copy, 0xa5, sizeof copy);
        cr_assert(digest_plain()(copy, from, size) == plain, "%zu bytes", size);
        cr_assert(memcmp(copy, from, size) == 0 && copy[size] == 0xa5, "%zu bytes", size);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            if (!kinds[k])
                continue;
            memset(copy, 0xa5, sizeof copy);
            cr_assert(kinds[k](NULL, from, size) == plain, "kind %zu, %zu bytes", k, size);
            cr_assert(kinds[k](copy, from, size) == plain, "kind %zu, %zu bytes", k, size);
            cr_assert(memcmp(copy, from, size) == 0 && copy[size] == 0xa5, "%zu bytes", size);
        }
    }
}

Test(digest, every_bit_counts)
{
    fill();
    uint64_t whole = digest_bytes(payload, SIZE);
    for (size_t i = 0; i < SIZE * 8; i++) {
        payload[i / 8] ^= (unsigned char)(1 << i % 8);
        cr_assert(digest_bytes(payload, SIZE) != whole, "bit %zu", i);
        payload[i / 8] ^= (unsigned char)(1 << i % 8);
    }
}

Test(digest, order_and_size_count)
{
    unsigned char other[SIZE], zeros[SIZE] = {0};
    fill();
    uint64_t whole = digest_bytes(payload, SIZE);
    for (size_t part = 8; part <= 256; part *= 2)
        for (size_t at = 0; at + 2 * part <= SIZE; at += part) {
            memcpy(other, payload, SIZE);
            memcpy(other + at, payload + at + part, part);
            memcpy(other + at + part, payload + at, part);
            cr_assert(digest_bytes(other, SIZE) != whole, "%zu bytes at %zu change places", part,
                      at);
        }
    uint64_t before = digest_bytes(zeros, 0);
    for (size_t size = 1; size <= SIZE; size++) {
        uint64_t now = digest_bytes(zeros, size);
        cr_assert(now != before, "%zu zeros", size);
        before = now;
    }
}

Test(digest, pieces_give_that_of_the_whole)
{
    static const size_t pieces[] = {256, 1024, 2560, 65536};
    struct rng rng = rng_open(2, 0, 0, "digest", 0);
    for (size_t size = 0; size < 9000; size += 1 + rng_below(&rng, 300)) {
        static unsigned char from[9000], copy[9000];
        for (size_t i = 0; i < size; i++)
            from[i] = (unsigned char)rng_u32(&rng);
        memset(copy, 0, sizeof copy);
        struct digest digest;
        digest_begin(&digest);
        for (size_t at = 0; at < size;) {
            size_t piece = pieces[rng_below(&rng, 4)];
            piece = piece < size - at ? piece : size - at;
            digest_add(&digest, copy + at, from + at, piece);
            at += piece;
        }
        cr_assert(digest_end(&digest) == digest_bytes(from, size), "%zu bytes", size);
        cr_assert(memcmp(copy, from, size) == 0, "%zu bytes", size);
    }
}

static unsigned char shared_source[1 << 16];
static atomic_bool stop;

static void *change(void *nothing)
{
    for (unsigned char value = 0; !atomic_load(&stop); value++)
        for (size_t i = 0; i < sizeof shared_source; i += 64)
            ((volatile unsigned char *)shared_source)[i] = value;
    return nothing;
}

Test(digest, is_that_of_the_copy_while_the_source_changes)
{
    static unsigned char copy[sizeof shared_source];
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, change, NULL) == 0, "a thread");
    digest_fn *const kinds[] = {digest_plain(), digest_avx2(), digest_avx512()};
    bool good = true;
    for (int i = 0; i < 600 && good; i++) {
        digest_fn *kind = kinds[i % 3] ? kinds[i % 3] : digest_plain();
        uint64_t digest = kind(copy, shared_source, sizeof copy);
        good = digest == digest_bytes(copy, sizeof copy);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    cr_assert(good, "the digest is not that of the copy");
}
