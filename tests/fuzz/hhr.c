/* Any bytes as an HHsearch result file: read or refused with a line, never a crash; what was read
 * keeps its promises, and goes through the filter and the mapping on a structure of its own. */
#include "stages/bio/hhr.h"
#include "stages/bio/template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LENGTH = 12, ATOMS = 37 };

/* A chain of twelve residues in a row, 3.8 Angstrom apart, CA, N and C alone. */
static void chain_make(struct structure_chain *chain)
{
    static float positions[LENGTH * ATOMS * 3];
    static uint8_t mask[LENGTH * ATOMS];
    for (int i = 0; i < LENGTH; i++)
        for (int atom = 0; atom < 3; atom++) {
            mask[i * ATOMS + atom] = 1;
            positions[(i * ATOMS + atom) * 3] = (float)(3.8 * i + atom);
        }
    *chain = (struct structure_chain){.name = SPAN("A"),
                                      .length = LENGTH,
                                      .resolved = LENGTH,
                                      .sequence = "MKVLAAGGHHEE",
                                      .positions = positions,
                                      .mask = mask};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct hhr hhr;
    struct error err;
    struct structure_chain chain;
    struct template_features features;
    arena_open(&arena, (size_t)1 << 28);
    chain_make(&chain);
    struct structure structure = {.chain = &chain, .chain_count = 1};
    enum status status = hhr_read((struct span){(const char *)data, size}, &arena, &hhr, &err);
    ASSERT(status == STATUS_OK || status == STATUS_REFUSED || status == STATUS_LIMIT);
    for (int h = 0; status == STATUS_OK && h < hhr.count; h++) {
        const struct hhr_hit *hit = &hhr.hit[h];
        char entry[TEMPLATE_ENTRY_BYTES + 1];
        struct template_wish wish = {.query = SPAN("MKVLWAGGHHEE"), .reference = h % 2 == 0};
        ASSERT(strlen(hit->query) == (size_t)hit->columns);
        ASSERT(strlen(hit->hit) == (size_t)hit->columns);
        for (int i = 0; i < hit->columns; i++) {
            ASSERT((hit->query[i] == '-') == (hit->query_at[i] == -1));
            ASSERT((hit->hit[i] == '-') == (hit->hit_at[i] == -1));
        }
        if (template_name(hit, entry, &wish.chain, &err) != STATUS_OK)
            wish.chain = SPAN("A");
        status = template_worthwhile(hit, wish.query, &err);
        ASSERT(status == STATUS_OK || status == STATUS_REFUSED);
        status = template_make(hit, &structure, &wish, &arena, &features, &err);
        ASSERT(status == STATUS_OK || status == STATUS_REFUSED || status == STATUS_LIMIT);
        if (status == STATUS_OK)
            ASSERT(strlen(features.sequence) == LENGTH);
        status = STATUS_OK;
    }
    arena_close(&arena);
    return 0;
}
