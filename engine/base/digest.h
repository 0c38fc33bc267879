/* A 64-bit digest of a payload that is made in the pass which copies it. A library's digest reads
 * the copy a second time, which costs more than the copy itself where that lies in a cache. It
 * finds accidents (memory that was used again too early, parts of different payloads), not
 * attackers, and is not kept: what lies on a disk carries XXH3. */
#ifndef FOLDMILL_DIGEST_H
#define FOLDMILL_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* Of bytes of memory. */
uint64_t digest_bytes(const void *data, size_t bytes);

/* Copies bytes from `from` to `to`, which do not overlap, and gives the digest of what was written
 * to `to`: each byte is read once, so this holds also when another process changes `from`. */
uint64_t digest_copy(void *to, const void *from, size_t bytes);

/* The digest of what comes piece by piece; every piece but the last has a multiple of
 * DIGEST_PIECE bytes. to NULL: no copy. */
enum { DIGEST_PIECE = 256 };
struct digest {
    uint64_t sum[32], key[8];
    uint64_t bytes;
};
void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, void *to, const void *from, size_t bytes);
/* That of digest_bytes of the whole. */
uint64_t digest_end(const struct digest *digest);

/* The same by each set of instructions, for tests: NULL where this processor lacks it. to NULL:
 * no copy. */
typedef uint64_t digest_fn(void *to, const void *from, size_t bytes);
digest_fn *digest_plain(void);
digest_fn *digest_avx2(void);
digest_fn *digest_avx512(void);

#endif
