/* Does what a stage needs reach it? And what a graph's results depend on; see graph_inside.h. */
#include "engine/graph_inside.h"

#include "engine/base/rng.h"
#include "engine/port.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { HASH_VERSION = 1 };

/* The fields that flow past one place of a line. */
struct flow {
    bool anything; /* from a store that this graph does not fill: whatever it holds */
    int count;
    struct port_field field[SAMPLE_FIELDS_MAX];
};

static const struct port_field *flow_find(const struct flow *flow, const char *name)
{
    for (int i = 0; i < flow->count; i++)
        if (strcmp(flow->field[i].name, name) == 0)
            return &flow->field[i];
    return NULL;
}

static enum status flow_add(struct flow *flow, const struct port *port, struct error *err)
{
    struct port_table *table = malloc(sizeof *table);
    ASSERT(table);
    enum status status = port_open(port, table, err);
    if (status != STATUS_OK) {
        free(table);
        return status;
    }
    for (int i = 0; i < table->count; i++)
        if (!flow_find(flow, table->field[i].name) && flow->count < SAMPLE_FIELDS_MAX)
            flow->field[flow->count++] = table->field[i];
    free(table);
    return STATUS_OK;
}

/* Adds what stage i gives. Ports that settings decide are checked here; a stage's own are good. */
static void stage_gives(struct graph_reader *reader, int i, bool check, struct flow *flow)
{
    const struct graph_stage *stage = &reader->graph->stages[i];
    struct port out =
        stage->kind->gives ? stage->kind->gives(stage->state, reader->arena) : stage->kind->out;
    struct error err;
    enum status status = flow_add(flow, &out, &err);
    ASSERT(status == STATUS_OK || stage->kind->gives);
    if (status != STATUS_OK && check)
        complain(reader->complaints, stage->place, "%s: %s", stage->name, err.text);
}

/* How a field that is wanted is missed: NULL when it is not. */
static const char *misfit(const struct port_field *want, const struct port_field *have)
{
    if (!have)
        return want->optional ? NULL : "which no stage above it makes";
    if (have->rank + 1 == want->rank && have->kind == want->kind)
        return "but what reaches it has one axis less; is a batch stage missing before it?";
    if (have->kind != want->kind || have->rank != want->rank)
        return "but what reaches it is of another kind or rank";
    return have->optional && !want->optional ? "which the stages above it do not always make"
                                             : NULL;
}

/* Complains, once, where stage i does not find in flow what its in port wants. */
static void take_check(struct graph_reader *reader, int i, const struct flow *flow)
{
    const struct graph_stage *stage = &reader->graph->stages[i];
    struct place place = reader->input[i] ? reader->input[i]->place : stage->place;
    struct port_table *table = malloc(sizeof *table);
    const char *first = NULL, *why = NULL;
    struct error err;
    char more[48] = "";
    int missed = 0;
    ASSERT(table && port_open(&stage->kind->in, table, &err) == STATUS_OK);
    for (int f = 0; f < table->count && !flow->anything; f++) {
        const struct port_field *want = &table->field[f];
        const char *wrong = misfit(want, flow_find(flow, want->name));
        if (wrong && missed++ == 0) {
            first = table->row[f];
            why = wrong;
        }
    }
    if (missed > 1)
        snprintf(more, sizeof more, " (and %d more fields)", missed - 1);
    if (missed)
        complain(reader->complaints, place, "%s needs the field %s, %s%s", stage->name, first, why,
                 more);
    free(table);
}

/* What the head of a line gives; a filled store gives what reaches it. */
static void line_flow(struct graph_reader *reader, const struct graph_line *line, bool check,
                      struct flow *flow)
{
    const struct graph *graph = reader->graph;
    memset(flow, 0, sizeof *flow);
    if (line->filled_by >= 0)
        line_flow(reader, &graph->lines[line->filled_by], false, flow);
    else if (graph->stages[line->head].kind->flags & STAGE_STORE)
        flow->anything = true;
    else
        stage_gives(reader, line->head, check, flow);
    for (int w = 0; w <= line->work_count; w++) {
        int i = w < line->work_count ? line->work[w] : line->gather;
        if (i < 0)
            break;
        const struct stage *kind = graph->stages[i].kind;
        if (check)
            take_check(reader, i, flow);
        if (!(kind->flags & STAGE_PASS)) {
            flow->count = 0;
            flow->anything = false;
        }
        stage_gives(reader, i, check, flow);
    }
    if (check)
        take_check(reader, line->sink, flow);
}

void graph_ports_check(struct graph_reader *reader)
{
    for (int i = 0; i < reader->graph->line_count; i++) {
        struct flow flow;
        line_flow(reader, &reader->graph->lines[i], true, &flow);
    }
}

/* Hash of one stage by what decides its results, on top of what was above it. */
static uint64_t stage_hash(const struct graph_stage *stage, uint64_t above)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    fprintf(out, "%d %016llx %s %d ", HASH_VERSION, (unsigned long long)above, stage->kind->name,
            stage->kind->version);
    params_write(stage->kind->params, stage->state, true, out);
    fclose(out);
    uint64_t hash = XXH3_64bits(text, size);
    free(text);
    return hash;
}

/* Hash of what a mixture is made of. */
static uint64_t mix_hash(struct graph *graph, const struct graph_line *line)
{
    uint64_t hash = 0;
    for (int i = 0; i < line->mix_count; i++) {
        struct graph_stage *store = &graph->stages[line->mix[i].store];
        store->recipe = stage_hash(store, 0);
        struct {
            uint64_t above, store, split;
            double share;
        } part = {hash, store->recipe, hash_name(line->mix[i].split), line->mix[i].share};
        hash = XXH3_64bits(&part, sizeof part);
    }
    return hash;
}

/* Hash of a line; sets the recipes of its stages. */
static uint64_t line_hash(struct graph *graph, const struct graph_line *line)
{
    struct graph_stage *head = &graph->stages[line->head], *sink = &graph->stages[line->sink];
    if (line->filled_by < 0)
        head->recipe = stage_hash(head, 0);
    uint64_t above =
        line->mix_count ? mix_hash(graph, line) : head->recipe ^ hash_name(line->split);
    for (int w = 0; w < line->work_count; w++)
        graph->stages[line->work[w]].recipe = above =
            stage_hash(&graph->stages[line->work[w]], above);
    if (sink->kind->flags & STAGE_STORE) /* how it keeps records does not change what they say */
        return sink->recipe = above;
    if (line->gather >= 0)
        graph->stages[line->gather].recipe = above =
            stage_hash(&graph->stages[line->gather], above);
    uint64_t order = graph_line_overtake(graph, line) * UINT64_C(0x9e3779b97f4a7c15);
    return (sink->recipe = stage_hash(sink, above)) ^ hash_name(sink->name) ^ order;
}

void graph_hash(struct graph_reader *reader)
{
    struct graph *graph = reader->graph;
    struct {
        uint64_t seed, line[GRAPH_LINES_MAX];
    } all = {.seed = graph->seed};
    /* A store's recipe is that of the line that fills it: as many rounds as stores can be chained.
     */
    for (int round = 0; round < graph->line_count; round++)
        for (int i = 0; i < graph->line_count; i++)
            all.line[i] = line_hash(graph, &graph->lines[i]);
    graph->hash = XXH3_64bits(&all, sizeof all.seed + sizeof *all.line * (size_t)graph->line_count);
}

int64_t graph_sink_setting(const struct graph *graph, const struct graph_line *line,
                           const char *name, int64_t fallback)
{
    const struct graph_stage *sink = &graph->stages[line->sink];
    for (const struct param *row = sink->kind->params; row && row->name; row++) {
        if (strcmp(row->name, name) != 0)
            continue;
        int choice;
        if (row->type == PARAM_INT)
            memcpy(&fallback, (const char *)sink->state + row->offset, sizeof fallback);
        if (row->type == PARAM_CHOICE) {
            memcpy(&choice, (const char *)sink->state + row->offset, sizeof choice);
            fallback = choice;
        }
    }
    return fallback;
}

uint32_t graph_line_overtake(const struct graph *graph, const struct graph_line *line)
{
    const struct stage *sink = graph->stages[line->sink].kind;
    bool keeps = sink->save && sink->load && !sink->next && !(sink->flags & STAGE_STORE);
    return keeps ? graph->overtake : 0;
}

int64_t graph_line_batch(const struct graph *graph, const struct graph_line *line)
{
    if (line->gather < 0)
        return 1;
    const struct graph_stage *gather = &graph->stages[line->gather];
    for (const struct param *row = gather->kind->params; row && row->name; row++)
        if (strcmp(row->name, "size") == 0 && row->type == PARAM_INT) {
            int64_t size;
            memcpy(&size, (const char *)gather->state + row->offset, sizeof size);
            return size;
        }
    return 1;
}

const char *graph_store_path(const struct graph_stage *stage)
{
    for (const struct param *row = stage->kind->params; row && row->name; row++)
        if (strcmp(row->name, "path") == 0 && row->type == PARAM_PATH) {
            const char *path;
            memcpy(&path, (const char *)stage->state + row->offset, sizeof path);
            return path;
        }
    return NULL;
}
