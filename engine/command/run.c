/* foldmill run: a graph from its file to the end of its lines. */
#include "engine/run.h"

#include "engine/command.h"
#include "engine/join.h"
#include "engine/network.h"
#include "engine/programs.h"

/* A whole number of seconds, or the exit of a wrong command line. */
static bool take_seconds(const char *text, int64_t *seconds)
{
    if (!text || text_int(span_of(text), 0, 1 << 30, seconds))
        return true;
    fprintf(stderr, "foldmill run: --wait wants seconds, not '%s'\n", text);
    return false;
}

/* An engine that works for a run elsewhere; options that only a head understands are told so. */
static int join_main(int argc, char **argv, const char *to)
{
    struct join_options options = {.to = to, .wait_s = JOIN_WAIT_S};
    options.keys = command_option(&argc, argv, "keys");
    options.insecure = command_flag(&argc, argv, "insecure");
    options.workers = command_option(&argc, argv, "workers");
    options.role = command_option(&argc, argv, "role");
    options.name = command_option(&argc, argv, "name");
    options.quiet = command_flag(&argc, argv, "quiet");
    programs_allow(command_option(&argc, argv, "programs"));
    if (!take_seconds(command_option(&argc, argv, "wait"), &options.wait_s))
        return EXIT_USAGE;
    if (argc > 1 && argv[1][0] != '-') {
        fprintf(stderr,
                "foldmill run: an engine that joins takes the graph from the head, not "
                "'%s'\n",
                argv[1]);
        return EXIT_USAGE;
    }
    return command_rest(&command_run, argc, argv, 0, 0) ? join_run(&options) : EXIT_USAGE;
}

static int command_run_main(int argc, char **argv)
{
    struct run_options options = {0};
    const char *join = command_option(&argc, argv, "join");
    if (join)
        return join_main(argc, argv, join);
    options.head = command_flag(&argc, argv, "head");
    options.listen = command_option(&argc, argv, "listen");
    options.keys = command_option(&argc, argv, "keys");
    options.insecure = command_flag(&argc, argv, "insecure");
    options.role = command_option(&argc, argv, "role");
    const char *reach = command_option(&argc, argv, "reach");
    int64_t positions = NETWORK_REACH;
    if (!options.head &&
        (options.listen || options.keys || options.insecure || options.role || reach)) {
        fprintf(stderr, "foldmill run: --listen, --keys, --insecure, --role and --reach go with "
                        "--head or --join\n");
        return EXIT_USAGE;
    }
    if (reach && !text_int(span_of(reach), 0, NETWORK_REACH_MAX, &positions)) {
        fprintf(stderr, "foldmill run: --reach wants a number from 0 to %d, not '%s'\n",
                NETWORK_REACH_MAX, reach);
        return EXIT_USAGE;
    }
    options.reach = (uint32_t)positions;
    options.set_count = command_sets(&argc, argv, options.sets, RUN_SETS_MAX);
    options.run_dir = command_option(&argc, argv, "run");
    const char *resume = command_option(&argc, argv, "resume");
    if (resume && options.run_dir) {
        fprintf(stderr, "foldmill run: --resume RUN goes on with a run, --run DIR is for a new "
                        "one: give one of them\n");
        return EXIT_USAGE;
    }
    options.resume = resume;
    options.run_dir = resume ? resume : options.run_dir;
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
        "usage: foldmill run GRAPH [--run DIR | --resume RUN] [--set STAGE.SETTING=VALUE]...\n"
        "                    [--quiet] [--programs DIR[:DIR]] [--metrics PORT]\n"
        "                    [--head [--listen ADDR:PORT] [--keys DIR | --insecure]\n"
        "                     [--role ROLE] [--reach N]]\n"
        "       foldmill run --join HOST:PORT|RUN [--keys DIR | --insecure] [--role ROLE]\n"
        "                    [--workers STAGE=N,...] [--name NAME] [--wait SECONDS] [--quiet]\n"
        "                    [--programs DIR[:DIR]]\n\n"
        "Starts the processes of every stage, moves samples between them until all lines have\n"
        "ended, and prints what was done. Ctrl-C (or SIGTERM) finishes and saves what is in\n"
        "flight and exits 0; a second one stops at once (130).\n\n"
        "  --run DIR     where everything is written; the default is runs/GRAPH-DATE-TIME. A\n"
        "                directory that holds a run of the same graph goes on with that run\n"
        "  --resume RUN  goes on with the run in the folder RUN, from its last checkpoint with\n"
        "                the exact next batch; it must be there, and of the same graph. Workers,\n"
        "                ranks, queues, limits and what only says how may differ\n"
        "  --set A.B=V   overrides one setting: crop.length=64, parse.workers=8, seed=3\n"
        "  --programs D  folders of programs that stages may start (exec, search), colons between\n"
        "  --metrics P   metrics for Prometheus on port P of 127.0.0.1 (0: any that is free, as\n"
        "                status tells): http://127.0.0.1:P/metrics; names: engine/METRICS.md\n"
        "  --quiet       no progress and no table; warnings and errors alone\n\n"
        "Many nodes: one engine is the head, with all stores and sinks; others join and leave it "
        "at\n"
        "any moment and lend it workers. Ctrl-C lets one that joined finish what it has and go.\n\n"
        "  --head        others may join; RUN/rendezvous says where\n"
        "  --listen A:P  address and port of the coordinator (the dispatcher has the next port);\n"
        "                the default is every address and any port\n"
        "  --keys DIR    keys of the network, as `foldmill keys DIR` makes them; the default of a\n"
        "                head is RUN/keys, that of an engine which joins what RUN/rendezvous says\n"
        "  --insecure    no keys: engines of this machine alone, over 127.0.0.1\n"
        "  --join TO     works for the head at HOST:PORT, or for the run whose folder (or a copy "
        "of\n"
        "                its rendezvous file) TO is; exits 0 when that run is over\n"
        "  --role ROLE   runs stages with `on: ROLE` and those without; the default of a head is\n"
        "                every stage (with --role, others wait for engines that join), else cpu\n"
        "  --reach N     positions that sinks ask for beyond what a head alone needs: two for\n"
        "                each worker that may join; the default is 128\n"
        "  --workers L   processes of each stage: parse=8,msa=2; the default is one a CPU, shared\n"
        "                out as the graph's workers: say\n"
        "  --name NAME   of this engine in tables and logs; the default is the host's\n"
        "  --wait S      seconds to wait for a head that is not there; the default is 600\n\n"
        "DIR/ then holds: graph.yaml (resolved), summary.txt, log.txt, refused.tsv, metrics.tsv, "
        "a\n"
        "table SINK.tsv with a row for each step (digest of its batch, seconds waited and "
        "computed,\n"
        "what the stage reports), checkpoints/, plots/, lists/, journal, processes.tsv.\n"
        "Exit code 0: done, or drained; 1: failed; 2: the graph or the command line is wrong.\n",
    .run = command_run_main,
};
