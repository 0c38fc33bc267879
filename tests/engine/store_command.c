/* What people do with whole stores: export and import in both forms, diff, explain. */
#include "engine/base/file.h"
#include "engine/recipe.h"
#include "engine/store_card.h"

#include "tests/engine/foldmill.h"
#include "tests/engine/store_fixture.h"

enum { RECORDS = 30 };

static struct fixture filled(const char *name)
{
    struct fixture fixture = fixture_open(name);
    struct store_options options = {.codec = STORE_LZ4,
                                    .recipe = 0xaa,
                                    .recipe_text = "0123456789abcdef scan scan 1 makes a {}\n"
                                                   "00000000000000aa p parse 2 pass b {r: 2}\n"};
    struct store *store;
    struct sample odd;
    struct error err;
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 0, RECORDS);
    cr_assert(sample_open(&odd, SPAN("../odd_one"), &err) == STATUS_OK);
    uint16_t *half = sample_add_1(&odd, &fixture.arena, "z_half", KIND_BF16, 2);
    half[0] = 0x3f80, half[1] = 0xc000;
    sample_add_3(&odd, &fixture.arena, "none", KIND_I64, 0, 5, 2);
    sample_add_f32(&odd, &fixture.arena, "a_scalar", 2.5f);
    bool *mask = sample_add_1(&odd, &fixture.arena, "mask", KIND_BOOL, 3);
    mask[1] = true;
    struct store_note note = {.made = {0xaa, 7}, .length = 5, .rows = 6};
    cr_assert(store_put(store, &odd, &note, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    store_close(store);
    return fixture;
}

static void remove_all(const char *path)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    cr_assert(system(command) == 0);
}

Test(store_command, what_is_exported_comes_back_as_it_was, .timeout = 60)
{
    struct fixture fixture = filled("whole");
    struct store *was, *is;
    struct error err;
    struct arena arena;
    struct sample before, after;
    struct store_entry a, b;
    struct span recipe;
    char out[300], again[300];
    arena_open(&arena, 0);
    snprintf(out, sizeof out, "%s_out", fixture.path);
    snprintf(again, sizeof again, "%s_again", fixture.path);
    for (int npy = 0; npy < 2; npy++) {
        cr_assert(foldmill("store export %s --all %s %s", fixture.path, out, npy ? "--npy" : "") ==
                      0,
                  "%s", output);
        cr_assert(foldmill("store import %s %s", again, out) == 0, "%s", output);
        cr_assert(strstr(output, "31 records imported\n"), "%s", output);
        cr_assert(store_open_reader(fixture.path, &was, &err) == STATUS_OK, "%s", err.text);
        cr_assert(store_open_reader(again, &is, &err) == STATUS_OK, "%s", err.text);
        for (int i = 0; i <= RECORDS; i++) {
            char key[20] = "../odd_one";
            if (i < RECORDS)
                snprintf(key, sizeof key, "key_%04d", i);
            cr_assert(store_get(was, key, NULL, NULL, &arena, &before, &err) == STATUS_OK);
            cr_assert(store_get(is, key, NULL, NULL, &arena, &after, &err) == STATUS_OK, "%s",
                      err.text);
            cr_assert(sample_digest(&before) == sample_digest(&after), "%s", key);
            cr_assert(store_find(was, key, &a, &err) == STATUS_OK &&
                      store_find(is, key, &b, &err) == STATUS_OK);
            cr_assert(store_made_equal(a.made, b.made) && a.length == b.length &&
                      a.rows == b.rows && strcmp(a.split, b.split) == 0 && a.digest == b.digest);
        }
        cr_assert(store_recipe(is, 0xaa, &arena, &recipe, &err) == STATUS_OK &&
                      span_starts(recipe, "0123456789abcdef scan"),
                  "%s", err.text);
        store_close(was), store_close(is);
        cr_assert(foldmill("store diff %s %s", fixture.path, again) == 0, "%s", output);
        cr_assert(strstr(output, "31 the same, 0 differ, 0 only in the first, 0 only in the "
                                 "second"),
                  "%s", output);
        remove_all(out), remove_all(again);
    }
    arena_close(&arena);
    fixture_close(&fixture);
}

/* Files that a person made, and what cannot be imported: each is told, the others come in. */
Test(store_command, import_takes_plain_files_and_tells_what_it_cannot_take, .timeout = 60)
{
    struct fixture fixture = filled("plain");
    struct store *store;
    struct error err;
    struct sample sample;
    struct store_entry entry;
    char out[300], file[500], again[300];
    snprintf(out, sizeof out, "%s_out", fixture.path);
    snprintf(again, sizeof again, "%s_again", fixture.path);
    cr_assert(foldmill("store export %s key_0001 key_0002 key_0003 %s --npy", fixture.path, out) ==
                  0,
              "%s", output);
    snprintf(file, sizeof file, "%s/key_0001/%s.txt", out, STORE_CARD_NAME);
    cr_assert(unlink(file) == 0);
    snprintf(file, sizeof file, "%s/key_0002/msa.npy", out);
    cr_assert(unlink(file) == 0);
    cr_assert(foldmill("store import %s %s/ %s/key_0001/", again, out, out) == 1, "%s", output);
    cr_assert(strstr(output, "key_0002: the array msa, which its card names, is missing") &&
                  strstr(output, "3 records imported; what went wrong stands above"),
              "%s", output);
    cr_assert(store_open_reader(again, &store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_get(store, "key_0001", NULL, NULL, &fixture.arena, &sample, &err) == STATUS_OK);
    cr_assert(strcmp(sample.fields[0].name, "aatype") == 0 && sample.field_count == 4 &&
              sample_find(&sample, "positions")->kind == KIND_F32);
    cr_assert(store_find(store, "key_0001", &entry, &err) == STATUS_OK && entry.made.recipe == 0 &&
              entry.length == 51 && entry.rows == 2 && strcmp(entry.split, "train") == 0);
    store_close(store);
    snprintf(file, sizeof file, "%s/key_0003/%s.txt", out, STORE_CARD_NAME);
    cr_assert(file_write_atomic(file, SPAN("foldmill record 1\nkey k\nsize x 1\n"), &err) ==
              STATUS_OK);
    cr_assert(foldmill("store import %s %s/key_0003", again, out) == 1);
    cr_assert(strstr(output, "line 3 is not that of a record's card: 'size x 1'"), "%s", output);
    cr_assert(foldmill("store import %s %s/nowhere.npz", again, out) == 1 &&
                  strstr(output, "No such file"),
              "%s", output);
    snprintf(file, sizeof file, "%s/bad.npz", out);
    cr_assert(file_write_atomic(file, SPAN("no zip"), &err) == STATUS_OK);
    cr_assert(foldmill("store import %s %s", again, file) == 1 && strstr(output, "bad.npz: "), "%s",
              output);
    cr_assert(foldmill("store import %s", again) == 2);
    remove_all(out), remove_all(again);
    fixture_close(&fixture);
}

Test(store_command, diff_names_keys_and_fields, .timeout = 60)
{
    struct fixture first = filled("first"), second = filled("second");
    struct store *store = fixture_writer(&second);
    struct error err;
    struct sample sample;
    struct store_note note = {0};
    fixture_sample(&sample, &second.arena, 7);
    ((float *)sample_find(&sample, "positions")->data)[11] += 1;
    sample_add_f32(&sample, &second.arena, "resolution", 1);
    cr_assert(store_put(store, &sample, &note, &err) == STATUS_OK);
    fixture_sample(&sample, &second.arena, 8); /* the same, made by other settings */
    cr_assert(store_put(store, &sample, &note, &err) == STATUS_OK);
    cr_assert(store_forget(store, "key_0009", &err) == STATUS_OK);
    cr_assert(store_refuse(store, SPAN("zebra"), note.made, SPAN(""), "stripes", &err) ==
              STATUS_OK);
    cr_assert(store_refuse(store, SPAN("key_0010"), note.made, SPAN(""), "too long", &err) ==
              STATUS_OK);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    store_close(store);
    cr_assert(foldmill("store diff %s %s", first.path, second.path) == 1, "%s", output);
    cr_assert(strcmp(output, "differ   key_0007: positions, resolution only in the second\n"
                             "only 1st key_0009\n"
                             "differ   key_0010: refused in the second: too long\n"
                             "only 2nd zebra (refused)\n"
                             "28 the same, 2 differ, 1 only in the first, 1 only in the "
                             "second\n") == 0,
              "%s", output);
    cr_assert(foldmill("store diff %s %s/nowhere", first.path, second.path) == 1);
    cr_assert(foldmill("store diff %s", first.path) == 2);
    fixture_close(&first);
    fixture_close(&second);
}

/* Against a graph with another setting: what has changed, and from where on it is made again. */
Test(store_command, explain_says_what_has_changed, .timeout = 60)
{
    struct fixture fixture = fixture_open("explain");
    struct complaints complaints;
    struct sample sample;
    struct store *store;
    struct error err;
    char file[400];
    static const char text[] =
        "graph: x\nseed: 3\nstages:\n  scan: {with: {structures: .}}\n  parse: {in: scan}\n"
        "  msa: {in: parse, with: {rows_max: 77}}\n  store: {in: msa, with: {path: f}}\n";
    snprintf(file, sizeof file, "%s/g.yaml", fixture.path);
    cr_assert(file_write_atomic(file, span_of(text), &err) == STATUS_OK, "%s", err.text);
    complaints_open(&complaints, &fixture.arena);
    const struct graph *graph = graph_load(file, NULL, NULL, &fixture.arena, &complaints);
    cr_assert(graph);
    struct store_options options = {.codec = STORE_LZ4, .recipe = graph->stages[3].recipe};
    options.recipe_text = recipe_text(graph, &graph->lines[0], &fixture.arena);
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(sample_open(&sample, SPAN("1abc_A"), &err) == STATUS_OK);
    sample_add_text(&sample, &fixture.arena, "input_digest", SPAN("0123"));
    struct store_note note = {.made = store_made(options.recipe, &sample)};
    cr_assert(store_put(store, &sample, &note, &err) == STATUS_OK &&
                  store_commit(store, &err) == STATUS_OK,
              "%s", err.text);
    store_close(store);
    cr_assert(foldmill("store explain %s 1abc_A", fixture.path) == 0, "%s", output);
    cr_assert(strstr(output, "rows_max: 77") && !strstr(output, "since"), "%s", output);
    cr_assert(foldmill("store explain %s 1abc_A --graph %s --set msa.rows_max=9 "
                       "--set parse.resolution=4",
                       fixture.path, file) == 1,
              "%s", output);
    cr_assert(strstr(output, "  parse.resolution was 0, is 4\n") &&
                  strstr(output, "  msa.rows_max was 77, is 9\n"),
              "%s", output);
    cr_assert(strstr(output, "the source does not list it any more: "), "%s", output);
    cr_assert(foldmill("store explain %s absent", fixture.path) == 1 &&
                  strstr(output, "there is no absent"),
              "%s", output);
    cr_assert(foldmill("store explain %s 1abc_A --graph %s --stage other", fixture.path, file) ==
                      2 &&
                  strstr(output, "no line that fills a store of that name"),
              "%s", output);
    cr_assert(foldmill("store explain %s 1abc_A --graph %s --run x", fixture.path, file) == 2);
    fixture_close(&fixture);
}

Test(store_card, what_is_written_is_read)
{
    struct arena arena;
    struct sample sample;
    struct store_card card;
    struct error err;
    arena_open(&arena, 0);
    fixture_sample(&sample, &arena, 3);
    struct store_entry entry = {.made = {1, UINT64_MAX}, .length = 4, .rows = UINT32_MAX};
    struct span text = store_card_write(&entry, &sample, SPAN("one\ntwo\n"), &arena);
    cr_assert(store_card_read(text, &card, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(card.key, "key_0003") == 0 && store_made_equal(card.note.made, entry.made));
    cr_assert(card.note.length == 4 && card.note.rows == UINT32_MAX && card.field_count == 4);
    cr_assert(strcmp(card.fields[2].name, "positions") == 0 && card.fields[2].kind == KIND_F32);
    cr_assert(span_is(card.recipe, "one\ntwo\n"));
    static const char *const bad[] = {"",
                                      "foldmill record 2\nkey k\n",
                                      "foldmill record 1\n",
                                      "foldmill record 1\nkey \n",
                                      "foldmill record 1\nkey k\nfield a\n",
                                      "foldmill record 1\nkey k\nfield a f64\n",
                                      "foldmill record 1\nkey k\nmade 12 34\n",
                                      "foldmill record 1\nkey k\n\n",
                                      NULL};
    for (int i = 0; bad[i]; i++)
        cr_assert(store_card_read(span_of(bad[i]), &card, &err) == STATUS_INVALID, "%d", i);
    arena_close(&arena);
}
