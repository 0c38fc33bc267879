/* Named typed arrays under a key; see sample.h. */
#include "engine/sample.h"

#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the size of XXH3_state_t, so that it lies on the stack */
#include <xxhash.h>

static const struct {
    const char *name;
    size_t size;
} kinds[KIND_COUNT] = {
    [KIND_I8] = {"i8", 1},   [KIND_U8] = {"u8", 1},   [KIND_I16] = {"i16", 2},
    [KIND_I32] = {"i32", 4}, [KIND_I64] = {"i64", 8}, [KIND_F32] = {"f32", 4},
    [KIND_BF16] = {"bf16", 2}, [KIND_BOOL] = {"bool", 1},
};

size_t kind_size(enum kind kind)
{
    ASSERT_INT(kind, <, KIND_COUNT);
    return kinds[kind].size;
}

const char *kind_name(enum kind kind)
{
    return (unsigned)kind < KIND_COUNT ? kinds[kind].name : "?";
}

enum status kind_parse(struct span text, enum kind *kind)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (span_is(text, kinds[i].name)) {
            *kind = (enum kind)i;
            return STATUS_OK;
        }
    return STATUS_INVALID;
}

static bool name_is_good(const char *name)
{
    size_t size = strnlen(name, FIELD_NAME_MAX + 1);
    if (size == 0 || size > FIELD_NAME_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.'))
            return false;
    }
    return true;
}

enum status field_measure(const struct field *field, size_t *bytes, struct error *err)
{
    if (!name_is_good(field->name))
        return error_set(err, STATUS_INVALID, "field name '%.*s' is not 1 to %d of [A-Za-z0-9_.]",
                         FIELD_NAME_MAX, field->name, FIELD_NAME_MAX);
    if ((unsigned)field->kind >= KIND_COUNT)
        return error_set(err, STATUS_INVALID, "field %s: kind %d does not exist", field->name,
                         (int)field->kind);
    if (field->rank < 0 || field->rank > SAMPLE_RANK_MAX)
        return error_set(err, STATUS_INVALID, "field %s: rank %d is not in 0..%d", field->name,
                         field->rank, SAMPLE_RANK_MAX);
    size_t product = kind_size(field->kind);
    for (int i = 0; i < field->rank; i++) {
        if (field->size[i] < 0)
            return error_set(err, STATUS_INVALID, "field %s: size %d is negative", field->name, i);
        if (__builtin_mul_overflow(product, (size_t)field->size[i], &product))
            return error_set(err, STATUS_LIMIT, "field %s: its sizes overflow", field->name);
    }
    if (product > SAMPLE_BYTES_MAX)
        return error_set(err, STATUS_LIMIT, "field %s: %zu bytes, the limit is %zu", field->name,
                         product, SAMPLE_BYTES_MAX);
    *bytes = product;
    return STATUS_OK;
}

size_t field_bytes(const struct field *field)
{
    return field_count(field) * kind_size(field->kind);
}

size_t field_count(const struct field *field)
{
    size_t count = 1;
    for (int i = 0; i < field->rank; i++)
        count *= (size_t)field->size[i];
    return count;
}

enum status sample_open(struct sample *sample, struct span key, struct error *err)
{
    if (key.size == 0 || key.size > SAMPLE_KEY_MAX)
        return error_set(err, STATUS_INVALID, "a key of %zu bytes; 1 to %d are possible", key.size,
                         SAMPLE_KEY_MAX);
    for (size_t i = 0; i < key.size; i++)
        if ((unsigned char)key.data[i] <= 0x20 || key.data[i] == 0x7f)
            return error_set(err, STATUS_INVALID, "key '%.*s' holds blanks or control characters",
                             (int)key.size, key.data);
    memcpy(sample->key, key.data, key.size);
    sample->key[key.size] = 0;
    sample->field_count = 0;
    sample->source = NULL;
    return STATUS_OK;
}

enum status sample_put(struct sample *sample, const struct field *field, struct error *err)
{
    size_t bytes;
    enum status status = field_measure(field, &bytes, err);
    if (status != STATUS_OK)
        return status;
    if (sample->field_count == SAMPLE_FIELDS_MAX)
        return error_set(err, STATUS_LIMIT, "sample %s has more than %d fields", sample->key,
                         SAMPLE_FIELDS_MAX);
    if (sample_find(sample, field->name))
        return error_set(err, STATUS_INVALID, "sample %s has field %s twice", sample->key,
                         field->name);
    sample->fields[sample->field_count++] = *field;
    return STATUS_OK;
}

void *sample_add(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                 int rank, const int64_t *size)
{
    struct field field = {.kind = kind, .rank = rank};
    struct error err;
    size_t bytes = 0, name_size = strlen(name);
    ASSERT_INT(name_size, <=, FIELD_NAME_MAX);
    ASSERT_INT(rank, <=, SAMPLE_RANK_MAX);
    memcpy(field.name, name, name_size);
    for (int i = 0; i < rank; i++)
        field.size[i] = size[i];
    if (field_measure(&field, &bytes, &err) != STATUS_OK)
        assert_fail(__FILE__, __LINE__, "%s", err.text);
    field.data = memset(arena_alloc(arena, bytes), 0, bytes);
    if (sample_put(sample, &field, &err) != STATUS_OK)
        assert_fail(__FILE__, __LINE__, "%s", err.text);
    return field.data;
}

void *sample_add_1(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                   int64_t n)
{
    return sample_add(sample, arena, name, kind, 1, &n);
}

void *sample_add_2(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                   int64_t n, int64_t m)
{
    return sample_add(sample, arena, name, kind, 2, (int64_t[]){n, m});
}

void *sample_add_3(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                   int64_t n, int64_t m, int64_t k)
{
    return sample_add(sample, arena, name, kind, 3, (int64_t[]){n, m, k});
}

void sample_add_f32(struct sample *sample, struct arena *arena, const char *name, float value)
{
    memcpy(sample_add(sample, arena, name, KIND_F32, 0, NULL), &value, sizeof value);
}

void sample_add_i32(struct sample *sample, struct arena *arena, const char *name, int32_t value)
{
    memcpy(sample_add(sample, arena, name, KIND_I32, 0, NULL), &value, sizeof value);
}

void sample_add_text(struct sample *sample, struct arena *arena, const char *name, struct span text)
{
    void *data = sample_add_1(sample, arena, name, KIND_U8, (int64_t)text.size);
    if (text.size)
        memcpy(data, text.data, text.size);
}

const struct field *sample_find(const struct sample *sample, const char *name)
{
    for (int i = 0; i < sample->field_count; i++)
        if (strcmp(sample->fields[i].name, name) == 0)
            return &sample->fields[i];
    return NULL;
}

enum status sample_need(const struct sample *sample, const char *name, enum kind kind, int rank,
                        const struct field **field, struct error *err)
{
    const struct field *found = sample_find(sample, name);
    if (!found)
        return error_set(err, STATUS_INVALID, "sample %s has no field %s (%s of rank %d wanted)",
                         sample->key, name, kind_name(kind), rank);
    if (found->kind != kind || found->rank != rank)
        return error_set(err, STATUS_INVALID,
                         "sample %s: field %s is %s of rank %d, %s of rank %d wanted", sample->key,
                         name, kind_name(found->kind), found->rank, kind_name(kind), rank);
    *field = found;
    return STATUS_OK;
}

enum status sample_rows(const struct sample *sample, const struct field *field, const int32_t *rows,
                        size_t count, void *to, struct error *err)
{
    int64_t there = field->rank ? field->size[0] : 1;
    for (size_t i = 0; i < count; i++)
        ASSERT(rows[i] >= 0 && rows[i] < there);
    if (count == 0)
        return STATUS_OK;
    if (!field->data) {
        ASSERT(sample->source);
        enum status status = sample->source->read(sample->source, field, rows, count, to, err);
        if (sample->source->failed == STATUS_OK)
            sample->source->failed = status;
        return status;
    }
    size_t row_bytes = field_bytes(field) / (size_t)there;
    for (size_t i = 0; i < count; i++)
        memcpy((char *)to + i * row_bytes, (const char *)field->data + (size_t)rows[i] * row_bytes,
               row_bytes);
    return STATUS_OK;
}

struct span sample_text(const struct sample *sample, const char *name)
{
    const struct field *field = sample_find(sample, name);
    if (!field || field->kind != KIND_U8 || field->rank != 1)
        return (struct span){"", 0};
    return (struct span){field->data, (size_t)field->size[0]};
}

size_t sample_bytes(const struct sample *sample)
{
    size_t bytes = 0;
    for (int i = 0; i < sample->field_count; i++)
        bytes += field_bytes(&sample->fields[i]);
    return bytes;
}

uint64_t sample_digest(const struct sample *sample)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, sample->key, strlen(sample->key) + 1);
    for (int i = 0; i < sample->field_count; i++) {
        const struct field *field = &sample->fields[i];
        int64_t shape[2 + SAMPLE_RANK_MAX] = {field->kind, field->rank};
        memcpy(shape + 2, field->size, sizeof(int64_t) * (size_t)field->rank);
        XXH3_64bits_update(&state, field->name, strlen(field->name) + 1);
        XXH3_64bits_update(&state, shape, sizeof(int64_t) * (2 + (size_t)field->rank));
        XXH3_64bits_update(&state, field->data, field_bytes(field));
    }
    return XXH3_64bits_digest(&state);
}
