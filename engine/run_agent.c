/* The loop of `foldmill run`: children, the coordinator's records, and what a death means. */
#include "engine/run_state.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/gateway.h"
#include "engine/post.h"
#include "engine/ranks.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { WAITS_MAX = 2 * SUPERVISE_CHILDREN_MAX + CONTROL_PEERS_MAX + 8 };

/* ---- the coordinator ---- */

static void put(void *user, const struct message *message)
{
    struct run *run = user;
    post_send(run->coordinator, message); /* what is lost is asked for again */
}

static enum status open_coordinator(struct run *run, struct error *err)
{
    enum status status = ledger_open(&run->ledger, &run->job, run->agent.inc, &run->arena, err);
    char address[LINK_ADDRESS_MAX];
    struct link_options options = {.queue_max = 4096};
    if (status == STATUS_OK)
        status = link_context_open(err);
    if (status == STATUS_OK)
        status = network_secure(&run->job.net, err);
    if (status == STATUS_OK)
        status = link_listen(&run->coordinator,
                             job_address(&run->job, "coordinate", address, sizeof address), options,
                             err);
    if (status == STATUS_OK)
        status =
            link_connect(&run->agent.hub,
                         job_address(&run->job, "dispatch", address, sizeof address), options, err);
    return status;
}

static void coordinator_turn(struct run *run)
{
    struct outbox out = {run, put};
    struct durable_log log = ledger_log(&run->ledger);
    struct link_message raw;
    struct message message;
    uint64_t bad = 0;
    while (post_receive(run->coordinator, &raw, &message, &bad) == STATUS_OK) {
        if (!run_nodes_take(run, &message))
            coordinate_step(run->ledger.coordinate, &message, clock_ms(), &log, &out);
        link_message_close(&raw);
    }
}

/* ---- children ---- */

void run_fail(struct run *run, const char *text)
{
    if (run->failed)
        return;
    run->failed = true;
    snprintf(run->failure, sizeof run->failure, "%s", text);
}

/* The ranks of a line live and die together: those that were started with this one are started
 * again too. True: all of them were alive, so that it did not end because of another. */
static bool restart_others(struct run *run, const struct run_child *dead)
{
    bool alive = true;
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        struct run_child *child = &run->children[i];
        if (child == dead || child->kind != CHILD_SINK || child->line != dead->line ||
            child->started_gen != dead->started_gen)
            continue;
        if (child->finished && !run->draining)
            supervise_resume(run->supervisor, i);
        else if (supervise_restart(run->supervisor, i))
            child->sent = true;
        else
            alive = false;
        child->finished = false;
    }
    return alive;
}

static void sink_died(struct run *run, struct run_child *child, const struct death *death,
                      const char *text)
{
    struct child_info info = supervise_info(run->supervisor, death->child);
    child->finished = death->exit_code == 0;
    if (child->finished || child->sent)
        return;
    bool alone = restart_others(run, child);
    int64_t step = gauge_get(info.page, GAUGE_DONE);
    bool limit = death->verdict != VERDICT_NONE || death->out_of_memory;
    bool outside = !limit && (death->signal == SIGKILL || death->signal == SIGHUP);
    alone = alone && !run_ranks_any(run, child->line);
    outside = outside || (death->exit_code == SUPERVISE_EXIT_PEER && !alone);
    child->failures = outside || step != child->step ? 0 : child->failures + 1;
    child->step = step;
    if (child->failures >= RUN_GIVE_UP) {
        char why[ERROR_TEXT_MAX], line[512];
        snprintf(why, sizeof why, "%s ends again and again without getting on: %s: %s", death->name,
                 text, agent_last_words(death->tail, line));
        run_fail(run, why);
    }
}

static void on_death(void *user, const struct death *death)
{
    struct run *run = user;
    struct run_child *child = &run->children[death->child];
    char text[256], line[512];
    agent_describe(death, text, sizeof text);
    run->deaths += !run->stopping && death->exit_code != 0 && !child->sent;
    if (death->setup) {
        run_fail(run, agent_last_words(death->tail, line));
    } else if (child->kind == CHILD_WORKER) {
        agent_tell(&run->agent, death, text);
        if (death->idle_deaths >= RUN_GIVE_UP) {
            char why[ERROR_TEXT_MAX];
            snprintf(why, sizeof why, "%s ends again and again before it does anything: %s: %s",
                     death->name, text, agent_last_words(death->tail, line));
            run_fail(run, why);
        }
    } else if (child->kind == CHILD_SINK) {
        sink_died(run, child, death, text);
    }
    bool quiet = death->exit_code == 0 || run->stopping || child->sent;
    child->sent = false;
    if (!quiet)
        log_warn("%s%s%s", text, death->executing ? ", at work on " : "",
                 !death->executing ? ""
                 : *death->key     ? death->key
                                   : "a sample");
}

void run_next_gen(struct run *run, int line)
{
    uint32_t *gen = &run->gen[line], next = coordinate_next_gen(run->ledger.coordinate, line);
    *gen = next > *gen ? next : *gen + 1;
}

/* A sink is a new generation every time it starts; its ranks are one. */
static void on_launching(void *user, int number)
{
    struct run *run = user;
    struct run_child *child = &run->children[number];
    if (child->kind != CHILD_SINK)
        return;
    if (child->started_gen == run->gen[child->line]) {
        run_next_gen(run, child->line);
        run_ranks_renewed(run, child->line);
    }
    child->started_gen = run->gen[child->line];
    snprintf(child->gen, sizeof child->gen, "%u", child->started_gen);
    if (run_ranks_any(run, child->line))
        snprintf(child->place, sizeof child->place, "%s", run_ranks_place(run, child->line));
}

static enum status start(struct run *run, struct run_child child, const char *name,
                         struct error *err)
{
    int number = supervise_count(run->supervisor), started;
    struct run_child *kept = &run->children[number];
    struct child_spec spec = {.restart =
                                  child.kind == CHILD_SINK ? RESTART_FAILED : RESTART_ALWAYS};
    if (number == SUPERVISE_CHILDREN_MAX)
        return error_set(err, STATUS_LIMIT, "a node may have %d processes: use fewer workers",
                         SUPERVISE_CHILDREN_MAX);
    *kept = child;
    spec.held = child.kind == CHILD_SINK && run->ranks.held[child.line];
    if (!spec.held)
        on_launching(run, number);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    const char *args[] = {"work", run->dir.path, run->dir.sockets, kept->role,
                          child.kind == CHILD_SINK ? kept->gen : NULL,
                          spec.held ? kept->place : NULL};
    memcpy(spec.args, args, sizeof args);
    const struct graph *graph = run->job.graph;
    const struct graph_stage *stage = child.kind == CHILD_HUB ? NULL
                                      : child.kind == CHILD_WORKER
                                          ? &graph->stages[child.stage]
                                          : &graph->stages[graph->lines[child.line].sink];
    if (child.kind == CHILD_HUB && run->job.net.kind == NETWORK_HEAD)
        spec.pool_bytes = GATEWAY_POOL_BYTES;
    if (child.kind == CHILD_WORKER) {
        spec.pool_bytes = job_pool_bytes(&run->job, child.stage);
        spec.timeout_ms = stage->timeout_ms;
    }
    if (stage)
        spec.memory_bytes = stage->memory_bytes;
    return supervise_start(run->supervisor, &spec, &started, err);
}

enum status run_start_worker(struct run *run, int stage, int index, struct error *err)
{
    char name[SUPERVISE_NAME_MAX + 1];
    struct run_child child = {.kind = CHILD_WORKER, .stage = stage, .index = index};
    snprintf(child.role, sizeof child.role, "worker:%d:%d", stage, index);
    snprintf(name, sizeof name, "%.60s.%d", run->job.graph->stages[stage].name, index);
    return start(run, child, name, err);
}

/* One rank alone has the name of its line. */
static enum status start_sink(struct run *run, int line, int rank, struct error *err)
{
    char name[SUPERVISE_NAME_MAX + 1];
    struct run_child child = {.kind = CHILD_SINK, .line = line, .index = rank};
    const char *line_name = job_line_name(&run->job, line);
    snprintf(child.role, sizeof child.role, "sink:%d", line);
    snprintf(name, sizeof name, "%.60s", line_name);
    if (run->job.ranks[line] > 1) {
        snprintf(child.role, sizeof child.role, "sink:%d:%d", line, rank);
        snprintf(name, sizeof name, "%.60s.%d", line_name, rank);
    }
    return start(run, child, name, err);
}

/* Stages of another role than the head's have no workers here, unless they read a store, which is
 * here. */
static void leave_to_others(struct run *run)
{
    const char *role = run->options.role;
    for (int i = 0; role && i < run->job.graph->stage_count; i++) {
        struct graph_stage *stage = &run->job.graph->stages[i];
        if (!job_travels(&run->job, i) || !*stage->role || strcmp(stage->role, role) == 0)
            continue;
        log_info("%s (on: %s) is left to engines that join", stage->name, stage->role);
        stage->workers = 0;
    }
}

static enum status start_all(struct run *run, struct error *err)
{
    struct run_child child = {.kind = CHILD_HUB, .role = "dispatch"};
    enum status status = start(run, child, "dispatch", err);
    leave_to_others(run);
    if (status == STATUS_OK)
        status = run_ranks_open(run, err);
    for (int i = 0; i < run->job.graph->stage_count && status == STATUS_OK; i++)
        for (int k = 0;
             run->job.pool[i] >= 0 && k < run->job.graph->stages[i].workers && status == STATUS_OK;
             k++)
            status = run_start_worker(run, i, k, err);
    for (int i = 0; i < run->job.graph->line_count; i++)
        for (int rank = 0; rank < run_ranks_here(run, i) && status == STATUS_OK; rank++)
            status = start_sink(run, i, rank, err);
    return status;
}

enum status run_agent_open(struct run *run, struct error *err)
{
    struct supervise_events events = {run, on_death, on_launching, run_report_line};
    run->agent.job = run->job.id;
    run->agent.graph_hash = run->job.graph->hash;
    if (getrandom(&run->agent.inc, sizeof run->agent.inc, 0) != sizeof run->agent.inc)
        run->agent.inc = (uint64_t)clock_ns();
    /* Before the first thread of ZeroMQ: threads inherit which signals are blocked. */
    enum status status = supervise_open(&run->supervisor, events, err);
    if (status == STATUS_OK)
        status = open_coordinator(run, err);
    if (status == STATUS_OK)
        status = run_nodes_open(run, err);
    if (status == STATUS_OK)
        status = start_all(run, err);
    if (status == STATUS_OK)
        status = run_control_open(run, err);
    return status;
}

/* True when every sink is finished; tells those that wait for the others that the others are. */
static bool are_sinks_done(struct run *run)
{
    bool all = run_ranks_done(run), others = all;
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        const struct run_child *child = &run->children[i];
        if (child->kind != CHILD_SINK || child->finished)
            continue;
        all = false;
        others =
            others && run->job.graph->stages[run->job.graph->lines[child->line].sink].kind->next;
    }
    for (int i = 0; others && !run->finishing && i < supervise_count(run->supervisor); i++)
        if (run->children[i].kind == CHILD_SINK)
            supervise_finish(run->supervisor, i);
    run->finishing = run->finishing || others;
    return all;
}

static void drain_kind(struct run *run, bool sinks)
{
    for (int i = 0; i < supervise_count(run->supervisor); i++)
        if ((run->children[i].kind == CHILD_SINK) == sinks)
            supervise_drain(run->supervisor, i);
}

static void wait_turn(struct run *run)
{
    struct link_wait waits[WAITS_MAX] = {{.link = run->coordinator}, {.link = run->agent.hub}};
    int count = 2;
    control_wait(run->control, waits, &count, WAITS_MAX);
    http_wait(run->http, waits, &count, WAITS_MAX);
    supervise_wait(run->supervisor, waits, &count, WAITS_MAX);
    link_poll(waits, count, RUN_TICK_MS);
    supervise_step(run->supervisor);
    coordinator_turn(run);
    agent_turn(&run->agent);
    run_nodes_turn(run);
    run_ranks_turn(run);
    control_step(run->control);
    http_step(run->http);
    run_room_turn(run);
    run_report_turn(run);
}

static int running_sinks(const struct run *run)
{
    int count = run_ranks_running(run);
    for (int i = 0; i < supervise_count(run->supervisor); i++)
        count += run->children[i].kind == CHILD_SINK && supervise_info(run->supervisor, i).pid;
    return count;
}

/* Engines that joined hear that the run is over, and leave. */
static void dismiss_nodes(struct run *run)
{
    int64_t end = clock_ms() + RUN_NODES_END_MS;
    while (!run_nodes_dismiss(run) && clock_ms() < end && supervise_interrupts(run->supervisor) < 2)
        wait_turn(run);
}

bool run_agent_loop(struct run *run)
{
    struct error err;
    while (!are_sinks_done(run) && !run->failed) {
        wait_turn(run);
        if (coordinate_health(run->ledger.coordinate, &err) != STATUS_OK)
            run_fail(run, err.text);
        if (supervise_interrupts(run->supervisor) > 1)
            return false;
        if ((supervise_interrupts(run->supervisor) || run->drain_asked) && !run->draining) {
            run->draining = true;
            log_info("stopping: what is in flight is finished and saved (once more: at once)");
            drain_kind(run, true);
        }
        if (run->draining && running_sinks(run) == 0)
            break;
    }
    run->stopping = true;
    if (run->failed) {
        drain_kind(run, true);
        int64_t end = clock_ms() + RUN_END_MS;
        while (running_sinks(run) && clock_ms() < end && supervise_interrupts(run->supervisor) < 2)
            wait_turn(run);
    }
    if (!run->failed && !run->draining)
        run_nodes_over(run);
    drain_kind(run, false);
    dismiss_nodes(run);
    int64_t end = clock_ms() + RUN_END_MS;
    while (supervise_running(run->supervisor) && clock_ms() < end &&
           supervise_interrupts(run->supervisor) < 2)
        wait_turn(run);
    return !run->failed;
}

/* What ranks that were killed while they met have left. */
static void sweep_meetings(const struct run *run)
{
    char path[RANKS_PATH_MAX];
    for (int i = 0; run->job.graph && i < run->job.graph->line_count; i++)
        if (run->job.ranks[i] > 1)
            meet_remove(ranks_path(&run->job, i, path));
}

void run_agent_close(struct run *run)
{
    control_close(run->control);
    http_close(run->http);
    supervise_close(run->supervisor);
    sweep_meetings(run);
    link_close(run->coordinator, 0);
    link_close(run->agent.hub, 0);
    link_context_close();
    ledger_close(&run->ledger);
}
