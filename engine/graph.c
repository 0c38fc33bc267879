/* Reading graph files: the values; see graph.h. */
#include "engine/graph_inside.h"

#include "engine/base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const top_keys[] = {"graph", "seed", "order", "max_bad", "stages", NULL};
static const char *const stage_keys[] = {"run",   "in",      "on",     "workers", "queue",
                                         "timeout", "memory", "with", NULL};

static bool name_is_good(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", name[i]))
            return false;
    return size > 0 && size <= GRAPH_NAME_MAX;
}

/* Complains about keys that are not in the list. */
static void keys_check(struct graph_reader *reader, const struct yaml_node *map,
                       const char *const *known, const char *what)
{
    for (const struct yaml_node *value = map->first; value; value = value->next) {
        const char *key = value->key->text;
        bool found = false;
        for (int i = 0; known[i]; i++)
            found |= strcmp(key, known[i]) == 0;
        if (found)
            continue;
        const char *near = text_suggest(span_of(key), known);
        complain(reader->complaints, value->key->place, "unknown key '%.80s' %s%s%s%s", key, what,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
}

/* A whole number under key, or fallback. */
static int64_t int_read(struct graph_reader *reader, const struct yaml_node *map, const char *key,
                        int64_t min, int64_t max, int64_t fallback)
{
    const struct yaml_node *value = yaml_get(map, key);
    int64_t number = fallback;
    if (value && (value->kind != YAML_SCALAR || value->quoted ||
                  !text_int(span_of(value->text), min, max, &number)))
        complain(reader->complaints, value->place, "%s wants a whole number from %lld to %lld", key,
                 (long long)min, (long long)max);
    return number;
}

/* A word under key, or fallback. */
static const char *word_read(struct graph_reader *reader, const struct yaml_node *map,
                             const char *key, const char *fallback)
{
    const struct yaml_node *value = yaml_get(map, key);
    if (!value)
        return fallback;
    if (value->kind == YAML_SCALAR && name_is_good(value->text))
        return value->text;
    complain(reader->complaints, value->place,
             "%s wants a name of at most %d letters, digits, _ and -; here is %s", key,
             GRAPH_NAME_MAX, yaml_kind_name(value));
    return fallback;
}

static const struct stage *kind_read(struct graph_reader *reader, const char *name,
                                     const struct yaml_node *map, struct place name_place)
{
    const struct yaml_node *run = yaml_get(map, "run");
    const char *kind_name = word_read(reader, map, "run", name);
    const struct stage *kind = stage_find(span_of(kind_name));
    if (kind)
        return kind;
    const char *names[GRAPH_STAGES_MAX + 1];
    int count = 0;
    for (const struct stage *const *s = stage_registry; *s && count < GRAPH_STAGES_MAX; s++)
        names[count++] = (*s)->name;
    names[count] = NULL;
    const char *near = text_suggest(span_of(kind_name), names);
    complain(reader->complaints, run ? run->place : name_place,
             "there is no stage of the kind '%.80s'%s%s%s%s", kind_name,
             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "",
             near ? "" : run ? "; `foldmill stages` lists them"
                             : "; say `run: KIND` (`foldmill stages` lists them)");
    return NULL;
}

/* timeout and memory: a text with a unit. */
static void limits_read(struct graph_reader *reader, const struct yaml_node *map,
                        struct graph_stage *stage)
{
    const struct yaml_node *timeout = yaml_get(map, "timeout"), *memory = yaml_get(map, "memory");
    if (timeout && (timeout->kind != YAML_SCALAR ||
                    !text_duration(span_of(timeout->text), &stage->timeout_ms)))
        complain(reader->complaints, timeout->place,
                 "timeout wants a time with its unit, like 30s or 10min");
    if (memory && (memory->kind != YAML_SCALAR ||
                   !text_bytes(span_of(memory->text), &stage->memory_bytes)))
        complain(reader->complaints, memory->place,
                 "memory wants a size with its unit, like 512MiB or 4GiB");
}

static void stage_read(struct graph_reader *reader, const struct yaml_node *value)
{
    struct graph *graph = reader->graph;
    const char *name = value->key->text;
    struct place place = value->key->place;
    if (!name_is_good(name)) {
        complain(reader->complaints, place,
                 "a stage's name is at most %d letters, digits, _ and -", GRAPH_NAME_MAX);
        return;
    }
    if (graph->stage_count == GRAPH_STAGES_MAX) {
        complain(reader->complaints, place, "more than %d stages", GRAPH_STAGES_MAX);
        return;
    }
    const struct yaml_node *map = value->kind == YAML_MAP ? value : NULL;
    if (!map && (value->kind != YAML_SCALAR || *value->text)) {
        complain(reader->complaints, value->place,
                 "a stage is a mapping (run, in, workers, with, ...); here is %s",
                 yaml_kind_name(value));
        return;
    }
    const struct stage *kind = kind_read(reader, name, map, place);
    if (map)
        keys_check(reader, map, stage_keys, "of a stage");
    if (!kind) {
        reader->unknown[reader->unknown_count++ % GRAPH_STAGES_MAX] = name;
        return;
    }
    struct graph_stage *stage = &graph->stages[graph->stage_count];
    *stage = (struct graph_stage){.name = name, .kind = kind, .input = -1, .split = "",
                                  .place = place};
    stage->role = word_read(reader, map, "on", "");
    stage->workers = (int)int_read(reader, map, "workers", 1, GRAPH_WORKERS_MAX, 1);
    stage->queue = (int)int_read(reader, map, "queue", 0, 65536, 0);
    limits_read(reader, map, stage);
    if (stage->workers > 1 && (kind->flags & (STAGE_SINGLE | STAGE_SOURCE | STAGE_GATHER)))
        complain(reader->complaints, yaml_get(map, "workers")->place,
                 "%s runs in one process only; leave `workers` out", kind->name);
    stage->state = arena_zero(reader->arena, 1, kind->state_size + 1);
    params_fill(kind->params, stage->state, yaml_get(map, "with"), &reader->roots, place,
                reader->arena, reader->complaints);
    reader->node[graph->stage_count] = map;
    reader->input[graph->stage_count] = yaml_get(map, "in");
    graph->stage_count++;
}

/* The top level. */
static void graph_read(struct graph_reader *reader, const struct yaml_node *root)
{
    struct graph *graph = reader->graph;
    if (root->kind != YAML_MAP) {
        complain(reader->complaints, root->place,
                 "a graph is a mapping with the keys graph, seed and stages; here is %s",
                 yaml_kind_name(root));
        return;
    }
    keys_check(reader, root, top_keys, "at the top of a graph");
    graph->name = word_read(reader, root, "graph", "");
    graph->seed = (uint64_t)int_read(reader, root, "seed", 0, INT64_MAX, 1);
    graph->max_bad = int_read(reader, root, "max_bad", 0, INT64_MAX, -1);
    const char *order = word_read(reader, root, "order", "strict");
    if (strcmp(order, "strict") != 0)
        complain(reader->complaints, yaml_get(root, "order")->place,
                 "order wants strict, the only order of this version");
    const struct yaml_node *stages = yaml_get(root, "stages");
    if (!*graph->name && !yaml_get(root, "graph"))
        complain(reader->complaints, root->place, "key 'graph' is missing: the graph's name");
    if (!stages || stages->kind != YAML_MAP || stages->count == 0) {
        complain(reader->complaints, stages ? stages->place : root->place,
                 "key 'stages' is missing: a mapping from names to stages");
        return;
    }
    for (const struct yaml_node *value = stages->first; value; value = value->next)
        stage_read(reader, value);
}

/* One override into the tree: "seed=7", "crop.workers=4", "crop.length=64". */
static void override_apply(struct graph_reader *reader, struct yaml_node *root, const char *text)
{
    struct source_text *source = arena_zero(reader->arena, 1, sizeof *source);
    source->name = arena_printf(reader->arena, "--set");
    source->text = span_of(text);
    const char *equal = strchr(text, '=');
    struct place place = {source, 1, 1, (int)strlen(text)};
    if (!equal || equal == text) {
        complain(reader->complaints, place, "wants STAGE.SETTING=VALUE, like crop.length=64");
        return;
    }
    char *path = arena_text(reader->arena, text, (size_t)(equal - text));
    struct source_text *value_source = arena_zero(reader->arena, 1, sizeof *value_source);
    /* Blanks keep the value's column as it is in the option. */
    char *padded = arena_printf(reader->arena, "%*s%s", (int)(equal + 1 - text), "", equal + 1);
    value_source->name = source->name;
    value_source->text = span_of(padded);
    struct yaml_node *value = NULL;
    if (equal[1])
        value = yaml_parse(value_source, reader->arena, reader->complaints);
    if (!value) {
        complain(reader->complaints, place, "'%.80s' gets no value that could be read", path);
        return;
    }
    char *dot = strchr(path, '.');
    if (dot)
        *dot = 0;
    struct yaml_node *map = root;
    const char *key = path;
    if (dot) {
        struct yaml_node *stage = yaml_get(yaml_get(root, "stages"), path);
        bool known = false;
        for (int i = 0; stage_keys[i]; i++)
            known |= strcmp(dot + 1, stage_keys[i]) == 0;
        if (!stage) {
            complain(reader->complaints, place, "the graph has no stage '%.80s'", path);
            return;
        }
        if (stage->kind != YAML_MAP) { /* `scan:` with nothing behind it */
            stage->kind = YAML_MAP;
            stage->text = "";
        }
        map = stage;
        key = dot + 1;
        if (!known) {
            map = yaml_get(stage, "with");
            if (!map) {
                map = arena_zero(reader->arena, 1, sizeof *map);
                *map = (struct yaml_node){.kind = YAML_MAP, .place = place, .text = ""};
                map->key = arena_zero(reader->arena, 1, sizeof *map);
                *map->key = (struct yaml_node){.place = place, .text = "with"};
                if (stage->last)
                    stage->last->next = map;
                else
                    stage->first = map;
                stage->last = map;
                stage->count++;
            }
        }
    }
    struct yaml_node *old = yaml_get(map, key);
    if (old) {
        struct yaml_node *next = old->next, *key_node = old->key;
        *old = *value;
        old->next = next;
        old->key = key_node;
        return;
    }
    value->key = arena_zero(reader->arena, 1, sizeof *value->key);
    *value->key = (struct yaml_node){.place = place, .text = key};
    value->next = NULL;
    if (map->last)
        map->last->next = value;
    else
        map->first = value;
    map->last = value;
    map->count++;
}

struct graph *graph_parse(const struct source_text *source, const struct param_roots *roots,
                          const struct graph_overrides *overrides, struct arena *arena,
                          struct complaints *complaints)
{
    int before = complaints->count;
    struct graph_reader *reader = arena_zero(arena, 1, sizeof *reader);
    reader->graph = arena_zero(arena, 1, sizeof *reader->graph);
    reader->graph->path = source->name;
    reader->arena = arena;
    reader->complaints = complaints;
    reader->roots = *roots;
    struct yaml_node *root = yaml_parse(source, arena, complaints);
    if (!root)
        return NULL;
    for (int i = 0; overrides && i < overrides->count; i++)
        override_apply(reader, root, overrides->text[i]);
    graph_read(reader, root);
    graph_edges_check(reader);
    if (complaints->count == before)
        graph_ports_check(reader);
    if (complaints->count > before)
        return NULL;
    graph_hash(reader);
    return reader->graph;
}

struct graph *graph_load(const char *path, const struct graph_overrides *overrides,
                         const char *run_dir, struct arena *arena, struct complaints *complaints)
{
    struct source_text *source = arena_zero(arena, 1, sizeof *source);
    struct error err;
    char full[PATH_MAX];
    source->name = arena_text(arena, path, strlen(path));
    if (file_read(path, YAML_BYTES_MAX, arena, &source->text, &err) != STATUS_OK) {
        source->name = "graph";
        complain(complaints, (struct place){source, 0, 0, 0}, "%s", err.text);
        return NULL;
    }
    if (!realpath(path, full))
        snprintf(full, sizeof full, "%s", path);
    char *slash = strrchr(full, '/');
    if (slash)
        *slash = 0;
    struct param_roots roots = {.graph = arena_text(arena, full, strlen(full)), .run = run_dir};
    return graph_parse(source, &roots, overrides, arena, complaints);
}

void graph_write(const struct graph *graph, FILE *out)
{
    fprintf(out, "graph: %s\nseed: %llu\n", graph->name, (unsigned long long)graph->seed);
    if (graph->max_bad >= 0)
        fprintf(out, "max_bad: %lld\n", (long long)graph->max_bad);
    fputs("stages:\n", out);
    for (int i = 0; i < graph->stage_count; i++) {
        const struct graph_stage *stage = &graph->stages[i];
        fprintf(out, "  %s:\n    run: %s\n", stage->name, stage->kind->name);
        if (stage->input >= 0)
            fprintf(out, "    in: %s%s%s\n", graph->stages[stage->input].name,
                    *stage->split ? "." : "", stage->split);
        if (*stage->role)
            fprintf(out, "    on: %s\n", stage->role);
        if (!(stage->kind->flags & (STAGE_SINGLE | STAGE_SOURCE | STAGE_GATHER)))
            fprintf(out, "    workers: %d\n", stage->workers);
        if (stage->queue)
            fprintf(out, "    queue: %d\n", stage->queue);
        if (stage->timeout_ms)
            fprintf(out, "    timeout: %lldms\n", (long long)stage->timeout_ms);
        if (stage->memory_bytes)
            fprintf(out, "    memory: %llu\n", (unsigned long long)stage->memory_bytes);
        fputs("    with: ", out);
        params_write(stage->kind->params, stage->state, false, out);
        fputc('\n', out);
    }
}
