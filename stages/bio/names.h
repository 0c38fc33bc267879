/* Numbers texts in the order in which they first come: a hash table without deletion, in an arena.
 * Readers number chains, entities, residues and alignment rows with it. */
#ifndef STAGES_BIO_NAMES_H
#define STAGES_BIO_NAMES_H

#include "engine/base/arena.h"
#include "engine/base/text.h"

#include <stdbool.h>

enum { NAMES_MAX = 1 << 26 };

struct names {
    struct arena *arena;
    struct span *name; /* [count] in order of arrival; the bytes are the caller's */
    int count;
    int capacity;   /* of name */
    int *slot;      /* [slot_count], number + 1 */
    int slot_count; /* a power of two, or 0 */
};

void names_open(struct names *names, struct arena *arena);

/* The number of name, which is added when it is new; its bytes must stay. -1: no memory in the
 * arena, or more than NAMES_MAX names. *fresh (may be NULL): it was new. */
int names_add(struct names *names, struct span name, bool *fresh);

/* The number of name, -1 when it is not there. */
int names_find(const struct names *names, struct span name);

/* Makes room for one more element in an array that grows by doubling: returns the array, moved if
 * it was full, or NULL when the arena has no room. */
void *array_grow(struct arena *arena, void *array, int count, int *capacity, size_t element_bytes);

#endif
