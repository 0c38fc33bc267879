/* What stands in a store under one key: an index entry (as it is, and with its checksum put right)
 * and a frame. Input: bytes of the key u8, bytes of the entry u16, key, entry, frame. An entry that
 * is accepted is written again as the same bytes. */
#include "engine/store_entry.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRY_TRIED_MAX = 1024 };

static void try_entry(struct span key, struct span value)
{
    struct store_entry entry;
    struct error err;
    char again[ENTRY_BYTES_MAX];
    if (entry_read(key, value, &entry, &err) != STATUS_OK)
        return;
    ASSERT(strlen(entry.key) == key.size && strlen(entry.reason) <= STORE_REASON_MAX);
    size_t bytes = entry_write(&entry, again);
    ASSERT(bytes == value.size && memcmp(again, value.data, bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t key_bytes = data[0], entry_bytes = (size_t)data[1] | (size_t)data[2] << 8;
    data += 3, size -= 3;
    key_bytes = key_bytes < size ? key_bytes : size;
    struct span key = {(const char *)data, key_bytes};
    data += key_bytes, size -= key_bytes;
    entry_bytes = entry_bytes < size ? entry_bytes : size;
    entry_bytes = entry_bytes < ENTRY_TRIED_MAX ? entry_bytes : ENTRY_TRIED_MAX;
    struct span value = {(const char *)data, entry_bytes};
    try_entry(key, value);
    if (entry_bytes >= ENTRY_FIXED_BYTES) {
        char text[SAMPLE_KEY_MAX + ENTRY_TRIED_MAX], *sealed = malloc(entry_bytes);
        if (!sealed)
            return 0;
        memcpy(sealed, value.data, entry_bytes);
        memcpy(text, key.data, key.size);
        memcpy(text + key.size, sealed + 8, entry_bytes - 8);
        uint64_t checksum = XXH3_64bits(text, key.size + entry_bytes - 8);
        memcpy(sealed, &checksum, 8);
        try_entry(key, (struct span){sealed, entry_bytes});
        free(sealed);
    }
    struct arena arena;
    struct sample sample;
    struct error err;
    char name[SAMPLE_KEY_MAX + 1];
    arena_open(&arena, (size_t)16 << 20);
    entry_text(name, sizeof name, key);
    struct wire_options options = {.copy = true, .key = name};
    struct span frame = {(const char *)data + entry_bytes, size - entry_bytes};
    if (wire_decode(frame, &options, &arena, &sample, &err) == STATUS_OK)
        ASSERT(strcmp(sample.key, name) == 0);
    arena_close(&arena);
    return 0;
}
