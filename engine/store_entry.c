/* Index entries as bytes; see store_entry.h. */
#include "engine/store_entry.h"

#include <string.h>
#include <xxhash.h>

enum { KIND_RECORD = 1, KIND_TOMBSTONE = 2 };

struct store_made store_made(uint64_t recipe, const struct sample *sample)
{
    const struct field *field = sample_find(sample, "input_digest");
    return (struct store_made){recipe,
                               field ? XXH3_64bits(field->data, field_bytes(field)) : 0};
}

bool store_made_equal(struct store_made a, struct store_made b)
{
    return a.recipe == b.recipe && a.input == b.input;
}

void entry_text(char *to, size_t capacity, struct span text)
{
    size_t size = text.size < capacity ? text.size : capacity - 1;
    while (size > 0 && size < text.size && ((unsigned char)text.data[size] & 0xc0) == 0x80)
        size--; /* the middle of a character is no end */
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        to[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    to[size] = 0;
}

static uint64_t entry_checksum(struct span key, const char *value, size_t size)
{
    char text[SAMPLE_KEY_MAX + ENTRY_BYTES_MAX];
    memcpy(text, key.data, key.size);
    memcpy(text + key.size, value + 8, size - 8);
    return XXH3_64bits(text, key.size + size - 8);
}

size_t entry_write(const struct store_entry *entry, char buffer[ENTRY_BYTES_MAX])
{
    size_t split = strlen(entry->split), reason = strlen(entry->reason);
    memset(buffer, 0, ENTRY_FIXED_BYTES);
    buffer[8] = entry->refused ? KIND_TOMBSTONE : KIND_RECORD;
    buffer[9] = (char)split;
    uint16_t reason_bytes = (uint16_t)reason;
    memcpy(buffer + 10, &reason_bytes, 2);
    memcpy(buffer + 16, &entry->made.recipe, 8);
    memcpy(buffer + 24, &entry->made.input, 8);
    memcpy(buffer + 32, &entry->digest, 8);
    memcpy(buffer + 40, &entry->raw_bytes, 8);
    memcpy(buffer + 48, &entry->stored_bytes, 8);
    memcpy(buffer + 56, &entry->length, 4);
    memcpy(buffer + 60, &entry->rows, 4);
    memcpy(buffer + ENTRY_FIXED_BYTES, entry->split, split);
    memcpy(buffer + ENTRY_FIXED_BYTES + split, entry->reason, reason);
    size_t size = ENTRY_FIXED_BYTES + split + reason;
    uint64_t checksum = entry_checksum(span_of(entry->key), buffer, size);
    memcpy(buffer, &checksum, 8);
    return size;
}

static bool text_is_clean(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

enum status entry_read(struct span key, struct span value, struct store_entry *entry,
                       struct error *err)
{
    *entry = (struct store_entry){0};
    struct sample sample;
    entry_text(entry->key, sizeof entry->key, key);
    if (sample_open(&sample, key, NULL) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "index entry under '%s': no possible key",
                         entry->key);
    if (value.size < ENTRY_FIXED_BYTES || value.size > ENTRY_BYTES_MAX)
        return error_set(err, STATUS_CORRUPT, "index entry: %zu bytes are not possible",
                         value.size);
    const char *at = value.data;
    uint64_t checksum;
    uint32_t zero;
    uint16_t reason_bytes;
    memcpy(&checksum, at, 8);
    if (checksum != entry_checksum(key, at, value.size))
        return error_set(err, STATUS_CORRUPT, "index entry: its checksum is wrong");
    size_t split = (unsigned char)at[9];
    memcpy(&reason_bytes, at + 10, 2);
    memcpy(&zero, at + 12, 4);
    entry->refused = at[8] == KIND_TOMBSTONE;
    if ((at[8] != KIND_RECORD && at[8] != KIND_TOMBSTONE) || zero != 0 ||
        split > STORE_SPLIT_MAX || reason_bytes > STORE_REASON_MAX ||
        value.size != ENTRY_FIXED_BYTES + split + reason_bytes ||
        !text_is_clean(at + ENTRY_FIXED_BYTES, split + reason_bytes))
        return error_set(err, STATUS_CORRUPT, "index entry: impossible contents");
    memcpy(&entry->made.recipe, at + 16, 8);
    memcpy(&entry->made.input, at + 24, 8);
    memcpy(&entry->digest, at + 32, 8);
    memcpy(&entry->raw_bytes, at + 40, 8);
    memcpy(&entry->stored_bytes, at + 48, 8);
    memcpy(&entry->length, at + 56, 4);
    memcpy(&entry->rows, at + 60, 4);
    memcpy(entry->split, at + ENTRY_FIXED_BYTES, split);
    memcpy(entry->reason, at + ENTRY_FIXED_BYTES + split, reason_bytes);
    return STATUS_OK;
}
