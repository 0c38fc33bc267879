/* `foldmill run` from its options to its exit code; see run.h. */
#include "engine/run.h"

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/command.h"
#include "engine/doctor.h"
#include "engine/graph_differ.h"
#include "engine/run_state.h"
#include "engine/spawn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum status write_graph(const struct graph *graph, const char *path, struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    ASSERT(memory);
    graph_write(graph, memory);
    fclose(memory);
    enum status status = file_write_atomic(path, (struct span){text, size}, err);
    free(text);
    return status;
}

/* The graph of a run may change in what does not decide what is made: workers, queues, limits. */
static enum status settle_graph(struct run *run, struct graph *graph, struct error *err)
{
    char path[PATH_MAX];
    rundir_file(run->dir.path, "graph.yaml", path);
    job_make(&run->job, graph, run->dir.path, run->dir.sockets);
    if (!run->dir.fresh) {
        static struct job before;
        enum status status = job_load(&before, run->dir.path, run->dir.sockets, err);
        if (status != STATUS_OK)
            return status;
        char what[512];
        if (before.graph->hash != graph->hash)
            status = error_set(err, STATUS_INVALID,
                               "%s holds a run of another graph (hash %016llx, this one has "
                               "%016llx): %s; go on with the graph and --set options that it was "
                               "made with, or say --run DIR for a new run",
                               run->dir.path, (unsigned long long)before.graph->hash,
                               (unsigned long long)graph->hash,
                               graph_differ(before.graph, graph, what, sizeof what));
        arena_close(&before.arena);
        if (status != STATUS_OK)
            return status;
    }
    return write_graph(graph, path, err);
}

/* ---- the run ---- */

/* Stops on what would stop the run later; the rest goes to the log. */
static enum status preflight(struct run *run, struct error *err)
{
    static struct doctor_facts facts;
    static struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    enum status status = STATUS_OK;
    doctor_add_path(&facts, run->dir.path, false);
    doctor_need(&facts, &run->job.plan);
    facts.keys_path = run->job.net.keys[0] ? run->job.net.keys : NULL;
    doctor_measure(&facts, "");
    int count = doctor_judge(&facts, findings);
    for (int i = 0; i < count; i++) {
        if (findings[i].verdict == DOCTOR_WARNING)
            log_info("doctor: %s: %s", findings[i].name, findings[i].text);
        if (findings[i].verdict == DOCTOR_FAILURE && status == STATUS_OK)
            status = error_set(err, STATUS_INVALID, "%s: %s (foldmill doctor tells all)",
                               findings[i].name, findings[i].text);
    }
    return status;
}

static enum status run_open(struct run *run, struct graph *graph, struct error *err)
{
    file_limit_raise();
    enum status status = run_nodes_plan(run, err);
    if (status == STATUS_OK)
        status = settle_graph(run, graph, err);
    if (status == STATUS_OK)
        status = run_report_open(run, err);
    if (status == STATUS_OK)
        status = preflight(run, err);
    if (status == STATUS_OK)
        status = plan_fits(&run->job.plan, err);
    if (status == STATUS_OK)
        status = run_lists_make(run, err);
    if (status == STATUS_OK)
        status = run_agent_open(run, err);
    return status;
}

static int run_in(struct run *run, struct graph *graph)
{
    struct error err = {0};
    int code = EXIT_GOOD;
    if (run_open(run, graph, &err) != STATUS_OK) {
        progress_clear(&run->progress);
        fprintf(stderr, "foldmill run: %s\n", err.text);
        code = EXIT_FAILED;
    } else {
        if (!run->options.quiet)
            fprintf(stderr, "running %s in %s\n", graph->name, run->dir.path);
        bool good = run_agent_loop(run);
        bool stopped = supervise_interrupts(run->supervisor) > 1;
        if (good || !stopped)
            run_report_end(run);
        if (run->failed)
            fprintf(stderr, "foldmill run: %s\n", run->failure);
        code = run->failed ? EXIT_FAILED : stopped ? EXIT_STOPPED : EXIT_GOOD;
    }
    run_agent_close(run);
    run_report_close(run);
    return code;
}

static bool holds_run(const char *folder)
{
    char path[PATH_MAX];
    return strlen(folder) < PATH_MAX - 16 &&
           access(rundir_file(folder, "graph.yaml", path), F_OK) == 0;
}

int run_graph(const struct run_options *options)
{
    static struct run run;
    struct error err = {0};
    struct complaints complaints;
    run.options = *options;
    arena_open(&run.arena, 0);
    arena_open(&run.job.arena, 0);
    complaints_open(&complaints, &run.arena);
    struct graph_overrides overrides = {options->sets, options->set_count};
    /* Twice: first for the name, and so that a wrong graph makes no folder. */
    struct graph *graph = graph_load(options->graph, &overrides, NULL, &run.arena, &complaints);
    if (graph && options->resume && !holds_run(options->run_dir)) {
        fprintf(stderr,
                "foldmill run: %s holds no run that could go on (it has no graph.yaml): "
                "give the folder of one, or say --run DIR for a new run\n",
                options->run_dir);
        return EXIT_FAILED;
    }
    if (graph && rundir_open(&run.dir, graph->name, options->run_dir, &err) != STATUS_OK) {
        fprintf(stderr, "foldmill run: %s\n", err.text);
        return EXIT_FAILED;
    }
    if (graph)
        graph = graph_load(options->graph, &overrides, run.dir.path, &run.job.arena, &complaints);
    int code = EXIT_USAGE;
    if (graph) {
        code = run_in(&run, graph);
    } else {
        complaints_print(&complaints, stderr);
        fprintf(stderr, "%s: %d mistake%s; nothing was started\n", options->graph, complaints.count,
                complaints.count == 1 ? "" : "s");
    }
    rundir_close(&run.dir);
    arena_close(&run.job.arena);
    arena_close(&run.arena);
    return code;
}
