/* Samples as numpy arrays; see sample_npz.h. */
#include "engine/sample_npz.h"

#include <string.h>

static const enum npz_kind kinds[KIND_COUNT] = {
    [KIND_I8] = NPZ_I8,   [KIND_U8] = NPZ_U8,   [KIND_I16] = NPZ_I16,  [KIND_I32] = NPZ_I32,
    [KIND_I64] = NPZ_I64, [KIND_F32] = NPZ_F32, [KIND_BF16] = NPZ_F32, [KIND_BOOL] = NPZ_BOOL,
};

/* numpy has no bf16: its values are floats with an upper half alone. */
static const void *widen(const struct field *field, struct arena *arena)
{
    size_t count = field_count(field);
    const uint16_t *high = field->data;
    uint32_t *bits = arena_try(arena, count, sizeof *bits);
    for (size_t i = 0; bits && i < count; i++)
        bits[i] = (uint32_t)high[i] << 16;
    return bits;
}

enum status sample_arrays(const struct sample *sample, struct arena *arena,
                          struct npz_array arrays[SAMPLE_FIELDS_MAX], struct error *err)
{
    for (int i = 0; i < sample->field_count; i++) {
        const struct field *field = &sample->fields[i];
        arrays[i] = (struct npz_array){.name = span_of(field->name),
                                       .kind = kinds[field->kind],
                                       .rank = field->rank,
                                       .count = field_count(field),
                                       .item_bytes = kind_size(field->kind),
                                       .data = field->data};
        for (int d = 0; d < field->rank; d++)
            arrays[i].size[d] = (uint64_t)field->size[d];
        if (field->kind == KIND_BF16) {
            arrays[i].item_bytes = sizeof(float);
            arrays[i].data = widen(field, arena);
        }
        if (!arrays[i].data)
            return error_set(err, STATUS_LIMIT, "no memory for field %s", field->name);
    }
    return STATUS_OK;
}

/* A sample's kind for numpy's; KIND_COUNT: none, and what to convert to. */
static enum kind kind_of(enum npz_kind kind, const char **instead)
{
    *instead = "float32";
    for (int k = 0; k < KIND_COUNT; k++)
        if (kinds[k] == kind && k != KIND_BF16)
            return (enum kind)k;
    if (kind == NPZ_U16 || kind == NPZ_U32 || kind == NPZ_U64)
        *instead = "int32 or int64";
    if (kind == NPZ_BYTES || kind == NPZ_UNICODE)
        *instead = "uint8, the bytes of the text";
    return KIND_COUNT;
}

/* Floats that were bf16: whose lower halves are zero. */
static bool narrow(const struct npz_array *array, uint16_t *high)
{
    for (uint64_t i = 0; i < array->count; i++) {
        uint32_t bits;
        memcpy(&bits, (const char *)array->data + i * sizeof bits, sizeof bits);
        if (bits & 0xffff)
            return false;
        high[i] = (uint16_t)(bits >> 16);
    }
    return true;
}

/* Name, kind and sizes; a name that is no field's is refused by sample_put. */
static enum status describe(const struct npz_array *array, enum kind kind, struct field *field,
                            struct error *err)
{
    const char *instead = "";
    *field = (struct field){.rank = array->rank,
                            .kind = kind == KIND_COUNT ? kind_of(array->kind, &instead) : kind};
    if (array->name.size > FIELD_NAME_MAX || memchr(array->name.data, 0, array->name.size))
        return error_set(err, STATUS_INVALID, "array %.*s: a name has at most %d bytes",
                         (int)(array->name.size < 80 ? array->name.size : 80), array->name.data,
                         FIELD_NAME_MAX);
    memcpy(field->name, array->name.data, array->name.size);
    if (field->kind == KIND_COUNT)
        return error_set(err, STATUS_INVALID, "array %s: samples have no such type; make it %s",
                         field->name, instead);
    if (array->rank > SAMPLE_RANK_MAX)
        return error_set(err, STATUS_INVALID, "array %s: %d axes, the limit is %d", field->name,
                         array->rank, SAMPLE_RANK_MAX);
    for (int d = 0; d < array->rank; d++) {
        if (array->size[d] > INT64_MAX)
            return error_set(err, STATUS_LIMIT, "array %s: axis %d is too long", field->name, d);
        field->size[d] = (int64_t)array->size[d];
    }
    return STATUS_OK;
}

enum status sample_put_array(struct sample *sample, const struct npz_array *array, enum kind kind,
                             struct arena *arena, struct error *err)
{
    struct field field;
    size_t bytes;
    if (kind != KIND_COUNT && kinds[kind] != array->kind)
        return error_set(err, STATUS_INVALID, "array %.*s does not hold numbers of kind %s",
                         (int)array->name.size, array->name.data, kind_name(kind));
    enum status status = describe(array, kind, &field, err);
    if (status == STATUS_OK)
        status = field_measure(&field, &bytes, err);
    if (status != STATUS_OK)
        return status;
    field.data = arena_try(arena, bytes, 1);
    if (!field.data)
        return error_set(err, STATUS_LIMIT, "array %s: no memory for %zu bytes", field.name, bytes);
    if (field.kind == KIND_BF16) {
        if (!narrow(array, field.data))
            return error_set(err, STATUS_INVALID, "array %s: its values are no bf16 any more",
                             field.name);
    } else if (bytes) {
        memcpy(field.data, array->data, bytes);
    }
    for (size_t i = 0; field.kind == KIND_BOOL && i < bytes; i++)
        if (((const uint8_t *)field.data)[i] > 1)
            return error_set(err, STATUS_INVALID, "array %s: a bool is neither 0 nor 1",
                             field.name);
    return sample_put(sample, &field, err);
}

enum status sample_take_arrays(struct sample *sample, const struct npz_array *arrays, int count,
                               struct arena *arena, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = sample_put_array(sample, &arrays[i], KIND_COUNT, arena, err);
    return status;
}
