/* foldmill store explain: what a record was made from, and what has changed since, against a graph
 * or a run: a stage's version, a setting, or the files that the source read. */
#include "engine/command.h"
#include "engine/command/store.h"
#include "engine/list.h"
#include "engine/recipe.h"
#include "engine/rundir.h"
#include "engine/runner.h"
#include "engine/wire.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

enum { SETS_MAX = 256 };

struct explain {
    struct store *store;
    const char *key;
    struct arena arena;
    struct store_entry entry;
    struct sample record;      /* the fields of its source; none of a tombstone */
    struct recipe was, is;
    const struct graph *graph; /* NULL: nothing to compare with */
    int line;                  /* that fills the store */
    bool listed;               /* the source still lists the key, as */
    struct sample now;
    char refused[ERROR_TEXT_MAX];/* or refuses it, with this reason */
    int changes;
};

/* The source's own interface, which keeps the one sample that is asked for. */
struct one_source {
    struct source source; /* first */
    struct explain *explain;
};

static enum status keep_one(struct source *source, const struct sample *sample, struct error *err)
{
    struct explain *e = ((struct one_source *)source)->explain;
    if (strcmp(sample->key, e->key) != 0)
        return STATUS_OK;
    e->listed = true;
    memcpy(e->now.key, sample->key, sizeof e->now.key);
    for (int i = 0; i < sample->field_count; i++) {
        struct field field = sample->fields[i];
        size_t bytes = field_bytes(&field);
        field.data = arena_try(&e->arena, bytes, 1);
        if (!field.data)
            return error_set(err, STATUS_LIMIT, "no memory for field %s", field.name);
        memcpy(field.data, sample->fields[i].data, bytes);
        enum status status = sample_put(&e->now, &field, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void note_refused(struct source *source, const char *name, const char *reason)
{
    struct explain *e = ((struct one_source *)source)->explain;
    if (strcmp(name, e->key) == 0)
        snprintf(e->refused, sizeof e->refused, "%s", reason);
}

/* What the source of the graph lists under the key today; reads its files. */
static enum status ask_source(struct explain *e, struct error *err)
{
    const struct graph_stage *head = &e->graph->stages[e->graph->lines[e->line].head];
    struct stage_context context = {.name = head->name, .seed = e->graph->seed, .rank_count = 1,
                                    .batch_size = 1, .recipe = head->recipe, .arena = &e->arena};
    struct one_source one = {{keep_one, note_refused}, e};
    struct runner runner;
    if (!head->kind->list)
        return STATUS_OK; /* filled from another store */
    enum status status = runner_open(&runner, head->kind, head->state, &context, err);
    if (status == STATUS_OK) {
        status = head->kind->list(runner.state, &one.source, err);
        runner_close(&runner);
    }
    return status == STATUS_OK ? status : error_prefix(err, "%s", head->name);
}

/* The same out of a run's frozen list. */
static enum status ask_run(struct explain *e, const char *run, struct error *err)
{
    const struct graph_line *line = &e->graph->lines[e->line];
    char path[PATH_MAX], name[GRAPH_NAME_MAX + 16];
    struct list *list;
    while (line->filled_by >= 0)
        line = &e->graph->lines[line->filled_by];
    snprintf(name, sizeof name, "lists/%s.list", e->graph->stages[line->head].name);
    enum status status = list_open(&list, rundir_file(run, name, path), NULL, err);
    if (status != STATUS_OK)
        return status;
    uint64_t index = list_find(list, span_of(e->key));
    e->listed = index != UINT64_MAX;
    if (e->listed) { /* what is decoded may lie in the list, which is closed: a copy */
        struct span frame = list_frame(list, index);
        struct wire_options options = {.copy = true};
        status = wire_decode(frame, &options, &e->arena, &e->now, err);
    }
    list_close(list);
    return status;
}

__attribute__((format(printf, 2, 3))) static void change(struct explain *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("  ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    e->changes++;
}

static bool setting_find(struct span settings, struct span wanted, struct span *value)
{
    for (struct span name; recipe_setting(&settings, &name, value);)
        if (span_equal(name, wanted))
            return true;
    return false;
}

static void compare_settings(struct explain *e, const struct recipe_stage *was,
                             const struct recipe_stage *is)
{
    struct span rest = is->settings, name, value, before;
    while (recipe_setting(&rest, &name, &value)) {
        if (!setting_find(was->settings, name, &before))
            change(e, "%.*s.%.*s was not there, is %.*s", (int)is->name.size, is->name.data,
                   (int)name.size, name.data, (int)value.size, value.data);
        else if (!span_equal(before, value))
            change(e, "%.*s.%.*s was %.*s, is %.*s", (int)is->name.size, is->name.data,
                   (int)name.size, name.data, (int)before.size, before.data, (int)value.size,
                   value.data);
    }
    rest = was->settings;
    while (recipe_setting(&rest, &name, &before))
        if (!setting_find(is->settings, name, &value))
            change(e, "%.*s.%.*s was %.*s, is not there any more", (int)is->name.size,
                   is->name.data, (int)name.size, name.data, (int)before.size, before.data);
}

/* The stage of a recipe that is the same as another's: by name, else by kind. */
static const struct recipe_stage *same_stage(const struct recipe *recipe,
                                             const struct recipe_stage *stage)
{
    for (int i = 0; i < recipe->count; i++)
        if (span_equal(recipe->stages[i].name, stage->name) &&
            span_equal(recipe->stages[i].kind, stage->kind))
            return &recipe->stages[i];
    for (int i = 0; i < recipe->count; i++)
        if (span_equal(recipe->stages[i].kind, stage->kind))
            return &recipe->stages[i];
    return NULL;
}

static void compare_recipes(struct explain *e)
{
    int before = e->changes;
    for (int i = 0; i < e->is.count; i++) {
        const struct recipe_stage *is = &e->is.stages[i], *was = same_stage(&e->was, is);
        if (!was) {
            change(e, "%.*s (%.*s) was not among the stages, is now", (int)is->name.size,
                   is->name.data, (int)is->kind.size, is->kind.data);
            continue;
        }
        if (was->version != is->version)
            change(e, "%.*s was version %" PRId64 ", is %" PRId64, (int)is->name.size,
                   is->name.data, was->version, is->version);
        compare_settings(e, was, is);
    }
    for (int i = 0; i < e->was.count; i++)
        if (!same_stage(&e->is, &e->was.stages[i]))
            change(e, "%.*s (%.*s) was among the stages, is not any more",
                   (int)e->was.stages[i].name.size, e->was.stages[i].name.data,
                   (int)e->was.stages[i].kind.size, e->was.stages[i].kind.data);
    if (e->changes == before)
        change(e, "the order of the stages, or which samples of a store they take");
}

/* A field for people: text as it is, scalars as numbers, the rest by its size. */
static const char *show(const struct field *field, char *buffer, size_t size)
{
    int32_t number;
    float real;
    if (!field)
        return "not there";
    if (field->kind == KIND_U8 && field->rank == 1)
        snprintf(buffer, size, "\"%.*s\"", (int)field_bytes(field), (const char *)field->data);
    else if (field->kind == KIND_I32 && field_count(field) == 1)
        snprintf(buffer, size, "%" PRId32, (memcpy(&number, field->data, 4), number));
    else if (field->kind == KIND_F32 && field_count(field) == 1)
        snprintf(buffer, size, "%g", (memcpy(&real, field->data, 4), (double)real));
    else
        snprintf(buffer, size, "%zu bytes", field_bytes(field));
    for (char *at = buffer; *at; at++)
        *at = (unsigned char)*at < 0x20 ? ' ' : *at;
    return buffer;
}

static bool same_field(const struct field *a, const struct field *b)
{
    size_t bytes = a && b ? field_bytes(a) : 0;
    return a && b && a->kind == b->kind && a->rank == b->rank && bytes == field_bytes(b) &&
           memcmp(a->data, b->data, bytes) == 0;
}

/* The line of files ("DIGEST NAME") whose name is the same. */
static bool file_find(struct span files, struct span name, struct span *digest)
{
    for (struct span line; span_line(&files, &line);)
        if (span_word(&line, digest) && span_equal(span_trim(line), name))
            return true;
    return false;
}

static void compare_files(struct explain *e, struct span was, struct span is)
{
    struct span rest = is, line, digest, before;
    while (span_line(&rest, &line)) {
        if (!span_word(&line, &digest))
            continue;
        struct span name = span_trim(line);
        if (!file_find(was, name, &before))
            change(e, "file %.*s (%.*s) is new", (int)name.size, name.data, (int)digest.size,
                   digest.data);
        else if (!span_equal(before, digest))
            change(e, "file %.*s had digest %.*s, has %.*s", (int)name.size, name.data,
                   (int)before.size, before.data, (int)digest.size, digest.data);
    }
    rest = was;
    while (span_line(&rest, &line))
        if (span_word(&line, &digest) && !file_find(is, span_trim(line), &before))
            change(e, "file %.*s (%.*s) is gone", (int)span_trim(line).size,
                   span_trim(line).data, (int)digest.size, digest.data);
}

/* What the source says of the sample, then and now. */
static void compare_input(struct explain *e)
{
    char was[2048], is[2048];
    if (!e->listed) {
        change(e, "the source does not list it any more%s%s", e->refused[0] ? ": " : "",
               e->refused);
        return;
    }
    if (e->entry.made.input == store_made(0, &e->now).input)
        return;
    change(e, "what it is made from has changed: input_digest was %s, is %s",
           show(sample_find(&e->record, "input_digest"), was, sizeof was),
           show(sample_find(&e->now, "input_digest"), is, sizeof is));
    compare_files(e, sample_text(&e->record, "input_files"), sample_text(&e->now, "input_files"));
    for (int i = 0; i < e->now.field_count; i++) {
        const struct field *now = &e->now.fields[i], *then = sample_find(&e->record, now->name);
        if (strcmp(now->name, "input_digest") != 0 && strcmp(now->name, "input_files") != 0 &&
            !same_field(then, now))
            change(e, "%s was %s, is %s", now->name, show(then, was, sizeof was),
                   show(now, is, sizeof is));
    }
}

static void print_recipe(const struct explain *e)
{
    for (int i = 0; i < e->was.count; i++) {
        const struct recipe_stage *stage = &e->was.stages[i];
        bool named = !span_equal(stage->name, stage->kind);
        printf("%-8s%.*s%s%.*s version %" PRId64 " %.*s\n", i ? "" : "recipe",
               (int)stage->name.size, stage->name.data, named ? ": " : "",
               named ? (int)stage->kind.size : 0, stage->kind.data, stage->version,
               (int)stage->settings.size, stage->settings.data);
    }
    if (e->was.count == 0)
        puts("recipe  (not told)");
}

/* The line whose sink is the store, or the only one that fills a store. */
static int find_line(const struct graph *graph, const char *stage)
{
    int found = -1, count = 0;
    for (int i = 0; i < graph->line_count; i++) {
        const struct graph_stage *sink = &graph->stages[graph->lines[i].sink];
        if (!(sink->kind->flags & STAGE_STORE) || (stage && strcmp(stage, sink->name) != 0))
            continue;
        found = i;
        count++;
    }
    return count == 1 ? found : -1;
}

static enum status read_record(struct explain *e, struct error *err)
{
    struct span text;
    enum status status = store_find(e->store, e->key, &e->entry, err);
    if (status == STATUS_MISS)
        return error_set(err, STATUS_MISS, "there is no %s; `foldmill store ls PATH` lists all "
                         "keys", e->key);
    if (status == STATUS_OK &&
        store_recipe(e->store, e->entry.made.recipe, &e->arena, &text, NULL) == STATUS_OK)
        status = recipe_read(text, &e->was, err);
    if (status != STATUS_OK || e->entry.refused || e->was.count == 0)
        return status;
    const char **names = arena_zero(&e->arena, SAMPLE_FIELDS_MAX + 1, sizeof *names);
    struct record_view view;
    status = store_peek(e->store, e->key, &view, err);
    for (int i = 0, count = 0; status == STATUS_OK && i < view.field_count; i++)
        if (recipe_names(e->was.stages[0].fields, span_of(view.fields[i].field.name)))
            names[count++] = arena_text(&e->arena, view.fields[i].field.name,
                                        strlen(view.fields[i].field.name));
    if (status == STATUS_OK)
        status = store_get(e->store, e->key, names, &e->entry.made, &e->arena, &e->record, err);
    return status;
}

static int compare(struct explain *e)
{
    const struct graph_line *line = &e->graph->lines[e->line];
    struct error err;
    if (recipe_read(span_of(recipe_text(e->graph, line, &e->arena)), &e->is, &err) != STATUS_OK)
        return store_complain(&err);
    puts("since then");
    compare_input(e);
    bool input = e->changes > 0;
    if (e->graph->stages[line->sink].recipe != e->entry.made.recipe) {
        if (e->was.count)
            compare_recipes(e);
        else
            change(e, "the recipe: what it was, nobody has told");
    }
    if (e->changes == 0) {
        puts("  nothing has changed: a run of this graph keeps it");
        return EXIT_GOOD;
    }
    int first = 0;
    while (!input && first < e->is.count && recipe_find(&e->was, e->is.stages[first].recipe) >= 0)
        first++;
    if (!e->listed)
        puts("a run of this graph leaves it out");
    else if (first > 0 && first < e->is.count)
        printf("a run of this graph makes it again from %.*s on\n",
               (int)e->is.stages[first].name.size, e->is.stages[first].name.data);
    else
        puts("a run of this graph makes it again");
    return EXIT_FAILED;
}

static const struct graph *load(struct explain *e, const char *path, const char *run,
                                const struct graph_overrides *overrides, const char *stage)
{
    struct complaints complaints;
    complaints_open(&complaints, &e->arena);
    const struct graph *graph = graph_load(path, overrides, run, &e->arena, &complaints);
    if (!graph) {
        complaints_print(&complaints, stderr);
        return NULL;
    }
    e->line = find_line(graph, stage);
    if (e->line < 0) {
        fprintf(stderr, "foldmill store explain: %s: %s\n", path,
                stage ? "it has no line that fills a store of that name"
                      : "not one line that fills a store; name the store's stage with --stage");
        return NULL;
    }
    return graph;
}

int store_explain(struct store *store, int argc, char **argv)
{
    static struct explain e;
    const char *sets[SETS_MAX];
    char path[PATH_MAX];
    struct error err;
    struct graph_overrides overrides = {sets, command_sets(&argc, argv, sets, SETS_MAX)};
    const char *file = command_option(&argc, argv, "graph");
    const char *run = command_option(&argc, argv, "run");
    const char *stage = command_option(&argc, argv, "stage");
    if (!command_rest(&command_store, argc, argv, 1, 1))
        return EXIT_USAGE;
    if (file && run) {
        fputs("foldmill store explain: either --graph or --run, not both\n", stderr);
        return EXIT_USAGE;
    }
    e = (struct explain){.store = store, .key = argv[1]};
    arena_open(&e.arena, 0);
    if (run)
        file = rundir_file(run, "graph.yaml", path);
    if (file && !(e.graph = load(&e, file, run, &overrides, stage)))
        return EXIT_USAGE;
    enum status status = read_record(&e, &err);
    if (status == STATUS_OK) {
        printf("key     %s%s%s\nmade    recipe %016" PRIx64 ", input %016" PRIx64 "\n", e.key,
               e.entry.refused ? ", refused: " : "", e.entry.reason, e.entry.made.recipe,
               e.entry.made.input);
        print_recipe(&e);
    }
    if (status == STATUS_OK && e.graph) {
        store_rest(); /* a source may take long */
        status = run ? ask_run(&e, run, &err) : ask_source(&e, &err);
        if (status != STATUS_OK && !run) { /* the rest can be told all the same */
            e.listed = false;
            snprintf(e.refused, sizeof e.refused, "%s", err.text);
            status = STATUS_OK;
        }
    }
    int code = status != STATUS_OK ? store_complain(&err) : e.graph ? compare(&e) : EXIT_GOOD;
    arena_close(&e.arena);
    return code;
}
