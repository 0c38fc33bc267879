/* Records of the store as bytes, a pure part of it, so that it can be tested and fuzzed without a
 * file. Arrays are cut along their first axis into chunks, each packed and checked on its own, so
 * that a reader of some rows touches those chunks alone. A record checks itself by two levels: the
 * head's checksum covers header, key and the table of chunks, the table has each chunk's.
 *
 * The record, byte by byte (all numbers little-endian, unsigned):
 *
 *    0   4  magic "FMR" 0x1a
 *    4   2  version: RECORD_VERSION
 *    6   2  F, the number of fields, 0..64
 *    8   8  record_bytes: the whole record
 *   16   4  header_bytes: H, the bytes of the msgpack header, at most WIRE_HEADER_MAX
 *   20   4  C, the number of chunks of all fields, at most RECORD_CHUNKS_MAX
 *   24   8  checksum: XXH3-64 of bytes 32..32+8F+16C+H-1, seeded with the XXH3-64 of bytes 0..23
 *   32  8F  a row a field: chunk_rows u32, the rows of each chunk but the last; chunk_count u32
 *    . 16C  a row a chunk, in order of fields: XXH3-64 of the stored bytes u64; stored_bytes u32;
 *           codec u32 (enum record_codec)
 *    .   H  msgpack header as in a frame (wire.h): [key, [[name, kind, [size, ...]], ...]]
 *    .      the chunks' stored bytes, one after another, to the record's end
 *
 * A scalar has one row; an array without elements has no chunks. Chunks unpack to chunk_rows rows,
 * dense, row-major, little-endian; an LZ4 block to more bytes than it has, at most WIRE_RATIO_MAX
 * times as many. Codecs 2 and 3 are of u8 alone (symbols5.h). */
#ifndef FOLDMILL_STORE_RECORD_H
#define FOLDMILL_STORE_RECORD_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/sample.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RECORD_VERSION = 2,
    RECORD_PREFIX_BYTES = 32,
    RECORD_FIELD_BYTES = 8,         /* of a field's row */
    RECORD_CHUNK_BYTES = 16,        /* of a chunk's row */
    RECORD_CHUNK_TARGET = 64 << 10, /* bytes of a chunk, unless a row is longer */
    RECORD_CHUNKS_MAX = 33000,      /* all chunks of a field but the last have half the target */
};

enum store_codec { STORE_RAW, STORE_LZ4, STORE_LZ4HC }; /* how a writer packs */

enum record_codec { RECORD_RAW, RECORD_LZ4, RECORD_5BIT, RECORD_5BIT_LZ4, RECORD_CODECS };

struct record_field {
    struct field field; /* data is NULL */
    size_t raw_bytes, stored_bytes;
    size_t row_bytes; /* of one row of the first axis */
    uint32_t chunk_rows, chunk_count;
    size_t table_at, data_at; /* of its first chunk: row of the table, stored bytes */
};

struct record_view {
    char key[SAMPLE_KEY_MAX + 1];
    int field_count;
    size_t raw_bytes; /* of all arrays */
    struct record_field fields[SAMPLE_FIELDS_MAX];
};

/* Makes the record in arena. codec: STORE_RAW leaves every chunk as it is; else each is packed by
 * what gives the fewest bytes, and stays raw where less than an eighth is saved. STATUS_LIMIT: the
 * sample or the arena's limit. */
enum status record_pack(const struct sample *sample, enum store_codec codec, struct arena *arena,
                        struct span *record, struct error *err);

/* The record's own checksum, which is a digest of all it holds. It has RECORD_PREFIX_BYTES. */
uint64_t record_digest(struct span record);

/* Checks everything of a record but the contents of its chunks and says what it holds.
 * STATUS_CORRUPT: a checksum or the structure is wrong; STATUS_INVALID: no record or one of another
 * version; STATUS_LIMIT. */
enum status record_peek(struct span record, struct record_view *view, struct error *err);

/* How a record is to be read; NULL: every field, with its data, under any key. */
struct record_options {
    const char *const *fields; /* read these alone, in the record's order; ended by NULL */
    const char *const *lazy;   /* of these give no data (record_rows does); ended by NULL */
    const char *key;           /* the key that the record must hold, else STATUS_CORRUPT */
};

/* The sample of a record that record_peek has looked at; nothing in it points into the record.
 * Never allocates more than the arrays' bytes and a chunk. Status as record_peek. */
enum status record_load(struct span record, const struct record_view *view,
                        const struct record_options *options, struct arena *arena,
                        struct sample *sample, struct error *err);

/* Rows rows[count] of a field's first axis, one after another into to[count * row_bytes]; touches
 * the chunks that hold them, each once. Row numbers must be there. scratch is left as it was.
 * STATUS_CORRUPT names the field. */
enum status record_rows(struct span record, const struct record_field *field, const int32_t *rows,
                        size_t count, void *to, struct arena *scratch, struct error *err);

#endif
