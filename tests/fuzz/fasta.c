/* Any bytes as a FASTA file: read or refused, never a crash; what was read are chains of letters.
 */
#include "stages/bio/fasta.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct structure structure;
    struct structure_wish wish = {.coordinates = true};
    struct error err;
    arena_open(&arena, (size_t)1 << 28);
    struct span content = {(const char *)data, size};
    enum status status = fasta_read(content, &wish, &arena, &structure, &err);
    ASSERT(status == STATUS_OK || status == STATUS_REFUSED || status == STATUS_LIMIT);
    for (int c = 0; status == STATUS_OK && c < structure.chain_count; c++) {
        const struct structure_chain *chain = &structure.chain[c];
        ASSERT(chain->length > 0 && strlen(chain->sequence) == (size_t)chain->length);
        ASSERT(strspn(chain->sequence, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == (size_t)chain->length);
        struct structure again;
        struct structure_wish one = {.chain = chain->name};
        ASSERT(fasta_read(content, &one, &arena, &again, &err) == STATUS_OK);
        ASSERT(again.chain_count == 1 && strcmp(again.chain[0].sequence, chain->sequence) == 0);
        if (c > 20)
            break;
    }
    arena_close(&arena);
    return 0;
}
