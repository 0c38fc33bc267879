/* The graph language: every mistake gets its place, its words and a suggestion, all in one pass; a
 * good graph means what it says, whatever does not matter left out of its hash. */
#include "engine/graph.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct arena arena;
static struct complaints complaints;
static const struct param_roots roots = {.graph = "/g", .run = "/r"};

/* A good graph that the cases change. */
#define HEAD "graph: x\nseed: 3\nstages:\n"
#define FILL                                                                                       \
    "  scan: {with: {structures: a}}\n  parse: {in: scan}\n  msa: {in: parse}\n"                   \
    "  store: {in: msa, with: {path: \"{run}/f\"}}\n"
#define TAKE "  b: {run: batch, in: crop}\n  train: {in: b}\n"
#define TRAIN                                                                                      \
    "  crop: {in: store.train}\n  batch: {in: crop, with: {size: 2}}\n  train: {in: batch}\n"

static const struct graph *parse_set(const char *text, const char *set)
{
    struct graph_overrides overrides = {&set, set ? 1 : 0};
    struct source_text *source = arena_zero(&arena, 1, sizeof *source);
    *source = (struct source_text){.name = "g.yaml", .text = span_of(text)};
    complaints_open(&complaints, &arena);
    return graph_parse(source, &roots, &overrides, &arena, &complaints);
}

static const struct graph *parse(const char *text)
{
    return parse_set(text, NULL);
}

static const struct graph *good(const char *text)
{
    const struct graph *graph = parse(text);
    if (!graph)
        complaints_print(&complaints, stderr);
    cr_assert(graph, "%s", text);
    return graph;
}

static char *shown(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    complaints_print(&complaints, out);
    fclose(out);
    return text;
}

/* The text has exactly one mistake, told with all of these words. */
static void one(const char *text, const char *place, const char *words)
{
    cr_assert(!parse(text), "a graph with a mistake: %s", text);
    char *told = shown();
    cr_assert(complaints.count == 1, "%d mistakes for %s:\n%s", complaints.count, text, told);
    cr_assert(strncmp(told, place, strlen(place)) == 0, "not at %s:\n%s", place, told);
    cr_assert(strstr(told, words), "no '%s' in\n%s", words, told);
    free(told);
}

static void setup(void)
{
    arena_open(&arena, 0);
}

static void teardown(void)
{
    arena_close(&arena);
}

TestSuite(graph, .init = setup, .fini = teardown);

Test(graph, keys_and_kinds)
{
    one("graph: x\nsede: 3\nstages:\n" FILL, "g.yaml:2:1:", "did you mean 'seed'?");
    one(HEAD FILL "  crop: {in: store.train, worker: 2}\n" TAKE, "g.yaml:8:27:",
        "did you mean 'workers'?");
    one(HEAD FILL "  crop: {in: store.train, with: {lenght: 3}}\n" TAKE,
        "g.yaml:8:34:", "unknown setting 'lenght'; did you mean 'length'?");
    one(HEAD FILL "  crp: {in: store.train}\n  train: {in: crp}\n", "g.yaml:8:3:",
        "there is no stage of the kind 'crp'; did you mean 'crop'?");
    one("graph: x\nseed: 3\nseed: 4\nstages:\n" FILL, "g.yaml:3:1:",
        "key 'seed' stands here twice, first in line 2");
    one("graph: x\nseed: -1\nstages:\n" FILL, "g.yaml:2:7:", "a whole number from 0");
    one("seed: 1\nstages:\n" FILL, "g.yaml:1:1:", "key 'graph' is missing");
    one("graph: x\n", "g.yaml:1:1:", "key 'stages' is missing");
    one("graph: x\norder: overtake\nstages:\n" FILL, "g.yaml:2:8:", "order wants strict");
    one("graph: x\norder: {overtake: 0}\nstages:\n" FILL, "g.yaml:2:19:", "number from 1 to 16384");
    one("graph: x\norder: {overtake: 4, most: 2}\nstages:\n" FILL, "g.yaml:2:22:",
        "unknown key 'most' of order");
    one("graph: x\norder: {most: 2}\nstages:\n" FILL, "g.yaml:2:8:", "order wants strict");
}

Test(graph, values)
{
    one(HEAD FILL "  crop: {in: store.train, with: {length: -2}}\n" TAKE,
        "g.yaml:8:42:", "a whole number from -1 to 4096; '-2' is not");
    one(HEAD FILL "  crop: {in: store.train, with: {mode: evla}}\n" TAKE,
        "g.yaml:8:40:", "did you mean 'eval'?");
    one(HEAD FILL "  crop: {in: store.train, with: {length: [1]}}\n" TAKE,
        "g.yaml:8:42:", "here is a list");
    one(HEAD FILL "  crop: {in: store.train, timeout: 30}\n" TAKE, "g.yaml:8:36:",
        "a time with its unit");
    one(HEAD FILL "  crop: {in: store.train, memory: 3 apples}\n" TAKE,
        "g.yaml:8:35:", "a size with its unit");
    one(HEAD FILL "  crop: {in: store.train, memory: 3KiB}\n" TAKE, "g.yaml:8:35:",
        "at least 1MiB");
    one(HEAD FILL "  crop: {in: store.train, workers: 0}\n" TAKE, "g.yaml:8:36:",
        "a whole number from 1");
    one(HEAD FILL "  crop: {in: store.train}\n  b: {run: batch, in: crop}\n"
                  "  train: {in: b, workers: 2}\n", "g.yaml:10:27:",
        "train runs in one process only");
    one(HEAD "  scan:\n  parse: {in: scan}\n  store: {in: parse, with: {path: f}}\n", "g.yaml:4:3:",
        "setting 'structures' is missing");
}

Test(graph, edges)
{
    one(HEAD FILL "  crop: {in: store.train}\n  train: {in: corp}\n", "g.yaml:9:15:",
        "there is no stage 'corp'; did you mean 'crop'?");
    one(HEAD FILL "  crop: {in: store.trian}\n  train: {in: crop}\n", "g.yaml:8:14:",
        "did you mean 'train'?");
    one(HEAD FILL "  crop: {}\n  train: {in: crop}\n", "g.yaml:8:3:", "which stage feeds crop?");
    one(HEAD FILL "  crop: {in: [store, store]}\n  train: {in: crop}\n", "g.yaml:8:14:",
        "lines do not join");
    one(HEAD FILL "  crop: {in: crop}\n  train: {in: crop}\n", "g.yaml:8:14:",
        "crop cannot feed itself");
    one(HEAD FILL "  a: {run: parse, in: b}\n  b: {run: parse, in: a}\n",
        "g.yaml:8:23:", "a circle");
    one(HEAD "  scan: {in: store, with: {structures: a}}\n  parse: {in: scan}\n"
             "  store: {in: parse, with: {path: f}}\n", "g.yaml:4:14:", "scan begins a line");
    one(HEAD FILL "  crop: {in: store}\n", "g.yaml:8:3:", "nothing takes what crop makes");
    one(HEAD FILL "  crop: {in: store}\n  train: {in: crop}\n  evaluate: {in: crop}\n",
        "g.yaml:10:18:", "crop feeds train already; only a store can be read by several");
    one(HEAD FILL "  crop: {in: store}\n  train: {in: crop}\n  c: {run: crop, in: train}\n"
                  "  evaluate: {in: c}\n", "g.yaml:10:22:", "train ends a line");
    one(HEAD FILL "  crop: {in: store}\n  batch: {in: crop}\n  c: {run: crop, in: batch}\n"
                  "  train: {in: c}\n", "g.yaml:10:22:", "stands directly before a sink");
    one(HEAD "  scan: {with: {structures: a}}\n  store: {in: scan, with: {path: f}}\n",
        "g.yaml:5:3:", "at least one stage is wanted");
    one(HEAD FILL "  other: {run: store, with: {path: f}}\n", "g.yaml:8:3:", "nothing reads it");
}

Test(graph, what_flows_must_fit)
{
    one(HEAD
        "  scan: {with: {structures: a}}\n  msa: {in: scan}\n  store: {in: msa, with: {path: f}}\n",
        "g.yaml:5:13:", "msa needs the field sequence:u8[L], which no stage above it makes");
    one(HEAD "  scan: {with: {structures: a}}\n  parse: {in: scan}\n  msa: {in: parse}\n"
             "  crop: {in: msa}\n  store: {in: crop, with: {path: f}}\n", "g.yaml:7:3:",
        "crop is random and cannot stand above the store");
    one(HEAD FILL "  crop: {in: store}\n  train: {in: crop}\n",
        "g.yaml:9:15:", "is a batch stage missing");
}

Test(graph, all_mistakes_come_in_one_pass_in_order)
{
    cr_assert(!parse("graph: x\nseed: q\nstages:\n  scan: {wiht: 1, with: {structures: a}}\n"
                     "  parse: {in: scna}\n  store: {in: parse, with: {path: f, pth: 2}}\n"));
    char *told = shown();
    const char *places[] = {"g.yaml:2:7:", "g.yaml:4:10:", "g.yaml:5:15:", "g.yaml:6:38:"};
    const char *from = told;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        from = strstr(from, places[i]);
        cr_assert(from, "no %s in\n%s", places[i], told);
    }
    cr_assert(strstr(told, "    seed: q\n          ^\n"), "the line and a caret:\n%s", told);
    free(told);
}

Test(graph, a_stage_of_no_kind_hides_nothing_else)
{
    cr_assert(!parse(HEAD FILL "  crp: {in: store, wrkers: 2}\n  batch: {in: crp}\n"
                               "  train: {in: batch}\n"));
    char *told = shown();
    cr_assert(complaints.count == 2 && strstr(told, "'crp'") && strstr(told, "'wrkers'"), "%s",
              told);
    free(told);
}

Test(graph, a_stage_of_no_kind_still_has_its_input_checked)
{
    cr_assert(!parse(HEAD FILL "  crp: {in: stroe.train}\n  batch: {in: crp}\n"
                               "  train: {in: batch}\n"));
    char *told = shown();
    cr_assert(complaints.count == 2 &&
                  strstr(told, "g.yaml:8:13: error: there is no stage 'stroe'; "
                               "did you mean 'store'?"),
              "%s", told);
    free(told);
}

Test(graph, what_names_an_unreadable_stage_is_told_nothing)
{
    one(HEAD FILL
        "  my crop: {run: crop, in: store}\n  batch: {in: my crop}\n  train: {in: batch}\n",
        "g.yaml:8:3:", "a stage's name is at most 47 letters");
    one(HEAD FILL "  crop: [store]\n  batch: {in: crop}\n  train: {in: batch}\n", "g.yaml:8:9:",
        "a stage is a mapping");
    one(HEAD FILL TRAIN "  crop: {in: store}\n",
        "g.yaml:11:3:", "stands here twice, first in line 8");
}

Test(graph, misfits_are_told_beside_wrong_settings)
{
    cr_assert(!parse(HEAD FILL "  crop: {in: store, with: {length: -2}}\n  train: {in: crop}\n"));
    char *told = shown();
    cr_assert(complaints.count == 2 && strstr(told, "'-2' is not") && strstr(told, "batch stage"),
              "%s", told);
    free(told);
}

Test(graph, places_count_characters)
{
    one(HEAD
        "  scan: {with: {structures: \"\xc3\xa4\xe4\xb8\xad\"}, wrkers: 1}\n  parse: {in: scan}\n"
        "  store: {in: parse, with: {path: f}}\n",
        "g.yaml:4:36:", "did you mean 'workers'?");
    char *told = shown();
    cr_assert(strstr(told, "\n                                       ^~~~~~\n"), "the caret:\n%s",
              told);
    free(told);
    one("graph: x\nsede:\t3\nstages:\n" FILL, "g.yaml:2:1:", "did you mean 'seed'?");
    one("graph: x\nseed:\tq\nstages:\n" FILL, "g.yaml:2:7:", "a whole number");
    told = shown();
    cr_assert(strstr(told, "\n    seed: q\n          ^\n"), "a tab is shown as one blank:\n%s",
              told);
    free(told);
    one("\xef\xbb\xbfgraph: x\nseed: q\nstages:\n" FILL, "g.yaml:2:7:", "a whole number");
}

Test(graph, paths_begin_where_they_should)
{
#define STORE(path)                                                                                \
    HEAD "  scan: {with: {structures: [a, /b, ../c]}}\n  parse: {in: scan}\n"                      \
         "  store: {in: parse, with: {path: " path "}}\n"
    const struct {
        const char *text, *path;
    } cases[] = {{STORE("f"), "/g/f"}, {STORE("/abs"), "/abs"}, {STORE("\"{run}\""), "/r"},
                 {STORE("\"{run}/a/b\""), "/r/a/b"}, {STORE("\"x{run}\""), "/g/x{run}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = graph_store_path(&good(cases[i].text)->stages[2]);
        cr_assert(strcmp(path, cases[i].path) == 0, "%s: %s", cases[i].text, path);
    }
    one(STORE("\"{rnu}/f\""), "g.yaml:6:35:", "did you mean '{run}/...'?");
    one(STORE("\"{run}f\""), "g.yaml:6:35:", "did you mean '{run}/...'?");
    one(STORE("\"\""), "g.yaml:6:35:", "path must be given");
    one(HEAD "  scan: {with: {structures: []}}\n  parse: {in: scan}\n"
             "  store: {in: parse, with: {path: f}}\n", "g.yaml:4:29:", "the list is empty");
    one(HEAD "  scan: {with: {structures: [a, {b: 1}]}}\n  parse: {in: scan}\n"
             "  store: {in: parse, with: {path: f}}\n", "g.yaml:4:33:", "here is a mapping");
}

Test(graph, not_a_graph_at_all)
{
    one("", "g.yaml: error", "is empty");
    one("- a\n- b\n", "g.yaml:1:1:", "a graph is a mapping");
    one("graph: [\n", "g.yaml:2:1:", "not YAML");
    one("graph: &a x\nstages:\n" FILL, "g.yaml:1:8:", "anchors and aliases");
    one("graph: !!str x\nstages:\n" FILL, "g.yaml:1:8:", "tags");
    one("graph: x\nstages:\n" FILL "---\ngraph: y\n", "g.yaml:7:1:", "a second document");
    char deep[200] = "graph: ";
    memset(deep + 7, '[', 100);
    deep[107] = 0;
    one(deep, "g.yaml:1:", "nested deeper than 32");
}

Test(graph, overrides)
{
    const char *text = HEAD FILL TRAIN;
    uint64_t hash = good(text)->hash;
    cr_assert(parse_set(text, "crop.length=64")->hash != hash);
    cr_assert(parse_set(text, "seed=4")->seed == 4);
    cr_assert(parse_set(text, "parse.workers=7")->stages[1].workers == 7);
    cr_assert(parse_set(text, "scan.structures=[x, y]"));
    const char *const bad[][2] = {{"crop", "wants STAGE.SETTING=VALUE"},
                                  {"crop.length", "wants STAGE.SETTING=VALUE"},
                                  {"crop.length=", "gets no value"},
                                  {"corp.length=3", "no stage 'corp'; did you mean 'crop'?"},
                                  {"crop.lenght=3", "did you mean 'length'?"},
                                  {"crop.length=x", "'x' is not"},
                                  {"crop.length=[", "gets no value"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(!parse_set(text, bad[i][0]), "%s", bad[i][0]);
        char *told = shown();
        cr_assert(strstr(told, "--set") && strstr(told, bad[i][1]), "%s:\n%s", bad[i][0], told);
        free(told);
    }
}

/* Of the graph in its folder, of the command line where it was typed. */
Test(graph, relative_paths_of_overrides_begin_here)
{
    char here[PATH_MAX], wanted[PATH_MAX + 32];
    cr_assert(getcwd(here, sizeof here) != NULL);
    const struct graph *graph = parse_set(HEAD FILL TRAIN, "scan.structures=[x/y, /z]");
    cr_assert(graph != NULL);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    graph_write(graph, out);
    fclose(out);
    snprintf(wanted, sizeof wanted, "%s/x/y", here);
    cr_assert(strstr(text, wanted) && strstr(text, "/z"), "%s: %s", wanted, text);
    free(text);
    graph = parse_set(HEAD FILL TRAIN, "store.path=x");
    snprintf(wanted, sizeof wanted, "%s/x", here);
    cr_assert(graph && strcmp(graph_store_path(&graph->stages[3]), wanted) == 0, "%s",
              graph_store_path(&graph->stages[3]));
    graph = parse(HEAD "  scan: {with: {structures: a}}\n  parse: {in: scan}\n  msa: {in: parse}\n"
                       "  store: {in: msa, with: {path: x}}\n" TRAIN);
    cr_assert(graph && strcmp(graph_store_path(&graph->stages[3]), "/g/x") == 0, "%s",
              graph_store_path(&graph->stages[3]));
}

/* The option is shown whole, with the value underlined. */
Test(graph, a_wrong_override_is_underlined)
{
    cr_assert(!parse_set(HEAD FILL TRAIN, "crop.length=many"));
    char *told = shown();
    cr_assert(strcmp(told,
                     "--set:1:13: error: length wants a whole number from -1 to 4096; 'many' is "
                     "not\n    crop.length=many\n                ^~~~\n") == 0,
              "%s", told);
    free(told);
}

Test(graph, overrides_fill_what_stands_empty_and_hide_nothing)
{
    const char *empty = HEAD "  scan: {with: {structures: a}}\n  parse:\n    in: scan\n    with:\n"
                             "  store: {in: parse, with: {path: f}}\n";
    uint64_t hash = good(empty)->hash;
    cr_assert(parse_set(empty, "parse.resolution=2")->hash != hash, "`with:` takes a setting");
    const char *bare = HEAD "  scan:\n  parse: {in: scan}\n  store: {in: parse, with: {path: f}}\n";
    cr_assert(!parse(bare) && parse_set(bare, "scan.structures=a"), "so does a bare `scan:`");
    const char *const wrong[] = {"[a]", "[{b: 1}]", "word", "{with: [a]}", "{with: word}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[256];
        snprintf(text, sizeof text, HEAD "  scan: %s\n  parse: {in: scan}\n"
                 "  store: {in: parse, with: {path: f}}\n", wrong[i]);
        cr_assert(!parse_set(text, "scan.structures=a"), "%s", text);
        cr_assert(!parse_set(text, "scan.run=scan"), "%s", text);
    }
    cr_assert(!parse_set("- a\n", "seed=3") && !parse_set("stages: [a]\n", "a.workers=3"));
}

Test(graph, lines_are_what_the_edges_say)
{
    const struct graph *graph = good(HEAD FILL TRAIN "  c: {run: crop, in: store.held_out}\n"
                                                     "  evaluate: {in: b}\n"
                                                     "  b: {run: batch, in: c, with: {size: 3}}\n");
    cr_assert(graph->line_count == 3);
    int fill = graph_line_find(graph, "store"), train = graph_line_find(graph, "train");
    int held_out = graph_line_find(graph, "evaluate");
    cr_assert(graph->lines[fill].work_count == 2 && graph->lines[fill].filled_by < 0);
    cr_assert(graph->lines[train].filled_by == fill && graph->lines[held_out].filled_by == fill);
    cr_assert(strcmp(graph->lines[train].split, "train") == 0);
    cr_assert(strcmp(graph->lines[held_out].split, "held_out") == 0);
    cr_assert(graph_line_batch(graph, &graph->lines[held_out]) == 3);
    cr_assert(strcmp(graph_store_path(&graph->stages[3]), "/r/f") == 0);
}

Test(graph, the_hash_sees_what_matters_and_nothing_else)
{
    const struct graph *base = good(HEAD FILL TRAIN);
    cr_assert(
        good("# a comment\ngraph: other\nseed: 3\nstages:\n"
             "  scan: {with: {structures: elsewhere}}\n  parse: {in: scan, workers: 5}\n"
             "  msa: {in: parse, timeout: 9s}\n  store: {in: msa, with: {path: there}}\n" TRAIN)
            ->hash == base->hash);
    cr_assert(good("graph: x\nseed: 4\nstages:\n" FILL TRAIN)->hash != base->hash);
    const struct graph *other = good(HEAD
        "  scan: {with: {structures: a}}\n  parse: {in: scan, with: {resolution: 2}}\n"
        "  msa: {in: parse}\n  store: {in: msa, with: {path: f}}\n" TRAIN);
    cr_assert(other->hash != base->hash && other->stages[3].recipe != base->stages[3].recipe);
    const struct graph *cropped =
        good(HEAD FILL "  crop: {in: store.train, with: {length: 9}}\n"
                       "  batch: {in: crop, with: {size: 2}}\n  train: {in: batch}\n");
    cr_assert(cropped->hash != base->hash, "a crop's length matters");
    cr_assert(cropped->stages[3].recipe == base->stages[3].recipe, "but not to what is stored");
}

/* Written out with all values, a graph is the same graph, also with texts that YAML reads in its
 * way. */
Test(graph, what_is_written_comes_back)
{
    const char *text =
        "graph: x-1\nseed: 9223372036854775807\nmax_bad: 0\nstages:\n"
        "  scan: {with: {structures: [\"/a b\", \"/#\", \"/: -\", \"/\\x07\\\"\\\\\",\n"
        "    \"/a\\N b\\L c\\P d\\x80 e\\ufeff f\\uffff\"]}}\n"
        "  parse: {in: scan, on: cpu, workers: 3, timeout: 1500ms, memory: 3GiB}\n"
        "  msa: {in: parse}\n  store: {in: msa, with: {path: \"/\\u00e4{run}\"}}\n"
        "  other: {run: crop, in: store.held_out, with: {mask: 0.1234567890123}}\n"
        "  batch: {in: other}\n  evaluate: {in: batch, queue: 5}\n";
    const struct graph *graph = good(text);
    char *first = NULL, *second = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&first, &size);
    graph_write(graph, out);
    fclose(out);
    const struct graph *again = good(first);
    out = open_memstream(&second, &size);
    graph_write(again, out);
    fclose(out);
    cr_assert(strcmp(first, second) == 0, "%s became\n%s", first, second);
    cr_assert(again->hash == graph->hash && again->seed == INT64_MAX && again->max_bad == 0);
    const struct graph_stage *parse_stage = &again->stages[1];
    cr_assert(strcmp(parse_stage->role, "cpu") == 0 && parse_stage->workers == 3 &&
              parse_stage->timeout_ms == 1500 &&
              parse_stage->memory_bytes == (uint64_t)3 << 30);
    const struct graph_line *last = &again->lines[graph_line_find(again, "evaluate")];
    cr_assert(strcmp(last->split, "held_out") == 0 && again->stages[last->sink].queue == 5);
    free(first);
    free(second);
}

/* Stores can be chained: the second one's recipe follows from what fills the first. */
Test(graph, recipes_reach_through_stores)
{
#define CHAIN(resolution, queue)                                                                   \
    HEAD "  scan: {with: {structures: a}}\n"                                                       \
         "  parse: {in: scan, " queue "with: {resolution: " resolution "}}\n"                     \
         "  one: {run: store, in: parse, with: {path: a}}\n  msa: {in: one}\n"                    \
         "  two: {run: store, in: msa, with: {path: b}}\n"
    const struct graph *base = good(CHAIN("1", ""));
    cr_assert(base->line_count == 2 && base->lines[graph_line_find(base, "two")].filled_by ==
                                           graph_line_find(base, "one"));
    const struct graph *queue = good(CHAIN("1", "timeout: 7s, memory: 1GiB, ")),
                       *other = good(CHAIN("2", ""));
    cr_assert(queue->hash == base->hash && other->hash != base->hash);
    cr_assert(other->stages[2].recipe != base->stages[2].recipe &&
              other->stages[4].recipe != base->stages[4].recipe);
    one(HEAD "  a: {run: store, in: p, with: {path: a}}\n  q: {run: msa, in: a}\n"
             "  b: {run: store, in: q, with: {path: b}}\n  p: {run: msa, in: b}\n",
        "g.yaml:4:23:", "a circle");
}

Test(graph, replay_reads_a_store_that_nothing_fills)
{
    const struct graph *graph = good("graph: x\nstages:\n  store: {with: {path: f}}\n" TRAIN);
    cr_assert(graph->line_count == 1 && graph->lines[0].filled_by < 0 && graph->lines[0].head == 0);
    cr_assert(graph->seed == 1 && graph->max_bad == -1);
}

#define STORES                                                                                     \
    "  pdb: {run: store, with: {path: a}}\n  distilled: {run: store, with: {path: b}}\n"
#define MIXED(in)                                                                                  \
    "graph: x\nstages:\n" STORES "  crop: {in: " in "}\n  batch: {in: crop}\n  train: {in: batch}\n"

Test(graph, stores_are_mixed_by_shares)
{
    const struct graph *graph = good(MIXED("{pdb.train: 0.25, distilled: 0.75}"));
    const struct graph_line *line = &graph->lines[0];
    cr_assert(graph->line_count == 1 && line->mix_count == 2 && line->filled_by < 0 &&
              line->head == 0 && strcmp(line->split, "") == 0);
    cr_assert(line->mix[0].store == 0 && strcmp(line->mix[0].split, "train") == 0);
    cr_assert(line->mix[1].store == 1 && strcmp(line->mix[1].split, "") == 0);
    cr_assert(line->mix[0].share == 0.25 && line->mix[1].share == 0.75);
    static const char *const others[] = {
        MIXED("{pdb.train: 0.25, distilled: 0.74}"), MIXED("{pdb: 0.25, distilled: 0.75}"),
        MIXED("{distilled: 0.75, pdb.train: 0.25}")};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert(good(others[i])->hash != graph->hash, "%s", others[i]);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    graph_write(graph, out);
    fclose(out);
    cr_assert(strstr(text, "in: {pdb.train: 0.25, distilled: 0.75}\n"), "%s", text);
    cr_assert(good(text)->hash == graph->hash);
    free(text);
    good(MIXED("{pdb.train: 1, pdb.held_out: 3, distilled: 1}"));
}

Test(graph, mixtures_that_cannot_be)
{
    one(MIXED("{pdb.train: 0, distilled: 1}"), "g.yaml:5:26:", "share of pdb.train wants a number");
    one(MIXED("{pdb.train: \"1\", distilled: 1}"), "g.yaml:5:26:", "a number above 0");
    one(MIXED("{pdb.train: [1], distilled: 1}"), "g.yaml:5:26:", "a number above 0");
    one(MIXED("{pdb.trian: 1, distilled: 1}"), "g.yaml:5:15:", "did you mean 'train'?");
    one(MIXED("{pdb: 1, distiled: 1}"), "g.yaml:5:23:", "did you mean 'distilled'?");
    one(MIXED("{pdb: 1, distilled: 1, pdb.train: 1}"), "g.yaml:5:37:", "in the mixture already");
    one(MIXED("{pdb: 1, crop: 1}"), "g.yaml:5:23:", "only stores can be mixed; crop is none");
    one(MIXED("{}"), "g.yaml:5:14:", "1 to 8 stores; here are 0");
    one("graph: x\nstages:\n" STORES "  crop: {in: {pdb: 1, distilled: 1}}\n"
        "  batch: {in: crop}\n  evaluate: {in: batch}\n",
        "g.yaml:5:14:", "evaluate takes every sample as it is listed");
    one(HEAD FILL "  more: {run: store, with: {path: b}}\n"
                  "  crop: {in: {more: 1, store.train: 2}}\n" TAKE,
        "g.yaml:9:14:", "this graph fills store; fill it by a graph of its own");
}
