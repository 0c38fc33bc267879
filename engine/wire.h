/* Samples as bytes: the same frame on links, in list files and on the pipes of `exec` programs
 * (stores keep records, store_record.h, whose header is a frame's). A frame checks itself and never
 * makes its reader allocate more than it states.
 *
 * The frame, byte by byte (all numbers little-endian, unsigned):
 *
 *    0   4  magic "FMF" 0x1a
 *    4   2  version: WIRE_VERSION
 *    6   2  F, the number of fields, 0..64
 *    8   8  frame_bytes: the whole frame, from the magic to the last byte of padding
 *   16   4  header_bytes: H, the bytes of the msgpack header, at most WIRE_HEADER_MAX
 *   20   4  1 when the arrays have no checksums of their own (on links), else 0
 *   24   8  checksum: XXH3-64 (seed 0) of bytes 0..23 followed by bytes 32..32+24F+H-1
 *   32 24F  table, a row a field: stored_bytes u64; XXH3-64 of the stored bytes u64 (on links 0);
 *           codec u32 (0 raw, 1 LZ4 block); zero u32
 *    .   H  msgpack header: [key, [[name, kind, [size, ...]], ...]]; key, name and kind ("f32") are
 *           str, sizes are unsigned integers; a scalar has no sizes
 *    .      zeros up to a multiple of 64
 *    .      for each field in order: its stored bytes, then zeros up to a multiple of 64
 *
 * A raw array is dense, row-major, little-endian, product(sizes) * kind bytes; an LZ4 block unpacks
 * to just as many, which are at most WIRE_RATIO_MAX times the stored bytes and more than them.
 * bool bytes are 0 or 1. The checksum covers the header, the key and, by way of the table, every
 * array, so it is also a digest of the frame; a reader of some fields hashes those alone.
 * On links a digest of all bytes goes with each frame (of the block, of the parts, of the message),
 * made and checked in the passes that copy: there the arrays need no second one. */
#ifndef FOLDMILL_WIRE_H
#define FOLDMILL_WIRE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/sample.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_VERSION = 1,
    WIRE_PREFIX_BYTES = 32,      /* what wire_frame_bytes needs to see */
    WIRE_ROW_BYTES = 24,         /* of the table */
    WIRE_HEADER_MAX = 16 * 1024, /* bytes of msgpack */
    WIRE_RATIO_MAX = 255,        /* unpacked bytes of an LZ4 block for each stored one */
};

/* No frame is larger: the largest sample, uncompressed, with its header and padding. */
#define WIRE_FRAME_MAX (SAMPLE_BYTES_MAX + 64 * 1024)

enum wire_codec { WIRE_RAW, WIRE_LZ4, WIRE_LZ4HC };

/* Bytes that wire_encode will write; 0 when the sample is larger than SAMPLE_BYTES_MAX. */
size_t wire_size(const struct sample *sample);

/* Writes the sample's frame, uncompressed, into buffer[capacity], sets *bytes to wire_size(sample)
 * and *digest to the frame's digest_bytes (digest.h), made in the pass that copies. For links
 * alone: its arrays have no checksums, and it allocates nothing. buffer may lie anywhere; where it
 * starts on 64 bytes, a reader can use the arrays in place. STATUS_LIMIT: the sample is too large;
 * STATUS_FULL: capacity is too small. */
enum status wire_encode(const struct sample *sample, void *buffer, size_t capacity, size_t *bytes,
                        uint64_t *digest, struct error *err);

/* For files and pipes: makes the frame in arena, each array compressed by codec where that saves
 * at least an eighth of it (WIRE_LZ4HC packs slower and tighter; both read as LZ4). The frame
 * starts on 64 bytes. STATUS_LIMIT: the sample or the arena's limit. */
enum status wire_pack(const struct sample *sample, enum wire_codec codec, struct arena *arena,
                      struct span *frame, struct error *err);

/* How long the frame is whose first WIRE_PREFIX_BYTES bytes (at least) stand at start: for readers
 * of streams and files. STATUS_EMPTY: fewer bytes than that; STATUS_INVALID: no frame, or one of
 * another version, with what to do; STATUS_LIMIT: more than WIRE_FRAME_MAX. */
enum status wire_frame_bytes(struct span start, size_t *bytes, struct error *err);

/* The frame's own checksum, which is a digest of all it holds. frame has WIRE_PREFIX_BYTES. */
uint64_t wire_digest(struct span frame);

/* What a frame says about one field. */
struct wire_field {
    struct field field;      /* data is NULL */
    enum wire_codec codec;   /* WIRE_RAW or WIRE_LZ4 */
    size_t raw_bytes, stored_bytes;
    size_t offset;           /* of the stored bytes in the frame */
    uint64_t checksum;       /* of the stored bytes */
};

struct wire_view {
    char key[SAMPLE_KEY_MAX + 1];
    int field_count;
    size_t raw_bytes;        /* of all arrays */
    bool bare;               /* the arrays have no checksums */
    struct wire_field fields[SAMPLE_FIELDS_MAX];
};

/* Checks everything of a frame but the contents of its arrays (so also each size, and that the
 * padding is zero) and says what it holds. frame is exactly one frame. STATUS_CORRUPT: a checksum
 * or the structure is wrong; STATUS_INVALID: no frame or another version; STATUS_LIMIT. */
enum status wire_peek(struct span frame, struct wire_view *view, struct error *err);

/* How a frame is to be read; NULL and zeros mean: every field, borrowed, any key. */
struct wire_options {
    const char *const *fields; /* read these alone, in the frame's order; ended by NULL */
    bool copy;                 /* nothing in the sample may point into the frame */
    bool digested;             /* a digest of the frame's bytes was checked: arrays without
                                * checksums are good; else such a frame is STATUS_CORRUPT */
    const char *key;           /* the key that the frame must hold, else STATUS_CORRUPT */
};

/* For frames that came over a link, all of whose bytes its digest covers. */
extern const struct wire_options wire_on_link;

/* The sample of a frame. Raw arrays that start on 64 bytes are borrowed from the frame unless
 * options->copy; all others are put into arena. Never allocates more than the arrays' bytes, which
 * are at most SAMPLE_BYTES_MAX and WIRE_RATIO_MAX times the frame. Status as wire_peek; *sample
 * holds nothing then. */
enum status wire_decode(struct span frame, const struct wire_options *options, struct arena *arena,
                        struct sample *sample, struct error *err);

/* A msgpack text of size bytes is one whole object, nested at most depth_max deep, of at most
 * objects_max objects, and no array, map or string claims more than the bytes that remain.
 * msgpack-c itself would allocate by what an array claims. STATUS_INVALID says where. */
enum status wire_scan_msgpack(const void *data, size_t size, int depth_max, size_t objects_max,
                              struct error *err);

#endif
