/* From a graph to one node's processes: windows, workers, memory, roles, and the table that says
 * so. */
#include "engine/plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;
static struct complaints complaints;
static struct plan plan;

static void setup(void)
{
    arena_open(&arena, 0);
}

static void teardown(void)
{
    arena_close(&arena);
}

TestSuite(plan, .init = setup, .fini = teardown);

static const char text[] = "graph: x\nstages:\n"
                           "  scan: {with: {structures: a}}\n"
                           "  parse: {in: scan, workers: 4, memory: 8MiB}\n"
                           "  msa: {in: parse, workers: 5, on: cpu}\n"
                           "  store: {in: msa, with: {path: f}}\n"
                           "  crop: {in: store.train, workers: 2, on: cpu}\n"
                           "  batch: {in: crop, with: {size: 7}}\n"
                           "  train: {in: batch, on: gpu}\n";

static const struct graph *plan_for(const char *set, const char *role)
{
    const struct param_roots roots = {.graph = "/g"};
    const struct graph_overrides overrides = {&set, set ? 1 : 0};
    struct source_text *source = arena_zero(&arena, 1, sizeof *source);
    *source = (struct source_text){.name = "g", .text = span_of(text)};
    complaints_open(&complaints, &arena);
    const struct graph *graph = graph_parse(source, &roots, &overrides, &arena, &complaints);
    cr_assert(graph, "%s", complaints.item[0].text);
    plan_make(graph, role, &plan);
    return graph;
}

static uint64_t window(const struct graph *graph, const char *sink)
{
    return plan.lines[graph_line_find(graph, sink)].window;
}

Test(plan, windows_hold_three_batches_or_twice_the_slots_in_whole_batches)
{
    const struct graph *graph = plan_for(NULL, "");
    cr_assert(window(graph, "store") == 2 * (4 + 5) * PLAN_CREDITS);
    cr_assert(window(graph, "train") == 21, "three batches of 7");
    graph = plan_for("crop.workers=20", "");
    cr_assert(window(graph, "train") == 84, "80 slots in whole batches");
    graph = plan_for("batch.size=1", "");
    cr_assert(window(graph, "train") == PLAN_WINDOW_MIN);
    graph = plan_for("crop.workers=1024", "");
    cr_assert(window(graph, "train") == 4102, "the limit in whole batches");
    graph = plan_for("train.queue=500", "");
    cr_assert(window(graph, "train") == 504, "what the sink says, in whole batches");
    graph = plan_for("order={overtake: 10}", "");
    cr_assert(window(graph, "train") == 35, "21 and 10 that may be overtaken");
    cr_assert(window(graph, "store") == 2 * (4 + 5) * PLAN_CREDITS, "a store overtakes nothing");
}

Test(plan, processes_and_memory)
{
    plan_for(NULL, "");
    cr_assert(plan.processes == 2 + 4 + 5 + 1 + 2 + 1, "%d", plan.processes);
    cr_assert(plan.pool_bytes == 4 * ((size_t)2 << 20) + 7 * PLAN_POOL_BYTES);
    plan_for("crop.memory=1TiB", "");
    cr_assert(plan.pool_bytes == 4 * ((size_t)2 << 20) + 7 * PLAN_POOL_BYTES, "at most so much");
}

Test(plan, roles_pick_stages)
{
    const struct graph *graph = plan_for(NULL, "gpu");
    cr_assert(plan.here[1] && !plan.here[2] && plan.here[3] && !plan.here[4] && plan.here[6]);
    cr_assert(plan.processes == 2 + 4 + 1 + 1 && plan.pool_bytes == 4 * ((size_t)2 << 20));
    plan_make(graph, "cpu", &plan);
    cr_assert(plan.here[2] && plan.here[4] && !plan.here[6]);
    cr_assert(plan.processes == 2 + 4 + 5 + 1 + 2);
}

Test(plan, the_table_says_it)
{
    char *shown = NULL;
    size_t size = 0;
    plan_for(NULL, "gpu");
    FILE *out = open_memstream(&shown, &size);
    cr_assert(out && plan_print(&plan, out));
    fclose(out);
    cr_assert(strstr(shown, "line train: asks for 21 positions ahead, 7 a step\n"), "%s", shown);
    cr_assert(strstr(shown, "split train\n") && strstr(shown, "not on this node"), "%s", shown);
    cr_assert(strstr(shown, "8 processes; payload pools of 8.0 MiB in shared memory\n"), "%s",
              shown);
    cr_assert(strstr(shown, "store store: /g/f\n"), "%s", shown);
    free(shown);
}
