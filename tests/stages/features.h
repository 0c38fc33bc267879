/* Golden features of the reference data pipeline for the tests of stages/: opens an .npz below
 * FOLDMILL_GOLDEN and compares its arrays with ours, element for element. */
#ifndef TESTS_STAGES_FEATURES_H
#define TESTS_STAGES_FEATURES_H

#include "engine/base/file.h"
#include "engine/base/npz.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Skips the test when the golden data are not there. */
static inline const char *golden_root(void)
{
    const char *root = getenv("FOLDMILL_GOLDEN");
    if (!root || !*root)
        cr_skip("FOLDMILL_GOLDEN is not set");
    return root;
}

static inline struct span golden_file(struct arena *arena, const char *name)
{
    struct span content;
    struct error err = {0};
    char *path = arena_printf(arena, "%s/features/%s", golden_root(), name);
    cr_assert(file_read(path, (size_t)1 << 30, arena, &content, &err) == STATUS_OK, "%s", err.text);
    return content;
}

static inline struct npz golden_npz(struct arena *arena, const char *name)
{
    struct npz npz;
    struct error err = {0};
    struct span content = golden_file(arena, name);
    cr_assert(npz_parse(content, arena, &npz, &err) == STATUS_OK, "%s: %s", name, err.text);
    return npz;
}

static inline const struct npz_array *golden_array(const struct npz *npz, const char *name,
                                                   enum npz_kind kind)
{
    const struct npz_array *array = npz_find(npz, name);
    cr_assert(array, "no array %s", name);
    cr_assert(array->kind == kind, "%s has kind %d", name, (int)array->kind);
    return array;
}

static inline float golden_f32(const struct npz_array *array, uint64_t i)
{
    float value;
    memcpy(&value, (const char *)array->data + 4 * i, 4);
    return value;
}

static inline int32_t golden_i32(const struct npz_array *array, uint64_t i)
{
    int32_t value;
    memcpy(&value, (const char *)array->data + 4 * i, 4);
    return value;
}

/* Element i of an array of byte texts, without the zeros at its end. */
static inline struct span golden_text(const struct npz_array *array, uint64_t i)
{
    const char *text = (const char *)array->data + i * array->item_bytes;
    return (struct span){text, strnlen(text, array->item_bytes)};
}

#endif
