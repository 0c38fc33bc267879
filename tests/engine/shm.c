/* Pools of payload blocks: sealed and fixed, blocks that come back, reuse found by the digest. */
#include "engine/shm.h"

#include "engine/base/digest.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct shm_fds fds;
static struct shm_pool *pool;
static struct shm_view *view;

static void begin(size_t bytes)
{
    struct error err = {0};
    cr_assert(shm_make(&fds, bytes, &err) == STATUS_OK, "%s", err.text);
    cr_assert(shm_pool_open(&pool, fds, &err) == STATUS_OK, "%s", err.text);
    cr_assert(shm_view_open(&view, fds, &err) == STATUS_OK, "%s", err.text);
}

static void end(void)
{
    shm_view_close(view);
    shm_pool_close(pool);
    shm_close(&fds);
}

static struct shm_descriptor describe(const struct shm_block *block)
{
    return (struct shm_descriptor){.inc = 7,
                                   .offset = block->offset,
                                   .bytes = block->bytes,
                                   .digest = digest_bytes(block->data, block->bytes),
                                   .slot = block->slot,
                                   .use = block->use};
}

Test(shm, a_payload_arrives_and_its_block_comes_back)
{
    begin(1 << 20);
    struct shm_block block;
    size_t size = 300001;
    cr_assert(shm_pool_take(pool, size, &block) == STATUS_OK, "room");
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)block.data)[i] = (unsigned char)(i * 7 + i / 255);
    struct shm_descriptor sent = describe(&block), got;
    unsigned char bytes[SHM_DESCRIPTOR_BYTES];
    shm_descriptor_encode(&sent, bytes);
    got = shm_descriptor_decode(bytes);
    unsigned char *copy = malloc(size);
    struct error err;
    cr_assert(shm_pool_used(pool) >= size, "in use");
    cr_assert(shm_view_copy(view, &got, copy, &err) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(copy, block.data, size) == 0, "same bytes");
    struct shm_block whole;
    cr_assert(shm_pool_take(pool, 1 << 20, &whole) == STATUS_OK, "it came back: all is free");
    free(copy);
    end();
}

Test(shm, a_block_that_was_reused_is_found_out)
{
    begin(1 << 16);
    struct shm_block block, again;
    char copy[100];
    struct error err;
    cr_assert(shm_pool_take(pool, 100, &block) == STATUS_OK, "room");
    memset(block.data, 1, 100);
    struct shm_descriptor old = describe(&block);
    usleep(3000);
    cr_assert(shm_pool_reclaim(pool, 1) == 1, "given up");
    cr_assert(shm_pool_take(pool, 100, &again) == STATUS_OK && again.offset == block.offset,
              "the same place again");
    memset(again.data, 2, 100);
    cr_assert(shm_view_copy(view, &old, copy, &err) == STATUS_CORRUPT, "found out");
    struct shm_descriptor new = describe(&again);
    cr_assert(shm_view_copy(view, &new, copy, &err) == STATUS_OK, "%s", err.text);
    old.offset = (1 << 16) + SHM_LARGE_BYTES - 50;
    cr_assert(shm_view_copy(view, &old, copy, &err) == STATUS_CORRUPT, "outside the pool");
    old.bytes = UINT64_MAX;
    cr_assert(shm_view_copy(view, &old, copy, &err) == STATUS_CORRUPT, "far outside the pool");
    end();
}

Test(shm, limits_and_fragments)
{
    begin(16 * SHM_GRAIN_BYTES);
    struct shm_block block[16], large;
    for (int i = 0; i < 16; i++)
        cr_assert(shm_pool_take(pool, 10, &block[i]) == STATUS_OK, "block %d", i);
    cr_assert(shm_pool_take(pool, 1, &large) == STATUS_FULL, "full");
    cr_assert(shm_pool_take(pool, SHM_LARGE_BYTES + 1, &large) == STATUS_LIMIT, "never fits");
    struct shm_descriptor a = describe(&block[3]), b = describe(&block[5]);
    shm_view_return(view, &a);
    shm_view_return(view, &b);
    cr_assert(shm_pool_take(pool, 2 * SHM_GRAIN_BYTES, &large) == STATUS_FULL, "two lone holes");
    shm_pool_drop(pool, &block[4]);
    cr_assert(shm_pool_take(pool, 3 * SHM_GRAIN_BYTES, &large) == STATUS_OK, "one hole of three");
    cr_assert(large.offset == 3 * SHM_GRAIN_BYTES, "there");
    shm_pool_shrink(pool, &large, SHM_GRAIN_BYTES);
    cr_assert(shm_pool_take(pool, 2 * SHM_GRAIN_BYTES, &block[4]) == STATUS_OK, "the rest of it");
    end();
}

/* Bytes of memory that the pool has. */
static long long present(void)
{
    struct stat stat;
    cr_assert(fstat(fds.pool, &stat) == 0);
    return (long long)stat.st_blocks * 512;
}

Test(shm, what_is_larger_than_the_pool_lies_behind_it)
{
    begin(16 * SHM_GRAIN_BYTES);
    struct shm_block small, large, other;
    size_t size = 40 * SHM_GRAIN_BYTES + 5;
    long long before = present();
    cr_assert(before == 16 * SHM_GRAIN_BYTES, "%lld bytes at first", before);
    cr_assert(shm_pool_take(pool, size, &large) == STATUS_OK, "no block is too large");
    cr_assert(large.offset == 16 * SHM_GRAIN_BYTES && present() >= before + (long long)size);
    memset(large.data, 5, size);
    cr_assert(shm_pool_take(pool, 10, &small) == STATUS_OK && small.offset == 0, "as ever");
    cr_assert(shm_pool_take(pool, 16 * SHM_GRAIN_BYTES, &other) == STATUS_FULL, "as ever");
    cr_assert(shm_pool_take(pool, size, &other) == STATUS_OK, "a second large one");
    cr_assert(other.offset >= large.offset + size && shm_pool_used(pool) > 2 * size);
    cr_assert(shm_pool_take(pool, SHM_LARGE_BYTES, &other) == STATUS_FULL, "when they are back");
    struct shm_descriptor sent = describe(&large);
    unsigned char *copy = malloc(size);
    struct error err;
    cr_assert(shm_view_copy(view, &sent, copy, &err) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(copy, large.data, size) == 0, "same bytes");
    struct shm_block third;
    cr_assert(shm_pool_take(pool, size + SHM_GRAIN_BYTES, &third) == STATUS_OK, "behind the other");
    shm_pool_drop(pool, &third);
    shm_pool_drop(pool, &other);
    cr_assert(shm_pool_take(pool, 10, &small) == STATUS_OK, "sees what came back");
    cr_assert(present() == before, "pages went back: %lld bytes, not %lld", present(), before);
    cr_assert(shm_view_copy(view, &sent, copy, &err) == STATUS_CORRUPT, "it is gone");
    free(copy);
    end();
}

Test(shm, ten_thousand_random_blocks_never_overlap)
{
    begin(1 << 20);
    struct shm_block live[64];
    int count = 0;
    unsigned seed = 12345;
    for (int i = 0; i < 10000; i++) {
        seed = seed * 1664525 + 1013904223;
        struct shm_block block;
        size_t size = seed % 97 ? seed % 60000 : (1 << 20) + seed % 3000000;
        if (shm_pool_take(pool, size, &block) == STATUS_OK && count < 64) {
            for (int j = 0; j < count; j++)
                cr_assert(block.offset + block.bytes <= live[j].offset ||
                              live[j].offset + live[j].bytes <= block.offset,
                          "overlap");
            live[count++] = block;
        }
        if (count && (seed >> 16) % 3) {
            int which = (int)((seed >> 8) % (unsigned)count);
            struct shm_descriptor back = describe(&live[which]);
            shm_view_return(view, &back);
            live[which] = live[--count];
        }
        if (count == 64)
            while (count)
                shm_pool_drop(pool, &live[--count]);
    }
    end();
}

Test(shm, consumers_get_it_read_only_and_sealed)
{
    begin(1 << 16);
    int pair[2];
    cr_assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "socketpair");
    struct shm_fds got;
    struct error err;
    char word[4];
    cr_assert(shm_send_fds(pair[0], "pool", 4, &fds, &err) == STATUS_OK, "%s", err.text);
    cr_assert(shm_receive_fds(pair[1], word, 4, &got, 1000, &err) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(word, "pool", 4) == 0 && got.pool >= 0 && got.returns >= 0, "both came");
    cr_assert(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, got.pool, 0) == MAP_FAILED,
              "a consumer could write");
    cr_assert(ftruncate(fds.pool, 0) < 0 && errno == EPERM, "sealed against shrinking");
    struct shm_view *other;
    cr_assert(shm_view_open(&other, got, &err) == STATUS_OK, "%s", err.text);
    shm_view_close(other);
    shm_close(&got);
    cr_assert(shm_receive_fds(pair[1], word, 4, &got, 10, &err) == STATUS_BUSY, "nothing came");
    close(pair[0]);
    cr_assert(shm_receive_fds(pair[1], word, 4, &got, 10, &err) == STATUS_EMPTY, "other end gone");
    int plain = memfd_create("plain", 0);
    cr_assert(ftruncate(plain, 4096) == 0, "size");
    cr_assert(shm_view_open(&other, (struct shm_fds){plain, plain}, &err) == STATUS_INVALID,
              "unsealed memory is refused");
    close(plain);
    close(pair[1]);
    end();
}
