/* What a run shows while it goes on and writes for later: progress, metrics.tsv, processes.tsv, the
 * log, and at the end the table that runs are compared by. */
#include "engine/run_count.h"

#include "engine/base/clock.h"
#include "engine/base/cpus.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/plot.h"
#include "engine/store.h"
#include "engine/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TABLE_BYTES_MAX = 1 << 30 };

static enum status open_file(struct run *run, const char *name, FILE **file, struct error *err)
{
    char path[PATH_MAX];
    *file = fopen(rundir_file(run->dir.path, name, path), "ae");
    if (!*file)
        return error_set(err, errno == ENOSPC ? STATUS_FULL : STATUS_IO, "%s: %s", path,
                         strerror(errno));
    setvbuf(*file, NULL, _IOLBF, 0);
    fseek(*file, 0, SEEK_END);
    return STATUS_OK;
}

static void head_metrics(struct run *run)
{
    const struct graph *graph = run->job.graph;
    fputs("seconds\tcpu", run->metrics);
    for (int i = 0; i < graph->stage_count; i++)
        if (run->job.pool[i] >= 0)
            fprintf(run->metrics, "\t%s.done\t%s.rate\t%s.queue", graph->stages[i].name,
                    graph->stages[i].name, graph->stages[i].name);
    for (int i = 0; i < graph->line_count; i++)
        fprintf(run->metrics, "\t%s.done\t%s.rate\t%s.busy\t%s.ready", job_line_name(&run->job, i),
                job_line_name(&run->job, i), job_line_name(&run->job, i),
                job_line_name(&run->job, i));
    fputc('\n', run->metrics);
}

enum status run_report_open(struct run *run, struct error *err)
{
    run->cpus = cpus_here();
    snprintf(run->node, sizeof run->node, "%s", host_name());
    run->begin_ns = run->metrics_ns = run->rate_ns = clock_ns();
    enum status status = open_file(run, "log.txt", &run->log, err);
    if (status == STATUS_OK)
        status = open_file(run, "metrics.tsv", &run->metrics, err);
    if (status == STATUS_OK)
        status = open_file(run, "processes.tsv", &run->processes, err);
    if (status != STATUS_OK)
        return status;
    run->cpu_ns = run_cpu_ns(run);
    if (ftell(run->metrics) == 0)
        head_metrics(run);
    if (ftell(run->processes) == 0)
        fputs("process\tinc\tpid\tstart\n", run->processes);
    log_open("run", LOG_INFO, fileno(run->log));
    progress_open(&run->progress, 2, run->options.quiet);
    return STATUS_OK;
}

/* Everything goes to the log; what a person should see at once goes to the terminal too. */
void run_report_line(void *user, const char *child, struct span line)
{
    struct run *run = user;
    char text[2300];
    bool logged = line.size > 24 && line.data[4] == '-' && line.data[13] == ':';
    if (logged)
        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
    else
        snprintf(text, sizeof text, "%s: %.*s", child, (int)line.size, line.data);
    fprintf(run->log, "%s\n", text);
    if (!run->stopping && (strstr(text, " error ") || strstr(text, " warn ")))
        progress_line(&run->progress, span_of(logged ? text + 24 : text));
}

/* ---- progress ---- */

static const char *waits_for(const struct run_sums *sums, int64_t queue, bool filling)
{
    if (sums->held == 0 && queue == 0)
        return filling ? "waiting for requests" : "waiting for samples";
    if (sums->held >= sums->running)
        return "busy";
    return "";
}

static void stage_row(struct run *run, int stage, struct progress_row *row)
{
    struct run_sums sums = run_sum_stage(run, stage);
    *row = (struct progress_row){.name = run->job.graph->stages[stage].name,
                                 .workers = sums.running,
                                 .done = sums.counter[METRIC_DONE],
                                 .rate = run->rate[stage],
                                 .queue = run_queue(run, stage)};
    int used = snprintf(row->note, sizeof row->note, "%s", waits_for(&sums, row->queue, true));
    if (sums.counter[METRIC_REUSED])
        used += snprintf(row->note + used, sizeof row->note - (size_t)used, " unchanged %llu",
                         (unsigned long long)sums.counter[METRIC_REUSED]);
    if (sums.counter[METRIC_REFUSED])
        used += snprintf(row->note + used, sizeof row->note - (size_t)used, " refused %llu",
                         (unsigned long long)sums.counter[METRIC_REFUSED]);
    if (sums.counter[METRIC_FAILED])
        snprintf(row->note + used, sizeof row->note - (size_t)used, " failed %llu",
                 (unsigned long long)sums.counter[METRIC_FAILED]);
}

static void sink_note(const struct run *run, int line, const struct page *page, double rate,
                      struct progress_row *row)
{
    double busy = (double)metric_get(page, METRIC_BUSY_NS), value;
    double wait = (double)metric_get(page, METRIC_WAIT_WORK_NS);
    int64_t step = gauge_get(page, GAUGE_STEP), steps = gauge_get(page, GAUGE_STEPS_TOTAL);
    size_t room = sizeof row->note, used = 0;
    if (run->job.graph->stages[run->job.graph->lines[line].sink].kind->flags & STAGE_STORE) {
        snprintf(row->note, room, "waiting for %lld", (long long)gauge_get(page, GAUGE_WANTED));
        return;
    }
    /* What matters most comes first: narrow terminals cut the rest. */
    if (report_get(page, "loss", &value))
        used += (size_t)snprintf(row->note + used, room - used, "loss %.4f  ", value);
    if (busy + wait > 0)
        used += (size_t)snprintf(row->note + used, room - used, "waited %.0f %%  ",
                                 100 * wait / (busy + wait));
    if (rate > 0 && steps > step) {
        char eta[32];
        used +=
            (size_t)snprintf(row->note + used, room - used, "ETA %s  ",
                             text_show_duration(eta, sizeof eta, (double)(steps - step) / rate));
    }
    snprintf(row->note + used, room - used, "%.1f samples/s  epoch %lld",
             rate * (double)run->job.batch[line], (long long)gauge_get(page, GAUGE_EPOCH));
}

static void sink_row(struct run *run, int line, struct progress_row *row)
{
    int number = run_find_sink(run, line), stage = run->job.graph->lines[line].sink;
    struct child_info info = supervise_info(run->supervisor, number);
    bool store = run->job.graph->stages[stage].kind->flags & STAGE_STORE;
    *row = (struct progress_row){.name = job_line_name(&run->job, line),
                                 .workers = info.pid != 0,
                                 .rate = run->rate[stage],
                                 .queue = gauge_get(info.page, GAUGE_QUEUE)};
    row->done = (uint64_t)gauge_get(info.page, store ? GAUGE_DONE : GAUGE_STEP);
    row->total = (uint64_t)gauge_get(info.page, store ? GAUGE_TOTAL : GAUGE_STEPS_TOTAL);
    if (run->children[number].finished)
        snprintf(row->note, sizeof row->note, "finished");
    else
        sink_note(run, line, info.page, row->rate, row);
}

static void draw(struct run *run)
{
    static struct progress_row rows[PROGRESS_ROWS_MAX];
    const struct graph *graph = run->job.graph;
    char title[256], time[32], joined[64] = "";
    int count = 0, nodes = run_nodes_count(run);
    for (int l = 0; l < graph->line_count; l++) {
        const struct graph_line *line = &graph->lines[l];
        for (int k = 0; k < line->work_count && count < PROGRESS_ROWS_MAX; k++)
            stage_row(run, line->work[k], &rows[count++]);
        if (count < PROGRESS_ROWS_MAX)
            sink_row(run, l, &rows[count++]);
    }
    if (nodes)
        snprintf(joined, sizeof joined, "  %d engine%s joined", nodes, nodes == 1 ? "" : "s");
    snprintf(title, sizeof title, "%s  %s%s%s", graph->name,
             text_show_duration(time, sizeof time, (double)(clock_ns() - run->begin_ns) * 1e-9),
             joined,
             run->draining ? "  stopping"
             : run->paused ? "  paused, no room on a disk"
                           : "");
    progress_draw(&run->progress, title, rows, count, clock_ms());
}

/* ---- tables ---- */

static void write_metrics(struct run *run)
{
    const struct graph *graph = run->job.graph;
    int64_t now = clock_ns(), cpu = run_cpu_ns(run);
    double seconds = (double)(now - run->metrics_ns) * 1e-9;
    double share = seconds > 0 ? (double)(cpu - run->cpu_ns) * 1e-9 / seconds / run->cpus : 0;
    fprintf(run->metrics, "%.1f\t%.4f", (double)(now - run->begin_ns) * 1e-9,
            share < 0 ? 0 : share);
    for (int i = 0; i < graph->stage_count; i++)
        if (run->job.pool[i] >= 0)
            fprintf(run->metrics, "\t%llu\t%.3f\t%lld",
                    (unsigned long long)run_sum_stage(run, i).counter[METRIC_DONE], run->rate[i],
                    (long long)run_queue(run, i));
    for (int l = 0; l < graph->line_count; l++) {
        struct child_info info = supervise_info(run->supervisor, run_find_sink(run, l));
        int sink = graph->lines[l].sink;
        uint64_t busy = metric_get(info.page, METRIC_BUSY_NS);
        fprintf(run->metrics, "\t%lld\t%.3f\t%.4f\t%lld",
                (long long)gauge_get(info.page, GAUGE_DONE), run->rate[sink],
                seconds > 0 ? (double)(busy - run->busy_before[l]) * 1e-9 / seconds : 0,
                (long long)gauge_get(info.page, GAUGE_QUEUE));
        run->busy_before[l] = busy;
    }
    fputc('\n', run->metrics);
    run->metrics_ns = now;
    run->cpu_ns = cpu;
}

static void write_processes(struct run *run)
{
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        struct child_info info = supervise_info(run->supervisor, i);
        if (info.starts == run->children[i].starts || !info.pid)
            continue;
        run->children[i].starts = info.starts;
        fprintf(run->processes, "%s\t%016llx\t%d\t%llu\n", info.name, (unsigned long long)info.inc,
                (int)info.pid, (unsigned long long)info.starts);
    }
}

void run_report_turn(struct run *run)
{
    write_processes(run);
    run_update_rates(run);
    if (clock_ns() - run->metrics_ns >= RUN_METRICS_MS * INT64_C(1000000))
        write_metrics(run);
    if (progress_due(&run->progress, clock_ms()))
        draw(run);
}

/* ---- the end ---- */

static void add_steps(struct run *run, int line, FILE *out)
{
    char path[PATH_MAX], name[GRAPH_NAME_MAX + 8];
    struct step_figures figures;
    struct span table;
    struct error err;
    snprintf(name, sizeof name, "%s.tsv", job_line_name(&run->job, line));
    if (access(rundir_file(run->dir.path, name, path), F_OK))
        return;
    enum status status = file_read(path, TABLE_BYTES_MAX, &run->arena, &table, &err);
    if (status == STATUS_OK)
        status = summary_steps(table, &figures, &err);
    if (status != STATUS_OK)
        fprintf(out, "%s: %s\n", path, err.text);
    else if (figures.steps)
        fputs(summary_text(&run->arena, job_line_name(&run->job, line), &figures), out);
}

/* Counts of a store, from its own index. */
static void add_store(struct run *run, int line, FILE *out)
{
    const struct graph_stage *sink = &run->job.graph->stages[run->job.graph->lines[line].sink];
    const char *path = graph_store_path(sink);
    const struct store_entry *entry;
    struct store_walk walk;
    struct store *store;
    struct error err;
    uint64_t stored = 0, refused = 0, bad = 0;
    if (store_open_reader(path, &store, &err) != STATUS_OK) {
        fprintf(out, "%s: %s\n", sink->name, err.text);
        return;
    }
    enum status status = store_walk_open(&walk, store, &run->arena, &err);
    while (status == STATUS_OK || status == STATUS_CORRUPT) {
        status = store_next(&walk, &entry, &err);
        bad += status == STATUS_CORRUPT;
        if (status == STATUS_OK)
            *(entry->refused ? &refused : &stored) += 1;
    }
    store_close(store);
    fprintf(out,
            "%s\n  records                              %10llu\n"
            "  refused, with reasons                %10llu\n",
            sink->name, (unsigned long long)stored, (unsigned long long)refused);
    if (bad)
        fprintf(out, "  damaged                              %10llu\n", (unsigned long long)bad);
    for (int w = 0; w < run->job.graph->lines[line].work_count; w++) {
        int stage = run->job.graph->lines[line].work[w];
        uint64_t unchanged = run_sum_stage(run, stage).counter[METRIC_REUSED];
        if (unchanged)
            fprintf(out, "  unchanged, so %-21s %12llu\n",
                    arena_printf(&run->arena, "not %s again:", run->job.graph->stages[stage].name),
                    (unsigned long long)unchanged);
    }
}

/* What a sink's stage wants to be said of the run: RUN/SINK.txt. */
static void add_words(struct run *run, int line, FILE *out)
{
    char path[PATH_MAX], name[GRAPH_NAME_MAX + 8];
    struct span words;
    snprintf(name, sizeof name, "%s.txt", job_line_name(&run->job, line));
    if (file_read(rundir_file(run->dir.path, name, path), TABLE_BYTES_MAX, &run->arena, &words,
                  NULL) == STATUS_OK)
        fprintf(out, "%s: %.*s", job_line_name(&run->job, line), (int)words.size, words.data);
}

/* A sink that keeps checkpoints is one that people compare runs by. */
static bool is_trainer(const struct run *run, int line)
{
    return run->job.graph->stages[run->job.graph->lines[line].sink].kind->save != NULL;
}

static void write_summary(struct run *run, FILE *out)
{
    char path[PATH_MAX], time[32];
    struct span table;
    uint64_t aside = 0;
    double cpu = -1;
    fprintf(out, "graph %s, seed %llu, hash %016llx\n", run->job.graph->name,
            (unsigned long long)run->job.graph->seed, (unsigned long long)run->job.graph->hash);
    for (int l = 0; l < run->job.graph->line_count; l++) {
        if (run->job.graph->stages[run->job.graph->lines[l].sink].kind->flags & STAGE_STORE)
            add_store(run, l, out);
        else if (is_trainer(run, l))
            add_steps(run, l, out);
        add_words(run, l, out);
        aside += coordinate_aside_count(run->ledger.coordinate, l);
    }
    if (file_read(rundir_file(run->dir.path, "metrics.tsv", path), TABLE_BYTES_MAX, &run->arena,
                  &table, NULL) == STATUS_OK)
        cpu = summary_mean(table, "cpu");
    fputs("run\n", out);
    if (cpu >= 0)
        fprintf(out, "  utilisation of the CPUs (%d)          %10.1f %%\n", run->cpus, 100 * cpu);
    fprintf(out,
            "  set aside after three strikes        %10llu\n"
            "  processes that ended and were replaced %8llu\n"
            "  time of this command                 %10s\n",
            (unsigned long long)aside, (unsigned long long)run->deaths,
            text_show_duration(time, sizeof time, (double)(clock_ns() - run->begin_ns) * 1e-9));
}

static void draw_plots(struct run *run)
{
    struct error err;
    for (int l = 0; l < run->job.graph->line_count; l++) {
        const char *name = job_line_name(&run->job, l);
        if (!is_trainer(run, l))
            continue;
        enum status status = plot_steps(run->dir.path, name, &err);
        if (status == STATUS_OK)
            status = plot_utilisation(run->dir.path, name, &err);
        if (status != STATUS_OK) {
            fprintf(stderr, "%s\n", err.text);
            return;
        }
    }
}

static void show_aside(struct run *run)
{
    for (int l = 0; l < run->job.graph->line_count; l++)
        for (uint32_t i = 0; i < coordinate_aside_count(run->ledger.coordinate, l); i++) {
            struct coordinate_aside row = coordinate_aside(run->ledger.coordinate, l, i);
            fprintf(stderr, "set aside in %s: %s: %s\n", job_line_name(&run->job, l), row.key,
                    row.text);
        }
}

void run_report_end(struct run *run)
{
    char path[PATH_MAX];
    struct error err;
    char *text = NULL;
    size_t size = 0;
    progress_clear(&run->progress);
    write_metrics(run);
    if (!run->failed)
        draw_plots(run);
    FILE *memory = open_memstream(&text, &size);
    ASSERT(memory);
    write_summary(run, memory);
    fclose(memory);
    if (file_write_atomic(rundir_file(run->dir.path, "summary.txt", path),
                          (struct span){text, size}, &err) != STATUS_OK)
        fprintf(stderr, "%s\n", err.text);
    if (!run->options.quiet) {
        fputs(text, stdout);
        show_aside(run);
        printf("everything lies in %s\n", run->dir.path);
        for (int l = 0; l < run->job.graph->line_count; l++)
            if (!(run->job.graph->stages[run->job.graph->lines[l].sink].kind->flags & STAGE_STORE))
                printf("next: foldmill replay %s --line %s --step 0; foldmill why 0 --run %s\n",
                       run->dir.path, job_line_name(&run->job, l), run->dir.path);
        if (run->draining)
            printf("to go on: foldmill run %s --run %s\n", run->options.graph, run->dir.path);
    }
    free(text);
}

void run_report_close(struct run *run)
{
    log_open("run", LOG_INFO, 2);
    FILE *files[] = {run->log, run->metrics, run->processes};
    for (int i = 0; i < 3; i++)
        if (files[i])
            fclose(files[i]);
}
