/* Offsets and byte order of frames, shared by wire.c, which reads them, and wire_encode.c, which
 * writes them; the format itself is told in wire.h. */
#ifndef FOLDMILL_WIRE_FORMAT_H
#define FOLDMILL_WIRE_FORMAT_H

#include "engine/wire.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian, as arrays");

#define WIRE_MAGIC "FMF\x1a"
#define RECORD_MAGIC "FMR\x1a"

enum {
    AT_VERSION = 4,
    AT_FIELD_COUNT = 6,
    AT_FRAME_BYTES = 8,
    AT_HEADER_BYTES = 16,
    AT_BARE = 20, /* in a record: its chunks */
    AT_CHECKSUM = 24,
    AT_TABLE = WIRE_PREFIX_BYTES,
    ROW_STORED = 0, /* in a row of the table */
    ROW_CHECKSUM = 8,
    ROW_CODEC = 16,
    ROW_ZERO = 20,
};

static inline size_t round_64(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static inline uint16_t load_u16(const char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t load_u32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t load_u64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The checksum of a frame whose table and msgpack header are head_bytes long together. */
uint64_t wire_head_checksum(const char *frame, size_t head_bytes);

/* Bytes of the msgpack header of sample, which records in stores have too. */
size_t wire_header_bytes(const struct sample *sample);

/* Writes it: bytes is what wire_header_bytes said. */
void wire_header_write(const struct sample *sample, char *header, size_t bytes);

/* Reads it: *sample gets key and fields without data, *raw_bytes the bytes of all arrays, which are
 * at most SAMPLE_BYTES_MAX. Status as wire_peek. */
enum status wire_header_read(struct span header, unsigned field_count, struct sample *sample,
                             size_t *raw_bytes, struct error *err);

/* Whether all bytes are zero. */
bool wire_all_zero(const char *data, size_t size);

/* Bytes of a bool array are used as C bools, for which other values than 0 and 1 do not exist. */
bool wire_bools_are_good(const void *data, size_t size);

#endif
