/* Fields that stay in the store until their rows are asked for. */
#include "tests/engine/store_fixture.h"

/* Rows that are read when they are wanted: the same as of the whole, until the record changes. */
Test(store_lazy, rows_are_those_of_the_whole)
{
    struct fixture fixture = fixture_open("lazy");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    struct sample sample, whole;
    struct store_made made = fixture_made(4);
    static const char *const lazy[] = {"msa", "positions", "absent", NULL};
    int32_t rows[] = {3, 0, 4, 3};
    uint8_t found[4 * 54];
    float atoms[15];
    fixture_fill(store, 0, 10);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_get_lazy(store, "key_0004", lazy, &made, &fixture.arena, &sample, &err) ==
              STATUS_OK, "%s", err.text);
    cr_assert(store_get(store, "key_0004", NULL, &made, &fixture.arena, &whole, &err) == STATUS_OK);
    const struct field *msa = sample_find(&sample, "msa"), *all = sample_find(&whole, "msa");
    const struct field *positions = sample_find(&sample, "positions");
    cr_assert(!msa->data && msa->size[0] == 5 && msa->size[1] == 54 && !positions->data);
    cr_assert(sample_find(&sample, "aatype")->data && sample.source && !whole.source);
    cr_assert(sample_rows(&sample, msa, rows, 4, found, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 4; i++)
        cr_assert(memcmp(found + i * 54, (uint8_t *)all->data + rows[i] * 54, 54) == 0);
    memset(found, 0, sizeof found);
    cr_assert(sample_rows(&whole, all, rows, 4, found, &err) == STATUS_OK);
    cr_assert(memcmp(found + 54, all->data, 54) == 0, "of data in memory it is the same");
    int32_t last = 53;
    cr_assert(sample_rows(&sample, positions, &last, 1, atoms, &err) == STATUS_OK);
    cr_assert(memcmp(atoms, (float *)sample_find(&whole, "positions")->data + 53 * 15,
                     sizeof atoms) == 0);
    cr_assert(sample_rows(&sample, positions, NULL, 0, NULL, &err) == STATUS_OK);
    cr_assert(sample.source->failed == STATUS_OK);

    /* Replaced meanwhile: the sample is of the record that was. */
    struct sample other;
    struct store_note note = {.made = made};
    fixture_sample(&other, &fixture.arena, 4);
    ((uint8_t *)sample_find(&other, "msa")->data)[0] ^= 1;
    cr_assert(store_put(store, &other, &note, &err) == STATUS_OK &&
              store_commit(store, &err) == STATUS_OK);
    cr_assert(sample_rows(&sample, msa, rows, 4, found, &err) == STATUS_MISS &&
              strstr(err.text, "key_0004"), "%s", err.text);
    cr_assert(sample.source->failed == STATUS_MISS);

    /* Damaged: told by key and field, and by that field alone. */
    cr_assert(store_get_lazy(store, "key_0004", lazy, &made, &fixture.arena, &sample, &err) ==
              STATUS_OK, "%s", err.text);
    static char bytes[100000];
    struct record_view view;
    size_t size = fixture_raw_get(&fixture, "records", "key_0004", bytes, sizeof bytes);
    cr_assert(record_peek((struct span){bytes, size}, &view, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(view.fields[2].field.name, "positions") == 0);
    bytes[view.fields[2].data_at + 5] ^= 8;
    store_close(store);
    fixture_raw_put(&fixture, "records", "key_0004", bytes, size);
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_get_lazy(store, "key_0004", lazy, &made, &fixture.arena, &sample, &err) ==
              STATUS_OK, "%s", err.text);
    cr_assert(sample_rows(&sample, sample_find(&sample, "msa"), rows, 4, found, &err) == STATUS_OK);
    cr_assert(sample_rows(&sample, sample_find(&sample, "positions"), &last, 1, atoms, &err) ==
              STATUS_CORRUPT && strstr(err.text, "key_0004") && strstr(err.text, "positions"),
              "%s", err.text);
    cr_assert(sample.source->failed == STATUS_CORRUPT);
    store_close(store);
    fixture_close(&fixture);
}
