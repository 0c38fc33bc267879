/* Any bytes as the payload of scan's cache, behind a header that fits, and as the whole file: taken
 * in or refused, never a crash; what is taken in can be found and written again. */
#include "stages/listing/memo.h"

#include "engine/bytes.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEY_AT = 36, STAMP_AT = 4 };

/* Finds every entry under the stamp that it carries. */
static void find_all(struct memo *memo, struct arena *arena)
{
    memo->begun_ns = INT64_MAX; /* no stamp is too new */
    for (int by = 0; by < 2; by++)
        for (int i = 0; i < memo->known[by].count; i++) {
            struct span key = memo->known[by].name[i];
            const unsigned char *entry = (const unsigned char *)memo->entry[by][i].data;
            struct stamp stamp = {get_u64(entry + STAMP_AT), get_u64(entry + STAMP_AT + 8),
                                  (int64_t)get_u64(entry + STAMP_AT + 16),
                                  (int64_t)get_u64(entry + STAMP_AT + 24)};
            struct memo_structure found;
            struct memo_content content;
            if (by == 1) {
                memo_find_input(memo, key, &stamp, &content);
                continue;
            }
            if (memchr(key.data, 0, key.size))
                continue; /* no path */
            const char *path = arena_text(arena, key.data, key.size);
            if (!memo_find_structure(memo, path, &stamp, entry[1], arena, &found) ||
                found.refusal.status != STATUS_OK)
                continue;
            for (int c = 0; c < found.structure.chain_count; c++)
                ASSERT(strlen(found.structure.chain[c].sequence) <=
                       (size_t)found.structure.chain[c].length);
        }
}

static void load(struct span bytes)
{
    struct arena arena;
    struct memo memo;
    struct error err;
    arena_open(&arena, 0);
    memo_open(&memo, &arena);
    if (memo_load_bytes(&memo, bytes, &err) == STATUS_OK)
        find_all(&memo, &arena);
    else
        ASSERT(memo.entries == 0 && memo.known[0].count == 0 && memo.known[1].count == 0);
    memo_close(&memo);
    arena_close(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct memo memo;
    if (size < 1)
        return 0;
    arena_open(&arena, 0);
    memo_open(&memo, &arena);
    char *bytes = arena_alloc(&arena, MEMO_HEADER_BYTES + size);
    memcpy(bytes + MEMO_HEADER_BYTES, data + 1, size - 1);
    /* The first byte says how many entries the header promises. */
    memo_header(&memo, data[0], (struct span){bytes + MEMO_HEADER_BYTES, size - 1},
                (unsigned char *)bytes);
    load((struct span){bytes, MEMO_HEADER_BYTES + size - 1});
    load((struct span){(const char *)data, size});
    memo_close(&memo);
    arena_close(&arena);
    return 0;
}
