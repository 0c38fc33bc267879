/* Keys and entries from names of files. */
#include "stages/bio/chain_name.h"

#include <criterion/criterion.h>
#include <string.h>

Test(chain_name, every_kind_of_file)
{
    static const struct {
        const char *stem;
        bool cif;
        int chain_count;
        const char *chain, *key, *entry;
    } cases[] = {
        {"1ABC", true, 1, "A", "1abc_A", "1abc"},
        {"1abc", true, 9, "b", "1abc_b", "1abc"},
        {"1abc_assembly", true, 2, "A", "1abc_assembly_A", "1abc"},
        {"1ABC_H", false, 1, "H", "1abc_H", "1abc"},
        {"1abc_min", false, 2, "B", "1abc_min_B", "1abc"},
        {"d1cih__", false, 1, "_", "d1cih__", "1cih"},
        {"pdb1ABC", false, 1, "A", "pdb1ABC", "1abc"},
        {"pdb1abc", false, 2, "B", "pdb1abc_B", "1abc"},
        {"AF-P12345-F1", false, 1, "A", "AF-P12345-F1", "af-p12345-f1"},
        {"1abc_", false, 1, "A", "1abc_", "1abc_"},
        {"x", false, 3, "_", "x__", "x"},
    };
    struct arena arena;
    arena_open(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *key, *entry;
        const struct chain_file file = {span_of(cases[i].stem), cases[i].cif, cases[i].chain_count};
        chain_name(&file, span_of(cases[i].chain), &arena, &key, &entry);
        cr_assert(strcmp(key, cases[i].key) == 0, "%s: key %s", cases[i].stem, key);
        cr_assert(strcmp(entry, cases[i].entry) == 0, "%s: entry %s", cases[i].stem, entry);
    }
    arena_close(&arena);
}
