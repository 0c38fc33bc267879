/* Fuzzes the mmCIF reader; what it accepts must be whole: every chain, letter and mask. */
#include "engine/base/error.h"
#include "stages/bio/cif.h"
#include "stages/bio/residue.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct structure structure;
    struct error err = {0};
    struct structure_wish wish = {.coordinates = true};
    arena_open(&arena, 1 << 26);
    enum status status =
        cif_read((struct span){(const char *)data, size}, &wish, &arena, &structure, &err);
    if (status == STATUS_OK) {
        ASSERT_INT(structure.chain_count, >=, 1);
        for (int c = 0; c < structure.chain_count; c++) {
            const struct structure_chain *chain = &structure.chain[c];
            ASSERT_INT(strlen(chain->sequence), ==, chain->length);
            for (int i = 0; i < chain->length * ATOM37; i++) {
                ASSERT_INT(chain->mask[i], <=, 1);
                ASSERT(chain->mask[i] || chain->positions[3 * i] == 0);
            }
        }
    } else {
        ASSERT(err.text[0] && (status == STATUS_REFUSED || status == STATUS_LIMIT));
    }
    arena_close(&arena);
    return 0;
}
