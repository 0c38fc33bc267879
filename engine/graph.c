/* Reading graph files: the values; see graph.h. */
#include "engine/graph_inside.h"

#include "engine/base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const top_keys[] = {"graph", "seed", "order", "max_bad", "stages", NULL};
static const char *const stage_keys[] = {"run",     "in",     "on",    "workers", "queue",
                                         "timeout", "memory", "ranks", "with",    NULL};

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
                   !text_bytes(span_of(memory->text), &stage->memory_bytes) ||
                   stage->memory_bytes < GRAPH_MEMORY_MIN))
        complain(reader->complaints, memory->place,
                 "memory wants a size with its unit, at least 1MiB, like 512MiB or 4GiB");
}

/* A stage that cannot be read: stages that name it in their `in` are told nothing of it. */
static void stage_set_aside(struct graph_reader *reader, const char *name,
                            const struct yaml_node *map)
{
    if (reader->unknown_count == GRAPH_UNKNOWN_MAX)
        return;
    reader->unknown[reader->unknown_count] = name;
    reader->unknown_input[reader->unknown_count++] = yaml_get(map, "in");
}

/* The mapping of a stage, or NULL: `scan:` with nothing behind it has none; false after a
 * complaint. */
static bool stage_map(struct graph_reader *reader, const struct yaml_node *value,
                      const struct yaml_node **map)
{
    struct complaints *complaints = reader->complaints;
    *map = value->kind == YAML_MAP ? value : NULL;
    if (!name_is_good(value->key->text)) {
        complain(complaints, value->key->place,
                 "a stage's name is at most %d letters, digits, _ and -", GRAPH_NAME_MAX);
        return false;
    }
    if (reader->graph->stage_count == GRAPH_STAGES_MAX) {
        if (!reader->too_many)
            complain(complaints, value->key->place, "more than %d stages", GRAPH_STAGES_MAX);
        reader->too_many = true;
        return false;
    }
    if (!*map && (value->kind != YAML_SCALAR || *value->text)) {
        complain(complaints, value->place,
                 "a stage is a mapping (run, in, workers, with, ...); here is %s",
                 yaml_kind_name(value));
        return false;
    }
    for (int i = 0; i < reader->graph->stage_count; i++)
        if (strcmp(reader->graph->stages[i].name, value->key->text) == 0)
            return false; /* the second of its name, told with the keys */
    return true;
}

static void stage_read(struct graph_reader *reader, const struct yaml_node *value)
{
    struct graph *graph = reader->graph;
    const char *name = value->key->text;
    struct place place = value->key->place;
    const struct yaml_node *map;
    if (!stage_map(reader, value, &map)) {
        stage_set_aside(reader, name, map);
        return;
    }
    const struct stage *kind = kind_read(reader, name, map, place);
    if (map)
        keys_check(reader, map, stage_keys, "of a stage");
    if (!kind) {
        stage_set_aside(reader, name, map);
        return;
    }
    struct graph_stage *stage = &graph->stages[graph->stage_count];
    *stage = (struct graph_stage){.name = name, .kind = kind, .input = -1, .split = "",
                                  .place = place};
    stage->role = word_read(reader, map, "on", "");
    stage->workers = (int)int_read(reader, map, "workers", 1, GRAPH_WORKERS_MAX, 1);
    stage->queue = (int)int_read(reader, map, "queue", 0, GRAPH_QUEUE_MAX, 0);
    if (stage->queue && !(kind->flags & STAGE_SINK))
        complain(reader->complaints, yaml_get(map, "queue")->place,
                 "queue is a sink's: how many samples it asks for ahead; %s has no say in that",
                 kind->name);
    limits_read(reader, map, stage);
    stage->ranks = (int)int_read(reader, map, "ranks", 1, GRAPH_RANKS_MAX, 1);
    if (stage->ranks > 1 && !(kind->flags & STAGE_RANKS))
        complain(reader->complaints, yaml_get(map, "ranks")->place,
                 "%s cannot run as several ranks; leave `ranks` out", kind->name);
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

/* order: strict, or {overtake: POSITIONS}. */
static void order_read(struct graph_reader *reader, const struct yaml_node *root)
{
    static const char *const keys[] = {"overtake", NULL};
    const struct yaml_node *order = yaml_get(root, "order");
    if (!order || (order->kind == YAML_SCALAR && strcmp(order->text, "strict") == 0))
        return;
    if (order->kind != YAML_MAP || !yaml_get(order, "overtake")) {
        complain(reader->complaints, order->place,
                 "order wants strict, or {overtake: 64}, say: by how many positions a slow sample "
                 "may be overtaken");
        return;
    }
    keys_check(reader, order, keys, "of order");
    reader->graph->overtake =
        (uint32_t)int_read(reader, order, "overtake", 1, GRAPH_OVERTAKE_MAX, 0);
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
    order_read(reader, root);
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

/* Puts value under key into a mapping, in place of what is there. */
static void map_put(struct graph_reader *reader, struct yaml_node *map, const char *key,
                    struct place place, const struct yaml_node *value)
{
    struct yaml_node *node = yaml_get(map, key);
    if (node) {
        struct yaml_node *next = node->next, *key_node = node->key;
        *node = *value;
        node->next = next;
        node->key = key_node;
        return;
    }
    node = arena_zero(reader->arena, 1, sizeof *node);
    *node = *value;
    node->next = NULL;
    node->key = arena_zero(reader->arena, 1, sizeof *node);
    *node->key = (struct yaml_node){.place = place, .text = key};
    if (map->last)
        map->last->next = node;
    else
        map->first = node;
    map->last = node;
    map->count++;
}

/* The same node as a mapping, if it is one or stands for an empty one (`scan:`); else NULL. */
static struct yaml_node *as_map(struct yaml_node *node)
{
    if (node && node->kind == YAML_SCALAR && !*node->text)
        node->kind = YAML_MAP;
    return node && node->kind == YAML_MAP ? node : NULL;
}

static void no_stage(struct graph_reader *reader, const struct yaml_node *stages,
                     struct place place, const char *name)
{
    const char *names[GRAPH_STAGES_MAX + 1];
    int count = 0;
    for (const struct yaml_node *s = stages ? stages->first : NULL; s && count < GRAPH_STAGES_MAX;
         s = s->next)
        if (s->key)
            names[count++] = s->key->text;
    names[count] = NULL;
    const char *near = text_suggest(span_of(name), names);
    complain(reader->complaints, place, "the graph has no stage '%.80s'%s%s%s", name,
             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* One override into the tree: "seed=7", "crop.workers=4", "crop.length=64". */
static void override_apply(struct graph_reader *reader, struct yaml_node *root, const char *text)
{
    struct source_text *source = arena_zero(reader->arena, 1, sizeof *source);
    source->name = "--set";
    source->typed = true;
    source->text = span_of(text);
    const char *equal = strchr(text, '=');
    struct place place = {source, 1, 1, (int)strlen(text)};
    if (!equal || equal == text) {
        complain(reader->complaints, place, "wants STAGE.SETTING=VALUE, like crop.length=64");
        return;
    }
    char *path = arena_text(reader->arena, text, (size_t)(equal - text));
    /* Blanks keep the value's column as it is in the option, which is what complaints show. */
    source->text = span_of(arena_printf(reader->arena, "%*s%s", (int)(equal + 1 - text), "",
                                        equal + 1));
    struct yaml_node *value = NULL;
    if (equal[1])
        value = yaml_parse(source, reader->arena, reader->complaints);
    source->text = span_of(text);
    if (!value) {
        complain(reader->complaints, place, "'%.80s' gets no value that could be read", path);
        return;
    }
    char *dot = strchr(path, '.');
    if (!dot) {
        if (root->kind == YAML_MAP)
            map_put(reader, root, path, place, value);
        return;
    }
    *dot = 0;
    struct yaml_node *stages = yaml_get(root, "stages"), *map = yaml_get(stages, path);
    bool known = false;
    for (int i = 0; stage_keys[i]; i++)
        known |= strcmp(dot + 1, stage_keys[i]) == 0;
    if (!map) {
        no_stage(reader, stages, place, path);
        return;
    }
    map = as_map(map);
    if (map && !known) {
        const struct yaml_node empty = {.kind = YAML_MAP, .place = place, .text = ""};
        if (!yaml_get(map, "with"))
            map_put(reader, map, "with", place, &empty);
        map = as_map(yaml_get(map, "with"));
    }
    if (map) /* else the graph says something else there, which is told at its place */
        map_put(reader, map, dot + 1, place, value);
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
    if (graph_edges_check(reader))
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

static void input_write(const struct graph *graph, const struct graph_stage *stage, FILE *out)
{
    if (stage->input >= 0 && stage->mix_count == 0)
        fprintf(out, "    in: %s%s%s\n", graph->stages[stage->input].name,
                *stage->split ? "." : "", stage->split);
    for (int i = 0; i < stage->mix_count; i++)
        fprintf(out, "%s%s%s%s: %.17g%s", i ? ", " : "    in: {",
                graph->stages[stage->mix[i].store].name, *stage->mix[i].split ? "." : "",
                stage->mix[i].split, stage->mix[i].share, i + 1 < stage->mix_count ? "" : "}\n");
}

void graph_write(const struct graph *graph, FILE *out)
{
    fprintf(out, "graph: %s\nseed: %llu\n", graph->name, (unsigned long long)graph->seed);
    if (graph->max_bad >= 0)
        fprintf(out, "max_bad: %lld\n", (long long)graph->max_bad);
    if (graph->overtake)
        fprintf(out, "order: {overtake: %u}\n", graph->overtake);
    fputs("stages:\n", out);
    for (int i = 0; i < graph->stage_count; i++) {
        const struct graph_stage *stage = &graph->stages[i];
        fprintf(out, "  %s:\n    run: %s\n", stage->name, stage->kind->name);
        input_write(graph, stage, out);
        if (*stage->role)
            fprintf(out, "    on: %s\n", stage->role);
        if (!(stage->kind->flags & (STAGE_SINGLE | STAGE_SOURCE | STAGE_GATHER)))
            fprintf(out, "    workers: %d\n", stage->workers);
        if (stage->kind->flags & STAGE_RANKS)
            fprintf(out, "    ranks: %d\n", stage->ranks);
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
