/* Recipes as text, and what a fill line takes from records that were made by another one. */
#include "engine/recipe.h"
#include "engine/reuse.h"

#include "tests/engine/store_fixture.h"

static struct arena arena;
static struct complaints complaints;

static const struct graph *graph_of(const char *parse, const char *msa)
{
    static const struct param_roots roots = {.graph = "/g", .run = "/r"};
    struct source_text *source = arena_zero(&arena, 1, sizeof *source);
    *source = (struct source_text){.name = "g.yaml"};
    source->text = span_of(
        arena_printf(&arena,
                     "graph: x\nseed: 3\nstages:\n  scan: {with: {structures: a}}\n"
                     "  read: {run: parse, in: scan, with: {%s}}\n  msa: {in: read, with: {%s}}\n"
                     "  store: {in: msa, with: {path: f}}\n  crop: {in: store.train}\n"
                     "  batch: {in: crop}\n  train: {in: batch}\n",
                     parse, msa));
    complaints_open(&complaints, &arena);
    const struct graph *graph = graph_parse(source, &roots, NULL, &arena, &complaints);
    if (!graph)
        complaints_print(&complaints, stderr);
    cr_assert(graph);
    return graph;
}

static int fill_line(const struct graph *graph)
{
    return graph_line_find(graph, "store");
}

Test(recipe, is_a_line_for_each_stage_above_the_store)
{
    struct recipe recipe;
    struct error err;
    struct span name, value;
    arena_open(&arena, 0);
    const struct graph *graph = graph_of("resolution: 2.5", "rows_max: 77");
    int fill = fill_line(graph);
    const char *text = recipe_text(graph, &graph->lines[fill], &arena);
    cr_assert(recipe_read(span_of(text), &recipe, &err) == STATUS_OK, "%s", err.text);
    cr_assert(recipe.count == 3 && span_is(recipe.stages[1].name, "read") &&
              span_is(recipe.stages[1].kind, "parse") && span_is(recipe.stages[0].kind, "scan"));
    for (int i = 0; i < 3; i++)
        cr_assert(recipe.stages[i].recipe == graph->stages[i].recipe &&
                  recipe_find(&recipe, graph->stages[i].recipe) == i);
    cr_assert(recipe.stages[2].recipe == graph->stages[graph->lines[fill].sink].recipe);
    cr_assert(recipe_find(&recipe, 1) == -1);
    cr_assert(!recipe.stages[0].passes && recipe.stages[1].passes);
    cr_assert(recipe_names(recipe.stages[1].fields, SPAN("all_atom_mask")) &&
              !recipe_names(recipe.stages[1].fields, SPAN("all_atom")));
    struct span settings = recipe.stages[2].settings;
    bool found = false;
    while (recipe_setting(&settings, &name, &value))
        found = found || (span_is(name, "rows_max") && span_is(value, "77"));
    cr_assert(found);
    const struct graph_line *train = &graph->lines[graph_line_find(graph, "train")];
    cr_assert(strncmp(recipe_text(graph, train, &arena), text, strlen(text)) == 0,
              "what reads the store begins with what fills it");
    arena_close(&arena);
}

Test(recipe, settings_are_split_where_they_end)
{
    struct span settings = SPAN("{a: 1, b: \"x, \\\"y: }\", c: [1, {d: 2}], e: }"), name, value;
    static const char *const wanted[][2] = {
        {"a", "1"}, {"b", "\"x, \\\"y: }\""}, {"c", "[1, {d: 2}]"}, {"e", ""}};
    for (int i = 0; i < 4; i++)
        cr_assert(recipe_setting(&settings, &name, &value) && span_is(name, wanted[i][0]) &&
                      span_is(value, wanted[i][1]),
                  "%d: %.*s", i, (int)value.size, value.data);
    cr_assert(!recipe_setting(&settings, &name, &value));
    settings = SPAN("{}");
    cr_assert(!recipe_setting(&settings, &name, &value));
}

Test(recipe, other_text_is_refused)
{
    struct recipe recipe;
    static const char *const bad[] = {"scan 1, parse 1",
                                      "0123456789abcdef a b 1 pass x",
                                      "0123456789abcdef a b 1 else x {}",
                                      "0123456789abcdeg a b 1 pass x {}",
                                      "0123456789abcdef a b -1 pass x {}",
                                      "0123456789abcdef a b 1 pass x [}",
                                      "0123456789abcdef a b 1 pass x\033 {}",
                                      "\n",
                                      NULL};
    for (int i = 0; bad[i]; i++)
        cr_assert(recipe_read(span_of(bad[i]), &recipe, NULL) == STATUS_INVALID, "%s", bad[i]);
    cr_assert(recipe_read(SPAN("0123456789abcdef a b 1 makes - {}\n"), &recipe, NULL) == STATUS_OK);
    cr_assert(recipe.count == 1 && recipe.stages[0].fields.size == 0);
}

Test(recipe, fields_are_known_where_one_stage_alone_makes_them)
{
    struct recipe recipe;
    arena_open(&arena, 0);
    const char *text =
        "0000000000000001 s scan 1 makes a {}\n0000000000000002 p parse 1 pass b,c {}\n"
        "0000000000000003 m msa 1 pass d {}\n0000000000000004 t t 1 pass c,e {}\n"
        "0000000000000005 x exec 1 pass f {}\n";
    cr_assert(recipe_read(span_of(text), &recipe, NULL) == STATUS_OK && recipe.count == 5);
    cr_assert(!recipe_fields(&recipe, 0, &arena), "a source is not run by workers");
    cr_assert(!recipe_fields(&recipe, 1, &arena), "c is of two");
    const char *const *fields = recipe_fields(&recipe, 2, &arena);
    cr_assert(fields && strcmp(fields[0], "d") == 0 && !fields[1]);
    recipe.stages[4].passes = false;
    cr_assert(!recipe_fields(&recipe, 2, &arena), "the last may have dropped it");
    recipe.stages[4].passes = true;
    recipe.stages[4].fields.size = 0;
    cr_assert(!recipe_fields(&recipe, 2, &arena), "the last does not say what it makes");
    arena_close(&arena);
}

/* A record as that graph's fill line makes it. */
static void put(struct fixture *fixture, const struct graph *graph, const char *key,
                const char *digest)
{
    struct sample sample;
    struct store *store;
    struct error err;
    const struct graph_line *line = &graph->lines[fill_line(graph)];
    struct store_options options = {.codec = STORE_LZ4,
                                    .recipe = graph->stages[line->sink].recipe,
                                    .recipe_text = recipe_text(graph, line, &arena)};
    cr_assert(store_open_writer(fixture->path, &options, &store, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(sample_open(&sample, span_of(key), &err) == STATUS_OK);
    sample_add_text(&sample, &arena, "structure", SPAN("/old/place"));
    sample_add_text(&sample, &arena, "input_digest", span_of(digest));
    memset(sample_add_1(&sample, &arena, "aatype", KIND_U8, 5), 7, 5);
    sample_add_f32(&sample, &arena, "resolution", 2.0f);
    memset(sample_add_2(&sample, &arena, "msa", KIND_U8, 3, 5), 9, 15);
    struct store_note note = {.made = store_made(options.recipe, &sample)};
    cr_assert(store_put(store, &sample, &note, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    store_close(store);
}

static bool found(struct fixture *fixture, const struct graph *graph, int stage, const char *key,
                  const char *digest, struct sample *out)
{
    struct sample in;
    struct reuse *reuse = reuse_open(graph, fill_line(graph), stage, &arena);
    cr_assert(reuse);
    reuse->path = fixture->path;
    cr_assert(sample_open(&in, span_of(key), NULL) == STATUS_OK);
    sample_add_text(&in, &arena, "structure", SPAN("/new/place"));
    sample_add_text(&in, &arena, "input_digest", span_of(digest));
    bool is = reuse_find(reuse, &in, out, &arena);
    cr_assert(is == reuse_find(reuse, &in, out, &arena), "and again");
    reuse_close(reuse);
    return is;
}

Test(reuse, takes_the_fields_of_stages_that_did_not_change)
{
    enum { READ = 1, MSA = 2 };
    struct sample out;
    arena_open(&arena, 0);
    struct fixture fixture = fixture_open("reuse");
    const struct graph *base = graph_of("resolution: 2.5", "rows_max: 77");
    const struct graph *rows = graph_of("resolution: 2.5", "rows_max: 78");
    const struct graph *read = graph_of("resolution: 3.5", "rows_max: 77");
    cr_assert(!found(&fixture, rows, READ, "1abc_A", "11", &out), "there is no store yet");
    put(&fixture, base, "1abc_A", "11");
    cr_assert(found(&fixture, rows, READ, "1abc_A", "11", &out));
    cr_assert(out.field_count == 2 && sample_find(&out, "aatype") &&
                  sample_find(&out, "resolution"),
              "its own fields alone");
    cr_assert(strcmp(out.key, "1abc_A") == 0 &&
              ((uint8_t *)sample_find(&out, "aatype")->data)[4] == 7);
    cr_assert(!found(&fixture, rows, MSA, "1abc_A", "11", &out), "msa has changed");
    cr_assert(!found(&fixture, read, READ, "1abc_A", "11", &out), "parse has changed");
    cr_assert(!found(&fixture, read, MSA, "1abc_A", "11", &out), "and all below it");
    cr_assert(!found(&fixture, rows, READ, "1abc_A", "12", &out), "the files have changed");
    cr_assert(!found(&fixture, rows, READ, "1abc_B", "11", &out), "another chain");
    cr_assert(found(&fixture, base, MSA, "1abc_A", "11", &out) && out.field_count == 1);
    put(&fixture, read, "1abc_A", "11");
    cr_assert(!found(&fixture, rows, READ, "1abc_A", "11", &out), "it was replaced");
    fixture_raw_put(&fixture, "index", "1abc_A", "xx", 2);
    cr_assert(!found(&fixture, read, READ, "1abc_A", "11", &out), "its entry is damaged");
    cr_assert(reuse_open(base, graph_line_find(base, "train"), 4, &arena) == NULL,
              "crops are always made");
    cr_assert(!reuse_find(NULL, &out, &out, &arena));
    fixture_close(&fixture);
    arena_close(&arena);
}
