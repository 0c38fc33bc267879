/* foldmill profile: where the time of a training step goes, and how far from what this machine can
 * do. */
#include "engine/command.h"
#include "engine/plan.h"

#include <string.h>

enum { SETS_MAX = 256, STEPS_MAX = 1000000, LENGTH_MAX = 65536, THREADS_MAX = 1024 };

/* An option's number; false: it is not one, which was said. */
static bool number_take(int *argc, char **argv, const char *name, int64_t most, int64_t *value)
{
    const char *text = command_option(argc, argv, name);
    if (!text || text_int(span_of(text), 1, most, value))
        return true;
    fprintf(stderr, "foldmill profile: --%s wants a number from 1 to %lld, not '%s'\n", name,
            (long long)most, text);
    return false;
}

/* The line whose sink can be profiled, the named one or the only one; -1 was explained. */
static int line_find(const struct graph *graph, const char *name)
{
    int found = -1;
    for (int l = 0; l < graph->line_count; l++) {
        const struct graph_stage *sink = &graph->stages[graph->lines[l].sink];
        if (!sink->kind->profile || (name && strcmp(name, sink->name) != 0))
            continue;
        if (found >= 0) {
            fprintf(stderr, "foldmill profile: %s and %s train; name one with --stage\n",
                    graph->stages[graph->lines[found].sink].name, sink->name);
            return -1;
        }
        found = l;
    }
    if (found < 0)
        fprintf(stderr, "foldmill profile: no stage of the graph %s%s\n",
                name ? "that trains is named " : "trains", name ? name : "");
    return found;
}

static int graph_profile(const struct graph *graph, const char *name, struct stage_profile *options)
{
    struct error err = {0};
    int l = line_find(graph, name);
    if (l < 0)
        return EXIT_USAGE;
    const struct graph_stage *sink = &graph->stages[graph->lines[l].sink];
    plan_sizes(graph, &graph->lines[l], options->size);
    enum status status = sink->kind->profile(sink->state, options, &err);
    if (status == STATUS_OK)
        return EXIT_GOOD;
    fprintf(stderr, "foldmill profile: %s: %s\n", sink->name, err.text);
    return status == STATUS_INVALID || status == STATUS_LIMIT ? EXIT_USAGE : EXIT_FAILED;
}

static int profile_run(int argc, char **argv)
{
    const char *sets[SETS_MAX];
    struct graph_overrides overrides = {sets, command_sets(&argc, argv, sets, SETS_MAX)};
    struct stage_profile options = {.steps = 3, .passes = 1, .out = stdout};
    int64_t recycles = 0;
    options.backend = command_option(&argc, argv, "backend");
    const char *stage = command_option(&argc, argv, "stage");
    options.json = command_flag(&argc, argv, "json");
    if (!number_take(&argc, argv, "steps", STEPS_MAX, &options.steps) ||
        !number_take(&argc, argv, "crop", LENGTH_MAX, &options.length) ||
        !number_take(&argc, argv, "threads", THREADS_MAX, &options.threads) ||
        !number_take(&argc, argv, "recycles", 3, &recycles) ||
        !command_rest(&command_profile, argc, argv, 1, 1))
        return EXIT_USAGE;
    options.passes += (int)recycles;
    struct arena arena;
    struct complaints complaints;
    arena_open(&arena, 0);
    complaints_open(&complaints, &arena);
    const struct graph *graph = graph_load(argv[1], &overrides, NULL, &arena, &complaints);
    int code = EXIT_USAGE;
    if (graph)
        code = graph_profile(graph, stage, &options);
    else
        complaints_print(&complaints, stderr);
    arena_close(&arena);
    return code;
}

const struct command command_profile = {
    .name = "profile",
    .summary = "says where the time of a training step goes",
    .help =
        "usage: foldmill profile GRAPH [--steps N] [--crop L] [--recycles N] [--backend NAME]\n"
        "                        [--threads N] [--stage NAME] [--json]\n"
        "                        [--set STAGE.SETTING=VALUE]...\n\n"
        "Runs the graph's training network on a made-up sample of its crops' sizes, one step to\n"
        "warm up and N that are measured, and prints of one step, by module and by op: calls,\n"
        "time, operations of its products, bytes of its tensors, their rates, and what part of\n"
        "the time the roofline of this machine would take. The roofline, the speed of matrix\n"
        "products and of memory, is measured in the same run with the same threads (what finds\n"
        "its numbers in a cache may be above 100 %). Blocks that run again for their gradient\n"
        "count as forward. Reads no store and writes nothing.\n\n"
        "  --steps N      steps that are measured (3)\n"
        "  --crop L       residues of the crop, instead of the graph's\n"
        "  --recycles N   passes before the last one, 1 to 3; without it none\n"
        "  --backend cpu  or cuda, instead of the graph's; --threads N of the cpu\n"
        "  --stage NAME   which stage, where several train\n"
        "  --json         one object with the arrays modules and ops\n"
        "  --set train.blocks=1   overrides one setting\n",
    .run = profile_run,
};
