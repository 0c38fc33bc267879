/* numpy files of every form that the reader takes: deflated, Fortran order, texts; and broken ones.
 */
#include "engine/base/file.h"
#include "engine/base/npz.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;
static struct error err;

static struct span corpus(const char *name)
{
    struct span content;
    arena_open(&arena, 0);
    char *path = arena_printf(&arena, "%s/tests/data/fuzz/npz/%s", FOLDMILL_SOURCE, name);
    cr_assert(file_read(path, 1 << 20, &arena, &content, &err) == STATUS_OK, "%s", err.text);
    return content;
}

Test(npz, deflated_members_and_byte_texts)
{
    struct npz npz;
    struct span content = corpus("deflated.npz");
    cr_assert(npz_parse(content, &arena, &npz, &err) == STATUS_OK, "%s", err.text);
    const struct npz_array *a = npz_find(&npz, "a"), *s = npz_find(&npz, "s");
    cr_assert(a && a->kind == NPZ_F32 && a->rank == 2 && a->size[0] == 3 && a->size[1] == 4);
    for (int i = 0; i < 12; i++) {
        float value;
        memcpy(&value, (const char *)a->data + 4 * i, 4);
        cr_assert(value == (float)i, "element %d is %f", i, (double)value);
    }
    cr_assert(s && s->kind == NPZ_BYTES && s->item_bytes == 3 && s->count == 2);
    cr_assert(memcmp(s->data, "ab\0cde", 6) == 0, "texts are filled up with zeros");
    arena_close(&arena);
}

Test(npz, fortran_order_is_turned)
{
    struct npz npz;
    struct span content = corpus("turned.npz");
    cr_assert(npz_parse(content, &arena, &npz, &err) == STATUS_OK, "%s", err.text);
    const struct npz_array *f = npz_find(&npz, "f"), *u = npz_find(&npz, "u");
    cr_assert(f && f->kind == NPZ_I32 && f->rank == 3 && f->count == 24);
    for (int32_t i = 0; i < 24; i++) {
        int32_t value;
        memcpy(&value, (const char *)f->data + 4 * i, 4);
        cr_assert(value == i, "element %d is %d", i, value);
    }
    cr_assert(u && u->kind == NPZ_UNICODE && u->item_bytes == 8 && u->count == 3);
    cr_assert(memcmp(u->data, "N\0\0\0\0\0\0\0C\0\0\0A\0\0\0x\0\0\0\xe9\0\0", 24) == 0);
    arena_close(&arena);
}

Test(npz, broken_deflate_is_refused)
{
    struct npz npz;
    struct span content = corpus("deflated.npz");
    char *copy = arena_text(&arena, content.data, content.size);
    for (size_t at = 60; at < 90; at++)
        copy[at] = (char)0xFF;
    enum status status = npz_parse((struct span){copy, content.size}, &arena, &npz, &err);
    cr_assert(status == STATUS_CORRUPT, "%s: %s", status_name(status), err.text);
    status = npz_parse((struct span){content.data, content.size - 30}, &arena, &npz, &err);
    cr_assert(status == STATUS_INVALID || status == STATUS_CORRUPT, "a truncated file: %s",
              err.text);
    arena_close(&arena);
}
