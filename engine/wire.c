/* Reads frames that may come from anywhere: every number is checked before it is used, checksums
 * come before the parts that they cover, caps before memory; see wire.h for the format. */
#include "engine/wire_format.h"

#include <lz4.h>
#include <msgpack.h>
#include <xxhash.h>

enum {
    SCAN_DEPTH_MAX = 32,
    HEADER_DEPTH = 4, /* [key, [[name, kind, [size]]]] */
    HEADER_OBJECTS_MAX = 3 + SAMPLE_FIELDS_MAX * (4 + SAMPLE_RANK_MAX),
};

/* What the first byte of a msgpack object says: bytes of its head, then of its body, and how many
 * objects it holds. false: the head does not fit, or the byte is not used by msgpack. */
static bool scan_head(const unsigned char *at, size_t left, size_t *bytes, uint64_t *children)
{
    unsigned char byte = at[0];
    uint64_t count = 0;
    size_t head = 1;
    *children = 0;
    if (byte <= 0x7f || byte >= 0xe0 || byte == 0xc0 || byte == 0xc2 || byte == 0xc3) {
        *bytes = 1;
        return true;
    }
    if (byte == 0xc1)
        return false;
    if (byte <= 0x8f || (byte >= 0x90 && byte <= 0x9f)) { /* fixmap, fixarray */
        *bytes = 1;
        *children = (byte & 0x0fu) * (byte <= 0x8f ? 2u : 1u);
        return true;
    }
    if (byte <= 0xbf) { /* fixstr */
        *bytes = 1 + (byte & 0x1fu);
        return *bytes <= left;
    }
    if (byte >= 0xca && byte <= 0xd3) { /* float 32 and 64, uint and int of 8 to 64 bits */
        static const unsigned char width[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
        *bytes = 1 + (size_t)width[byte - 0xca];
        return *bytes <= left;
    }
    if (byte >= 0xd4 && byte <= 0xd8) { /* fixext: type, then 1 to 16 bytes */
        *bytes = 2 + ((size_t)1 << (byte - 0xd4));
        return *bytes <= left;
    }
    /* bin c4-c6, ext c7-c9, str d9-db, array dc-dd, map de-df: a big-endian count follows. */
    static const unsigned char width[] = {[0xc4 - 0xc4] = 1, [0xc5 - 0xc4] = 2, [0xc6 - 0xc4] = 4,
                                          [0xc7 - 0xc4] = 1, [0xc8 - 0xc4] = 2, [0xc9 - 0xc4] = 4,
                                          [0xd9 - 0xc4] = 1, [0xda - 0xc4] = 2, [0xdb - 0xc4] = 4,
                                          [0xdc - 0xc4] = 2, [0xdd - 0xc4] = 4, [0xde - 0xc4] = 2,
                                          [0xdf - 0xc4] = 4};
    size_t count_bytes = width[byte - 0xc4];
    if (head + count_bytes > left)
        return false;
    for (size_t i = 0; i < count_bytes; i++)
        count = count << 8 | at[head++];
    if (byte >= 0xdc) {
        *bytes = head;
        *children = byte >= 0xde ? 2 * count : count;
        return true;
    }
    *bytes = head + (size_t)count + (byte >= 0xc7 && byte <= 0xc9 ? 1u : 0u);
    return *bytes <= left;
}

enum status wire_scan_msgpack(const void *data, size_t size, int depth_max, size_t objects_max,
                              struct error *err)
{
    const unsigned char *text = data;
    uint64_t wanted[SCAN_DEPTH_MAX + 1] = {1}; /* objects still to come at each depth */
    size_t at = 0, objects = 0;
    int depth = 0;
    ASSERT_INT(depth_max, <=, SCAN_DEPTH_MAX);
    for (;;) {
        while (depth >= 0 && wanted[depth] == 0)
            depth--;
        if (depth < 0)
            break;
        size_t bytes = 0;
        uint64_t children = 0;
        if (at >= size || !scan_head(text + at, size - at, &bytes, &children))
            return error_set(err, STATUS_INVALID, "msgpack: byte %zu of %zu: cut short or unused",
                             at, size);
        at += bytes;
        wanted[depth]--;
        if (++objects > objects_max)
            return error_set(err, STATUS_INVALID, "msgpack: more than %zu objects", objects_max);
        if (children > size - at)
            return error_set(err, STATUS_INVALID,
                             "msgpack: byte %zu claims %llu objects, %zu bytes are left", at,
                             (unsigned long long)children, size - at);
        if (children == 0)
            continue;
        if (depth == depth_max)
            return error_set(err, STATUS_INVALID, "msgpack: byte %zu: more than %d levels", at,
                             depth_max);
        wanted[++depth] = children;
    }
    if (at != size)
        return error_set(err, STATUS_INVALID, "msgpack: %zu bytes after its end", size - at);
    return STATUS_OK;
}

enum status wire_frame_bytes(struct span start, size_t *bytes, struct error *err)
{
    if (start.size < WIRE_PREFIX_BYTES)
        return error_set(err, STATUS_EMPTY, "%zu bytes, a frame starts with %d", start.size,
                         WIRE_PREFIX_BYTES);
    if (memcmp(start.data, WIRE_MAGIC, 4) != 0)
        return error_set(err, STATUS_INVALID, "no foldmill frame: its first bytes are wrong");
    unsigned version = load_u16(start.data + AT_VERSION);
    if (version != WIRE_VERSION)
        return error_set(err, STATUS_INVALID,
                         "frame of version %u, this foldmill reads version %d: make the data again "
                         "with this foldmill, or use the one that wrote it", version, WIRE_VERSION);
    uint64_t frame_bytes = load_u64(start.data + AT_FRAME_BYTES);
    if (frame_bytes > WIRE_FRAME_MAX)
        return error_set(err, STATUS_LIMIT, "frame of %llu bytes, the limit is %zu",
                         (unsigned long long)frame_bytes, WIRE_FRAME_MAX);
    if (frame_bytes < 64 || frame_bytes % 64)
        return error_set(err, STATUS_CORRUPT, "frame: %llu bytes is no possible length",
                         (unsigned long long)frame_bytes);
    *bytes = (size_t)frame_bytes;
    return STATUS_OK;
}

uint64_t wire_digest(struct span frame)
{
    ASSERT(frame.size >= WIRE_PREFIX_BYTES);
    return load_u64(frame.data + AT_CHECKSUM);
}

static bool is_text(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR;
}

static bool is_array(const msgpack_object *object, uint32_t size)
{
    return object->type == MSGPACK_OBJECT_ARRAY && object->via.array.size == size;
}

/* [name, kind, [size, ...]] */
static enum status read_field(const msgpack_object *object, struct field *field, struct error *err)
{
    const msgpack_object *part = object->via.array.ptr;
    if (!is_array(object, 3) || !is_text(&part[0]) || !is_text(&part[1]) ||
        part[2].type != MSGPACK_OBJECT_ARRAY || part[2].via.array.size > SAMPLE_RANK_MAX ||
        part[0].via.str.size > FIELD_NAME_MAX)
        return error_set(err, STATUS_CORRUPT, "a field is not [name, kind, [sizes]]");
    *field = (struct field){.rank = (int)part[2].via.array.size};
    memcpy(field->name, part[0].via.str.ptr, part[0].via.str.size);
    if (strlen(field->name) != part[0].via.str.size)
        return error_set(err, STATUS_CORRUPT, "a field's name holds a NUL");
    struct span kind = {part[1].via.str.ptr, part[1].via.str.size};
    if (kind_parse(kind, &field->kind) != STATUS_OK)
        return error_set(err, STATUS_INVALID, "field %s: kind '%.*s' does not exist", field->name,
                         (int)(kind.size < 16 ? kind.size : 16), kind.data);
    for (int d = 0; d < field->rank; d++) {
        const msgpack_object *size = &part[2].via.array.ptr[d];
        if (size->type != MSGPACK_OBJECT_POSITIVE_INTEGER || size->via.u64 > INT64_MAX)
            return error_set(err, STATUS_INVALID, "field %s: size %d is no size", field->name, d);
        field->size[d] = (int64_t)size->via.u64;
    }
    return STATUS_OK;
}

/* Key, names and shapes. A sample does the checks of keys, doubles and sizes. */
static enum status read_header(const msgpack_object *header, unsigned field_count,
                               struct sample *sample, size_t *raw_bytes, struct error *err)
{
    const msgpack_object *part = header->via.array.ptr;
    if (!is_array(header, 2) || !is_text(&part[0]) || !is_array(&part[1], field_count))
        return error_set(err, STATUS_CORRUPT, "the header is not [key, [%u fields]]", field_count);
    enum status status =
        sample_open(sample, (struct span){part[0].via.str.ptr, part[0].via.str.size}, err);
    *raw_bytes = 0;
    for (unsigned i = 0; status == STATUS_OK && i < field_count; i++) {
        struct field field;
        status = read_field(&part[1].via.array.ptr[i], &field, err);
        if (status == STATUS_OK)
            status = sample_put(sample, &field, err);
        if (status != STATUS_OK)
            break;
        if (field_bytes(&field) > SAMPLE_BYTES_MAX - *raw_bytes)
            status = error_set(err, STATUS_LIMIT, "more than %zu bytes", SAMPLE_BYTES_MAX);
        else
            *raw_bytes += field_bytes(&field);
    }
    return status;
}

enum status wire_header_read(struct span header, unsigned field_count, struct sample *sample,
                             size_t *raw_bytes, struct error *err)
{
    enum status status = wire_scan_msgpack(header.data, header.size, HEADER_DEPTH,
                                           HEADER_OBJECTS_MAX, err);
    if (status != STATUS_OK)
        return status;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t end = 0;
    msgpack_unpack_return code = msgpack_unpack_next(&unpacked, header.data, header.size, &end);
    if (code == MSGPACK_UNPACK_NOMEM_ERROR)
        status = error_set(err, STATUS_LIMIT, "no memory for its header");
    else if (code != MSGPACK_UNPACK_SUCCESS || end != header.size)
        status = error_set(err, STATUS_CORRUPT, "the header is no msgpack");
    else
        status = read_header(&unpacked.data, field_count, sample, raw_bytes, err);
    msgpack_unpacked_destroy(&unpacked);
    return status;
}

bool wire_all_zero(const char *data, size_t size)
{
    char seen = 0;
    for (size_t i = 0; i < size; i++)
        seen |= data[i];
    return seen == 0;
}

/* How each array is stored, and that the arrays just fill the frame. */
static enum status read_table(struct span frame, size_t at, struct wire_view *view,
                              struct error *err)
{
    for (int i = 0; i < view->field_count; i++) {
        const char *row = frame.data + AT_TABLE + (size_t)i * WIRE_ROW_BYTES;
        struct wire_field *field = &view->fields[i];
        uint64_t stored = load_u64(row + ROW_STORED);
        uint32_t codec = load_u32(row + ROW_CODEC);
        if (codec > WIRE_LZ4 || load_u32(row + ROW_ZERO) != 0)
            return error_set(err, STATUS_INVALID, "field %s: codec %u does not exist",
                             field->field.name, codec);
        if (stored > frame.size - at)
            return error_set(err, STATUS_CORRUPT, "field %s: %llu bytes stored, %zu are left",
                             field->field.name, (unsigned long long)stored, frame.size - at);
        field->codec = (enum wire_codec)codec;
        field->stored_bytes = (size_t)stored;
        field->checksum = load_u64(row + ROW_CHECKSUM);
        field->offset = at;
        bool fits = codec == WIRE_RAW ? field->raw_bytes == stored
                                      : field->raw_bytes > stored &&
                                            field->raw_bytes <= WIRE_RATIO_MAX * stored;
        if (!fits)
            return error_set(err, STATUS_CORRUPT, "field %s: %llu bytes stored, its sizes say %zu",
                             field->field.name, (unsigned long long)stored, field->raw_bytes);
        size_t end = at + field->stored_bytes;
        at = round_64(end); /* frame.size is a multiple of 64 */
        if (!wire_all_zero(frame.data + end, at - end))
            return error_set(err, STATUS_CORRUPT, "bytes after field %s are not zero",
                             field->field.name);
    }
    if (at != frame.size)
        return error_set(err, STATUS_CORRUPT, "%zu bytes after its last field", frame.size - at);
    return STATUS_OK;
}

enum status wire_peek(struct span frame, struct wire_view *view, struct error *err)
{
    size_t bytes = 0;
    view->key[0] = 0;
    view->field_count = 0;
    view->raw_bytes = 0;
    enum status status = wire_frame_bytes(frame, &bytes, err);
    if (status == STATUS_EMPTY)
        return error_set(err, STATUS_CORRUPT, "frame cut short: %zu bytes", frame.size);
    if (status != STATUS_OK)
        return status;
    if (bytes != frame.size)
        return error_set(err, STATUS_CORRUPT, "frame says %zu bytes, there are %zu", bytes,
                         frame.size);
    unsigned field_count = load_u16(frame.data + AT_FIELD_COUNT);
    size_t header_bytes = load_u32(frame.data + AT_HEADER_BYTES);
    size_t head_bytes = field_count * (size_t)WIRE_ROW_BYTES + header_bytes;
    size_t head_end = AT_TABLE + head_bytes;
    if (field_count > SAMPLE_FIELDS_MAX || header_bytes > WIRE_HEADER_MAX || head_end > bytes ||
        load_u32(frame.data + AT_BARE) > 1)
        return error_set(err, STATUS_CORRUPT, "frame of %u fields with a header of %zu bytes in "
                         "%zu is not possible", field_count, header_bytes, bytes);
    if (wire_head_checksum(frame.data, head_bytes) != load_u64(frame.data + AT_CHECKSUM))
        return error_set(err, STATUS_CORRUPT, "the checksum of the frame's header is wrong");
    size_t first = round_64(head_end);
    if (!wire_all_zero(frame.data + head_end, first - head_end))
        return error_set(err, STATUS_CORRUPT, "bytes after the frame's header are not zero");
    struct sample sample;
    status = wire_header_read((struct span){frame.data + head_end - header_bytes, header_bytes},
                              field_count, &sample, &view->raw_bytes, err);
    if (status != STATUS_OK) {
        error_prefix(err, "frame");
        return status;
    }
    memcpy(view->key, sample.key, sizeof view->key);
    view->field_count = sample.field_count;
    view->bare = load_u32(frame.data + AT_BARE) == 1;
    for (int i = 0; i < view->field_count; i++) {
        view->fields[i].field = sample.fields[i];
        view->fields[i].raw_bytes = field_bytes(&sample.fields[i]);
    }
    status = read_table(frame, first, view, err);
    if (status != STATUS_OK)
        error_prefix(err, "frame of %s", view->key);
    return status;
}

static bool is_wanted(const char *name, const char *const *fields)
{
    if (!fields)
        return true;
    for (; *fields; fields++)
        if (strcmp(name, *fields) == 0)
            return true;
    return false;
}

bool wire_bools_are_good(const void *data, size_t size)
{
    const unsigned char *byte = data;
    unsigned char seen = 0;
    for (size_t i = 0; i < size; i++)
        seen |= byte[i];
    return seen <= 1;
}

/* Sets in->field.data to the array. */
static enum status load_array(struct span frame, const struct wire_field *in, bool checked,
                              bool copy, struct arena *arena, void **data, struct error *err)
{
    const char *stored = frame.data + in->offset, *name = in->field.name;
    if (!checked && XXH3_64bits(stored, in->stored_bytes) != in->checksum)
        return error_set(err, STATUS_CORRUPT, "field %s: its checksum is wrong", name);
    if (in->codec == WIRE_RAW && !copy && (uintptr_t)stored % ARENA_ALIGN == 0) {
        *data = (void *)(uintptr_t)stored; /* borrowed: readers of samples do not write */
    } else {
        *data = arena_try(arena, in->raw_bytes, 1);
        if (!*data)
            return error_set(err, STATUS_LIMIT, "field %s: no memory for %zu bytes", name,
                             in->raw_bytes);
        if (in->codec == WIRE_RAW)
            memcpy(*data, stored, in->raw_bytes);
        else if (LZ4_decompress_safe(stored, *data, (int)in->stored_bytes, (int)in->raw_bytes) !=
                 (int)in->raw_bytes)
            return error_set(err, STATUS_CORRUPT, "field %s: broken LZ4 block", name);
    }
    if (in->field.kind == KIND_BOOL && !wire_bools_are_good(*data, in->raw_bytes))
        return error_set(err, STATUS_INVALID, "field %s: a bool is neither 0 nor 1", name);
    return STATUS_OK;
}

const struct wire_options wire_on_link = {.digested = true};

enum status wire_decode(struct span frame, const struct wire_options *options, struct arena *arena,
                        struct sample *sample, struct error *err)
{
    static const struct wire_options plain = {0};
    struct wire_view view;
    if (!options)
        options = &plain;
    sample->field_count = 0;
    sample->key[0] = 0;
    sample->source = NULL;
    enum status status = wire_peek(frame, &view, err);
    if (status != STATUS_OK)
        return status;
    if (options->key && strcmp(options->key, view.key) != 0)
        return error_set(err, STATUS_CORRUPT, "the frame under key %s is that of %s", options->key,
                         view.key);
    if (view.bare && !options->digested)
        return error_set(err, STATUS_CORRUPT, "frame of %s: its arrays have no checksums, as on "
                         "links; a file or a pipe wants them", view.key);
    int count = 0;
    for (int i = 0; i < view.field_count; i++) {
        struct field *field = &sample->fields[count];
        if (!is_wanted(view.fields[i].field.name, options->fields))
            continue;
        *field = view.fields[i].field;
        status = load_array(frame, &view.fields[i], view.bare, options->copy, arena,
                            &field->data, err);
        if (status != STATUS_OK) {
            if (!options->key) /* else the caller says whose it is */
                error_prefix(err, "frame of %s", view.key);
            return status;
        }
        count++;
    }
    memcpy(sample->key, view.key, sizeof sample->key);
    sample->field_count = count;
    return STATUS_OK;
}
