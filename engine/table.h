/* A hash table of numbers to numbers, of fixed size: open addressing with linear probing, no
 * tombstones. The steps of the protocol find workers, items and keys by it. */
#ifndef FOLDMILL_TABLE_H
#define FOLDMILL_TABLE_H

#include "engine/base/arena.h"

#include <stdint.h>

#define TABLE_NONE UINT32_MAX

struct table_cell {
    uint64_t key;
    uint32_t value; /* TABLE_NONE: free */
};

struct table {
    struct table_cell *cells;
    uint32_t mask, count, count_max;
};

/* Room for count_max keys, at most half full. */
struct table table_make(struct arena *arena, uint32_t count_max);
void table_clear(struct table *table);
/* The value of key, or TABLE_NONE. */
uint32_t table_get(const struct table *table, uint64_t key);
/* Adds or replaces; value is not TABLE_NONE. Aborts when the table is full: sizes are ours. */
void table_put(struct table *table, uint64_t key, uint32_t value);
/* Removes key, if it is there. */
void table_drop(struct table *table, uint64_t key);

#endif
