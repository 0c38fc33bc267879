/* Writes records; see store_record.h. */
#include "engine/store_record.h"

#include "engine/symbols5.h"
#include "engine/wire_format.h"

#include <lz4.h>
#include <lz4hc.h>
#include <xxhash.h>

enum {
    PACK_BYTES_MIN = 256, /* smaller chunks are stored raw: nothing to gain */
    PACK_LEVEL_HC = 4,    /* measured: higher levels cost much and save little on alignments */
};

struct packer {
    enum store_codec codec;
    void *state_hc;
    uint8_t *five, *packed; /* of the largest chunk of symbols */
};

/* One block of LZ4 in at most room bytes; 0: it needs more. */
static size_t lz4(const struct packer *packer, const void *data, size_t size, void *to, size_t room)
{
    int bytes = packer->codec == STORE_LZ4HC
                    ? LZ4_compress_HC_extStateHC(packer->state_hc, data, to, (int)size, (int)room,
                                                 PACK_LEVEL_HC)
                    : LZ4_compress_default(data, to, (int)size, (int)room);
    return bytes > 0 ? (size_t)bytes : 0;
}

/* Symbols in five bits each, with and without LZ4 behind, where that takes less than best bytes. */
static size_t put_symbols(const struct packer *packer, const uint8_t *symbols, size_t size,
                          size_t best, char *at, enum record_codec *codec)
{
    size_t five = symbols5_bytes(size);
    symbols5_pack(symbols, size, packer->five);
    size_t room = five - five / 8 < best ? five - five / 8 : best - 1;
    size_t bytes = lz4(packer, packer->five, five, packer->packed, room);
    if (bytes) {
        *codec = RECORD_5BIT_LZ4;
        memcpy(at, packer->packed, bytes);
        return bytes;
    }
    if (five >= best)
        return best;
    *codec = RECORD_5BIT;
    memcpy(at, packer->five, five);
    return five;
}

/* Writes one chunk at `at`, where size bytes are free; returns its stored bytes. */
static size_t put_chunk(const struct packer *packer, enum kind kind, const void *data, size_t size,
                        char *at, enum record_codec *codec)
{
    size_t stored = size;
    *codec = RECORD_RAW;
    if (packer->codec != STORE_RAW && size >= PACK_BYTES_MIN) {
        size_t bytes = lz4(packer, data, size, at, size - size / 8);
        if (bytes) {
            *codec = RECORD_LZ4;
            stored = bytes;
        }
        if (kind == KIND_U8 && symbols5_fit(data, size))
            stored = put_symbols(packer, data, size, stored, at, codec);
    }
    if (*codec == RECORD_RAW)
        memcpy(at, data, size);
    return stored;
}

struct cut {
    size_t rows, row_bytes;
    uint32_t chunk_rows, chunk_count;
};

/* How a field is cut. */
static struct cut cut_field(const struct field *field)
{
    struct cut cut = {.rows = field->rank ? (size_t)field->size[0] : 1};
    size_t bytes = field_bytes(field);
    if (bytes == 0)
        return cut;
    cut.row_bytes = bytes / cut.rows;
    size_t rows = RECORD_CHUNK_TARGET / cut.row_bytes;
    rows = rows < 1 ? 1 : rows < cut.rows ? rows : cut.rows;
    cut.chunk_rows = (uint32_t)rows;
    cut.chunk_count = (uint32_t)((cut.rows + rows - 1) / rows);
    return cut;
}

/* The chunks of one field: rows of the table, and stored bytes at *at. */
static void put_field(const struct packer *packer, const struct field *field, char *table,
                      char *record, size_t *at)
{
    struct cut cut = cut_field(field);
    const char *data = field->data;
    for (uint32_t c = 0; c < cut.chunk_count; c++, table += RECORD_CHUNK_BYTES) {
        size_t first = (size_t)c * cut.chunk_rows;
        size_t rows = cut.rows - first < cut.chunk_rows ? cut.rows - first : cut.chunk_rows;
        enum record_codec codec;
        size_t stored = put_chunk(packer, field->kind, data + first * cut.row_bytes,
                                  rows * cut.row_bytes, record + *at, &codec);
        uint64_t checksum = XXH3_64bits(record + *at, stored);
        uint32_t words[2] = {(uint32_t)stored, codec};
        memcpy(table, &checksum, 8);
        memcpy(table + 8, words, 8);
        *at += stored;
    }
}

static uint64_t head_checksum(const char *record, size_t head_end)
{
    return XXH3_64bits_withSeed(record + RECORD_PREFIX_BYTES, head_end - RECORD_PREFIX_BYTES,
                                XXH3_64bits(record, AT_CHECKSUM));
}

static size_t write_record(const struct sample *sample, const struct packer *packer,
                           uint32_t chunks, size_t header_bytes, char *record)
{
    uint16_t version = RECORD_VERSION, field_count = (uint16_t)sample->field_count;
    size_t fields_at = RECORD_PREFIX_BYTES;
    size_t table_at = fields_at + field_count * (size_t)RECORD_FIELD_BYTES;
    size_t header_at = table_at + chunks * (size_t)RECORD_CHUNK_BYTES;
    size_t head_end = header_at + header_bytes, at = head_end;
    wire_header_write(sample, record + header_at, header_bytes);
    for (int i = 0; i < sample->field_count; i++) {
        struct cut cut = cut_field(&sample->fields[i]);
        uint32_t words[2] = {cut.chunk_rows, cut.chunk_count};
        memcpy(record + fields_at, words, sizeof words);
        put_field(packer, &sample->fields[i], record + table_at, record, &at);
        fields_at += RECORD_FIELD_BYTES;
        table_at += cut.chunk_count * (size_t)RECORD_CHUNK_BYTES;
    }
    uint64_t record_bytes = at;
    uint32_t words[2] = {(uint32_t)header_bytes, chunks};
    memcpy(record, RECORD_MAGIC, 4);
    memcpy(record + AT_VERSION, &version, 2);
    memcpy(record + AT_FIELD_COUNT, &field_count, 2);
    memcpy(record + AT_FRAME_BYTES, &record_bytes, 8);
    memcpy(record + AT_HEADER_BYTES, words, sizeof words);
    uint64_t checksum = head_checksum(record, head_end);
    memcpy(record + AT_CHECKSUM, &checksum, 8);
    return at;
}

enum status record_pack(const struct sample *sample, enum store_codec codec, struct arena *arena,
                        struct span *record, struct error *err)
{
    uint32_t chunks = 0;
    size_t largest = 0, raw_bytes = 0, header_bytes = wire_header_bytes(sample);
    for (int i = 0; i < sample->field_count; i++) {
        struct cut cut = cut_field(&sample->fields[i]);
        size_t chunk = cut.chunk_rows * cut.row_bytes, bytes = field_bytes(&sample->fields[i]);
        if (bytes > SAMPLE_BYTES_MAX - raw_bytes)
            return error_set(err, STATUS_LIMIT, "sample %s has %zu bytes, the limit is %zu",
                             sample->key, sample_bytes(sample), SAMPLE_BYTES_MAX);
        raw_bytes += bytes;
        chunks += cut.chunk_count;
        if (sample->fields[i].kind == KIND_U8 && chunk > largest)
            largest = chunk;
    }
    ASSERT_INT(chunks, <=, RECORD_CHUNKS_MAX);
    size_t head = RECORD_PREFIX_BYTES + (size_t)sample->field_count * RECORD_FIELD_BYTES +
                  chunks * (size_t)RECORD_CHUNK_BYTES + header_bytes;
    struct packer packer = {.codec = codec};
    char *buffer = arena_try(arena, head + raw_bytes, 1);
    struct arena_mark mark = arena_mark(arena);
    packer.five = buffer ? arena_try(arena, symbols5_bytes(largest), 1) : NULL;
    packer.packed = packer.five ? arena_try(arena, symbols5_bytes(largest), 1) : NULL;
    packer.state_hc = packer.packed ? arena_try(arena, (size_t)LZ4_sizeofStateHC(), 1) : NULL;
    if (!packer.state_hc)
        return error_set(err, STATUS_LIMIT, "no memory for the record of %s: %zu bytes",
                         sample->key, head + raw_bytes);
    *record = (struct span){buffer, write_record(sample, &packer, chunks, header_bytes, buffer)};
    arena_rewind(arena, mark);
    return STATUS_OK;
}
