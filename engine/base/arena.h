/* Memory with one lifetime: process, sample or step. Things are taken from an arena one after
 * another and given back all at once; nothing in it is freed alone. Stage code therefore has no
 * free(). Blocks are kept over a reset, so a warm arena calls malloc no more. */
#ifndef FOLDMILL_BASE_ARENA_H
#define FOLDMILL_BASE_ARENA_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ARENA_ALIGN = 64 }; /* every allocation starts on a cache line, and suits AVX-512 */

struct arena_block;

struct arena {
    struct arena_block *first, *current;
    size_t used_bytes; /* given out since the last reset */
    size_t bytes_max;  /* limit on used_bytes; 0 = none */
    size_t peak_bytes; /* largest used_bytes ever */
};

struct arena_mark {
    struct arena_block *block;
    size_t block_used, used_bytes;
};

/* An empty arena; bytes_max 0 means no limit. Allocates nothing yet. */
void arena_open(struct arena *arena, size_t bytes_max);

/* Gives all blocks back to the system. The arena may be opened again. */
void arena_close(struct arena *arena);

/* Forgets everything allocated, keeps the blocks. */
void arena_reset(struct arena *arena);

/* As arena_reset, but keeps no more than keep_bytes of blocks: what an unusually large sample took
 * goes back to the system. */
void arena_release(struct arena *arena, size_t keep_bytes);

/* size bytes aligned to 64, not zeroed; size 0 gives a valid pointer. Aborts the process when
 * memory or the limit is exhausted: use it for sizes that are ours. */
void *arena_alloc(struct arena *arena, size_t size);

/* As arena_alloc for count * size bytes, zeroed. */
void *arena_zero(struct arena *arena, size_t count, size_t size);

/* As arena_alloc, but returns NULL when memory, the limit or the product count * size is too
 * large: use it for sizes that come from the outside. */
void *arena_try(struct arena *arena, size_t count, size_t size);

/* Gives back what lies above size of data[taken], which the arena gave; does nothing when something
 * was taken after it. So an array can be taken at its largest: pages never touched cost nothing. */
void arena_trim(struct arena *arena, const void *data, size_t taken, size_t size);

/* A copy of the first size bytes of text, ended by a NUL. */
char *arena_text(struct arena *arena, const char *text, size_t size);

/* A formatted text. */
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Where the arena stands, and back to there: what was allocated since the mark is forgotten. */
struct arena_mark arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);

#ifdef __cplusplus
}
#endif
#endif
