/* foldmill run: a graph from its file to the end of its lines. */
#include "engine/run.h"

#include "engine/command.h"
#include "engine/join.h"
#include "engine/launch.h"
#include "engine/programs.h"
#include "engine/run_ranks.h"

#include <stdlib.h>
#include <unistd.h>

/* What the command line says, for whichever engine this one turns out to be. */
struct words {
    struct launch_wish wish;
    struct run_options run;
    const char *workers, *name, *wait, *reach, *metrics, *programs, *resume, *ranks;
};

static void take_words(int *argc, char **argv, struct words *words)
{
    struct run_options *run = &words->run;
    words->wish.alone = command_flag(argc, argv, "alone");
    words->wish.head = command_flag(argc, argv, "head");
    words->wish.join = command_option(argc, argv, "join");
    run->listen = command_option(argc, argv, "listen");
    run->advertise = command_option(argc, argv, "advertise");
    run->keys = command_option(argc, argv, "keys");
    run->insecure = command_flag(argc, argv, "insecure");
    run->role = command_option(argc, argv, "role");
    run->set_count = command_sets(argc, argv, run->sets, RUN_SETS_MAX);
    run->run_dir = command_option(argc, argv, "run");
    run->quiet = command_flag(argc, argv, "quiet");
    words->resume = command_option(argc, argv, "resume");
    words->ranks = command_option(argc, argv, "ranks");
    words->reach = command_option(argc, argv, "reach");
    words->metrics = command_option(argc, argv, "metrics");
    words->programs = command_option(argc, argv, "programs");
    words->workers = command_option(argc, argv, "workers");
    words->name = command_option(argc, argv, "name");
    words->wait = command_option(argc, argv, "wait");
}

static bool wrong_line(const char *text)
{
    fprintf(stderr, "foldmill run: %s\n", text);
    return false;
}

/* A whole number, or a complaint. text NULL: *number stays. */
static bool take_number(const char *option, const char *text, int64_t max, int64_t *number)
{
    if (!text || text_int(span_of(text), 0, max, number))
        return true;
    fprintf(stderr, "foldmill run: %s wants a whole number from 0 to %lld, not '%s'\n", option,
            (long long)max, text);
    return false;
}

/* Options that do not fit what the command line asks for. Where the surroundings choose,
 * all fit: the same command stands on every node. */
static bool words_fit(const struct words *words, const struct launch *launch, int argc)
{
    const struct run_options *run = &words->run;
    bool of_head = run->listen || run->advertise || words->reach;
    bool of_join = words->workers || words->name || words->wait;
    bool of_run = run->run_dir || words->resume || run->set_count || words->metrics;
    if (words->resume && run->run_dir)
        return wrong_line(
            "--resume RUN goes on with a run, --run DIR is for a new one: give one of "
            "them");
    if (*launch->why)
        return true;
    if (words->wish.join && argc > 1)
        return wrong_line("an engine that joins takes the graph from the head: leave it out");
    if (words->wish.join && (of_head || of_run))
        return wrong_line(
            "--run, --resume, --set, --metrics, --listen, --advertise and --reach are "
            "the head's: leave them out where it is joined");
    if (!words->wish.join && of_join)
        return wrong_line("--workers, --name and --wait go with --join; workers here: --set "
                          "STAGE.workers=N");
    if (launch->kind == LAUNCH_ALONE &&
        (of_head || run->keys || run->insecure || run->role || words->ranks))
        return wrong_line("--listen, --advertise, --keys, --insecure, --role, --ranks and --reach "
                          "go with --head or --join");
    return true;
}

/* An engine that works for a run elsewhere. */
static int join_main(const struct words *words, const struct launch *launch)
{
    struct join_options options = {
        .to = launch->to,
        .keys = words->run.keys,
        .insecure = words->run.insecure,
        .workers = words->workers,
        .role = words->run.role,
        .name = words->name     ? words->name
                : *launch->name ? launch->name
                                : NULL,
        .wait_s = JOIN_WAIT_S,
        .quiet = words->run.quiet,
    };
    int64_t ranks = 0;
    if (!take_number("--wait", words->wait, 1 << 30, &options.wait_s) ||
        !take_number("--ranks", words->ranks, RUN_FAR_MAX, &ranks))
        return EXIT_USAGE;
    options.ranks = (int)ranks;
    return join_run(&options);
}

static int head_main(struct words *words, const struct launch *launch, const char *graph)
{
    struct run_options *run = &words->run;
    int64_t reach = NETWORK_REACH, port = -1, ranks = -1;
    if (!take_number("--reach", words->reach, NETWORK_REACH_MAX, &reach) ||
        !take_number("--ranks", words->ranks, GRAPH_RANKS_MAX, &ranks) ||
        !take_number("--metrics", words->metrics, UINT16_MAX, &port))
        return EXIT_USAGE;
    if (ranks == 0) {
        wrong_line("the head runs rank 0 of each line, which writes tables and checkpoints: "
                   "--ranks wants 1 or more there");
        return EXIT_USAGE;
    }
    run->ranks = (int)ranks;
    run->graph = graph;
    run->head = launch->kind == LAUNCH_HEAD;
    run->reach = (uint32_t)reach;
    run->metrics_port = (int)port;
    run->resume = words->resume != NULL;
    if (words->resume)
        run->run_dir = words->resume;
    else if (*launch->run_dir)
        run->run_dir = launch->run_dir;
    if (!run->listen && *launch->listen)
        run->listen = launch->listen;
    if (!run->advertise && *launch->host)
        run->advertise = launch->host;
    return run_graph(run);
}

static const char *of_environment(const void *user, const char *name)
{
    (void)user;
    return getenv(name);
}

static int command_run_main(int argc, char **argv)
{
    static struct words words;
    static struct launch launch;
    struct error err;
    char host[NETWORK_NAME_MAX + 1] = "";
    words = (struct words){0};
    gethostname(host, sizeof host - 1);
    take_words(&argc, argv, &words);
    bool one_graph = !words.wish.join;
    words.wish.graph = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    words.wish.run_dir = words.resume ? words.resume : words.run.run_dir;
    struct launch_around around = {of_environment, NULL, host};
    if (launch_find(&words.wish, &around, &launch, &err) != STATUS_OK)
        return wrong_line(err.text), EXIT_USAGE;
    if (!words_fit(&words, &launch, argc) ||
        !command_rest(&command_run, argc, argv, one_graph, one_graph))
        return EXIT_USAGE;
    if (*launch.why && !words.run.quiet)
        fprintf(stderr, "%s: %s%s (--alone: neither)\n", launch.why,
                launch.kind == LAUNCH_HEAD ? "the head" : "joins ",
                launch.kind == LAUNCH_HEAD ? "" : launch.to);
    programs_allow(words.programs);
    return launch.kind == LAUNCH_JOIN ? join_main(&words, &launch)
                                      : head_main(&words, &launch, argv[1]);
}

const struct command command_run = {
    .name = "run",
    .summary = "runs a graph on this machine",
    .help =
        "usage: foldmill run GRAPH [--run DIR | --resume RUN] [--set STAGE.SETTING=VALUE]...\n"
        "                    [--quiet] [--programs DIR[:DIR]] [--metrics PORT]\n"
        "                    [--head [--listen ADDR:PORT] [--advertise HOST]\n"
        "                     [--keys DIR | --insecure] [--role ROLE] [--ranks N]\n"
        "                     [--reach N]] [--alone]\n"
        "       foldmill run --join HOST:PORT|RUN [--keys DIR | --insecure] [--role ROLE]\n"
        "                    [--workers STAGE=N,...] [--ranks N] [--name NAME] [--wait SECONDS]\n"
        "                    [--quiet] [--programs DIR[:DIR]]\n\n"
        "Starts the processes of every stage, moves samples between them until all lines have\n"
        "ended, and prints what was done. Ctrl-C (or SIGTERM) finishes and saves what is in\n"
        "flight and exits 0; a second one stops at once (130).\n\n"
        "  --run DIR     where everything is written; the default is runs/GRAPH-DATE-TIME. A\n"
        "                directory that holds a run of the same graph goes on with that run\n"
        "  --resume RUN  goes on with the run in the folder RUN, from its last checkpoint with\n"
        "                the exact next batch; it must be there, and of the same graph. Workers,\n"
        "                ranks, queues, limits and what only says how may differ\n"
        "  --set A.B=V   overrides one setting: crop.length=64, parse.workers=8, seed=3; relative\n"
        "                paths begin in the folder you are in (in a graph: in the graph's)\n"
        "  --programs D  folders of programs that stages may start (exec, search), colons between\n"
        "  --metrics P   metrics for Prometheus on port P of 127.0.0.1 (0: any that is free, as\n"
        "                status tells): http://127.0.0.1:P/metrics; names: engine/METRICS.md\n"
        "  --quiet       no progress and no table; warnings and errors alone\n\n"
        "Many nodes: one engine is the head, with all stores and sinks; others join and leave it "
        "at\n"
        "any moment and lend it workers. Ctrl-C lets one that joined finish what it has and go.\n"
        "The same command may stand on every node, without --head and --join: with\n"
        "FOLDMILL_HEAD=HOST[:PORT] in the environment the engine on HOST is the head and all\n"
        "others join it (port 9310, if none is given); in a step of Slurm with several tasks\n"
        "the first is the head, the run is runs/GRAPH-slurm-JOB, and the others join it there.\n\n"
        "  --head        others may join; RUN/rendezvous says where\n"
        "  --listen A:P  address and port of the coordinator (the dispatcher has the next port);\n"
        "                the default is every address and any port\n"
        "  --advertise H the name that others find the head by; the default is the host's\n"
        "  --alone       one node, whatever the environment says\n"
        "  --keys DIR    keys of the network, as `foldmill keys DIR` makes them; the default of a\n"
        "                head is RUN/keys, that of an engine which joins what RUN/rendezvous says\n"
        "  --insecure    no keys: engines of this machine alone, over 127.0.0.1\n"
        "  --join TO     works for the head at HOST:PORT, or for the run whose folder (or a copy "
        "of\n"
        "                its rendezvous file) TO is; exits 0 when that run is over\n"
        "  --role ROLE   runs stages with `on: ROLE` and those without; the default of a head is\n"
        "                every stage (with --role, others wait for engines that join), else cpu\n"
        "  --ranks N     of each line with several `ranks:`, so many run on this engine: at the\n"
        "                head all, if not given, and at least rank 0; with --join places that\n"
        "                are offered, none if not given. The run begins when all have a place;\n"
        "                RUN must be on a disk that engines with ranks share\n"
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
