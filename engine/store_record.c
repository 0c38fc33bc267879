/* Reads records, which may be damaged or hostile: every number is checked before it is used,
 * checksums come before the parts that they cover, caps before memory. */
#include "engine/store_record.h"

#include "engine/symbols5.h"
#include "engine/wire_format.h"

#include <lz4.h>
#include <xxhash.h>

uint64_t record_digest(struct span record)
{
    ASSERT(record.size >= RECORD_PREFIX_BYTES);
    return load_u64(record.data + AT_CHECKSUM);
}

/* Rows and bytes of chunk c. */
static size_t chunk_rows(const struct record_field *field, uint32_t c)
{
    size_t rows = field->raw_bytes / field->row_bytes, first = (size_t)c * field->chunk_rows;
    return rows - first < field->chunk_rows ? rows - first : field->chunk_rows;
}

/* Whether stored bytes of that codec can be raw bytes. */
static bool codec_fits(uint32_t codec, enum kind kind, size_t raw, size_t stored)
{
    size_t five = symbols5_bytes(raw);
    switch (codec) {
    case RECORD_RAW:
        return stored == raw;
    case RECORD_LZ4:
        return stored < raw && raw <= WIRE_RATIO_MAX * stored;
    case RECORD_5BIT:
        return kind == KIND_U8 && stored == five;
    case RECORD_5BIT_LZ4:
        return kind == KIND_U8 && stored < five && five <= WIRE_RATIO_MAX * stored;
    default:
        return false;
    }
}

/* How one field is cut and packed; *at and *table move behind it. */
static enum status read_field(struct span record, const char *row, struct record_field *field,
                              size_t *table, size_t table_end, size_t *at, struct error *err)
{
    const char *name = field->field.name;
    field->raw_bytes = field_bytes(&field->field);
    field->chunk_rows = load_u32(row);
    field->chunk_count = load_u32(row + 4);
    field->table_at = *table;
    field->data_at = *at;
    field->row_bytes = field->stored_bytes = 0;
    size_t rows = field->field.rank ? (size_t)field->field.size[0] : 1, wanted = 0;
    if (field->raw_bytes) {
        field->row_bytes = field->raw_bytes / rows;
        if (field->chunk_rows)
            wanted = (rows + field->chunk_rows - 1) / field->chunk_rows;
    }
    if (field->chunk_count != wanted || (field->raw_bytes == 0) != (field->chunk_rows == 0) ||
        wanted > (table_end - *table) / RECORD_CHUNK_BYTES)
        return error_set(err, STATUS_CORRUPT, "field %s: %u chunks of %u rows are not possible",
                         name, field->chunk_count, field->chunk_rows);
    for (uint32_t c = 0; c < field->chunk_count; c++, *table += RECORD_CHUNK_BYTES) {
        size_t stored = load_u32(record.data + *table + 8);
        uint32_t codec = load_u32(record.data + *table + 12);
        if (codec >= RECORD_CODECS)
            return error_set(err, STATUS_INVALID, "field %s: codec %u does not exist", name, codec);
        if (stored > record.size - *at ||
            !codec_fits(codec, field->field.kind, chunk_rows(field, c) * field->row_bytes, stored))
            return error_set(err, STATUS_CORRUPT, "field %s: chunk %u of %zu bytes is not possible",
                             name, c, stored);
        field->stored_bytes += stored;
        *at += stored;
    }
    return STATUS_OK;
}

static enum status check_prefix(struct span record, struct error *err)
{
    if (record.size < RECORD_PREFIX_BYTES)
        return error_set(err, STATUS_CORRUPT, "record cut short: %zu bytes", record.size);
    if (memcmp(record.data, RECORD_MAGIC, 4) != 0)
        return error_set(err, STATUS_INVALID, "no foldmill record: its first bytes are wrong");
    unsigned version = load_u16(record.data + AT_VERSION);
    if (version != RECORD_VERSION)
        return error_set(err, STATUS_INVALID,
                         "record of version %u, this foldmill reads version "
                         "%d: fill the store again, in another folder",
                         version, RECORD_VERSION);
    uint64_t bytes = load_u64(record.data + AT_FRAME_BYTES);
    if (bytes != record.size)
        return error_set(err, STATUS_CORRUPT, "record says %llu bytes, there are %zu",
                         (unsigned long long)bytes, record.size);
    return STATUS_OK;
}

enum status record_peek(struct span record, struct record_view *view, struct error *err)
{
    struct sample sample;
    view->key[0] = 0;
    view->field_count = 0;
    view->raw_bytes = 0;
    enum status status = check_prefix(record, err);
    if (status != STATUS_OK)
        return status;
    unsigned field_count = load_u16(record.data + AT_FIELD_COUNT);
    size_t header_bytes = load_u32(record.data + AT_HEADER_BYTES);
    size_t chunks = load_u32(record.data + AT_BARE);
    size_t table = RECORD_PREFIX_BYTES + field_count * (size_t)RECORD_FIELD_BYTES;
    size_t header = table + chunks * RECORD_CHUNK_BYTES, at = header + header_bytes;
    if (field_count > SAMPLE_FIELDS_MAX || header_bytes > WIRE_HEADER_MAX ||
        chunks > RECORD_CHUNKS_MAX || at > record.size)
        return error_set(err, STATUS_CORRUPT,
                         "record of %u fields, %zu chunks and a header of %zu "
                         "bytes in %zu is not possible",
                         field_count, chunks, header_bytes, record.size);
    uint64_t checksum =
        XXH3_64bits_withSeed(record.data + RECORD_PREFIX_BYTES, at - RECORD_PREFIX_BYTES,
                             XXH3_64bits(record.data, AT_CHECKSUM));
    if (checksum != record_digest(record))
        return error_set(err, STATUS_CORRUPT, "the checksum of the record's head is wrong");
    status = wire_header_read((struct span){record.data + header, header_bytes}, field_count,
                              &sample, &view->raw_bytes, err);
    for (unsigned i = 0; status == STATUS_OK && i < field_count; i++) {
        view->fields[i].field = sample.fields[i];
        status =
            read_field(record, record.data + RECORD_PREFIX_BYTES + i * (size_t)RECORD_FIELD_BYTES,
                       &view->fields[i], &table, header, &at, err);
    }
    if (status == STATUS_OK && (table != header || at != record.size))
        status = error_set(err, STATUS_CORRUPT, "%zu chunks and %zu bytes after its last field",
                           (header - table) / RECORD_CHUNK_BYTES, record.size - at);
    if (status != STATUS_OK)
        return status;
    view->field_count = sample.field_count;
    memcpy(view->key, sample.key, sizeof view->key);
    return STATUS_OK;
}

static bool is_named(const char *name, const char *const *names)
{
    for (; names && *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* Unpacks the chunk in row `table` of the table, whose stored bytes are at `stored`, to raw bytes.
 * five: room for its packed symbols; NULL where there are none. */
static enum status load_chunk(struct span record, const struct record_field *field, size_t table,
                              const char *stored, void *to, size_t raw, uint8_t *five,
                              struct error *err)
{
    const char *name = field->field.name;
    int bytes = (int)load_u32(record.data + table + 8), wanted = (int)raw;
    uint32_t codec = load_u32(record.data + table + 12);
    if (XXH3_64bits(stored, (size_t)bytes) != load_u64(record.data + table))
        return error_set(err, STATUS_CORRUPT, "field %s: the checksum of chunk %zu is wrong", name,
                         (table - field->table_at) / RECORD_CHUNK_BYTES);
    int got = wanted;
    if (codec == RECORD_RAW) {
        memcpy(to, stored, raw);
    } else if (codec == RECORD_LZ4) {
        got = LZ4_decompress_safe(stored, to, bytes, wanted);
    } else if (codec == RECORD_5BIT) {
        symbols5_unpack((const uint8_t *)stored, raw, to);
    } else {
        wanted = (int)symbols5_bytes(raw);
        got = LZ4_decompress_safe(stored, (char *)five, bytes, wanted);
        if (got == wanted)
            symbols5_unpack(five, raw, to);
    }
    if (got != wanted)
        return error_set(err, STATUS_CORRUPT, "field %s: broken LZ4 block", name);
    if (field->field.kind == KIND_BOOL && !wire_bools_are_good(to, raw))
        return error_set(err, STATUS_INVALID, "field %s: a bool is neither 0 nor 1", name);
    return STATUS_OK;
}

/* Room for what LZ4 gives where symbols are packed twice; *five NULL: not needed. */
static enum status take_five(const struct record_field *field, struct arena *arena, uint8_t **five,
                             struct error *err)
{
    size_t largest = field->chunk_rows * field->row_bytes;
    *five = NULL;
    if (field->field.kind != KIND_U8)
        return STATUS_OK;
    if (largest > field->raw_bytes)
        largest = field->raw_bytes;
    *five = arena_try(arena, symbols5_bytes(largest), 1);
    return *five ? STATUS_OK
                 : error_set(err, STATUS_LIMIT, "field %s: no memory for a chunk of %zu bytes",
                             field->field.name, largest);
}

static enum status load_field(struct span record, const struct record_field *in,
                              struct arena *arena, void **data, struct error *err)
{
    uint8_t *five;
    const char *stored = record.data + in->data_at;
    *data = arena_try(arena, in->raw_bytes, 1);
    if (!*data)
        return error_set(err, STATUS_LIMIT, "field %s: no memory for %zu bytes", in->field.name,
                         in->raw_bytes);
    struct arena_mark mark = arena_mark(arena);
    enum status status = take_five(in, arena, &five, err);
    char *to = *data;
    for (uint32_t c = 0; c < in->chunk_count && status == STATUS_OK; c++) {
        size_t raw = chunk_rows(in, c) * in->row_bytes;
        size_t table = in->table_at + c * (size_t)RECORD_CHUNK_BYTES;
        status = load_chunk(record, in, table, stored, to, raw, five, err);
        stored += load_u32(record.data + table + 8);
        to += raw;
    }
    arena_rewind(arena, mark);
    return status;
}

enum status record_load(struct span record, const struct record_view *view,
                        const struct record_options *options, struct arena *arena,
                        struct sample *sample, struct error *err)
{
    static const struct record_options plain = {0};
    if (!options)
        options = &plain;
    sample->field_count = 0;
    sample->key[0] = 0;
    sample->source = NULL;
    if (options->key && strcmp(options->key, view->key) != 0)
        return error_set(err, STATUS_CORRUPT, "the record under key %s is that of %s", options->key,
                         view->key);
    int count = 0;
    for (int i = 0; i < view->field_count; i++) {
        const struct record_field *in = &view->fields[i];
        if (options->fields && !is_named(in->field.name, options->fields))
            continue;
        struct field *field = &sample->fields[count++];
        *field = in->field;
        if (is_named(in->field.name, options->lazy))
            continue;
        enum status status = load_field(record, in, arena, &field->data, err);
        if (status != STATUS_OK)
            return status;
    }
    memcpy(sample->key, view->key, sizeof sample->key);
    sample->field_count = count;
    return STATUS_OK;
}

/* The wanted rows in order of their chunks: order[first[c] .. first[c + 1]) are those of chunk c.
 */
static void sort_rows(const struct record_field *field, const int32_t *rows, size_t count,
                      uint32_t *first, uint32_t *order)
{
    memset(first, 0, (field->chunk_count + 2) * sizeof *first);
    for (size_t i = 0; i < count; i++)
        first[(uint32_t)rows[i] / field->chunk_rows + 2]++;
    for (uint32_t c = 2; c < field->chunk_count + 2; c++)
        first[c] += first[c - 1];
    for (size_t i = 0; i < count; i++)
        order[first[(uint32_t)rows[i] / field->chunk_rows + 1]++] = (uint32_t)i;
}

/* All of a chunk's rows are wanted, one behind the other: they need not be copied. */
static bool is_run(const struct record_field *field, uint32_t c, const int32_t *rows,
                   const uint32_t *order, size_t count)
{
    uint32_t begin = c * field->chunk_rows;
    if (count != chunk_rows(field, c))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (order[i] != order[0] + i || (uint32_t)rows[order[i]] != begin + i)
            return false;
    return true;
}

enum status record_rows(struct span record, const struct record_field *field, const int32_t *rows,
                        size_t count, void *to, struct arena *scratch, struct error *err)
{
    int64_t there = field->field.rank ? field->field.size[0] : 1;
    for (size_t i = 0; i < count; i++)
        ASSERT(rows[i] >= 0 && rows[i] < there);
    if (field->raw_bytes == 0 || count == 0)
        return STATUS_OK;
    struct arena_mark mark = arena_mark(scratch);
    size_t chunk = chunk_rows(field, 0) * field->row_bytes;
    uint8_t *five = NULL;
    char *buffer = arena_try(scratch, chunk, 1);
    uint32_t *first = arena_try(scratch, field->chunk_count + (size_t)2, sizeof *first);
    uint32_t *order = arena_try(scratch, count, sizeof *order);
    enum status status = STATUS_OK;
    if (!buffer || !first || !order)
        status = error_set(err, STATUS_LIMIT, "field %s: no memory for a chunk of %zu bytes",
                           field->field.name, chunk);
    if (status == STATUS_OK)
        status = take_five(field, scratch, &five, err);
    if (status == STATUS_OK)
        sort_rows(field, rows, count, first, order);
    size_t table = field->table_at;
    const char *stored = record.data + field->data_at;
    for (uint32_t c = 0; c < field->chunk_count && status == STATUS_OK; c++) {
        size_t wanted = first[c + 1] - first[c];
        bool run = wanted && is_run(field, c, rows, order + first[c], wanted);
        char *into = run ? (char *)to + order[first[c]] * field->row_bytes : buffer;
        if (wanted)
            status = load_chunk(record, field, table, stored, into,
                                chunk_rows(field, c) * field->row_bytes, five, err);
        for (uint32_t i = first[c]; !run && i < first[c + 1] && status == STATUS_OK; i++) {
            size_t row = (uint32_t)rows[order[i]] - (size_t)c * field->chunk_rows;
            memcpy((char *)to + order[i] * field->row_bytes, buffer + row * field->row_bytes,
                   field->row_bytes);
        }
        stored += load_u32(record.data + table + 8);
        table += RECORD_CHUNK_BYTES;
    }
    arena_rewind(scratch, mark);
    return status;
}
