/* From a graph to the processes of one node; see plan.h. */
#include "engine/plan.h"

#include <string.h>

/* Of each rank: the larger of three of its batches and twice its part of the slots of the line's
 * workers, or its part of what the sink's `queue` says, rounded up to whole batches (delivery
 * protocol, rule 1); and what may be overtaken, which holds places back. */
static uint64_t window_of(const struct graph *graph, const struct graph_line *line)
{
    uint64_t ranks = (uint64_t)graph->stages[line->sink].ranks;
    uint64_t batch = (uint64_t)graph_line_batch(graph, line) / ranks, slots = 0;
    for (int w = 0; w < line->work_count; w++)
        slots += (uint64_t)graph->stages[line->work[w]].workers * PLAN_CREDITS;
    slots = (slots + ranks - 1) / ranks;
    uint64_t window = 3 * batch > 2 * slots ? 3 * batch : 2 * slots;
    if (window < PLAN_WINDOW_MIN)
        window = PLAN_WINDOW_MIN;
    if (window > PLAN_WINDOW_MAX && window > 3 * batch)
        window = PLAN_WINDOW_MAX > 3 * batch ? PLAN_WINDOW_MAX : 3 * batch;
    if (graph->stages[line->sink].queue)
        window = ((uint64_t)graph->stages[line->sink].queue + ranks - 1) / ranks;
    window += graph_line_overtake(graph, line);
    return (window + batch - 1) / batch * batch;
}

size_t plan_pool_bytes(const struct graph_stage *stage)
{
    uint64_t quarter = stage->memory_bytes / 4;
    return quarter && quarter < PLAN_POOL_BYTES ? (size_t)quarter : PLAN_POOL_BYTES;
}

void plan_make(const struct graph *graph, const char *role, struct plan *plan)
{
    *plan = (struct plan){.graph = graph, .processes = 2};
    for (int i = 0; i < graph->stage_count; i++) {
        const struct graph_stage *stage = &graph->stages[i];
        plan->here[i] = !*role || !*stage->role || strcmp(role, stage->role) == 0;
        unsigned flags = stage->kind->flags;
        bool sink = (flags & STAGE_SINK) && stage->input >= 0;
        if (!plan->here[i] || (flags & (STAGE_SOURCE | STAGE_GATHER)))
            continue;
        if ((flags & STAGE_SINK) && !sink)
            continue;
        plan->processes += sink ? stage->ranks : stage->workers;
        if (!sink)
            plan->pool_bytes += plan_pool_bytes(stage) * (size_t)stage->workers;
    }
    for (int i = 0; i < graph->line_count; i++)
        plan->lines[i] = (struct plan_line){&graph->lines[i], window_of(graph, &graph->lines[i])};
}

static void stage_print(const struct plan *plan, int i, const char *does, FILE *out)
{
    const struct graph_stage *stage = &plan->graph->stages[i];
    char memory[32] = "-", timeout[32] = "-";
    if (stage->memory_bytes)
        text_show_bytes(memory, sizeof memory, stage->memory_bytes);
    if (stage->timeout_ms)
        text_show_duration(timeout, sizeof timeout, (double)stage->timeout_ms / 1e3);
    bool worker = !(stage->kind->flags & (STAGE_SOURCE | STAGE_GATHER | STAGE_SINK));
    fprintf(out, "  %-18s %-10s %-16s %7d %10s %10s%s\n", stage->name, stage->kind->name, does,
            worker ? stage->workers : stage->ranks, memory, timeout,
            plan->here[i] ? "" : "   not on this node");
}

void plan_sizes(const struct graph *graph, const struct graph_line *line, int64_t size[26])
{
    memset(size, 0, 26 * sizeof *size);
    for (int w = 0; w <= line->work_count; w++) {
        int i = w < line->work_count ? line->work[w] : line->gather;
        if (i >= 0 && graph->stages[i].kind->sizes)
            graph->stages[i].kind->sizes(graph->stages[i].state, size);
    }
}

static void uses_print(const struct stage_uses *uses, FILE *out)
{
    char bytes[32];
    uint64_t sum = 0;
    if (*uses->remark)
        fprintf(out, "  %s\n", uses->remark);
    if (*uses->title)
        fprintf(out, "\n  %s\n", uses->title);
    for (int i = 0; i < uses->count; i++) {
        const struct stage_use *row = &uses->row[i];
        sum += row->bytes;
        fprintf(out, "    %-34s %10s%s%s\n", row->name,
                text_show_bytes(bytes, sizeof bytes, row->bytes), *row->note ? "   " : "",
                row->note);
    }
    if (uses->count == 0)
        return;
    fprintf(out, "    %-34s %10s", "together", text_show_bytes(bytes, sizeof bytes, sum));
    if (uses->limit_bytes)
        fprintf(out, "   of %s, %.0f %%", text_show_bytes(bytes, sizeof bytes, uses->limit_bytes),
                100 * (double)sum / (double)uses->limit_bytes);
    fputc('\n', out);
}

/* What the sink says of itself, by the sizes that the stages above it fix. */
static enum status sink_uses(const struct plan *plan, const struct graph_line *line,
                             struct stage_uses *uses, struct error *err)
{
    const struct graph *graph = plan->graph;
    const struct graph_stage *sink = &graph->stages[line->sink];
    struct stage_room room = {.ranks = sink->ranks,
                              .memory_bytes = sink->memory_bytes,
                              .device_bytes = plan->device_bytes};
    *uses = (struct stage_uses){0};
    if (!sink->kind->describe || !plan->here[line->sink])
        return STATUS_OK;
    plan_sizes(graph, line, room.size);
    enum status status = sink->kind->describe(sink->state, &room, uses, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s cannot run so", sink->name);
    return status;
}

/* As a table; false: it cannot run. */
static bool sink_describe(const struct plan *plan, const struct graph_line *line, FILE *out)
{
    struct stage_uses uses;
    struct error err;
    enum status status = sink_uses(plan, line, &uses, &err);
    uses_print(&uses, out);
    if (status != STATUS_OK)
        fprintf(out, "  %s\n", err.text);
    return status == STATUS_OK;
}

enum status plan_fits(const struct plan *plan, struct error *err)
{
    struct stage_uses uses;
    for (int l = 0; l < plan->graph->line_count; l++)
        if (sink_uses(plan, &plan->graph->lines[l], &uses, err) == STATUS_LIMIT)
            return STATUS_LIMIT;
    return STATUS_OK;
}

/* What a mixture reads, with the parts of the positions. */
static void mix_print(const struct graph *graph, const struct graph_line *line, FILE *out)
{
    double all = 0;
    for (int i = 0; i < line->mix_count; i++)
        all += line->mix[i].share;
    for (int i = 0; i < line->mix_count; i++) {
        const struct graph_part *part = &line->mix[i];
        const struct graph_stage *store = &graph->stages[part->store];
        fprintf(out, "  %-18s %-10s %-16s %7s   %s%s, %.4g %% of the positions\n", store->name,
                store->kind->name, "is mixed in", "-", *part->split ? "split " : "all records",
                part->split, 100 * part->share / all);
    }
}

bool plan_print(const struct plan *plan, FILE *out)
{
    const struct graph *graph = plan->graph;
    bool good = true;
    char bytes[32];
    fprintf(out, "graph %s, seed %llu, hash %016llx\n", graph->name,
            (unsigned long long)graph->seed, (unsigned long long)graph->hash);
    for (int l = 0; l < graph->line_count; l++) {
        const struct graph_line *line = &graph->lines[l];
        const struct graph_stage *head = &graph->stages[line->head];
        bool source = head->kind->flags & STAGE_SOURCE;
        const char *each = graph->stages[line->sink].ranks > 1 ? " on each rank" : "";
        fprintf(out, "\nline %s: asks for %llu positions ahead%s, %lld a step",
                graph->stages[line->sink].name, (unsigned long long)plan->lines[l].window, each,
                (long long)graph_line_batch(graph, line));
        if (graph_line_overtake(graph, line))
            fprintf(out, ", slow ones overtaken by at most %u",
                    graph_line_overtake(graph, line));
        fputc('\n', out);
        fprintf(out, "  %-18s %-10s %-16s %7s %10s %10s\n", "stage", "kind", "does", "workers",
                "memory", "timeout");
        if (source)
            stage_print(plan, line->head, "lists keys", out);
        else if (line->mix_count == 0)
            fprintf(out, "  %-18s %-10s %-16s %7s   %s%s\n", head->name, head->kind->name,
                    "is read", "-", *line->split ? "split " : "all records", line->split);
        mix_print(graph, line, out);
        for (int w = 0; w < line->work_count; w++)
            stage_print(plan, line->work[w], "works", out);
        if (line->gather >= 0)
            stage_print(plan, line->gather, "gathers in sink", out);
        stage_print(plan, line->sink, "sink", out);
        good &= sink_describe(plan, line, out);
    }
    fprintf(out, "\n%d processes; payload pools of %s in shared memory\n", plan->processes,
            text_show_bytes(bytes, sizeof bytes, plan->pool_bytes));
    for (int i = 0; i < graph->stage_count; i++)
        if (graph->stages[i].kind->flags & STAGE_STORE)
            fprintf(out, "store %s: %s%s\n", graph->stages[i].name,
                    graph_store_path(&graph->stages[i]),
                    graph->stages[i].input < 0 ? " (replayed: nothing fills it)" : "");
    return good;
}
