/* Open addressing over XXH3 hashes; see names.h. */
#include "stages/bio/names.h"

#include <string.h>
#include <xxhash.h>

enum { SLOTS_FIRST = 64, ELEMENTS_FIRST = 64 };

void names_open(struct names *names, struct arena *arena)
{
    *names = (struct names){.arena = arena};
}

void *array_grow(struct arena *arena, void *array, int count, int *capacity, size_t element_bytes)
{
    if (count < *capacity)
        return array;
    int wanted = *capacity ? 2 * *capacity : ELEMENTS_FIRST;
    void *larger = wanted > NAMES_MAX ? NULL : arena_try(arena, (size_t)wanted, element_bytes);
    if (!larger)
        return NULL;
    if (count)
        memcpy(larger, array, (size_t)count * element_bytes);
    *capacity = wanted;
    return larger;
}

/* The slot that holds name, or the empty one where it belongs. */
static int slot_find(const struct names *names, struct span name)
{
    unsigned mask = (unsigned)names->slot_count - 1;
    unsigned at = (unsigned)XXH3_64bits(name.data, name.size) & mask;
    while (names->slot[at] && !span_equal(names->name[names->slot[at] - 1], name))
        at = (at + 1) & mask;
    return (int)at;
}

static bool slots_grow(struct names *names)
{
    int count = names->slot_count ? 2 * names->slot_count : SLOTS_FIRST;
    int *slot = arena_try(names->arena, (size_t)count, sizeof *slot);
    if (!slot)
        return false;
    memset(slot, 0, (size_t)count * sizeof *slot);
    names->slot = slot;
    names->slot_count = count;
    for (int i = 0; i < names->count; i++)
        slot[slot_find(names, names->name[i])] = i + 1;
    return true;
}

int names_add(struct names *names, struct span name, bool *fresh)
{
    if (fresh)
        *fresh = false;
    /* Half full at most: probes stay short. */
    if (2 * (names->count + 1) > names->slot_count && !slots_grow(names))
        return -1;
    int at = slot_find(names, name);
    if (names->slot[at])
        return names->slot[at] - 1;
    struct span *array =
        array_grow(names->arena, names->name, names->count, &names->capacity, sizeof *array);
    if (!array)
        return -1;
    names->name = array;
    names->name[names->count++] = name;
    names->slot[at] = names->count;
    if (fresh)
        *fresh = true;
    return names->count - 1;
}

int names_find(const struct names *names, struct span name)
{
    return names->slot_count ? names->slot[slot_find(names, name)] - 1 : -1;
}
