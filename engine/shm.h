/* Shared memory for payloads: each worker process that makes samples owns one pool of blocks in a
 * memfd. The agent makes and seals it before exec (fixed size, pages present before they are
 * written, so that writing can never end in SIGBUS); consumers get the descriptors from the agent
 * over the Unix socket that they inherited, and map the pool read-only. A consumer copies a block,
 * checks the digest of the copy and only then trusts it, so a block that was reused too early costs
 * a retry and never gives a wrong sample. Blocks go back by a word in a second, small memfd (the
 * returns): no message is needed and a producer that has died needs none. */
#ifndef FOLDMILL_SHM_H
#define FOLDMILL_SHM_H

#include "engine/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SHM_BLOCKS_MAX = 1024,     /* blocks of one pool in use at a time */
    SHM_GRAIN_BYTES = 4096,    /* blocks start and end on pages */
    SHM_INLINE_MAX = 4096,     /* payloads up to this size travel in the message */
    SHM_DESCRIPTOR_BYTES = 40,
};

/* Address space behind a pool for payloads that are larger than all of it: their pages are taken
 * when such a block is, and go back to the system with it. Holds the largest frame (wire.h). */
#define SHM_LARGE_BYTES (((size_t)1 << 30) + ((size_t)1 << 20))

/* The two descriptors of a pool; -1: none. */
struct shm_fds {
    int pool, returns;
};

/* Agent: makes a pool of bytes (rounded up to pages) and its returns, both sealed; all pages but
 * those for large payloads are present. The caller closes the descriptors. STATUS_FULL: there is
 * not so much memory; STATUS_IO. */
enum status shm_make(struct shm_fds *fds, size_t bytes, struct error *err);
void shm_close(struct shm_fds *fds);

/* Sends / receives small data with descriptors over a Unix socket. shm_send_fds sends fds as they
 * are, except that the pool is opened again read-only; fds NULL: data alone. shm_receive_fds
 * waits up to timeout_ms: STATUS_BUSY when nothing came, STATUS_EMPTY when the other end is gone.
 */
enum status shm_send_fds(int socket, const void *data, size_t size, const struct shm_fds *fds,
                         struct error *err);
enum status shm_receive_fds(int socket, void *data, size_t size, struct shm_fds *fds,
                            int timeout_ms, struct error *err);

/* A block of a pool, in the producer. */
struct shm_block {
    uint32_t slot, use;
    uint64_t offset, bytes;
    void *data;
};

/* Where a payload lies: what a message carries instead of the payload. */
struct shm_descriptor {
    uint64_t inc; /* of the producer */
    uint64_t offset, bytes;
    uint64_t digest;    /* digest_bytes of the payload */
    uint32_t slot, use; /* say to the producer which block comes back */
};

void shm_descriptor_encode(const struct shm_descriptor *descriptor,
                           unsigned char bytes[SHM_DESCRIPTOR_BYTES]);
struct shm_descriptor shm_descriptor_decode(const unsigned char bytes[SHM_DESCRIPTOR_BYTES]);

struct shm_pool;

/* Producer: maps its pool; fds stay open as long as it is. STATUS_INVALID: not sealed as shm_make
 * does. */
enum status shm_pool_open(struct shm_pool **pool, struct shm_fds fds, struct error *err);
void shm_pool_close(struct shm_pool *pool);
size_t shm_pool_used(const struct shm_pool *pool); /* bytes in blocks that have not come back */

/* Takes a block of at least bytes. STATUS_FULL: no room until blocks come back; STATUS_LIMIT: more
 * than SHM_LARGE_BYTES, or the system has not so much memory. Blocks are used from the bottom, so
 * memory stays warm. */
enum status shm_pool_take(struct shm_pool *pool, size_t bytes, struct shm_block *block);
/* Gives back what of a block lies above bytes, or all of it. */
void shm_pool_shrink(struct shm_pool *pool, struct shm_block *block, size_t bytes);
void shm_pool_drop(struct shm_pool *pool, const struct shm_block *block);
/* Takes back blocks that were given out more than age_ms ago: their message was lost with a
 * dispatcher or a consumer. Returns how many. */
int shm_pool_reclaim(struct shm_pool *pool, int64_t age_ms);

struct shm_view;

/* Consumer: maps another process's pool read-only. */
enum status shm_view_open(struct shm_view **view, struct shm_fds fds, struct error *err);
void shm_view_close(struct shm_view *view);
/* Copies the payload to the given memory of descriptor->bytes and gives the block back.
 * STATUS_CORRUPT: the copy does not have that digest, or the range lies outside the pool. */
enum status shm_view_copy(struct shm_view *view, const struct shm_descriptor *descriptor, void *to,
                          struct error *err);
/* Gives the block back without reading it. */
void shm_view_return(struct shm_view *view, const struct shm_descriptor *descriptor);

#endif
