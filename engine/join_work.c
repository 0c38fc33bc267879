/* The workers of an engine that joined a run; see join_state.h. */
#include "engine/join_state.h"

#include "engine/base/clock.h"
#include "engine/base/cpus.h"
#include "engine/base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAITS_MAX = 2 * SUPERVISE_CHILDREN_MAX + 8 };

void join_fail(struct join_engine *engine, const char *text)
{
    if (engine->failed)
        return;
    engine->failed = true;
    snprintf(engine->failure, sizeof engine->failure, "%s", text);
}

void join_on_line(void *memory, const char *child, struct span line)
{
    (void)memory;
    (void)child; /* its lines of the log name it */
    fprintf(stderr, "%.*s\n", (int)line.size, line.data);
}

void join_on_death(void *memory, const struct death *death)
{
    struct join_engine *engine = memory;
    char text[256], line[512], why[ERROR_TEXT_MAX];
    agent_describe(death, text, sizeof text);
    if (engine->children[death->child].sink) {
        join_rank_died(engine, death, text);
        if (death->exit_code != 0 && !engine->ending)
            log_warn("%s", text);
        return;
    }
    agent_tell(&engine->agent, death, text);
    if (death->setup) {
        join_fail(engine, agent_last_words(death->tail, line));
    } else if (death->idle_deaths >= JOIN_GIVE_UP) {
        snprintf(why, sizeof why, "%s ends again and again before it does anything: %s: %s",
                 death->name, text, agent_last_words(death->tail, line));
        join_fail(engine, why);
    }
    if (death->exit_code != 0)
        log_warn("%s%s%s", text, death->executing ? ", at work on " : "",
                 !death->executing ? ""
                 : *death->key     ? death->key
                                   : "a sample");
}

/* ---- how many ---- */

static bool may_run(const struct join_engine *engine, int stage)
{
    return job_travels(&engine->job, stage) && engine->plan.here[stage];
}

/* Reads "parse=8,msa=2" into wanted[stage]. */
static enum status read_workers(struct join_engine *engine, int wanted[GRAPH_STAGES_MAX],
                                struct error *err)
{
    const struct graph *graph = engine->job.graph;
    struct span rest = span_of(engine->options.workers);
    while (rest.size) {
        const char *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma ? (size_t)(comma - rest.data) : rest.size;
        struct span part = {rest.data, size};
        const char *equals = memchr(part.data, '=', part.size);
        size_t name = equals ? (size_t)(equals - part.data) : part.size;
        int64_t count = 0;
        int stage = -1;
        for (int i = 0; i < graph->stage_count; i++)
            if (span_is((struct span){part.data, name}, graph->stages[i].name))
                stage = i;
        rest = comma ? (struct span){comma + 1, rest.size - size - 1} : (struct span){NULL, 0};
        if (!equals || stage < 0 ||
            !text_int((struct span){equals + 1, part.size - name - 1}, 0, GRAPH_WORKERS_MAX,
                      &count))
            return error_set(err, STATUS_INVALID, "--workers wants STAGE=N,..., found \"%.*s\"",
                             (int)part.size, part.data);
        if (count && !job_travels(&engine->job, stage))
            return error_set(err, STATUS_INVALID,
                             "%s reads a store, which is on the head's node: its workers cannot "
                             "be elsewhere",
                             graph->stages[stage].name);
        wanted[stage] = (int)count;
    }
    return STATUS_OK;
}

/* One process for each CPU that this engine may use, shared out as the graph's `workers:` say, at
 * least one a stage. */
static void share_cpus(const struct join_engine *engine, int wanted[GRAPH_STAGES_MAX])
{
    const struct graph *graph = engine->job.graph;
    int64_t cpus = cpus_here();
    int64_t sum = 0;
    for (int i = 0; i < graph->stage_count; i++)
        sum += may_run(engine, i) ? graph->stages[i].workers : 0;
    for (int i = 0; i < graph->stage_count; i++)
        if (may_run(engine, i)) {
            int64_t share = (cpus * graph->stages[i].workers + sum / 2) / (sum ? sum : 1);
            wanted[i] = share < 1 ? 1 : (int)share;
        }
}

static enum status start_worker(struct join_engine *engine, int stage, int index, struct error *err)
{
    int number = supervise_count(engine->supervisor), started;
    const struct graph_stage *row = &engine->job.graph->stages[stage];
    if (number == SUPERVISE_CHILDREN_MAX)
        return error_set(err, STATUS_LIMIT, "an engine may have %d processes: use fewer workers",
                         SUPERVISE_CHILDREN_MAX);
    struct join_child *child = &engine->children[number];
    *child = (struct join_child){.stage = stage, .index = index};
    snprintf(child->role, sizeof child->role, "worker:%d:%d", stage, index);
    struct child_spec spec = {.args = {"work", engine->dir.path, engine->dir.sockets, child->role},
                              .pool_bytes = job_pool_bytes(&engine->job, stage),
                              .timeout_ms = row->timeout_ms,
                              .memory_bytes = row->memory_bytes,
                              .restart = RESTART_ALWAYS};
    snprintf(spec.name, sizeof spec.name, "%.40s.%d@%.24s", row->name, index, engine->net.name);
    return supervise_start(engine->supervisor, &spec, &started, err);
}

enum status join_start(struct join_engine *engine, struct error *err)
{
    int *wanted = engine->wanted, all = 0;
    const struct graph *graph = engine->job.graph;
    enum status status = STATUS_OK;
    plan_make(graph, engine->options.role, &engine->plan);
    if (engine->options.workers)
        status = read_workers(engine, wanted, err);
    else
        share_cpus(engine, wanted);
    for (int i = 0; i < graph->stage_count; i++)
        all += wanted[i];
    if (status == STATUS_OK && all == 0 && !engine->options.ranks)
        status = error_set(err, STATUS_INVALID,
                           "there is nothing to do here: no stage of the graph that may run in "
                           "the role %s on another node than the head",
                           engine->options.role);
    for (int i = 0; i < graph->stage_count; i++)
        for (int k = 0; k < wanted[i] && status == STATUS_OK; k++)
            status = start_worker(engine, i, k, err);
    return status;
}

/* As foldmill scale does at the head: the highest numbers go, after what they have in hand. */
void join_scale(struct join_engine *engine, int stage, uint32_t wanted)
{
    static bool there[GRAPH_WORKERS_MAX];
    struct error err;
    enum status status = STATUS_OK;
    if (!engine->supervisor || !engine->job.graph || stage >= engine->job.graph->stage_count ||
        !job_travels(&engine->job, stage) || wanted > GRAPH_WORKERS_MAX || engine->over ||
        (int)wanted == engine->wanted[stage])
        return;
    log_info("%s: %d workers, %d before", engine->job.graph->stages[stage].name, (int)wanted,
             engine->wanted[stage]);
    memset(there, 0, sizeof there);
    for (int i = 0; i < supervise_count(engine->supervisor); i++) {
        const struct join_child *child = &engine->children[i];
        if (child->stage != stage)
            continue;
        there[child->index] = true;
        if (child->index >= (int)wanted)
            supervise_drain(engine->supervisor, i);
        else if (child->index >= engine->wanted[stage])
            supervise_resume(engine->supervisor, i);
    }
    for (int k = 0; k < (int)wanted && status == STATUS_OK; k++)
        if (!there[k])
            status = start_worker(engine, stage, k, &err);
    if (status != STATUS_OK)
        log_warn("%s", err.text);
    engine->wanted[stage] = (int)wanted;
}

/* ---- work ---- */

int join_rows(const struct join_engine *engine, struct join_row rows[GRAPH_STAGES_MAX])
{
    int count = 0;
    for (int i = 0; i < engine->job.graph->stage_count; i++)
        if (job_travels(&engine->job, i))
            rows[count++] =
                (struct join_row){.stage = (uint16_t)i, .wanted = (uint16_t)engine->wanted[i]};
    for (int i = 0; i < supervise_count(engine->supervisor); i++) {
        const struct join_child *child = &engine->children[i];
        struct child_info info = supervise_info(engine->supervisor, i);
        int at = 0;
        if (child->sink)
            continue;
        while (at < count && rows[at].stage != child->stage)
            at++;
        if (at == count)
            rows[count++] = (struct join_row){.stage = (uint16_t)child->stage};
        struct join_row *row = &rows[at];
        row->workers = (uint16_t)(row->workers + (info.pid != 0));
        row->held = (uint16_t)(row->held + (info.pid ? gauge_get(info.page, GAUGE_HELD) : 0));
        row->done += metric_get(info.page, METRIC_DONE);
        row->refused += metric_get(info.page, METRIC_REFUSED);
        row->failed += metric_get(info.page, METRIC_FAILED);
        row->reused += metric_get(info.page, METRIC_REUSED);
        row->busy_ns += metric_get(info.page, METRIC_BUSY_NS);
    }
    return count;
}

/* How long it took until this engine was of use. */
static void tell_first(struct join_engine *engine)
{
    struct join_row rows[GRAPH_STAGES_MAX];
    int count = engine->working ? 0 : join_rows(engine, rows);
    for (int i = 0; i < count && !engine->working; i++)
        if (rows[i].done) {
            engine->working = true;
            log_info("first sample %lld ms after the start",
                     (long long)(clock_ms() - engine->begun_ms));
        }
}

static void show(struct join_engine *engine)
{
    struct join_row rows[GRAPH_STAGES_MAX];
    int64_t now = clock_ms();
    tell_first(engine);
    if (engine->options.quiet || now - engine->shown_ms < JOIN_SHOW_MS)
        return;
    uint64_t done = 0;
    int workers = 0, count = join_rows(engine, rows);
    for (int i = 0; i < count; i++) {
        done += rows[i].done;
        workers += rows[i].workers;
    }
    if (engine->shown_ms)
        fprintf(stderr, "%s: %d workers, %llu samples done, %.1f/s\n", engine->net.name, workers,
                (unsigned long long)done,
                (double)(done - engine->shown_done) * 1e3 / (double)(now - engine->shown_ms));
    engine->shown_ms = now;
    engine->shown_done = done;
}

static void wait_turn(struct join_engine *engine)
{
    struct link_wait waits[WAITS_MAX] = {{.link = engine->head}, {.link = engine->agent.hub}};
    int count = 2;
    supervise_wait(engine->supervisor, waits, &count, WAITS_MAX);
    link_poll(waits, count, JOIN_TICK_MS);
    supervise_step(engine->supervisor);
    agent_turn(&engine->agent);
    join_turn(engine);
    join_ranks_turn(engine);
    show(engine);
}

void join_work(struct join_engine *engine)
{
    while (!engine->over && !engine->failed && !engine->moved && !join_is_asked(engine)) {
        wait_turn(engine);
        if (engine->agent.refused[0])
            join_fail(engine, engine->agent.refused);
    }
    if (join_is_asked(engine))
        log_info("leaving: what is in hand is finished (once more: at once)");
    if (!engine->over)
        join_ranks_end(engine);
    for (int i = 0; i < supervise_count(engine->supervisor); i++)
        supervise_drain(engine->supervisor, i);
    int64_t end = clock_ms() + JOIN_END_MS;
    while (supervise_running(engine->supervisor) && clock_ms() < end &&
           supervise_interrupts(engine->supervisor) < 2 && !(engine->over && !engine->known))
        wait_turn(engine);
    /* Numbers first, so that they stay in the head's sums. */
    struct join_row rows[GRAPH_STAGES_MAX];
    static unsigned char bytes[JOIN_ROWS_BYTES_MAX];
    join_say(engine, MESSAGE_HB, bytes, join_rows_encode(rows, join_rows(engine, rows), bytes));
    join_tell(engine);
    engine->known = true;
    for (end = clock_ms() + JOIN_BYE_MS; engine->known && clock_ms() < end;) {
        join_say(engine, MESSAGE_BYE, NULL, 0);
        wait_turn(engine);
    }
}
