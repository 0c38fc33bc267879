/* Index entries as bytes, checked against their key: a pure part of the store, so that it can be
 * tested and fuzzed without a file.
 *
 *    0  8  XXH3-64 of the key followed by bytes 8.. of the entry
 *    8  1  kind: 1 record, 2 tombstone
 *    9  1  bytes of split
 *   10  2  bytes of reason (0 for records)
 *   12  4  zero
 *   16 16  made: recipe, input
 *   32  8  digest: the checksum of the record
 *   40  8  bytes of the arrays, unpacked
 *   48  8  bytes of the record
 *   56  4  length
 *   60  4  rows
 *   64     split, then reason: text without control characters */
#ifndef FOLDMILL_STORE_ENTRY_H
#define FOLDMILL_STORE_ENTRY_H

#include "engine/store.h"

enum {
    ENTRY_FIXED_BYTES = 64,
    ENTRY_BYTES_MAX = ENTRY_FIXED_BYTES + STORE_SPLIT_MAX + STORE_REASON_MAX,
};

/* Writes entry to buffer and returns its bytes. */
size_t entry_write(const struct store_entry *entry, char buffer[ENTRY_BYTES_MAX]);

/* Reads the entry that stands under key. STATUS_CORRUPT says what is wrong; entry->key is set in
 * any case, as far as it is a key. */
enum status entry_read(struct span key, struct span value, struct store_entry *entry,
                       struct error *err);

/* Puts text that may hold anything into a field of an entry: control characters become '?', what
 * is too long is cut (not inside a UTF-8 character). */
void entry_text(char *to, size_t capacity, struct span text);

#endif
