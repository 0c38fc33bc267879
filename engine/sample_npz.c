/* Samples as numpy arrays; see sample_npz.h. */
#include "engine/sample_npz.h"

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
