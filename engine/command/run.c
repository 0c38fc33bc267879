/* foldmill run: a graph from its file to the end of its lines. */
#include "engine/run.h"

#include "engine/command.h"
#include "engine/programs.h"

static int command_run_main(int argc, char **argv)
{
    struct run_options options = {0};
    options.set_count = command_sets(&argc, argv, options.sets, RUN_SETS_MAX);
    options.run_dir = command_option(&argc, argv, "run");
    programs_allow(command_option(&argc, argv, "programs"));
    const char *port = command_option(&argc, argv, "metrics");
    int64_t number = -1;
    if (port && !text_int(span_of(port), 0, UINT16_MAX, &number)) {
        fprintf(stderr, "foldmill run: --metrics wants a port from 0 to 65535, not '%s'\n", port);
        return EXIT_USAGE;
    }
    options.metrics_port = (int)number;
    options.quiet = command_flag(&argc, argv, "quiet");
    if (!command_rest(&command_run, argc, argv, 1, 1))
        return EXIT_USAGE;
    options.graph = argv[1];
    return run_graph(&options);
}

const struct command command_run = {
    .name = "run",
    .summary = "runs a graph on this machine",
    .help =
        "usage: foldmill run GRAPH [--run DIR] [--set STAGE.SETTING=VALUE]... [--quiet]\n"
        "                    [--programs DIR[:DIR]] [--metrics PORT]\n\n"
        "Starts the processes of every stage, moves samples between them until all lines have\n"
        "ended, and prints what was done. Ctrl-C (or SIGTERM) finishes and saves what is in\n"
        "flight and exits 0; a second one stops at once (130).\n\n"
        "  --run DIR     where everything is written; the default is runs/GRAPH-DATE-TIME. A\n"
        "                directory that holds a run of the same graph goes on with that run\n"
        "  --set A.B=V   overrides one setting: crop.length=64, parse.workers=8, seed=3\n"
        "  --programs D  folders of programs that stages may start (exec, search), colons between\n"
        "  --metrics P   metrics for Prometheus on port P of 127.0.0.1 (0: any that is free, as\n"
        "                status tells): http://127.0.0.1:P/metrics; names: engine/METRICS.md\n"
        "  --quiet       no progress and no table; warnings and errors alone\n\n"
        "DIR/ then holds: graph.yaml (resolved), summary.txt, log.txt, refused.tsv, metrics.tsv, "
        "a\n"
        "table SINK.tsv with a row for each step (digest of its batch, seconds waited and "
        "computed,\n"
        "what the stage reports), checkpoints/, plots/, lists/, journal, processes.tsv.\n"
        "Exit code 0: done, or drained; 1: failed; 2: the graph or the command line is wrong.\n",
    .run = command_run_main,
};
