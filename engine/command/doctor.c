/* foldmill doctor: what on this machine would stop or slow a run, and the fix. */
#include "engine/doctor.h"

#include "engine/command.h"
#include "engine/plan.h"

enum { SETS_MAX = 256 };

static int examine(struct doctor_facts *facts, bool json, bool quiet)
{
    static struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    doctor_measure(facts, "");
    int count = doctor_judge(facts, findings);
    enum doctor_verdict worst = doctor_print(findings, count, json, quiet, stdout);
    return worst == DOCTOR_FAILURE ? EXIT_USAGE : worst == DOCTOR_WARNING ? EXIT_FAILED : EXIT_GOOD;
}

static int doctor_run(int argc, char **argv)
{
    const char *sets[SETS_MAX];
    struct graph_overrides overrides = {sets, command_sets(&argc, argv, sets, SETS_MAX)};
    const char *run_dir = command_option(&argc, argv, "run");
    const char *role = command_option(&argc, argv, "role");
    const char *keys = command_option(&argc, argv, "keys");
    bool json = command_flag(&argc, argv, "json"), quiet = command_flag(&argc, argv, "quiet");
    if (!command_rest(&command_doctor, argc, argv, 0, 1))
        return EXIT_USAGE;
    static struct doctor_facts facts;
    struct arena arena;
    struct complaints complaints;
    int code;
    facts.keys_path = keys;
    arena_open(&arena, 0);
    complaints_open(&complaints, &arena);
    const struct graph *graph =
        argc > 1 ? graph_load(argv[1], &overrides, run_dir ? run_dir : "runs", &arena, &complaints)
                 : NULL;
    if (argc > 1 && !graph) {
        complaints_print(&complaints, stderr);
        code = EXIT_USAGE;
    } else {
        struct plan plan;
        doctor_add_path(&facts, run_dir ? run_dir : ".", false);
        if (graph) {
            plan_make(graph, role ? role : "", &plan);
            doctor_need(&facts, &plan);
        }
        code = examine(&facts, json, quiet);
    }
    arena_close(&arena);
    return code;
}

const struct command command_doctor = {
    .name = "doctor",
    .summary = "says what on this machine would stop or slow a run, and the fix",
    .help =
        "usage: foldmill doctor [GRAPH] [--set STAGE.SETTING=VALUE]... [--role ROLE]\n"
        "                       [--run DIR] [--keys DIR] [--json] [--quiet]\n\n"
        "Measures this machine in under 3 s: memory that can be locked, /dev/shm, limits,\n"
        "control groups, disks (kind, room, time of fdatasync), network, clock, devices and\n"
        "their libraries. With a graph, against what its plan asks for. `foldmill run` does the\n"
        "same when it starts, and stops on failures alone.\n\n"
        "  --run DIR   the folder of the run (its disk is looked at); default: here\n"
        "  --keys DIR  the keys of a run of many nodes: whether others can read them, and whether\n"
        "              a server on this machine keeps strangers out\n"
        "  --role gpu  only what the stages with `on: gpu`, and those without `on`, need\n"
        "  --json      an array of {check, verdict, text}\n"
        "  --quiet     warnings and failures alone\n\n"
        "Exit code 0: all is well; 1: warnings; 2: a failure, which would stop a run.\n",
    .run = doctor_run,
};
