/* Edges: who feeds whom, and the lines that follow; see graph_inside.h. */
#include "engine/graph_inside.h"

#include <string.h>

static const char *const store_ports[] = {"all", "train", "held_out", NULL};

static int stage_named(const struct graph *graph, struct span name)
{
    for (int i = 0; i < graph->stage_count; i++)
        if (span_is(name, graph->stages[i].name))
            return i;
    return -1;
}

static const char *near_stage(const struct graph *graph, struct span name)
{
    const char *names[GRAPH_STAGES_MAX + 1];
    for (int i = 0; i < graph->stage_count; i++)
        names[i] = graph->stages[i].name;
    names[graph->stage_count] = NULL;
    return text_suggest(name, names);
}

/* The split of ".train" of "store.train"; NULL after a complaint. */
static const char *port_split(struct graph_reader *reader, const struct graph_stage *from,
                              const struct yaml_node *node, struct span port)
{
    if (!(from->kind->flags & STAGE_STORE)) {
        complain(reader->complaints, node->place, "%s has one output; write `in: %s`", from->name,
                 from->name);
        return NULL;
    }
    for (int i = 0; store_ports[i]; i++)
        if (span_is(port, store_ports[i]))
            return i == 0 ? "" : store_ports[i];
    const char *near = text_suggest(port, store_ports);
    complain(reader->complaints, node->place,
             "a store has the outputs all, train and held_out; '%.*s' is none of them%s%s%s",
             port.size < 80 ? (int)port.size : 80, port.data, near ? "; did you mean '" : "",
             near ? near : "", near ? "'?" : "");
    return NULL;
}

static bool is_unknown(const struct graph_reader *reader, struct span name)
{
    for (int i = 0; i < reader->unknown_count; i++)
        if (span_is(name, reader->unknown[i]))
            return true;
    return false;
}

/* "store.train": the name, and in port what stands behind the dot (data NULL: no dot). */
static struct span input_split(const struct yaml_node *node, struct span *port)
{
    struct span name = span_of(node->text);
    const char *dot = memchr(name.data, '.', name.size);
    *port = (struct span){NULL, 0};
    if (dot) {
        *port = span_of(dot + 1);
        name.size = (size_t)(dot - name.data);
    }
    return name;
}

/* The stage that an `in` names; -1 after a complaint, and where that stage could not be read. */
static int input_find(struct graph_reader *reader, const struct yaml_node *node, struct span *port)
{
    *port = (struct span){NULL, 0};
    if (node->kind != YAML_SCALAR || !*node->text) {
        complain(reader->complaints, node->place,
                 "in wants the name of one stage, or stores with their shares ({a.train: 0.25, "
                 "b.train: 0.75}); here is %s (lines do not join)",
                 yaml_kind_name(node));
        return -1;
    }
    struct span name = input_split(node, port);
    int found = stage_named(reader->graph, name);
    if (found >= 0 || is_unknown(reader, name))
        return found; /* what is wrong with that stage is told at its own place */
    const char *near = near_stage(reader->graph, name);
    complain(reader->complaints, node->place, "there is no stage '%.*s'%s%s%s",
             name.size < 80 ? (int)name.size : 80, name.data, near ? "; did you mean '" : "",
             near ? near : "", near ? "'?" : "");
    return -1;
}

/* One data set of a mixture into *part; false after a complaint, and where the stage could not be
 * read. */
static bool part_resolve(struct graph_reader *reader, const struct graph_stage *stage,
                         const struct yaml_node *value, struct graph_part *part)
{
    struct span port;
    *part = (struct graph_part){.store = input_find(reader, value->key, &port), .split = ""};
    if (value->kind != YAML_SCALAR || value->quoted ||
        !text_double(span_of(value->text), &part->share) || !(part->share > 0) ||
        part->share > 1e9) {
        complain(reader->complaints, value->place,
                 "the share of %s wants a number above 0, at most 1e9", value->key->text);
        return false;
    }
    if (part->store < 0)
        return false;
    const struct graph_stage *from = &reader->graph->stages[part->store];
    if (!(from->kind->flags & STAGE_STORE)) {
        complain(reader->complaints, value->key->place, "only stores can be mixed; %s is none",
                 from->name);
        return false;
    }
    if (port.data)
        part->split = port_split(reader, from, value->key, port);
    for (int i = 0; part->split && i < stage->mix_count; i++) {
        const struct graph_part *other = &stage->mix[i];
        if (other->store != part->store ||
            (*other->split && *part->split && strcmp(other->split, part->split) != 0))
            continue;
        complain(reader->complaints, value->key->place,
                 "the samples of %s are in the mixture already", from->name);
        return false;
    }
    return part->split;
}

/* `in: {pdb.train: 0.25, distilled.train: 0.75}` of a stage. */
static void mix_resolve(struct graph_reader *reader, struct graph_stage *stage,
                        const struct yaml_node *node)
{
    bool good = true;
    if (node->count < 1 || node->count > GRAPH_MIX_MAX) {
        complain(reader->complaints, node->place, "a mixture has 1 to %d stores; here are %d",
                 GRAPH_MIX_MAX, node->count);
        return;
    }
    for (const struct yaml_node *value = node->first; value; value = value->next)
        if (part_resolve(reader, stage, value, &stage->mix[stage->mix_count]))
            stage->mix_count++;
        else
            good = false;
    if (good)
        stage->input = stage->mix[0].store;
    else
        stage->mix_count = 0;
}

/* The `in` of stage i. */
static void input_resolve(struct graph_reader *reader, int i)
{
    struct graph_stage *stage = &reader->graph->stages[i];
    const struct yaml_node *node = reader->input[i];
    bool source = stage->kind->flags & STAGE_SOURCE, store = stage->kind->flags & STAGE_STORE;
    if (!node) {
        if (!source && !store)
            complain(reader->complaints, stage->place,
                     "key 'in' is missing: which stage feeds %s?", stage->name);
        return;
    }
    if (source) {
        complain(reader->complaints, node->place, "%s begins a line; leave `in` out", stage->name);
        return;
    }
    if (node->kind == YAML_MAP) {
        mix_resolve(reader, stage, node);
        return;
    }
    struct span port;
    stage->input = input_find(reader, node, &port);
    if (stage->input == i) {
        complain(reader->complaints, node->place, "%s cannot feed itself", stage->name);
        stage->input = -1;
    } else if (stage->input >= 0 && port.data) {
        const char *split =
            port_split(reader, &reader->graph->stages[stage->input], node, port);
        stage->split = split ? split : "";
    }
}

/* Every stage but a store has one consumer; sinks have none; gathers stand before sinks. */
static void consumers_check(struct graph_reader *reader, bool inputs_good)
{
    struct graph *graph = reader->graph;
    int consumer[GRAPH_STAGES_MAX];
    for (int i = 0; i < graph->stage_count; i++)
        consumer[i] = -1;
    for (int i = 0; i < graph->stage_count; i++) {
        const struct graph_stage *stage = &graph->stages[i];
        if (stage->input < 0)
            continue;
        const struct graph_stage *from = &graph->stages[stage->input];
        struct place place = reader->input[i]->place;
        if ((from->kind->flags & STAGE_SINK) && !(from->kind->flags & STAGE_STORE))
            complain(reader->complaints, place, "%s ends a line and gives nothing", from->name);
        else if (consumer[stage->input] >= 0 && !(from->kind->flags & STAGE_STORE))
            complain(reader->complaints, place,
                     "%s feeds %s already; only a store can be read by several stages", from->name,
                     graph->stages[consumer[stage->input]].name);
        bool plain_sink = (stage->kind->flags & STAGE_SINK) && !(stage->kind->flags & STAGE_STORE);
        if ((from->kind->flags & STAGE_GATHER) && !plain_sink)
            complain(reader->complaints, place,
                     "%s gathers samples into batches and stands directly before a sink (train, "
                     "evaluate); %s is none", from->name, stage->name);
        consumer[stage->input] = i;
        for (int part = 1; part < stage->mix_count; part++)
            consumer[stage->mix[part].store] = i;
    }
    /* A stage that could not be read, or an `in` that names none, may be what takes it. */
    for (int i = 0; i < graph->stage_count && inputs_good; i++) {
        const struct graph_stage *stage = &graph->stages[i];
        bool alone = (stage->kind->flags & STAGE_STORE) && stage->input < 0 && !reader->input[i];
        if (consumer[i] < 0 && (!(stage->kind->flags & STAGE_SINK) || alone))
            complain(reader->complaints, stage->place,
                     alone
                         ? "nothing fills %s and nothing reads it"
                         : "nothing takes what %s makes; a line ends in a store, train or evaluate",
                     stage->name);
    }
}

/* The line that ends in stage `sink`, walked from its end; false after a complaint. */
static bool line_walk(struct graph_reader *reader, int sink, struct graph_line *line)
{
    struct graph *graph = reader->graph;
    int backwards[GRAPH_WORK_MAX], count = 0, at = graph->stages[sink].input, after = sink;
    *line =
        (struct graph_line){.head = -1, .gather = -1, .sink = sink, .filled_by = -1, .split = ""};
    if (at >= 0 && (graph->stages[at].kind->flags & STAGE_GATHER)) {
        line->gather = at;
        after = at;
        at = graph->stages[at].input;
    }
    for (int steps = 0; at >= 0; steps++) {
        const struct graph_stage *stage = &graph->stages[at];
        if (stage->kind->flags & (STAGE_SOURCE | STAGE_STORE)) {
            line->head = at;
            line->split = graph->stages[after].split;
            line->mix = graph->stages[after].mix;
            line->mix_count = graph->stages[after].mix_count;
            break;
        }
        ASSERT(steps <= graph->stage_count); /* circles were looked for */
        if (count == GRAPH_WORK_MAX) {
            complain(reader->complaints, stage->place, "more than %d stages in one line",
                     GRAPH_WORK_MAX);
            return false;
        }
        backwards[count++] = at;
        after = at;
        at = stage->input;
    }
    for (int i = count - 1; i >= 0; i--)
        line->work[line->work_count++] = backwards[i];
    if (line->head < 0)
        return false; /* a missing `in` was told already */
    if (count == 0) {
        complain(reader->complaints, graph->stages[sink].place,
                 "between %s and %s at least one stage is wanted that makes samples",
                 graph->stages[line->head].name, graph->stages[sink].name);
        return false;
    }
    return true;
}

/* A circle without a sink is reached by no line. */
static void circles_check(struct graph_reader *reader)
{
    struct graph *graph = reader->graph;
    for (int i = 0; i < graph->stage_count; i++) {
        int at = i;
        for (int steps = 0; at >= 0 && steps <= graph->stage_count; steps++)
            at = graph->stages[at].input;
        if (at >= 0) {
            complain(reader->complaints, reader->input[i]->place,
                     "following `in` from %s never ends: a circle", graph->stages[i].name);
            return;
        }
    }
}

/* A mixture reads stores that are full, and ends where positions are in random order. */
static void mixture_check(struct graph_reader *reader, const struct graph_line *line)
{
    const struct graph *graph = reader->graph;
    if (line->mix_count == 0)
        return;
    struct place place = reader->input[line->work[0]]->place;
    if (graph_sink_setting(graph, line, "weights", -1) < 0)
        complain(reader->complaints, place,
                 "%s takes every sample as it is listed; a mixture is for train",
                 graph->stages[line->sink].name);
    for (int part = 0; part < line->mix_count; part++) {
        const char *name = graph->stages[line->mix[part].store].name;
        if (graph_line_find(graph, name) >= 0)
            complain(reader->complaints, place,
                     "a mixture reads stores that are full, and this graph fills %s; fill it by a "
                     "graph of its own before", name);
    }
}

/* A store is filled by what is the same in every epoch. */
static void filling_check(struct graph_reader *reader, const struct graph_line *line)
{
    const struct graph *graph = reader->graph;
    if (!(graph->stages[line->sink].kind->flags & STAGE_STORE))
        return;
    for (int w = 0; w < line->work_count; w++)
        if (graph->stages[line->work[w]].kind->flags & STAGE_RANDOM)
            complain(reader->complaints, graph->stages[line->work[w]].place,
                     "%s is random and cannot stand above the store %s: what is stored serves "
                     "every epoch", graph->stages[line->work[w]].name,
                     graph->stages[line->sink].name);
}

/* Each rank of a sink takes an equal share of every batch. */
static void ranks_check(struct graph_reader *reader, const struct graph_line *line)
{
    const struct graph *graph = reader->graph;
    const struct graph_stage *sink = &graph->stages[line->sink];
    int64_t batch = graph_line_batch(graph, line), ranks = sink->ranks, more = batch;
    if (batch % ranks == 0)
        return;
    const struct yaml_node *node = yaml_get(reader->node[line->sink], "ranks");
    const char *gather = line->gather >= 0 ? graph->stages[line->gather].name : NULL;
    if (!gather)
        complain(reader->complaints, node ? node->place : sink->place,
                 "%s takes one sample a step, which %lld ranks cannot share: put a batch stage "
                 "before it, or leave `ranks` out", sink->name, (long long)ranks);
    while (more % ranks)
        more++;
    if (gather)
        complain(reader->complaints, node ? node->place : sink->place,
                 "a step's %lld samples (size of %s) cannot be shared equally by %lld ranks: give "
                 "%s a size of %lld, or a number of ranks that divides %lld", (long long)batch,
                 gather, (long long)ranks, gather, (long long)more, (long long)batch);
}

bool graph_edges_check(struct graph_reader *reader)
{
    struct graph *graph = reader->graph;
    int before = reader->complaints->count, start = before;
    for (int i = 0; i < graph->stage_count; i++)
        input_resolve(reader, i);
    struct span port;
    for (int i = 0; i < reader->unknown_count; i++) {
        const struct yaml_node *node = reader->unknown_input[i];
        if (node && node->kind == YAML_MAP)
            for (const struct yaml_node *value = node->first; value; value = value->next)
                input_find(reader, value->key, &port);
        else if (node)
            input_find(reader, node, &port);
    }
    bool inputs_good = reader->complaints->count == before && reader->unknown_count == 0;
    before = reader->complaints->count;
    circles_check(reader);
    if (reader->complaints->count > before)
        return false;
    consumers_check(reader, inputs_good);
    for (int i = 0; i < graph->stage_count; i++) {
        if (!(graph->stages[i].kind->flags & STAGE_SINK) || graph->stages[i].input < 0)
            continue;
        if (graph->line_count == GRAPH_LINES_MAX) {
            complain(reader->complaints, graph->stages[i].place, "more than %d lines",
                     GRAPH_LINES_MAX);
            return false;
        }
        if (line_walk(reader, i, &graph->lines[graph->line_count]))
            graph->line_count++;
    }
    for (int i = 0; i < graph->line_count; i++) {
        struct graph_line *line = &graph->lines[i];
        if (line->mix_count == 0)
            line->filled_by = graph_line_find(graph, graph->stages[line->head].name);
        mixture_check(reader, line);
        filling_check(reader, line);
        ranks_check(reader, line);
    }
    return reader->complaints->count == start && reader->unknown_count == 0;
}

int graph_line_find(const struct graph *graph, const char *sink)
{
    for (int i = 0; i < graph->line_count; i++)
        if (strcmp(graph->stages[graph->lines[i].sink].name, sink) == 0)
            return i;
    return -1;
}
