/* Ranks of the run's sinks on an engine that joined: started when the head asks for them, each a
 * process as at the head, which reads the run's folder itself; see join_state.h. Which generation
 * runs and when it is over the head alone decides. */
#include "engine/join_state.h"

#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/post.h"
#include "engine/ranks.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Ranks read checkpoints and write journals in the run's folder, so it must be the same here. */
enum status join_ranks_check(const struct join_engine *engine, struct error *err)
{
    char path[PATH_MAX];
    struct arena arena;
    struct span text = {NULL, 0};
    const struct joined *joined = &engine->joined;
    if (!engine->options.ranks)
        return STATUS_OK;
    arena_open(&arena, 0);
    enum status status = file_read(rundir_file(joined->run_dir, "graph.yaml", path),
                                   SAMPLE_BYTES_MAX, &arena, &text, err);
    bool same = status == STATUS_OK && joined->file_count > 0 &&
                XXH3_64bits(text.data, text.size) == joined->file[0].hash;
    arena_close(&arena);
    if (same)
        return STATUS_OK;
    return error_set(err, STATUS_MISS,
                     "the run's folder %s is not here: ranks read its checkpoints, so put it on a "
                     "disk that all engines with --ranks share, or leave --ranks out",
                     joined->run_dir);
}

static struct join_child *find(struct join_engine *engine, int line, int rank, int *number)
{
    for (int i = 0; i < supervise_count(engine->supervisor); i++)
        if (engine->children[i].sink && engine->children[i].line == line &&
            engine->children[i].rank == rank) {
            *number = i;
            return &engine->children[i];
        }
    return NULL;
}

static enum status add(struct join_engine *engine, int line, int rank, struct error *err)
{
    const struct graph *graph = engine->job.graph;
    const struct graph_stage *stage = &graph->stages[graph->lines[line].sink];
    int number = supervise_count(engine->supervisor), started;
    if (number == SUPERVISE_CHILDREN_MAX)
        return error_set(err, STATUS_LIMIT, "an engine may have %d processes: use fewer workers",
                         SUPERVISE_CHILDREN_MAX);
    struct join_child *child = &engine->children[number];
    *child = (struct join_child){.stage = -1, .sink = true, .line = line, .rank = rank};
    snprintf(child->role, sizeof child->role, "sink:%d:%d", line, rank);
    struct child_spec spec = {.args = {"work", engine->joined.run_dir, engine->dir.sockets,
                                       child->role, child->gen_text, child->place},
                              .memory_bytes = stage->memory_bytes,
                              .restart = RESTART_NEVER,
                              .held = true};
    snprintf(spec.name, sizeof spec.name, "%.40s.%d@%.24s", stage->name, rank, engine->net.name);
    return supervise_start(engine->supervisor, &spec, &started, err);
}

static void report(struct join_engine *engine, int number)
{
    const struct join_child *child = &engine->children[number];
    struct child_info info = supervise_info(engine->supervisor, number);
    struct rank_report report = {.state = child->state, .starts = (uint32_t)info.starts};
    static unsigned char bytes[RANK_REPORT_BYTES_MAX];
    for (int i = 0; i < METRIC_COUNT; i++)
        report.counter[i] = metric_get(info.page, (enum metric)i);
    for (int i = 0; i < GAUGE_COUNT; i++)
        report.gauge[i] = gauge_get(info.page, (enum gauge)i);
    int64_t since = report.gauge[GAUGE_WAITS_SINCE_NS], now = clock_ns();
    if (info.pid && since > 0 && since < now)
        report.counter[METRIC_WAIT_WORK_NS] += (uint64_t)(now - since);
    report.gauge[GAUGE_WAITS_SINCE_NS] = 0;
    snprintf(report.text, sizeof report.text, "%s", child->text);
    struct message message = {.type = MESSAGE_RANK,
                              .peer = LINK_HUB,
                              .job = engine->joined.job,
                              .inc = engine->net.node,
                              .gen = child->gen,
                              .line = (uint16_t)child->line,
                              .arg = (uint32_t)child->rank,
                              .payload = bytes,
                              .size = (uint32_t)rank_report_encode(&report, bytes)};
    post_send(engine->head, &message);
}

void join_ranks_say(struct join_engine *engine)
{
    for (int i = 0; i < supervise_count(engine->supervisor); i++)
        if (engine->children[i].sink && engine->children[i].gen)
            report(engine, i);
}

void join_rank(struct join_engine *engine, const struct message *message)
{
    int line = message->line, rank = (int)message->arg, number = 0;
    struct error err;
    if (!engine->supervisor || !engine->job.graph || engine->over || engine->ending ||
        !engine->options.ranks || line >= engine->job.graph->line_count ||
        message->arg >= (uint32_t)engine->job.ranks[line])
        return;
    struct join_child *child = find(engine, line, rank, &number);
    if (message->flags & MESSAGE_FINAL) {
        if (child && child->gen == message->gen)
            supervise_drain(engine->supervisor, number);
        return;
    }
    if (!child) {
        if (add(engine, line, rank, &err) != STATUS_OK) {
            log_warn("%s", err.text);
            return;
        }
        child = find(engine, line, rank, &number);
    }
    if (message->gen > child->wanted_gen && message->size < sizeof child->place) {
        child->wanted_gen = message->gen;
        snprintf(child->place, sizeof child->place, "%.*s", (int)message->size,
                 message->size ? (const char *)message->payload : "");
    }
    /* What is left of older generations has nobody to work with. */
    for (int i = 0; i < supervise_count(engine->supervisor); i++)
        if (engine->children[i].sink && engine->children[i].line == line &&
            engine->children[i].gen < message->gen)
            supervise_kill(engine->supervisor, i);
    join_ranks_turn(engine);
}

void join_ranks_turn(struct join_engine *engine)
{
    for (int i = 0; i < supervise_count(engine->supervisor); i++) {
        struct join_child *child = &engine->children[i];
        if (!child->sink || child->gen >= child->wanted_gen || engine->ending ||
            supervise_info(engine->supervisor, i).pid)
            continue;
        child->gen = child->wanted_gen;
        child->state = RANK_RUNS;
        child->text[0] = 0;
        snprintf(child->gen_text, sizeof child->gen_text, "%u", child->gen);
        supervise_resume(engine->supervisor, i);
        report(engine, i);
    }
}

void join_rank_died(struct join_engine *engine, const struct death *death, const char *text)
{
    struct join_child *child = &engine->children[death->child];
    char line[512];
    bool limit = death->verdict != VERDICT_NONE || death->out_of_memory;
    bool outside = !limit && (death->signal == SIGKILL || death->signal == SIGHUP);
    child->state = death->exit_code == 0                                  ? RANK_FINISHED
                   : death->setup                                         ? RANK_UNABLE
                   : outside || death->exit_code == SUPERVISE_EXIT_PEER ? RANK_LOST
                                                                          : RANK_FAILED;
    snprintf(child->text, sizeof child->text, "%.150s%s%.200s", text, death->setup ? ": " : "",
             death->setup ? agent_last_words(death->tail, line) : "");
    if (child->gen >= child->wanted_gen && engine->head)
        report(engine, death->child);
}

void join_ranks_end(struct join_engine *engine)
{
    engine->ending = true;
    for (int i = 0; i < supervise_count(engine->supervisor); i++)
        if (engine->children[i].sink)
            supervise_kill(engine->supervisor, i);
}

/* What ranks that were killed while they met have left. */
void join_ranks_sweep(const struct join_engine *engine)
{
    char path[RANKS_PATH_MAX];
    for (int i = 0; engine->job.graph && i < engine->job.graph->line_count; i++)
        if (engine->options.ranks)
            meet_remove(ranks_path(&engine->job, i, path));
}
