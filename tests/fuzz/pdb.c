/* Fuzzes the PDB reader in both of its meanings. */
#include "engine/base/error.h"
#include "stages/bio/pdb.h"
#include "stages/bio/residue.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(enum pdb_source source, struct span content)
{
    struct arena arena;
    struct structure structure;
    struct error err = {0};
    struct structure_wish wish = {.coordinates = true};
    arena_open(&arena, 1 << 26);
    enum status status = pdb_read(content, source, &wish, &arena, &structure, &err);
    if (status == STATUS_OK) {
        ASSERT_INT(structure.chain_count, >=, 1);
        for (int c = 0; c < structure.chain_count; c++) {
            const struct structure_chain *chain = &structure.chain[c];
            ASSERT_INT(strlen(chain->sequence), ==, chain->length);
            ASSERT(chain->length >= 1 && chain->resolved == chain->length);
            for (int i = 0; i < chain->length && source == PDB_EXPERIMENTAL; i++)
                ASSERT(chain->mask[i * ATOM37 + ATOM_CA]);
        }
    } else {
        ASSERT(err.text[0] && (status == STATUS_REFUSED || status == STATUS_LIMIT));
    }
    arena_close(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span content = {(const char *)data, size};
    read_as(PDB_EXPERIMENTAL, content);
    read_as(PDB_DISTILLED, content);
    return 0;
}
