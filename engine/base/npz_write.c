/* numpy's files, see npz_write.h. Layouts: numpy.lib.format (version 1.0) and PKWARE's APPNOTE.TXT,
 * sections 4.3.7 (local header), 4.3.12 (directory) and 4.3.16 (its end). */
#include "engine/base/npz_write.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are written as they lie");

enum {
    NPY_HEAD_MAX = 512,   /* magic, length and description, padded */
    ZIP_LOCAL_BYTES = 30, /* without the name */
    ZIP_ENTRY_BYTES = 46,
    ZIP_END_BYTES = 22,
    ZIP_VERSION = 20,     /* 2.0: the least that readers support */
    ZIP_DATE = 1 << 5 | 1, /* 1980-01-01: the same bytes whenever it is written */
};

#define ZIP_BYTES_MAX ((uint64_t)UINT32_MAX)

static const char *const descriptions[NPZ_BYTES] = {
    [NPZ_BOOL] = "|b1", [NPZ_I8] = "|i1",  [NPZ_U8] = "|u1",  [NPZ_I16] = "<i2",
    [NPZ_U16] = "<u2",  [NPZ_I32] = "<i4", [NPZ_U32] = "<u4", [NPZ_I64] = "<i8",
    [NPZ_U64] = "<u8",  [NPZ_F16] = "<f2", [NPZ_F32] = "<f4", [NPZ_F64] = "<f8",
};

/* The head of a .npy file; returns its bytes, a multiple of 64. */
static size_t npy_head(const struct npz_array *array, char head[NPY_HEAD_MAX])
{
    ASSERT_INT(array->kind, <, NPZ_BYTES);
    ASSERT(array->rank >= 0 && array->rank <= NPZ_RANK_MAX);
    int at = 10;
    at += snprintf(head + at, (size_t)(NPY_HEAD_MAX - at),
                   "{'descr': '%s', 'fortran_order': False, 'shape': (",
                   descriptions[array->kind]);
    for (int i = 0; i < array->rank; i++)
        at += snprintf(head + at, (size_t)(NPY_HEAD_MAX - at), "%s%llu", i ? ", " : "",
                       (unsigned long long)array->size[i]);
    at += snprintf(head + at, (size_t)(NPY_HEAD_MAX - at), "%s), }", array->rank == 1 ? "," : "");
    size_t size = ((size_t)at + 1 + 63) & ~(size_t)63;
    ASSERT_INT(size, <=, NPY_HEAD_MAX);
    memset(head + at, ' ', size - (size_t)at);
    head[size - 1] = '\n';
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    uint16_t text_bytes = (uint16_t)(size - 10);
    memcpy(head + 8, &text_bytes, 2);
    return size;
}

static size_t data_bytes(const struct npz_array *array)
{
    return (size_t)array->count * array->item_bytes;
}

enum status npy_pack(const struct npz_array *array, struct arena *arena, struct span *content,
                     struct error *err)
{
    char head[NPY_HEAD_MAX];
    size_t head_bytes = npy_head(array, head), bytes = data_bytes(array);
    char *data = arena_try(arena, head_bytes + bytes, 1);
    if (!data)
        return error_set(err, STATUS_LIMIT, "no memory for a .npy file of %zu bytes",
                         head_bytes + bytes);
    memcpy(data, head, head_bytes);
    if (bytes)
        memcpy(data + head_bytes, array->data, bytes);
    *content = (struct span){data, head_bytes + bytes};
    return STATUS_OK;
}

static char *put_u16(char *at, unsigned value)
{
    uint16_t number = (uint16_t)value;
    memcpy(at, &number, 2);
    return at + 2;
}

static char *put_u32(char *at, uint64_t value)
{
    uint32_t number = (uint32_t)value;
    memcpy(at, &number, 4);
    return at + 4;
}

/* What local headers and the directory have in common. */
static char *put_member(char *at, uint32_t crc, size_t bytes, size_t name_bytes)
{
    at = put_u16(at, ZIP_VERSION);
    at = put_u16(at, 0); /* flags */
    at = put_u16(at, 0); /* stored */
    at = put_u16(at, 0); /* time */
    at = put_u16(at, ZIP_DATE);
    at = put_u32(at, crc);
    at = put_u32(at, bytes);
    at = put_u32(at, bytes);
    at = put_u16(at, (unsigned)name_bytes);
    return put_u16(at, 0); /* extra field */
}

static char *put_name(char *at, struct span name)
{
    memcpy(at, name.data, name.size);
    memcpy(at + name.size, ".npy", 4);
    return at + name.size + 4;
}

/* Local header and contents of one array; sets the checksum of what numpy will unpack. */
static char *put_array(char *at, const struct npz_array *array, uint32_t *crc)
{
    char head[NPY_HEAD_MAX];
    size_t head_bytes = npy_head(array, head), bytes = data_bytes(array);
    uLong sum = crc32_z(crc32_z(0, NULL, 0), (const Bytef *)head, head_bytes);
    if (bytes)
        sum = crc32_z(sum, array->data, bytes);
    *crc = (uint32_t)sum;
    memcpy(at, "PK\3\4", 4);
    at = put_member(at + 4, *crc, head_bytes + bytes, array->name.size + 4);
    at = put_name(at, array->name);
    memcpy(at, head, head_bytes);
    if (bytes)
        memcpy(at + head_bytes, array->data, bytes);
    return at + head_bytes + bytes;
}

static char *put_entry(char *at, const struct npz_array *array, uint32_t crc, uint64_t offset)
{
    char head[NPY_HEAD_MAX];
    size_t bytes = npy_head(array, head) + data_bytes(array);
    memcpy(at, "PK\1\2", 4);
    at = put_u16(at + 4, ZIP_VERSION);
    at = put_member(at, crc, bytes, array->name.size + 4);
    memset(at, 0, 10); /* comment, disk, attributes */
    at = put_u32(at + 10, offset);
    return put_name(at, array->name);
}

enum status npz_pack(const struct npz_array *array, int count, struct arena *arena,
                     struct span *content, struct error *err)
{
    if (count < 0 || count > NPZ_WRITE_MAX)
        return error_set(err, STATUS_LIMIT, "%d arrays, a .npz file takes %d", count,
                         NPZ_WRITE_MAX);
    char head[NPY_HEAD_MAX];
    uint64_t bytes = ZIP_END_BYTES, directory_bytes = 0;
    for (int i = 0; i < count; i++) {
        ASSERT(array[i].name.size > 0 && array[i].name.size <= NPZ_NAME_MAX);
        uint64_t entry = ZIP_ENTRY_BYTES + array[i].name.size + 4;
        directory_bytes += entry;
        bytes += entry + ZIP_LOCAL_BYTES + array[i].name.size + 4 + npy_head(&array[i], head) +
                 data_bytes(&array[i]);
    }
    char *data = bytes <= ZIP_BYTES_MAX ? arena_try(arena, bytes, 1) : NULL;
    struct member {
        uint32_t crc;
        uint64_t offset;
    } *members = arena_try(arena, (size_t)count + 1, sizeof *members);
    if (!data || !members)
        return error_set(err, STATUS_LIMIT, "a .npz file of %llu bytes is too large, or there is "
                         "no memory for it", (unsigned long long)bytes);
    char *at = data;
    for (int i = 0; i < count; i++) {
        members[i].offset = (uint64_t)(at - data);
        at = put_array(at, &array[i], &members[i].crc);
    }
    uint64_t directory_offset = (uint64_t)(at - data);
    for (int i = 0; i < count; i++)
        at = put_entry(at, &array[i], members[i].crc, members[i].offset);
    memcpy(at, "PK\5\6\0\0\0\0", 8);
    at = put_u16(at + 8, (unsigned)count);
    at = put_u16(at, (unsigned)count);
    at = put_u32(at, directory_bytes);
    at = put_u32(at, directory_offset);
    at = put_u16(at, 0);
    ASSERT_INT(at - data, ==, bytes);
    *content = (struct span){data, (size_t)bytes};
    return STATUS_OK;
}
