/* Zip directory, npy headers; see npz.h. */
/* zlib promises not to write to its input only when asked. */
#define ZLIB_CONST
#include "engine/base/npz.h"

#include <string.h>
#include <zlib.h>

enum {
    END_BYTES = 22,   /* end-of-directory record without its comment */
    ENTRY_BYTES = 46, /* directory entry without its texts */
    LOCAL_BYTES = 30, /* local header without its texts */
    COMMENT_MAX = 65535,
    NPY_BYTES = 10, /* magic, version, length of the header */
    NAME_MAX_BYTES = 512,
    DEFLATE_RATIO_MAX = 1032, /* of deflate's best case */
    TEXT_MAX = 1 << 20,       /* characters of one text element */
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8
};

struct kind_name {
    const char *text;
    size_t bytes;
};

/* As numpy writes them; the first character is the byte order, or | where there is none. */
static const struct kind_name kinds[NPZ_KIND_COUNT] = {
    [NPZ_BOOL] = {"|b1", 1}, [NPZ_I8] = {"|i1", 1},     [NPZ_U8] = {"|u1", 1},
    [NPZ_I16] = {"<i2", 2},  [NPZ_U16] = {"<u2", 2},    [NPZ_I32] = {"<i4", 4},
    [NPZ_U32] = {"<u4", 4},  [NPZ_I64] = {"<i8", 8},    [NPZ_U64] = {"<u8", 8},
    [NPZ_F16] = {"<f2", 2},  [NPZ_F32] = {"<f4", 4},    [NPZ_F64] = {"<f8", 8},
    [NPZ_BYTES] = {"|S", 0}, [NPZ_UNICODE] = {"<U", 0},
};

static uint32_t get16(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8;
}

static uint32_t get32(const char *at)
{
    return get16(at) | get16(at + 2) << 16;
}

/* Takes text off the front of rest, with blanks before it; false when it is not there. */
static bool expect(struct span *rest, const char *text)
{
    while (rest->size && (*rest->data == ' ' || *rest->data == '\t'))
        rest->data++, rest->size--;
    if (!span_starts(*rest, text))
        return false;
    size_t size = strlen(text);
    rest->data += size, rest->size -= size;
    return true;
}

static bool take_number(struct span *rest, uint64_t *value)
{
    expect(rest, "");
    size_t digits = 0;
    while (digits < rest->size && rest->data[digits] >= '0' && rest->data[digits] <= '9')
        digits++;
    int64_t number;
    if (!text_int((struct span){rest->data, digits}, 0, INT64_MAX, &number))
        return false;
    *value = (uint64_t)number;
    rest->data += digits, rest->size -= digits;
    return true;
}

/* "(3, 4)", "(5,)", "()". */
static enum status shape_parse(struct span *rest, struct npz_array *array, struct error *err)
{
    array->rank = 0, array->count = 1;
    if (!expect(rest, "("))
        return error_set(err, STATUS_INVALID, "the shape does not begin with a parenthesis");
    while (!expect(rest, ")")) {
        uint64_t size;
        if (array->rank == NPZ_RANK_MAX)
            return error_set(err, STATUS_LIMIT, "more than %d axes", NPZ_RANK_MAX);
        if (!take_number(rest, &size))
            return error_set(err, STATUS_INVALID, "the shape is not a list of numbers");
        array->size[array->rank++] = size;
        if (__builtin_mul_overflow(array->count, size, &array->count))
            return error_set(err, STATUS_CORRUPT, "the shape has more elements than 2^64");
        if (!expect(rest, ",") && !span_starts(*rest, ")"))
            return error_set(err, STATUS_INVALID, "the shape does not end");
    }
    return STATUS_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
static enum status header_parse(struct span rest, struct npz_array *array, bool *fortran,
                                struct error *err)
{
    if (!expect(&rest, "{") || !expect(&rest, "'descr':") || !expect(&rest, "'"))
        return error_set(err, STATUS_INVALID, "the npy header has no 'descr' first");
    int kind = 0;
    while (kind < NPZ_KIND_COUNT && !span_starts(rest, kinds[kind].text))
        kind++;
    if (kind == NPZ_KIND_COUNT)
        return error_set(err, STATUS_INVALID,
                         "element type '%.*s': wanted a little-endian number, as '<f4'",
                         (int)(rest.size < 6 ? rest.size : 6), rest.data);
    array->kind = (enum npz_kind)kind;
    expect(&rest, kinds[kind].text);
    array->item_bytes = kinds[kind].bytes;
    if (array->item_bytes == 0) {
        uint64_t width;
        if (!take_number(&rest, &width) || width < 1 || width > TEXT_MAX)
            return error_set(err, STATUS_INVALID, "texts of no or more than %d characters",
                             TEXT_MAX);
        array->item_bytes = (size_t)width * (array->kind == NPZ_UNICODE ? 4 : 1);
    }
    if (!expect(&rest, "'") || !expect(&rest, ",") || !expect(&rest, "'fortran_order':"))
        return error_set(err, STATUS_INVALID, "the npy header has no 'fortran_order' second");
    *fortran = expect(&rest, "True");
    if (!*fortran && !expect(&rest, "False"))
        return error_set(err, STATUS_INVALID, "'fortran_order' is neither True nor False");
    if (!expect(&rest, ",") || !expect(&rest, "'shape':"))
        return error_set(err, STATUS_INVALID, "the npy header has no 'shape' third");
    return shape_parse(&rest, array, err);
}

/* Brings an array whose first axis runs fastest into C order. */
static enum status order_turn(struct npz_array *array, struct arena *arena, struct error *err)
{
    size_t item = array->item_bytes;
    char *turned = arena_try(arena, array->count, item);
    if (!turned)
        return error_set(err, STATUS_LIMIT, "no memory to turn %llu elements",
                         (unsigned long long)array->count);
    uint64_t index[NPZ_RANK_MAX] = {0};
    for (uint64_t n = 0; n < array->count; n++) {
        uint64_t from = 0;
        for (int axis = array->rank - 1; axis >= 0; axis--)
            from = from * array->size[axis] + index[axis];
        memcpy(turned + n * item, (const char *)array->data + from * item, item);
        for (int axis = array->rank - 1; axis >= 0 && ++index[axis] == array->size[axis]; axis--)
            index[axis] = 0;
    }
    array->data = turned;
    return STATUS_OK;
}

enum status npy_parse(struct span file, struct arena *arena, struct npz_array *array,
                      struct error *err)
{
    static const char magic[] = "\x93NUMPY";
    if (file.size < NPY_BYTES || memcmp(file.data, magic, sizeof magic - 1) != 0)
        return error_set(err, STATUS_INVALID, "not an npy file");
    if (file.data[6] != 1)
        return error_set(err, STATUS_INVALID, "npy version %d: wanted 1", file.data[6]);
    size_t header = get16(file.data + 8);
    if (header > file.size - NPY_BYTES)
        return error_set(err, STATUS_CORRUPT, "the npy header is longer than its file");
    bool fortran = false;
    enum status status =
        header_parse((struct span){file.data + NPY_BYTES, header}, array, &fortran, err);
    if (status != STATUS_OK)
        return status;
    size_t bytes = file.size - NPY_BYTES - header;
    uint64_t wanted;
    if (__builtin_mul_overflow(array->count, array->item_bytes, &wanted) || wanted != bytes)
        return error_set(err, STATUS_CORRUPT, "the shape wants %llu elements, found %zu bytes",
                         (unsigned long long)array->count, bytes);
    array->data = file.data + NPY_BYTES + header;
    return fortran && array->rank > 1 ? order_turn(array, arena, err) : STATUS_OK;
}

/* Inflates a member of exactly size bytes. */
static enum status member_inflate(struct span *file, uint32_t size, struct arena *arena,
                                  struct error *err)
{
    if (size / DEFLATE_RATIO_MAX > file->size)
        return error_set(err, STATUS_CORRUPT, "%zu packed bytes cannot hold %u", file->size, size);
    char *plain = arena_try(arena, size, 1);
    if (!plain)
        return error_set(err, STATUS_LIMIT, "no memory for %u bytes", size);
    z_stream stream = {.next_in = (const unsigned char *)file->data,
                       .avail_in = (uInt)file->size,
                       .next_out = (unsigned char *)plain,
                       .avail_out = size};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return error_set(err, STATUS_LIMIT, "no memory to inflate");
    int end = inflate(&stream, Z_FINISH);
    bool whole = end == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    if (!whole)
        return error_set(err, STATUS_CORRUPT, "is broken: it does not inflate to %u bytes", size);
    *file = (struct span){plain, size};
    return STATUS_OK;
}

/* Where the member of a directory entry lies; checks its local header. */
static enum status member_find(struct span content, const char *entry, struct span name,
                               struct arena *arena, struct span *file, struct error *err)
{
    uint32_t method = get16(entry + 10), packed = get32(entry + 20), size = get32(entry + 24),
             at = get32(entry + 42);
    if (get16(entry + 8) & 1)
        return error_set(err, STATUS_INVALID, "is encrypted");
    if (method != METHOD_STORED && method != METHOD_DEFLATED)
        return error_set(err, STATUS_INVALID,
                         "has compression method %u; wanted stored or deflated", method);
    if ((method == METHOD_STORED && packed != size) || size == UINT32_MAX || at == UINT32_MAX)
        return error_set(err, STATUS_LIMIT, "is a zip64 member, or its sizes differ");
    if (at > content.size || content.size - at < LOCAL_BYTES ||
        memcmp(content.data + at, "PK\3\4", 4) != 0)
        return error_set(err, STATUS_CORRUPT, "has no local header");
    const char *local = content.data + at;
    size_t texts = (size_t)get16(local + 26) + get16(local + 28), left = content.size - at;
    if (texts > left - LOCAL_BYTES || packed > left - LOCAL_BYTES - texts)
        return error_set(err, STATUS_CORRUPT, "reaches beyond the end of the file");
    struct span local_name = {local + LOCAL_BYTES, get16(local + 26)};
    if (!span_equal(name, local_name))
        return error_set(err, STATUS_CORRUPT, "has another name in its local header");
    *file = (struct span){local + LOCAL_BYTES + texts, packed};
    return method == METHOD_DEFLATED ? member_inflate(file, size, arena, err) : STATUS_OK;
}

/* The end record: number of entries, and where the directory is. */
static enum status end_find(struct span content, uint32_t *count, struct span *directory,
                            struct error *err)
{
    if (content.size < END_BYTES)
        return error_set(err, STATUS_INVALID, "not a zip file: %zu bytes", content.size);
    size_t at = content.size - END_BYTES;
    size_t lowest = at > COMMENT_MAX ? at - COMMENT_MAX : 0;
    while (memcmp(content.data + at, "PK\5\6", 4) != 0) {
        if (at == lowest)
            return error_set(err, STATUS_INVALID, "not a zip file: it has no end record");
        at--;
    }
    const char *end = content.data + at;
    *count = get16(end + 10);
    uint32_t size = get32(end + 12), begin = get32(end + 16);
    if (*count == 0xFFFF || begin == UINT32_MAX)
        return error_set(err, STATUS_LIMIT, "a zip64 file, or more than 65534 members");
    if (begin > at || size > at - begin)
        return error_set(err, STATUS_CORRUPT, "the zip directory lies outside the file");
    *directory = (struct span){content.data + begin, size};
    return STATUS_OK;
}

enum status npz_parse(struct span content, struct arena *arena, struct npz *npz, struct error *err)
{
    uint32_t count = 0;
    struct span rest = {0};
    *npz = (struct npz){0};
    enum status status = end_find(content, &count, &rest, err);
    if (status != STATUS_OK)
        return status;
    if (rest.size / ENTRY_BYTES < count)
        return error_set(err, STATUS_CORRUPT, "the zip directory is too short for %u members",
                         count);
    npz->array = arena_try(arena, count, sizeof *npz->array);
    if (!npz->array)
        return error_set(err, STATUS_LIMIT, "no memory for %u arrays", count);
    for (uint32_t i = 0; i < count; i++) {
        if (rest.size < ENTRY_BYTES || memcmp(rest.data, "PK\1\2", 4) != 0)
            return error_set(err, STATUS_CORRUPT, "member %u: no directory entry", i);
        size_t name_size = get16(rest.data + 28);
        size_t texts = name_size + get16(rest.data + 30) + get16(rest.data + 32);
        if (texts > rest.size - ENTRY_BYTES || name_size > NAME_MAX_BYTES)
            return error_set(err, STATUS_CORRUPT, "member %u: its name does not fit", i);
        struct span name = {rest.data + ENTRY_BYTES, name_size}, file = {0};
        struct npz_array *array = &npz->array[i];
        *array = (struct npz_array){0};
        status = member_find(content, rest.data, name, arena, &file, err);
        if (status == STATUS_OK)
            status = npy_parse(file, arena, array, err);
        if (status != STATUS_OK)
            return error_prefix(err, "member %.*s", (int)name.size, name.data);
        bool suffix = name.size > 4 && memcmp(name.data + name.size - 4, ".npy", 4) == 0;
        array->name = (struct span){name.data, suffix ? name.size - 4 : name.size};
        rest.data += ENTRY_BYTES + texts, rest.size -= ENTRY_BYTES + texts;
    }
    npz->count = (int)count;
    return STATUS_OK;
}

const struct npz_array *npz_find(const struct npz *npz, const char *name)
{
    for (int i = 0; i < npz->count; i++)
        if (span_is(npz->array[i].name, name))
            return &npz->array[i];
    return NULL;
}
