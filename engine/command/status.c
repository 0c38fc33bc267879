/* foldmill status: what a running engine does, or what stands on disk when none runs. */
#include "engine/command.h"
#include "engine/control.h"
#include "engine/snapshot_disk.h"

#include <sys/ioctl.h>
#include <unistd.h>

static int width_of_output(void)
{
    struct winsize size;
    return isatty(1) && ioctl(1, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static enum status from_disk(const char *path, struct snapshot *snapshot, struct error *err)
{
    static struct job job;
    enum status status = job_load(&job, path, "", err);
    return status == STATUS_OK ? snapshot_from_disk(&job, snapshot, err) : status;
}

static int status_run(int argc, char **argv)
{
    static const char *const words[] = {"status"};
    static struct snapshot snapshot;
    struct error err = {0};
    struct arena arena;
    struct span answer;
    char path[PATH_MAX];
    bool json = command_flag(&argc, argv, "json");
    if (!command_rest(&command_status, argc, argv, 0, 1))
        return EXIT_USAGE;
    arena_open(&arena, 0);
    enum status status = control_find_run(argv[1], path, &err);
    if (status != STATUS_OK) {
        fprintf(stderr, "foldmill status: %s\n", err.text);
        return EXIT_USAGE;
    }
    status = control_ask(path, words, 1, &arena, &answer, &err);
    bool runs = status != STATUS_MISS;
    if (status == STATUS_OK)
        status = snapshot_read(answer, &snapshot, &err);
    else if (!runs) {
        fprintf(stderr, "foldmill status: %s\n", err.text);
        status = from_disk(path, &snapshot, &err);
    }
    if (status != STATUS_OK)
        fprintf(stderr, "foldmill status: %s\n", err.text);
    else if (json)
        snapshot_write_json(&snapshot, stdout);
    else
        snapshot_print(&snapshot, width_of_output(), stdout);
    arena_close(&arena);
    return status == STATUS_OK && runs ? EXIT_GOOD : EXIT_FAILED;
}

const struct command command_status = {
    .name = "status",
    .summary = "shows what a running engine does",
    .help =
        "usage: foldmill status [RUN] [--json]\n\n"
        "Asks the engine that runs in the folder RUN (left out: the run in runs/ that was started\n"
        "last) and prints its nodes, stages (workers, samples done and per second, what waits,\n"
        "share of the workers' time spent in the stage), sinks (steps, share of the time not\n"
        "spent waiting, seconds waited, samples ready and asked for), stores, and what was set\n"
        "aside. When no engine runs there it says so and prints what stands on disk.\n\n"
        "  --json   the same as JSON, with all counters; their meaning: engine/METRICS.md\n\n"
        "Exit code 0: an engine runs; 1: none does, or it does not answer; 2: there is no run.\n",
    .run = status_run,
};
