/* The nearest training chain, on chains made by hand. */
#include "stages/learn/nearest.h"

#include "stages/bio/residue.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;
static struct nearest nearest;

static void begin(void)
{
    arena_open(&arena, 0);
    nearest = (struct nearest){0};
}

static void end(void)
{
    arena_close(&arena);
}

TestSuite(nearest, .init = begin, .fini = end);

static int64_t types_of(const char *letters, uint8_t *types)
{
    int64_t count = 0;
    for (; letters[count]; count++)
        types[count] = (uint8_t)(strchr(residue_letters, letters[count]) - residue_letters);
    return count;
}

/* CA of residue n at (n, base, 0); that of residue `unknown` is not known. */
static void chain_add(const char *key, const char *letters, float base, int64_t unknown)
{
    uint8_t types[64];
    int64_t length = types_of(letters, types);
    float *positions = arena_zero(&arena, (size_t)(length * ATOM37 * 3), sizeof *positions);
    uint8_t *mask = arena_zero(&arena, (size_t)(length * ATOM37), 1);
    for (int64_t n = 0; n < length; n++) {
        positions[3 * (n * ATOM37 + ATOM_CA)] = (float)n;
        positions[3 * (n * ATOM37 + ATOM_CA) + 1] = base;
        mask[n * ATOM37 + ATOM_CA] = n != unknown;
    }
    nearest_add(&nearest, key, length, types, positions, mask, &arena);
}

/* wanted[n]: the residue of the nearest chain that residue n gets its place from; -1: none. */
static void check(const char *letters, const char *key, int64_t pairs, const int *wanted)
{
    uint8_t types[64];
    float ca[64 * 3];
    int64_t length = types_of(letters, types), identical;
    const struct nearest_chain *found = nearest_copy(&nearest, length, types, ca, &identical);
    cr_assert(found && strcmp(found->key, key) == 0, "%s: nearest is %s", letters,
              found ? found->key : "none");
    cr_assert(identical == pairs, "%s: %d pairs, wanted %d", letters, (int)identical, (int)pairs);
    for (int64_t n = 0; n < length; n++)
        cr_assert(wanted[n] < 0 ? isnan(ca[3 * n]) : ca[3 * n] == (float)wanted[n],
                  "%s: residue %d is at %g, wanted %d", letters, (int)n, (double)ca[3 * n],
                  wanted[n]);
}

Test(nearest, the_most_alike_is_copied)
{
    chain_add("far", "GGGGGGGGGGGG", 1, -1);
    chain_add("near", "ACDEFGHIKLMN", 2, 4);
    check("ACDEYGHIKLMN", "near", 11, (int[]){0, 1, 2, 3, -1, 5, 6, 7, 8, 9, 10, 11});
}

Test(nearest, ends_are_free)
{
    chain_add("a", "MNPACDEFGHIK", 1, -1);
    check("ACDEFGHIKWWW", "a", 9, (int[]){3, 4, 5, 6, 7, 8, 9, 10, 11, -1, -1, -1});
}

/* Six pairs on either side are worth a gap of 5, of any length, on either sequence. */
Test(nearest, gaps_of_both_kinds)
{
    chain_add("a", "ACDEFGWWWHIKLMN", 1, -1);
    check("ACDEFGHIKLMN", "a", 12, (int[]){0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14});
    nearest = (struct nearest){0};
    chain_add("b", "ACDEFGHIKLMN", 1, -1);
    check("ACDEFGWWWHIKLMN", "b", 12,
          (int[]){0, 1, 2, 3, 4, 5, -1, -1, -1, 6, 7, 8, 9, 10, 11});
}

Test(nearest, no_chains)
{
    float ca[3];
    int64_t identical;
    cr_assert(!nearest_copy(&nearest, 1, (const uint8_t[]){0}, ca, &identical), "none");
    cr_assert(isnan(ca[0]) && identical == 0, "nothing is known");
}
