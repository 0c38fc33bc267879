/* Offsets and byte order of frames, shared by wire.c, which reads them, and wire_encode.c, which
 * writes them; the format itself is told in wire.h. */
#ifndef FOLDMILL_WIRE_FORMAT_H
#define FOLDMILL_WIRE_FORMAT_H

#include "engine/wire.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian, as arrays");

#define WIRE_MAGIC "FMF\x1a"

enum {
    AT_VERSION = 4,
    AT_FIELD_COUNT = 6,
    AT_FRAME_BYTES = 8,
    AT_HEADER_BYTES = 16,
    AT_ZERO = 20,
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

#endif
