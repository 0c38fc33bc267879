/* Writes frames: into a caller's buffer for links, compressed into an arena for stores. The msgpack
 * header depends on nothing but names and shapes, so sizes are known before anything is written. */
#include "engine/base/digest.h"
#include "engine/wire_format.h"

#include <lz4.h>
#include <lz4hc.h>
#include <msgpack.h>
#include <xxhash.h>

enum {
    PACK_BYTES_MIN = 256, /* smaller arrays are stored raw: nothing to gain */
    PACK_LEVEL_HC = 4,    /* measured: higher levels cost much and save little on alignments */
};

/* A packer's target: counts, and writes while there is room (none: only counts). */
struct sink {
    char *data;
    size_t capacity, used;
};

static int sink_write(void *opaque, const char *data, size_t size)
{
    struct sink *sink = opaque;
    if (sink->data) {
        ASSERT(size <= sink->capacity - sink->used);
        memcpy(sink->data + sink->used, data, size);
    }
    sink->used += size;
    return 0;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    size_t size = strlen(text);
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, text, size);
}

static void pack_header(const struct sample *sample, struct sink *sink)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, sink, sink_write);
    msgpack_pack_array(&packer, 2);
    pack_text(&packer, sample->key);
    msgpack_pack_array(&packer, (size_t)sample->field_count);
    for (int i = 0; i < sample->field_count; i++) {
        const struct field *field = &sample->fields[i];
        msgpack_pack_array(&packer, 3);
        pack_text(&packer, field->name);
        pack_text(&packer, kind_name(field->kind));
        msgpack_pack_array(&packer, (size_t)field->rank);
        for (int d = 0; d < field->rank; d++)
            msgpack_pack_uint64(&packer, (uint64_t)field->size[d]);
    }
}

size_t wire_header_bytes(const struct sample *sample)
{
    struct sink counter = {0};
    pack_header(sample, &counter);
    ASSERT_INT(counter.used, <=, WIRE_HEADER_MAX);
    return counter.used;
}

void wire_header_write(const struct sample *sample, char *header, size_t bytes)
{
    struct sink sink = {header, bytes, 0};
    pack_header(sample, &sink);
    ASSERT_INT(sink.used, ==, bytes);
}

/* Bytes of prefix, table and header, padded: where the first array starts. */
static size_t head_size(const struct sample *sample, size_t *header_bytes)
{
    *header_bytes = wire_header_bytes(sample);
    return round_64(AT_TABLE + (size_t)sample->field_count * WIRE_ROW_BYTES + *header_bytes);
}

size_t wire_size(const struct sample *sample)
{
    size_t header_bytes, raw_bytes = 0, bytes = head_size(sample, &header_bytes);
    for (int i = 0; i < sample->field_count; i++) {
        size_t array = field_bytes(&sample->fields[i]);
        if (array > SAMPLE_BYTES_MAX - raw_bytes)
            return 0;
        raw_bytes += array;
        bytes += round_64(array);
    }
    return bytes;
}

static enum status too_large(const struct sample *sample, struct error *err)
{
    return error_set(err, STATUS_LIMIT, "sample %s has %zu bytes, the limit is %zu", sample->key,
                     sample_bytes(sample), SAMPLE_BYTES_MAX);
}

/* Writes one array at `at`, where capacity bytes are free, and says how it is stored. */
static size_t put_array(const struct field *field, enum wire_codec codec, void *state_hc, char *at,
                        size_t capacity, uint32_t *stored_codec)
{
    size_t raw_bytes = field_bytes(field);
    ASSERT(round_64(raw_bytes) <= capacity);
    *stored_codec = WIRE_RAW;
    if (codec != WIRE_RAW && raw_bytes >= PACK_BYTES_MIN) {
        int room = (int)(raw_bytes - raw_bytes / 8), packed;
        if (codec == WIRE_LZ4HC)
            packed = LZ4_compress_HC_extStateHC(state_hc, field->data, at, (int)raw_bytes, room,
                                                PACK_LEVEL_HC);
        else
            packed = LZ4_compress_default(field->data, at, (int)raw_bytes, room);
        if (packed > 0) {
            *stored_codec = WIRE_LZ4;
            return (size_t)packed;
        }
    }
    if (raw_bytes)
        memcpy(at, field->data, raw_bytes);
    return raw_bytes;
}

uint64_t wire_head_checksum(const char *frame, size_t head_bytes)
{
    /* The two parts side by side: cheaper than a streaming state for these few hundred bytes. */
    char head[AT_CHECKSUM + SAMPLE_FIELDS_MAX * WIRE_ROW_BYTES + WIRE_HEADER_MAX];
    ASSERT_INT(head_bytes, <=, sizeof head - AT_CHECKSUM);
    memcpy(head, frame, AT_CHECKSUM);
    memcpy(head + AT_CHECKSUM, frame + AT_TABLE, head_bytes);
    return XXH3_64bits(head, AT_CHECKSUM + head_bytes);
}

static void put_row(char *buffer, int field, uint64_t stored_bytes, uint64_t checksum,
                    uint32_t codec)
{
    char *row = buffer + AT_TABLE + (size_t)field * WIRE_ROW_BYTES;
    memcpy(row + ROW_STORED, &stored_bytes, 8);
    memcpy(row + ROW_CHECKSUM, &checksum, 8);
    memcpy(row + ROW_CODEC, &codec, 4);
}

/* All before the table, once that and the msgpack header are there. */
static void put_prefix(const struct sample *sample, size_t header_bytes, uint64_t frame_bytes,
                       bool bare, char *buffer)
{
    uint16_t version = WIRE_VERSION, field_count = (uint16_t)sample->field_count;
    uint32_t header_size = (uint32_t)header_bytes, is_bare = bare;
    memcpy(buffer, WIRE_MAGIC, 4);
    memcpy(buffer + AT_VERSION, &version, 2);
    memcpy(buffer + AT_FIELD_COUNT, &field_count, 2);
    memcpy(buffer + AT_FRAME_BYTES, &frame_bytes, 8);
    memcpy(buffer + AT_HEADER_BYTES, &header_size, 4);
    memcpy(buffer + AT_BARE, &is_bare, 4);
    uint64_t checksum =
        wire_head_checksum(buffer, field_count * (size_t)WIRE_ROW_BYTES + header_bytes);
    memcpy(buffer + AT_CHECKSUM, &checksum, 8);
}

/* Zeros where the head will be, with the msgpack header; returns the bytes of all of it. */
static size_t begin_frame(const struct sample *sample, char *buffer, size_t *header_bytes)
{
    size_t at = head_size(sample, header_bytes);
    memset(buffer, 0, at);
    wire_header_write(sample,
                      buffer + AT_TABLE + (size_t)sample->field_count * WIRE_ROW_BYTES,
                      *header_bytes);
    return at;
}

/* The frame at buffer, whose capacity is at least wire_size; returns its bytes. */
static size_t write_frame(const struct sample *sample, enum wire_codec codec, void *state_hc,
                          char *buffer, size_t capacity)
{
    size_t header_bytes, at = begin_frame(sample, buffer, &header_bytes);
    for (int i = 0; i < sample->field_count; i++) {
        uint32_t stored_codec;
        size_t stored = put_array(&sample->fields[i], codec, state_hc, buffer + at, capacity - at,
                                  &stored_codec);
        put_row(buffer, i, stored, XXH3_64bits(buffer + at, stored), stored_codec);
        memset(buffer + at + stored, 0, round_64(stored) - stored);
        at += round_64(stored);
    }
    put_prefix(sample, header_bytes, at, false, buffer);
    return at;
}

/* A frame that grows piece by piece, with the digest of its first `digested` bytes. */
struct growing {
    char *buffer;
    size_t bytes, digested;
    struct digest digest;
};

/* Appends a piece. What of it fills whole blocks of the digest is digested while it is copied, what
 * does not comes with the next piece. */
static void grow(struct growing *frame, const void *piece, size_t bytes)
{
    const char *from = piece;
    char *to = frame->buffer + frame->bytes;
    size_t before = (DIGEST_PIECE - frame->bytes % DIGEST_PIECE) % DIGEST_PIECE;
    if (bytes >= before + DIGEST_PIECE) {
        size_t whole = (bytes - before) / DIGEST_PIECE * DIGEST_PIECE;
        memcpy(to, from, before);
        digest_add(&frame->digest, NULL, frame->buffer + frame->digested,
                   frame->bytes + before - frame->digested);
        digest_add(&frame->digest, to + before, from + before, whole);
        frame->digested = frame->bytes + before + whole;
        memcpy(to + before + whole, from + before + whole, bytes - before - whole);
    } else if (bytes) {
        memcpy(to, from, bytes);
    }
    frame->bytes += bytes;
}

enum status wire_encode(const struct sample *sample, void *buffer, size_t capacity, size_t *bytes,
                        uint64_t *digest, struct error *err)
{
    static const char zeros[64] = {0};
    struct growing frame = {.buffer = buffer};
    size_t header_bytes, size = wire_size(sample);
    if (size == 0)
        return too_large(sample, err);
    if (size > capacity)
        return error_set(err, STATUS_FULL, "sample %s needs %zu bytes, the buffer has %zu",
                         sample->key, size, capacity);
    digest_begin(&frame.digest);
    frame.bytes = begin_frame(sample, buffer, &header_bytes);
    for (int i = 0; i < sample->field_count; i++)
        put_row(buffer, i, field_bytes(&sample->fields[i]), 0, WIRE_RAW);
    put_prefix(sample, header_bytes, size, true, buffer);
    for (int i = 0; i < sample->field_count; i++) {
        size_t raw_bytes = field_bytes(&sample->fields[i]);
        grow(&frame, sample->fields[i].data, raw_bytes);
        grow(&frame, zeros, round_64(raw_bytes) - raw_bytes);
    }
    ASSERT_INT(frame.bytes, ==, size);
    digest_add(&frame.digest, NULL, frame.buffer + frame.digested, size - frame.digested);
    *digest = digest_end(&frame.digest);
    *bytes = size;
    return STATUS_OK;
}

enum status wire_pack(const struct sample *sample, enum wire_codec codec, struct arena *arena,
                      struct span *frame, struct error *err)
{
    size_t size = wire_size(sample);
    if (size == 0)
        return too_large(sample, err);
    void *state_hc = NULL;
    char *buffer = arena_try(arena, size, 1);
    if (buffer && codec == WIRE_LZ4HC)
        state_hc = arena_try(arena, (size_t)LZ4_sizeofStateHC(), 1);
    if (!buffer || (codec == WIRE_LZ4HC && !state_hc))
        return error_set(err, STATUS_LIMIT, "no memory for the record of %s: %zu bytes",
                         sample->key, size);
    *frame = (struct span){buffer, write_frame(sample, codec, state_hc, buffer, size)};
    return STATUS_OK;
}
