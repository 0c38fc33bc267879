/* Frames from anywhere: as they are, and with the checksums put right, so that the fuzzer gets
 * behind them. A frame that is accepted must give the same sample again when it is written anew. */
#include "engine/wire_format.h"

#include <stdlib.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_TRIED = 1 << 16 };

static void try_frame(struct span frame)
{
    static const char *const fields[] = {"msa", "aatype", "a", NULL};
    struct arena arena;
    struct sample sample, back;
    struct error err;
    struct span packed;
    arena_open(&arena, (size_t)64 << 20);
    struct wire_options some = {.fields = fields, .copy = true, .key = "k"};
    wire_decode(frame, &some, &arena, &sample, &err);
    wire_decode(frame, &wire_on_link, &arena, &sample, &err);
    if (wire_decode(frame, NULL, &arena, &sample, &err) == STATUS_OK &&
        wire_pack(&sample, WIRE_LZ4, &arena, &packed, &err) == STATUS_OK) {
        if (wire_decode(packed, NULL, &arena, &back, &err) != STATUS_OK)
            ASSERT(err.status == STATUS_LIMIT && arena.used_bytes > (size_t)16 << 20);
        else
            ASSERT(sample_digest(&sample) == sample_digest(&back));
    }
    arena_close(&arena);
}

/* Makes lengths fit and checksums right; what is in the frame stays the fuzzer's. */
static void seal(char *frame, size_t size)
{
    uint16_t version = WIRE_VERSION, fields = load_u16(frame + AT_FIELD_COUNT) % 66;
    uint32_t bare = load_u32(frame + AT_BARE) & 1;
    uint64_t frame_bytes = size;
    memcpy(frame, WIRE_MAGIC, 4);
    memcpy(frame + AT_VERSION, &version, 2);
    memcpy(frame + AT_FIELD_COUNT, &fields, 2);
    memcpy(frame + AT_FRAME_BYTES, &frame_bytes, 8);
    memcpy(frame + AT_BARE, &bare, 4);
    size_t header = load_u32(frame + AT_HEADER_BYTES);
    size_t head = (size_t)fields * WIRE_ROW_BYTES + header;
    if (fields > SAMPLE_FIELDS_MAX || header > WIRE_HEADER_MAX || AT_TABLE + head > size)
        return;
    size_t at = round_64(AT_TABLE + head);
    for (int i = 0; i < fields && at <= size; i++) {
        char *row = frame + AT_TABLE + i * WIRE_ROW_BYTES;
        uint64_t stored = load_u64(row + ROW_STORED);
        if (stored > size - at)
            break;
        uint64_t checksum = XXH3_64bits(frame + at, stored);
        memcpy(row + ROW_CHECKSUM, &checksum, 8);
        at = round_64(at + stored);
    }
    uint64_t checksum = wire_head_checksum(frame, head);
    memcpy(frame + AT_CHECKSUM, &checksum, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span frame = {(const char *)data, size};
    struct error err;
    size_t bytes;
    if (size > SIZE_MAX_TRIED)
        return 0;
    wire_frame_bytes(frame, &bytes, &err);
    wire_scan_msgpack(data, size, 32, 4096, &err);
    try_frame(frame);
    size_t padded = round_64(size < 64 ? 64 : size);
    char *sealed = aligned_alloc(64, padded);
    if (!sealed)
        return 0;
    memset(sealed, 0, padded);
    memcpy(sealed, data, size);
    seal(sealed, padded);
    try_frame((struct span){sealed, padded});
    free(sealed);
    return 0;
}
