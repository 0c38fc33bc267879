/* foldmill validate: all mistakes of a graph, or the plan of what would be started. */
#include "engine/command.h"
#include "engine/plan.h"

#include <string.h>

enum { SETS_MAX = 256 };

/* Complains about a role that no stage names, which would be a slip of the pen. */
static bool role_is_known(const struct graph *graph, const char *role)
{
    const char *names[GRAPH_STAGES_MAX + 1];
    int count = 0;
    for (int i = 0; i < graph->stage_count; i++) {
        if (strcmp(graph->stages[i].role, role) == 0)
            return true;
        if (*graph->stages[i].role)
            names[count++] = graph->stages[i].role;
    }
    names[count] = NULL;
    const char *near = text_suggest(span_of(role), names);
    fprintf(stderr, "foldmill validate: no stage of the graph says `on: %s`%s%s%s\n", role,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return false;
}

static int validate_run(int argc, char **argv)
{
    const char *sets[SETS_MAX];
    struct graph_overrides overrides = {sets, command_sets(&argc, argv, sets, SETS_MAX)};
    const char *role = command_option(&argc, argv, "role");
    const char *gpu = command_option(&argc, argv, "gpu");
    uint64_t device_bytes = 0;
    if (!command_rest(&command_validate, argc, argv, 1, 1))
        return EXIT_USAGE;
    if (gpu && (!text_bytes(span_of(gpu), &device_bytes) || device_bytes == 0)) {
        fprintf(stderr, "foldmill validate: --gpu: '%s' is no size of memory; wanted 80GiB or so\n",
                gpu);
        return EXIT_USAGE;
    }
    struct arena arena;
    struct complaints complaints;
    arena_open(&arena, 0);
    complaints_open(&complaints, &arena);
    int code = EXIT_GOOD;
    const struct graph *graph = graph_load(argv[1], &overrides, NULL, &arena, &complaints);
    if (graph && role && !role_is_known(graph, role)) {
        code = EXIT_USAGE;
    } else if (graph) {
        struct plan plan;
        plan_make(graph, role ? role : "", &plan);
        plan.device_bytes = device_bytes;
        if (plan_print(&plan, stdout))
            puts("ok");
        else
            code = EXIT_USAGE;
    } else {
        complaints_print(&complaints, stderr);
        fprintf(stderr, "%s: %d mistake%s; nothing was started\n", argv[1], complaints.count,
                complaints.count == 1 ? "" : "s");
        code = EXIT_USAGE;
    }
    arena_close(&arena);
    return code;
}

const struct command command_validate = {
    .name = "validate",
    .summary = "checks a graph and prints its plan",
    .help = "usage: foldmill validate GRAPH [--set STAGE.SETTING=VALUE]... [--role ROLE]\n"
            "                         [--gpu MEMORY]\n\n"
            "Reads the graph, tells all mistakes in one pass (file:line:column, the line, a\n"
            "suggestion), or prints what `foldmill run` would start: lines, stages, workers,\n"
            "memory. What training takes is counted part by part, and as many blocks keep their\n"
            "activations as memory allows; a plan that does not fit is refused, with what would\n"
            "fit. Starts nothing. Exit code 0: the graph is good; 2: it is not.\n\n"
            "  --set crop.length=64   overrides one setting; also STAGE.workers, seed, ...\n"
            "  --role gpu             only the stages that say `on: gpu`, and those without `on`\n"
            "  --gpu 80GiB            plans training for a GPU of that memory\n",
    .run = validate_run,
};
