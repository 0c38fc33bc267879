/* What people ask of a running engine over its control socket. */
#include "engine/run_count.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/requeue.h"

#include <signal.h>
#include <string.h>

static enum status do_status(struct run *run, FILE *body)
{
    static struct snapshot snapshot;
    run_snapshot(run, &snapshot);
    snapshot_write(&snapshot, body);
    return STATUS_OK;
}

/* The node that a request names: NULL with STATUS_OK is this one. */
static enum status find_node(struct run *run, const char *name, struct run_node **node,
                             struct error *err)
{
    char names[512] = "";
    size_t used = (size_t)snprintf(names, sizeof names, "%s", run->node);
    *node = NULL;
    if (!*name || strcmp(name, run->node) == 0)
        return STATUS_OK;
    *node = run_nodes_find(run, name);
    if (*node)
        return STATUS_OK;
    for (int i = 0; i < RUN_NODES_MAX && used < sizeof names; i++)
        if (run->nodes.node[i].inc)
            used += (size_t)snprintf(names + used, sizeof names - used, ", %s",
                                     run->nodes.node[i].name);
    return error_set(err, STATUS_INVALID, "there is no node '%.64s' in this run; it has: %s", name,
                     names);
}

/* The stage of that name which has workers of its own. */
static int find_stage(const struct run *run, const char *name, struct error *err)
{
    const char *names[GRAPH_STAGES_MAX + 1];
    const struct graph *graph = run->job.graph;
    int count = 0;
    for (int i = 0; i < graph->stage_count; i++) {
        bool same = strcmp(graph->stages[i].name, name) == 0;
        if (run->job.pool[i] >= 0 && same)
            return i;
        if (same) {
            error_set(err, STATUS_INVALID,
                      "'%s' has no workers: it runs inside the process of its list or sink", name);
            return -1;
        }
        if (run->job.pool[i] >= 0)
            names[count++] = graph->stages[i].name;
    }
    names[count] = NULL;
    const char *near = text_suggest(span_of(name), names);
    error_set(err, STATUS_INVALID, "there is no stage '%.64s'%s%s%s", name,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return -1;
}

/* Makes the workers 0 to wanted-1 of a stage run, and lets the others finish what they have and
 * go. Counters of workers that went stay in the sums. */
static enum status scale(struct run *run, int stage, int wanted, struct error *err)
{
    struct graph_stage *row = &run->job.graph->stages[stage];
    static bool there[GRAPH_WORKERS_MAX];
    enum status status = STATUS_OK;
    memset(there, 0, sizeof there);
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        const struct run_child *child = &run->children[i];
        if (child->kind != CHILD_WORKER || child->stage != stage)
            continue;
        there[child->index] = true;
        if (child->index >= wanted)
            supervise_drain(run->supervisor, i);
        else if (child->index >= row->workers)
            supervise_resume(run->supervisor, i);
    }
    int reached = wanted;
    for (int k = 0; k < wanted && status == STATUS_OK; k++)
        if (!there[k] && (status = run_start_worker(run, stage, k, err)) != STATUS_OK)
            reached = k;
    row->workers = reached;
    if (status != STATUS_OK)
        error_prefix(err, "%s has %d workers, not %d", row->name, reached, wanted);
    return status;
}

static enum status do_scale(struct run *run, const char *const *words, FILE *body,
                            struct error *err)
{
    int64_t wanted;
    struct run_node *node;
    enum status status = find_node(run, words[3], &node, err);
    if (status != STATUS_OK)
        return status;
    int stage = find_stage(run, words[1], err);
    if (stage < 0)
        return err->status;
    if (!text_int(span_of(words[2]), 0, GRAPH_WORKERS_MAX, &wanted))
        return error_set(err, STATUS_INVALID, "%s wants a number of workers from 0 to %d, not '%s'",
                         words[1], GRAPH_WORKERS_MAX, words[2]);
    if (run->draining || run->stopping)
        return error_set(err, STATUS_BUSY, "the run is ending: it starts no workers any more");
    if (node && !job_travels(&run->job, stage))
        return error_set(err, STATUS_INVALID,
                         "%s reads a store, which is on %s: its workers cannot be elsewhere",
                         words[1], run->node);
    if (node) {
        run_nodes_scale(run, node, stage, (int)wanted);
        log_info("scale: %s: %d workers on %s", words[1], (int)wanted, node->name);
        fprintf(body, "%s: %d workers on %s, until the engine there ends\n", words[1], (int)wanted,
                node->name);
        return STATUS_OK;
    }
    int before = run->job.graph->stages[stage].workers;
    status = scale(run, stage, (int)wanted, err);
    log_info("scale: %s had %d workers, now %d", words[1], before,
             run->job.graph->stages[stage].workers);
    if (status == STATUS_OK)
        fprintf(body,
                "%s: %d -> %d workers on %s, until this engine ends (at the next start the graph "
                "and --set %s.workers=N decide)\n",
                words[1], before, (int)wanted, run->node, words[1]);
    if (status == STATUS_OK && wanted == 0)
        fprintf(body, "%s makes nothing until it has workers again\n", words[1]);
    return status;
}

/* As SIGTERM to the engine there, but by name. This one has the run's sinks, so the run ends. */
static enum status do_drain(struct run *run, const char *const *words, FILE *body,
                            struct error *err)
{
    struct run_node *node;
    enum status status = find_node(run, words[1], &node, err);
    if (status != STATUS_OK)
        return status;
    if (node) {
        run_nodes_drain(run, node);
        log_info("drain: %s was asked to leave", node->name);
        fprintf(body, "%s finishes what it has in hand, and leaves\n", node->name);
        return STATUS_OK;
    }
    run->drain_asked = true;
    fprintf(body, "%s finishes what is in flight, saves, and ends\n", run->node);
    return STATUS_OK;
}

/* The sink of a store looks at what is missing when it starts: so it is started anew, which loses
 * nothing. One that had finished goes on. */
static void renew_sink(struct run *run, int line)
{
    int number = run_find_sink(run, line);
    struct child_info info = supervise_info(run->supervisor, number);
    if (info.pid)
        kill(info.pid, SIGKILL);
    if (run->children[number].finished)
        supervise_resume(run->supervisor, number);
    run->children[number].finished = false;
}

static enum status do_requeue(struct run *run, const char *key, FILE *body, struct error *err)
{
    struct requeued requeued;
    if (run->draining || run->stopping)
        return error_set(err, STATUS_BUSY, "the run is ending: requeue it when it has ended");
    enum status status = requeue(&run->job, &run->ledger, key, &requeued, err);
    if (status != STATUS_OK)
        return status;
    log_info("requeue: %s", key);
    requeue_print(&run->job, &requeued, body);
    for (int l = 0; l < run->job.graph->line_count; l++)
        if (requeued.fills[l] && (requeued.aside[l] || requeued.refused[l]))
            renew_sink(run, l);
    return STATUS_OK;
}

static enum status handle(void *user, const char *const *words, int count, FILE *body,
                          struct error *err)
{
    struct run *run = user;
    if (count == 1 && strcmp(words[0], "status") == 0)
        return do_status(run, body);
    if (count == 2 && strcmp(words[0], "drain") == 0)
        return do_drain(run, words, body, err);
    if (count == 2 && strcmp(words[0], "requeue") == 0)
        return do_requeue(run, words[1], body, err);
    if (count == 4 && strcmp(words[0], "scale") == 0)
        return do_scale(run, words, body, err);
    return error_set(err, STATUS_INVALID,
                     "this engine (" FOLDMILL_VERSION ") does not know the request '%.64s' with "
                     "%d arguments",
                     words[0], count - 1);
}

/* What Prometheus asks for; many who ask at once get the same. */
static void write_metrics(void *user, FILE *body)
{
    static struct snapshot snapshot;
    static int64_t made_ms;
    int64_t now = clock_ms();
    if (!snapshot.run_count || now - made_ms >= RUN_SCRAPE_MS) {
        run_snapshot(user, &snapshot);
        made_ms = now;
    }
    snapshot_write_metrics(&snapshot, body);
}

enum status run_control_open(struct run *run, struct error *err)
{
    enum status status = control_open(&run->control, run->dir.sockets, handle, run, err);
    if (status == STATUS_OK && run->options.metrics_port >= 0)
        status = http_open(&run->http, run->options.metrics_port, write_metrics, run, err);
    if (status == STATUS_OK && run->http) {
        log_info("metrics: http://127.0.0.1:%d/metrics", http_port(run->http));
        if (!run->options.quiet)
            fprintf(stderr, "metrics: http://127.0.0.1:%d/metrics\n", http_port(run->http));
    }
    return status;
}
