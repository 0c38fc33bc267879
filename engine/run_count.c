/* Counters of a running engine, added up; see run_count.h. */
#include "engine/run_count.h"

#include "engine/base/clock.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int64_t run_cpu_ns(const struct run *run)
{
    struct rusage self, dead;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &dead);
    int64_t ns = 0;
    const struct timeval *times[] = {&self.ru_utime, &self.ru_stime, &dead.ru_utime,
                                     &dead.ru_stime};
    for (int i = 0; i < 4; i++)
        ns += times[i]->tv_sec * INT64_C(1000000000) + times[i]->tv_usec * 1000;
    for (int i = 0; run->supervisor && i < supervise_count(run->supervisor); i++) {
        struct child_info info = supervise_info(run->supervisor, i);
        if (info.pid)
            ns += process_cpu_ns(info.pid);
    }
    return ns;
}

/* Of this engine's own workers. */
static struct run_sums sum_here(const struct run *run, int stage)
{
    struct run_sums sums = {0};
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        if (run->children[i].kind != CHILD_WORKER || run->children[i].stage != stage)
            continue;
        struct child_info info = supervise_info(run->supervisor, i);
        sums.running += info.pid != 0;
        sums.started += info.starts;
        sums.held += info.pid ? gauge_get(info.page, GAUGE_HELD) : 0;
        for (int m = 0; m < METRIC_COUNT; m++)
            sums.counter[m] += metric_get(info.page, (enum metric)m);
    }
    return sums;
}

struct run_sums run_sum_stage(const struct run *run, int stage)
{
    struct run_sums sums = sum_here(run, stage);
    struct join_row joined = run_nodes_sum(run, stage);
    sums.running += joined.workers;
    sums.held += joined.held;
    sums.counter[METRIC_DONE] += joined.done;
    sums.counter[METRIC_REFUSED] += joined.refused;
    sums.counter[METRIC_FAILED] += joined.failed;
    sums.counter[METRIC_REUSED] += joined.reused;
    sums.counter[METRIC_BUSY_NS] += joined.busy_ns;
    return sums;
}

int run_find_sink(const struct run *run, int line)
{
    for (int i = 0; i < supervise_count(run->supervisor); i++)
        if (run->children[i].kind == CHILD_SINK && run->children[i].line == line)
            return i;
    return -1;
}

/* What waits at the dispatcher for the place'th work stage of a line. */
static int64_t queue_at(const struct run *run, int line, int place)
{
    struct child_info hub = supervise_info(run->supervisor, 0);
    char name[METRICS_NAME_MAX + 1];
    double value;
    return report_get(hub.page, job_queue_name(line, place, name), &value) ? (int64_t)value : 0;
}

int64_t run_queue(const struct run *run, int stage)
{
    const struct graph *graph = run->job.graph;
    int64_t queue = 0;
    for (int i = 0; i < graph->line_count; i++)
        for (int k = 0; k < graph->lines[i].work_count; k++)
            if (graph->lines[i].work[k] == stage)
                queue += queue_at(run, i, k);
    return queue;
}

static bool is_store(const struct run *run, int line)
{
    return run->job.graph->stages[run->job.graph->lines[line].sink].kind->flags & STAGE_STORE;
}

/* Time that a sink has waited, the wait that it is in included: a long one shows before it ends.
 * Never less than what was told before. */
static int64_t waited_ns(struct run *run, int number)
{
    struct child_info info = supervise_info(run->supervisor, number);
    int64_t now = clock_ns(), *told = &run->children[number].waited_ns;
    int64_t since = info.pid ? gauge_get(info.page, GAUGE_WAITS_SINCE_NS) : 0;
    int64_t waited = (int64_t)metric_get(info.page, METRIC_WAIT_WORK_NS);
    waited += since > 0 && since < now ? now - since : 0;
    *told = waited > *told ? waited : *told;
    return *told;
}

static void update_utilisation(struct run *run, int number)
{
    struct child_info info = supervise_info(run->supervisor, number);
    struct run_use *use = &run->children[number].use;
    int64_t busy = (int64_t)metric_get(info.page, METRIC_BUSY_NS);
    int64_t waited = waited_ns(run, number);
    double share = (double)(busy - use->busy_ns), all = share + (double)(waited - use->waited_ns);
    if (all > 0 && share >= 0)
        use->utilisation = use->known ? 0.6 * use->utilisation + 0.4 * (share / all) : share / all;
    use->known = use->known || all > 0;
    use->busy_ns = busy;
    use->waited_ns = waited;
}

void run_update_rates(struct run *run)
{
    const struct graph *graph = run->job.graph;
    int64_t now = clock_ns();
    double seconds = (double)(now - run->rate_ns) * 1e-9;
    if (seconds < 0.5)
        return;
    run->rate_ns = now;
    int64_t cpu = run_cpu_ns(run);
    double share = (double)(cpu - run->use_cpu_ns) * 1e-9 / seconds / run->cpus;
    run->use_cpu = run->use_cpu_ns && share >= 0 ? 0.6 * run->use_cpu + 0.4 * share : 0;
    run->use_cpu_ns = cpu;
    for (int i = 0; i < supervise_count(run->supervisor); i++)
        if (run->children[i].kind == CHILD_SINK)
            update_utilisation(run, i);
    for (int i = 0; i < graph->stage_count; i++) {
        uint64_t done = 0;
        if (run->job.pool[i] >= 0)
            done = run_sum_stage(run, i).counter[METRIC_DONE];
        for (int l = 0; l < graph->line_count; l++)
            if (graph->lines[l].sink == i) {
                struct child_info info = supervise_info(run->supervisor, run_find_sink(run, l));
                done = (uint64_t)gauge_get(info.page, is_store(run, l) ? GAUGE_DONE : GAUGE_STEP);
            }
        double rate =
            done >= run->done_before[i] ? (double)(done - run->done_before[i]) / seconds : 0;
        run->rate[i] = run->rate[i] > 0 ? 0.6 * run->rate[i] + 0.4 * rate : rate;
        run->done_before[i] = done;
    }
}

/* ---- the snapshot ---- */

static void add_run(struct run *run, struct snapshot *s)
{
    SNAPSHOT_COPY(s->run.graph, run->job.graph->name);
    SNAPSHOT_COPY(s->run.path, run->dir.path);
    SNAPSHOT_COPY(s->run.state, run->stopping   ? "stopping"
                                : run->draining ? "draining"
                                                : "running");
    if (run->paused && !run->draining && !run->stopping)
        SNAPSHOT_COPY(s->run.state, "paused");
    s->run.paused = run->paused;
    SNAPSHOT_COPY(s->run.notice, run->notice);
    s->run.pid = getpid();
    s->run.metrics_port = run->http ? http_port(run->http) : 0;
    s->run.seconds = (double)(clock_ns() - run->begin_ns) * 1e-9;
    s->run.deaths = run->deaths;
    s->run.max_bad = run->job.graph->max_bad;
    s->run_count = 1;
    for (int l = 0; l < run->job.graph->line_count; l++) {
        for (uint32_t i = 0; i < coordinate_aside_count(run->ledger.coordinate, l); i++) {
            struct coordinate_aside row = coordinate_aside(run->ledger.coordinate, l, i);
            if (row.requeued) {
                s->run.requeued++;
                continue;
            }
            s->run.quarantined++;
            /* A ring: the last ones count. */
            struct snapshot_aside *aside =
                &s->asides[(s->run.quarantined - 1) % SNAPSHOT_ASIDES_MAX];
            if (s->aside_count < SNAPSHOT_ASIDES_MAX)
                s->aside_count++;
            SNAPSHOT_COPY(aside->line, job_line_name(&run->job, l));
            SNAPSHOT_COPY(aside->key, row.key);
            SNAPSHOT_COPY(aside->cause, cause_name(row.cause));
            SNAPSHOT_COPY(aside->text, row.text);
            aside->position = (int64_t)row.seq;
        }
    }
}

static void add_node(struct run *run, struct snapshot *s)
{
    struct snapshot_node *node = &s->nodes[s->node_count++];
    struct child_info hub = supervise_info(run->supervisor, 0);
    struct statvfs disk;
    SNAPSHOT_COPY(node->node, run->node);
    SNAPSHOT_COPY(node->state, run->draining ? "draining" : "running");
    node->cpus = run->cpus;
    node->processes = 1 + supervise_running(run->supervisor);
    node->memory_bytes = process_memory(getpid());
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        struct child_info info = supervise_info(run->supervisor, i);
        node->memory_bytes += info.pid ? process_memory(info.pid) : 0;
    }
    if (statvfs(run->dir.path, &disk) == 0) {
        node->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
        node->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
    }
    node->cpu_seconds = (double)run_cpu_ns(run) * 1e-9;
    node->cpu = run->use_cpu;
    node->items = (uint64_t)gauge_get(hub.page, GAUGE_QUEUE);
    node->messages = metric_get(hub.page, METRIC_DONE);
    node->dropped = metric_get(hub.page, METRIC_DROPPED);
}

/* What of a stage's rate is not that of engines that joined. */
static double rate_here(const struct run *run, int stage)
{
    double rate = run->rate[stage];
    for (int i = 0; i < RUN_NODES_MAX; i++)
        rate -= run->nodes.node[i].inc ? run->nodes.node[i].rate[stage] : 0;
    return rate > 0 ? rate : 0;
}

static void add_stage(struct run *run, int stage, struct snapshot *s)
{
    struct run_sums sums = sum_here(run, stage);
    struct snapshot_stage *row = &s->stages[s->stage_count++];
    *row = (struct snapshot_stage){
        .wanted = run->job.graph->stages[stage].workers,
        .workers = sums.running,
        .queue = run_queue(run, stage),
        .held = sums.held,
        .done = sums.counter[METRIC_DONE],
        .refused = sums.counter[METRIC_REFUSED],
        .failed = sums.counter[METRIC_FAILED],
        .reused = sums.counter[METRIC_REUSED],
        .missed = sums.counter[METRIC_MISSED],
        .bytes_in = sums.counter[METRIC_BYTES_IN],
        .bytes_out = sums.counter[METRIC_BYTES_OUT],
        .started = sums.started,
        .rate = rate_here(run, stage),
        .busy_seconds = (double)sums.counter[METRIC_BUSY_NS] * 1e-9,
        .wait_work_seconds = (double)sums.counter[METRIC_WAIT_WORK_NS] * 1e-9,
        .wait_room_seconds = (double)sums.counter[METRIC_WAIT_ROOM_NS] * 1e-9,
    };
    SNAPSHOT_COPY(row->node, run->node);
    SNAPSHOT_COPY(row->stage, run->job.graph->stages[stage].name);
}

static void add_far_row(struct run *run, int stage, const char *name, const struct join_row *from,
                        double rate, struct snapshot *s)
{
    if ((!from->workers && !from->wanted && !from->done) || s->stage_count == SNAPSHOT_STAGES_MAX)
        return;
    struct snapshot_stage *row = &s->stages[s->stage_count++];
    *row = (struct snapshot_stage){.wanted = from->wanted,
                                   .workers = from->workers,
                                   .held = from->held,
                                   .done = from->done,
                                   .refused = from->refused,
                                   .failed = from->failed,
                                   .reused = from->reused,
                                   .rate = rate,
                                   .busy_seconds = (double)from->busy_ns * 1e-9};
    SNAPSHOT_COPY(row->node, name);
    SNAPSHOT_COPY(row->stage, run->job.graph->stages[stage].name);
}

/* The engines that joined, and what those made that have left. */
static void add_nodes(struct run *run, struct snapshot *s)
{
    for (int i = 0; i < RUN_NODES_MAX; i++) {
        const struct run_node *node = &run->nodes.node[i];
        if (!node->inc || s->node_count == SNAPSHOT_NODES_MAX)
            continue;
        struct snapshot_node *row = &s->nodes[s->node_count++];
        SNAPSHOT_COPY(row->node, node->name);
        SNAPSHOT_COPY(row->state, node->leaving ? "draining" : "joined");
        row->processes = 1;
        for (int k = 0; k < run->job.graph->stage_count; k++) {
            row->processes += node->rows[k].workers;
            add_far_row(run, k, node->name, &node->rows[k], node->rate[k], s);
        }
    }
    for (int k = 0; k < run->job.graph->stage_count; k++)
        add_far_row(run, k, "(left)", &run->nodes.gone[k], 0, s);
}

static void add_edges(struct run *run, int line, struct snapshot *s)
{
    const struct graph *graph = run->job.graph;
    const struct graph_line *plan = &graph->lines[line];
    int from = plan->head;
    for (int k = 0; k <= plan->work_count && s->edge_count < SNAPSHOT_EDGES_MAX; k++) {
        struct snapshot_edge *edge = &s->edges[s->edge_count++];
        bool last = k == plan->work_count;
        int to = last ? plan->sink : plan->work[k];
        struct child_info sink = supervise_info(run->supervisor, run_find_sink(run, line));
        SNAPSHOT_COPY(edge->node, run->node);
        SNAPSHOT_COPY(edge->line, job_line_name(&run->job, line));
        SNAPSHOT_COPY(edge->from, graph->stages[from].name);
        SNAPSHOT_COPY(edge->to, graph->stages[to].name);
        edge->queue = last ? gauge_get(sink.page, GAUGE_QUEUE) : queue_at(run, line, k);
        from = to;
    }
}

static const char *sink_state(const struct run_child *child, const struct child_info *info)
{
    static const char *const names[] = {"starting", "working", "draining", "finished", "paused"};
    int64_t state = gauge_get(info->page, GAUGE_STATE);
    if (child->finished)
        return "finished";
    return !info->pid || state < 0 || state > PROCESS_PAUSED ? "absent" : names[state];
}

static void add_sink(struct run *run, int number, struct snapshot *s)
{
    const struct run_child *child = &run->children[number];
    struct child_info info = supervise_info(run->supervisor, number);
    const struct page *page = info.page;
    struct snapshot_sink *row = &s->sinks[s->sink_count++];
    *row = (struct snapshot_sink){
        .rank = child->index,
        .step = gauge_get(page, GAUGE_STEP),
        .steps = gauge_get(page, GAUGE_STEPS_TOTAL),
        .epoch = gauge_get(page, GAUGE_EPOCH),
        .position = gauge_get(page, GAUGE_POSITION),
        .positions = gauge_get(page, GAUGE_TOTAL),
        .ready = gauge_get(page, GAUGE_QUEUE),
        .wanted = gauge_get(page, GAUGE_WANTED),
        .quarantined = gauge_get(page, GAUGE_QUARANTINED),
        .checkpoint = (int64_t)coordinate_checkpoint(run->ledger.coordinate, child->line, NULL),
        .done = (uint64_t)gauge_get(page, GAUGE_DONE),
        .samples = metric_get(page, METRIC_DONE),
        .resent = metric_get(page, METRIC_RESENT),
        .dropped = metric_get(page, METRIC_DROPPED),
        .bytes_in = metric_get(page, METRIC_BYTES_IN),
        .started = info.starts,
        .rate = run->rate[run->job.graph->lines[child->line].sink],
        .busy_seconds = (double)metric_get(page, METRIC_BUSY_NS) * 1e-9,
        .wait_seconds = (double)waited_ns(run, number) * 1e-9,
        .utilisation = child->use.utilisation,
    };
    SNAPSHOT_COPY(row->node, run->node);
    SNAPSHOT_COPY(row->line, job_line_name(&run->job, child->line));
    SNAPSHOT_COPY(row->kind, is_store(run, child->line) ? "store" : "steps");
    SNAPSHOT_COPY(row->state, sink_state(child, &info));
    uint32_t count = atomic_load_explicit(&page->report_count, memory_order_acquire);
    for (uint32_t i = 0; i < count && i < METRICS_REPORTS_MAX; i++) {
        if (s->report_count == SNAPSHOT_REPORTS_MAX)
            return;
        struct snapshot_report *report = &s->reports[s->report_count++];
        SNAPSHOT_COPY(report->line, row->line);
        SNAPSHOT_COPY(report->name, page->report[i].name);
        report->rank = row->rank;
        report_get(page, report->name, &report->value);
    }
}

/* A rank on an engine that joined, as that one told it last. */
static void add_far_sink(struct run *run, const struct run_far *far, struct snapshot *s)
{
    static const char *const names[] = {"starting", "working", "finished", "absent", "absent",
                                        "absent"};
    const struct rank_report *report = &far->report;
    bool present = far->node && far->gen == run->gen[far->line];
    double busy = (double)report->counter[METRIC_BUSY_NS] * 1e-9;
    double waited = (double)report->counter[METRIC_WAIT_WORK_NS] * 1e-9;
    struct snapshot_sink *row = &s->sinks[s->sink_count++];
    *row = (struct snapshot_sink){
        .rank = far->rank,
        .step = report->gauge[GAUGE_STEP],
        .steps = report->gauge[GAUGE_STEPS_TOTAL],
        .epoch = report->gauge[GAUGE_EPOCH],
        .position = report->gauge[GAUGE_POSITION],
        .positions = report->gauge[GAUGE_TOTAL],
        .ready = report->gauge[GAUGE_QUEUE],
        .wanted = report->gauge[GAUGE_WANTED],
        .quarantined = report->gauge[GAUGE_QUARANTINED],
        .checkpoint = (int64_t)coordinate_checkpoint(run->ledger.coordinate, far->line, NULL),
        .done = (uint64_t)report->gauge[GAUGE_DONE],
        .samples = report->counter[METRIC_DONE],
        .resent = report->counter[METRIC_RESENT],
        .dropped = report->counter[METRIC_DROPPED],
        .bytes_in = report->counter[METRIC_BYTES_IN],
        .started = report->starts,
        .rate = run->rate[run->job.graph->lines[far->line].sink],
        .busy_seconds = busy,
        .wait_seconds = waited,
        .utilisation = busy + waited > 0 ? busy / (busy + waited) : 0,
    };
    SNAPSHOT_COPY(row->node, far->node ? far->name : "(no place)");
    SNAPSHOT_COPY(row->line, job_line_name(&run->job, far->line));
    SNAPSHOT_COPY(row->kind, "steps");
    SNAPSHOT_COPY(row->state, present ? names[report->state] : "absent");
}

static void add_store(struct run *run, const struct graph_stage *stage, struct snapshot *s)
{
    struct snapshot_store *row = &s->stores[s->store_count++];
    char path[PATH_MAX];
    struct statvfs disk;
    struct stat file;
    SNAPSHOT_COPY(row->node, run->node);
    SNAPSHOT_COPY(row->store, stage->name);
    SNAPSHOT_COPY(row->path, graph_store_path(stage));
    if (stat(rundir_file(graph_store_path(stage), "data.mdb", path), &file) == 0)
        row->bytes = (uint64_t)file.st_blocks * 512;
    if (statvfs(graph_store_path(stage), &disk) == 0) {
        row->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
        row->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
    }
}

void run_snapshot(struct run *run, struct snapshot *s)
{
    const struct graph *graph = run->job.graph;
    memset(s, 0, sizeof *s);
    add_run(run, s);
    add_node(run, s);
    for (int i = 0; i < graph->stage_count; i++)
        if (run->job.pool[i] >= 0)
            add_stage(run, i, s);
    add_nodes(run, s);
    for (int l = 0; l < graph->line_count; l++)
        add_edges(run, l, s);
    for (int i = 0; i < supervise_count(run->supervisor); i++)
        if (run->children[i].kind == CHILD_SINK && s->sink_count < SNAPSHOT_SINKS_MAX)
            add_sink(run, i, s);
    for (int i = 0; i < run->ranks.count && s->sink_count < SNAPSHOT_SINKS_MAX; i++)
        add_far_sink(run, &run->ranks.far[i], s);
    for (int i = 0; i < graph->stage_count; i++)
        if ((graph->stages[i].kind->flags & STAGE_STORE) && s->store_count < SNAPSHOT_STORES_MAX)
            add_store(run, &graph->stages[i], s);
}
