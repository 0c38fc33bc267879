/* Numbers to numbers; see table.h. */
#include "engine/table.h"

#include "engine/base/error.h"

static uint32_t table_home(const struct table *table, uint64_t key)
{
    key ^= key >> 32;
    key *= 0x9E3779B97F4A7C15u;
    return (uint32_t)(key >> 32) & table->mask;
}

struct table table_make(struct arena *arena, uint32_t count_max)
{
    ASSERT_INT(count_max, <=, 1u << 28);
    uint32_t cells = 8;
    while (cells < 2 * count_max)
        cells *= 2;
    struct table table = {arena_alloc(arena, cells * sizeof *table.cells), cells - 1, 0, count_max};
    table_clear(&table);
    return table;
}

void table_clear(struct table *table)
{
    for (uint32_t i = 0; i <= table->mask; i++)
        table->cells[i] = (struct table_cell){0, TABLE_NONE};
    table->count = 0;
}

/* The cell that holds key, or the free one where it belongs. */
static uint32_t table_find(const struct table *table, uint64_t key)
{
    uint32_t i = table_home(table, key);
    while (table->cells[i].value != TABLE_NONE && table->cells[i].key != key)
        i = (i + 1) & table->mask;
    return i;
}

uint32_t table_get(const struct table *table, uint64_t key)
{
    return table->cells[table_find(table, key)].value;
}

void table_put(struct table *table, uint64_t key, uint32_t value)
{
    ASSERT(value != TABLE_NONE);
    struct table_cell *cell = &table->cells[table_find(table, key)];
    if (cell->value == TABLE_NONE) {
        ASSERT_INT(table->count, <, table->count_max);
        table->count++;
    }
    *cell = (struct table_cell){key, value};
}

void table_drop(struct table *table, uint64_t key)
{
    uint32_t hole = table_find(table, key);
    if (table->cells[hole].value == TABLE_NONE)
        return;
    table->count--;
    /* What follows without a gap moves up into the hole, unless its home lies behind the hole. */
    for (uint32_t i = (hole + 1) & table->mask; table->cells[i].value != TABLE_NONE;
         i = (i + 1) & table->mask) {
        uint32_t home = table_home(table, table->cells[i].key);
        if (((i - home) & table->mask) >= ((i - hole) & table->mask)) {
            table->cells[hole] = table->cells[i];
            hole = i;
        }
    }
    table->cells[hole].value = TABLE_NONE;
}
