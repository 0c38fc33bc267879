/* What stands in a store under one key: an index entry (as it is, and with its checksum put right)
 * and a record (also with its checksums put right). Input: bytes of the key u8, bytes of the entry
 * u16, key, entry, record. An entry that is accepted is written again as the same bytes. */
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

/* Checksums that fit, so that what lies behind them is reached: of the head, then of each chunk. */
static void seal(char *record, size_t size)
{
    uint16_t fields;
    uint32_t header, chunks;
    uint64_t checksum, bytes = size;
    memcpy(record + 8, &bytes, 8);
    memcpy(&fields, record + 6, 2);
    memcpy(&header, record + 16, 4);
    memcpy(&chunks, record + 20, 4);
    size_t table = RECORD_PREFIX_BYTES + fields * (size_t)RECORD_FIELD_BYTES;
    size_t head = table + chunks * (size_t)RECORD_CHUNK_BYTES + header, at = head;
    if (chunks > RECORD_CHUNKS_MAX || head > size)
        return;
    for (uint32_t c = 0; c < chunks; c++, table += RECORD_CHUNK_BYTES) {
        uint32_t stored;
        memcpy(&stored, record + table + 8, 4);
        if (stored > size - at)
            break;
        checksum = XXH3_64bits(record + at, stored);
        memcpy(record + table, &checksum, 8);
        at += stored;
    }
    checksum = XXH3_64bits_withSeed(record + RECORD_PREFIX_BYTES, head - RECORD_PREFIX_BYTES,
                                    XXH3_64bits(record, 24));
    memcpy(record + 24, &checksum, 8);
}

/* Read as a whole, and, where that works, row by row with the same result. */
static void try_record(struct span record, const char *key, struct arena *arena)
{
    static struct record_view view;
    static struct sample sample;
    struct error err;
    struct record_options options = {.key = key};
    arena_reset(arena);
    if (record_peek(record, &view, &err) != STATUS_OK ||
        record_load(record, &view, &options, arena, &sample, &err) != STATUS_OK)
        return;
    ASSERT(strcmp(sample.key, key) == 0 && sample.field_count == view.field_count);
    for (int i = 0; i < view.field_count; i++) {
        const struct record_field *field = &view.fields[i];
        if (field->raw_bytes == 0 || field->raw_bytes > 100000)
            continue;
        int32_t last = (int32_t)(field->raw_bytes / field->row_bytes - 1), rows[] = {last, 0, last};
        char *to = malloc(3 * field->row_bytes);
        if (!to)
            return;
        if (record_rows(record, field, rows, 3, to, arena, &err) == STATUS_OK) {
            const char *all = sample.fields[i].data;
            ASSERT(memcmp(to, all + (size_t)last * field->row_bytes, field->row_bytes) == 0);
            ASSERT(memcmp(to + field->row_bytes, all, field->row_bytes) == 0);
            ASSERT(memcmp(to + 2 * field->row_bytes, to, field->row_bytes) == 0);
        }
        free(to);
    }
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
    char name[SAMPLE_KEY_MAX + 1];
    arena_open(&arena, (size_t)16 << 20);
    entry_text(name, sizeof name, key);
    struct span record = {(const char *)data + entry_bytes, size - entry_bytes};
    try_record(record, name, &arena);
    if (record.size >= RECORD_PREFIX_BYTES && record.size < ((size_t)1 << 20)) {
        char *sealed = malloc(record.size);
        if (!sealed)
            return 0;
        memcpy(sealed, record.data, record.size);
        seal(sealed, record.size);
        try_record((struct span){sealed, record.size}, name, &arena);
        free(sealed);
    }
    arena_close(&arena);
    return 0;
}
