/* engine/table against a plain list, through many insertions and removals at full load. */
#include "engine/table.h"

#include "engine/base/rng.h"

#include <criterion/criterion.h>

enum { ROOM = 48, KEYS = 160 };

static void check(const struct table *table, const uint32_t *values, uint64_t scale)
{
    uint32_t count = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        cr_assert(table_get(table, key * scale) == values[key], "key %u", (unsigned)key);
        count += values[key] != TABLE_NONE;
    }
    cr_assert(table->count == count);
}

Test(table, agrees_with_a_list)
{
    /* Scales that make the homes of keys collide, or spread. */
    const uint64_t scales[] = {1, 1ull << 32, 1ull << 63 | 1, 0x9E3779B97F4A7C15u};
    for (int i = 0; i < 4; i++) {
        struct arena arena;
        arena_open(&arena, 0);
        struct table table = table_make(&arena, ROOM);
        struct rng rng = rng_open(1, 0, (uint64_t)i, "table", 0);
        uint32_t values[KEYS];
        for (int key = 0; key < KEYS; key++)
            values[key] = TABLE_NONE;
        for (int round = 0; round < 4000; round++) {
            uint32_t key = rng_below(&rng, KEYS), value = rng_below(&rng, 1000);
            if (table.count < ROOM && rng_below(&rng, 2)) {
                table_put(&table, key * scales[i], value);
                values[key] = value;
            } else {
                table_drop(&table, key * scales[i]);
                values[key] = TABLE_NONE;
            }
            if (round % 50 == 0)
                check(&table, values, scales[i]);
        }
        check(&table, values, scales[i]);
        table_clear(&table);
        for (int key = 0; key < KEYS; key++)
            values[key] = TABLE_NONE;
        check(&table, values, scales[i]);
        arena_close(&arena);
    }
}

Test(table, keys_of_any_value)
{
    struct arena arena;
    arena_open(&arena, 0);
    struct table table = table_make(&arena, 3);
    table_put(&table, 0, 5);
    table_put(&table, UINT64_MAX, 6);
    table_put(&table, 0, 7);
    cr_assert(table.count == 2 && table_get(&table, 0) == 7 && table_get(&table, UINT64_MAX) == 6);
    cr_assert(table_get(&table, 1) == TABLE_NONE);
    table_drop(&table, 1);
    table_drop(&table, 0);
    cr_assert(table_get(&table, 0) == TABLE_NONE && table_get(&table, UINT64_MAX) == 6);
    arena_close(&arena);
}
