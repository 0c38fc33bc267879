/* Samples: sizes from outside are measured before they are believed, digests see every change. */
#include "engine/sample.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct field field_make(const char *name, enum kind kind, int rank, int64_t n, int64_t m)
{
    struct field field = {.kind = kind, .rank = rank, .size = {n, m}};
    snprintf(field.name, sizeof field.name, "%s", name);
    return field;
}

Test(sample, measure_refuses_impossible_shapes)
{
    struct error err;
    size_t bytes;
    struct field good = field_make("msa", KIND_I32, 2, 3, 5);
    cr_assert(field_measure(&good, &bytes, &err) == STATUS_OK && bytes == 60);
    struct field empty = field_make("templates", KIND_F32, 2, 0, 1 << 30);
    cr_assert(field_measure(&empty, &bytes, &err) == STATUS_OK && bytes == 0);
    struct field negative = field_make("msa", KIND_I32, 1, -1, 0);
    cr_assert(field_measure(&negative, &bytes, &err) == STATUS_INVALID);
    struct field overflow = field_make("msa", KIND_I64, 2, INT64_MAX, INT64_MAX);
    cr_assert(field_measure(&overflow, &bytes, &err) == STATUS_LIMIT);
    struct field huge = field_make("msa", KIND_U8, 1, (int64_t)SAMPLE_BYTES_MAX + 1, 0);
    cr_assert(field_measure(&huge, &bytes, &err) == STATUS_LIMIT);
    struct field deep = field_make("msa", KIND_U8, SAMPLE_RANK_MAX + 1, 1, 1);
    cr_assert(field_measure(&deep, &bytes, &err) == STATUS_INVALID);
    struct field kind = field_make("msa", (enum kind)99, 1, 1, 1);
    cr_assert(field_measure(&kind, &bytes, &err) == STATUS_INVALID);
    struct field name = field_make("m sa", KIND_U8, 1, 1, 1);
    cr_assert(field_measure(&name, &bytes, &err) == STATUS_INVALID);
}

Test(sample, digest_sees_key_shape_and_content)
{
    struct arena arena;
    struct error err;
    struct sample a, b;
    arena_open(&arena, 0);
    cr_assert(sample_open(&a, SPAN("1abc_A"), &err) == STATUS_OK);
    uint8_t *data = sample_add_2(&a, &arena, "msa", KIND_U8, 2, 3);
    b = a;
    uint64_t before = sample_digest(&a);
    cr_assert(sample_digest(&b) == before);
    b.fields[0].size[0] = 3, b.fields[0].size[1] = 2;
    cr_assert(sample_digest(&b) != before, "the shape is part of the digest");
    data[5] = 1;
    cr_assert(sample_digest(&a) != before, "the content is part of the digest");
    data[5] = 0;
    strcpy(a.key, "1abc_B");
    cr_assert(sample_digest(&a) != before, "the key is part of the digest");
    arena_close(&arena);
}

Test(sample, need_says_what_was_wanted_and_found)
{
    struct arena arena;
    struct error err;
    struct sample sample;
    const struct field *field;
    arena_open(&arena, 0);
    cr_assert(sample_open(&sample, SPAN("1abc_A"), &err) == STATUS_OK);
    sample_add_f32(&sample, &arena, "resolution", 2.5f);
    cr_assert(sample_need(&sample, "resolution", KIND_F32, 0, &field, &err) == STATUS_OK);
    cr_assert(sample_need(&sample, "resolution", KIND_I32, 0, &field, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "resolution is f32 of rank 0, i32 of rank 0 wanted"), "%s",
              err.text);
    cr_assert(sample_need(&sample, "msa", KIND_U8, 2, &field, &err) == STATUS_INVALID);
    cr_assert(sample_open(&sample, SPAN("two words"), &err) == STATUS_INVALID);
    cr_assert(sample_open(&sample, SPAN(""), &err) == STATUS_INVALID);
    arena_close(&arena);
}
