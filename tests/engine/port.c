/* Port rows: what they say, and whether samples fit them. */
#include "engine/port.h"

#include <criterion/criterion.h>
#include <string.h>

Test(port, rows)
{
    struct port_field field;
    cr_assert(port_parse("msa:u8[N,L]", &field, NULL) == STATUS_OK, "plain");
    cr_assert(strcmp(field.name, "msa") == 0 && field.kind == KIND_U8 && field.rank == 2 &&
                  field.dim[0] == 'N' && field.dim[1] == 'L' && !field.optional,
              "plain parts");
    cr_assert(port_parse("x:f32[L,37,3]?", &field, NULL) == STATUS_OK, "fixed sizes");
    cr_assert(field.rank == 3 && !field.dim[1] && field.size[1] == 37 && field.optional, "parts");
    cr_assert(!field.lazy && port_parse("x:f32[L,37,3]?~", &field, NULL) == STATUS_OK &&
                  field.lazy && field.optional && field.rank == 3, "lazy and optional");
    cr_assert(port_parse("scale:f32", &field, NULL) == STATUS_OK && field.rank == 0, "a scalar");
    static const char *const wrong[] = {
        "",         "msa",       ":u8",        "msa:u9",   "msa:u8[",
        "msa:u8[]", "msa:u8[n]", "msa:u8[N,]", "a:u8[-1]", "a:u8[A,B,C,D,E,F,G]",
        "a[:u8]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(port_parse(wrong[i], &field, NULL) == STATUS_INVALID, "%s", wrong[i]);
}

static enum status check(const struct port *port, const struct sample *sample, struct error *err)
{
    struct port_table table;
    enum status status = port_open(port, &table, err);
    cr_assert(status == STATUS_OK, "rows");
    return port_check(&table, sample, err);
}

Test(port, samples)
{
    static const char *const rows[] = {"msa:u8[N,L]", "mask:f32[L]", "atoms:f32[L,3]",
                                       "extra:i32[N]?", NULL};
    struct port port = {rows};
    struct arena arena;
    struct sample sample;
    struct error err;
    arena_open(&arena, 0);
    sample_open(&sample, SPAN("k"), NULL);
    cr_assert(check(&port, &sample, &err) == STATUS_INVALID && strstr(err.text, "msa"), "none");
    sample_add_2(&sample, &arena, "msa", KIND_U8, 4, 7);
    sample_add_1(&sample, &arena, "mask", KIND_F32, 7);
    sample_add_2(&sample, &arena, "atoms", KIND_F32, 7, 3);
    cr_assert(check(&port, &sample, &err) == STATUS_OK, "%s", err.text);
    sample_add_1(&sample, &arena, "extra", KIND_I32, 5);
    cr_assert(check(&port, &sample, &err) == STATUS_INVALID, "N is 4");
    cr_assert(strstr(err.text, "N = 4") && strstr(err.text, "i32[5]"), "%s", err.text);

    static const char *const kinds[] = {"mask:bf16[L]", NULL}, *const sizes[] = {"atoms:f32[L,4]",
                                                                                 NULL};
    struct port wrong_kind = {kinds}, wrong_size = {sizes}, none = {NULL};
    cr_assert(check(&wrong_kind, &sample, &err) == STATUS_INVALID, "kind");
    cr_assert(check(&wrong_size, &sample, &err) == STATUS_INVALID, "size");
    cr_assert(strstr(err.text, "f32[7,3]"), "%s", err.text);
    cr_assert(check(&none, &sample, &err) == STATUS_OK, "no rows fit everything");
    arena_close(&arena);
}
