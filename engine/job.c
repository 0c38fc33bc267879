/* The graph with its numbers; see job.h. */
#include "engine/job.h"

#include "engine/base/rng.h"
#include "engine/recipe.h"
#include "engine/rundir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BAD_MIN = 10, MAX_BAD_PART = 1000 };

/* Whether a line has a stage whose workers may live on other engines. */
static bool reaches(const struct job *job, int line)
{
    bool found = false;
    for (int k = 0; k < job->graph->lines[line].work_count; k++)
        found = found || job_travels(job, job->graph->lines[line].work[k]);
    return found;
}

void job_make(struct job *job, struct graph *graph, const char *run_dir, const char *sockets)
{
    job->graph = graph;
    job->id = hash_name(run_dir);
    snprintf(job->run_dir, sizeof job->run_dir, "%s", run_dir);
    snprintf(job->sockets, sizeof job->sockets, "%s", sockets);
    plan_make(graph, "", &job->plan);
    job->pool_count = 0;
    for (int i = 0; i < graph->stage_count; i++)
        job->pool[i] = -1;
    for (int i = 0; i < graph->line_count; i++) {
        const struct graph_line *line = &graph->lines[i];
        job->batch[i] = (uint64_t)graph_line_batch(graph, line);
        job->ranks[i] = graph->stages[line->sink].ranks;
        for (int k = 0; k < line->work_count; k++)
            if (job->pool[line->work[k]] < 0)
                job->pool[line->work[k]] = job->pool_count++;
    }
    if (job->net.kind == NETWORK_JOINED)
        job->id = job->net.job;
    for (int i = 0; job->net.kind != NETWORK_NONE && i < graph->line_count; i++) {
        uint64_t batch = job->batch[i], more = (job->net.reach + batch - 1) / batch * batch;
        job->plan.lines[i].window += reaches(job, i) ? more : 0;
    }
}

bool job_travels(const struct job *job, int stage)
{
    if (job->pool[stage] < 0)
        return false;
    for (int i = 0; i < job->graph->line_count; i++)
        if (job->graph->lines[i].work_count && job->graph->lines[i].work[0] == stage &&
            job_store_path(job, i))
            return false;
    return true;
}

enum status job_load(struct job *job, const char *run_dir, const char *sockets, struct error *err)
{
    char path[PATH_MAX];
    struct complaints complaints;
    arena_open(&job->arena, 0);
    complaints_open(&complaints, &job->arena);
    struct graph *graph = graph_load(rundir_file(run_dir, "graph.yaml", path), NULL, run_dir,
                                     &job->arena, &complaints);
    if (!graph)
        return error_set(err, STATUS_INVALID, "%s:%d: %s", path, complaints.item[0].place.line,
                         complaints.item[0].text);
    enum status status = network_read(sockets, &job->net, err);
    if (status == STATUS_OK)
        job_make(job, graph, run_dir, sockets);
    return status;
}

const char *job_line_name(const struct job *job, int line)
{
    return job->graph->stages[job->graph->lines[line].sink].name;
}

char *job_address(const struct job *job, const char *name, char *buffer, size_t size)
{
    if (job->net.kind == NETWORK_JOINED && strcmp(name, "dispatch") == 0) {
        snprintf(buffer, size, "%s", job->net.hub);
        return buffer;
    }
    if (job->net.kind == NETWORK_JOINED && strcmp(name, "coordinate") == 0) {
        snprintf(buffer, size, "%s", job->net.coordinate);
        return buffer;
    }
    return rundir_address(job->sockets, name, buffer, size);
}

/* A line's list is its source's, or that of the line which fills the store that it reads; a mixture
 * has its own, under the name of its sink. */
char *job_list_path(const struct job *job, int number, char path[PATH_MAX])
{
    const struct graph_line *line = &job->graph->lines[number];
    if (line->filled_by >= 0)
        line = &job->graph->lines[line->filled_by];
    char name[GRAPH_NAME_MAX + 16];
    snprintf(name, sizeof name, "lists/%s.list",
             job->graph->stages[line->mix_count ? line->sink : line->head].name);
    return rundir_file(job->run_dir, name, path);
}

uint64_t job_recipe(const struct job *job, int number)
{
    const struct graph_line *line = &job->graph->lines[number];
    return line->filled_by >= 0 ? job->graph->stages[line->head].recipe : 0;
}

const char *job_store_path(const struct job *job, int number)
{
    const struct graph_stage *head = &job->graph->stages[job->graph->lines[number].head];
    return head->kind->flags & STAGE_STORE ? graph_store_path(head) : NULL;
}

uint64_t job_max_bad(const struct job *job, uint64_t positions)
{
    if (job->graph->max_bad >= 0)
        return (uint64_t)job->graph->max_bad;
    uint64_t part = positions / MAX_BAD_PART;
    return part > MAX_BAD_MIN ? part : MAX_BAD_MIN;
}

size_t job_pool_bytes(const struct job *job, int stage)
{
    return plan_pool_bytes(&job->graph->stages[stage]);
}

char *job_queue_name(int line, int place, char name[METRICS_NAME_MAX + 1])
{
    snprintf(name, METRICS_NAME_MAX + 1, "queue %d %d", line, place);
    return name;
}

static void report(struct stage_context *context, const char *name, double value)
{
    if (context->engine)
        report_set(context->engine, name, value);
}

enum status job_open_stage(struct job *job, int number, const struct job_facts *facts,
                           struct page *page, struct runner *runner, struct error *err)
{
    const struct graph_stage *stage = &job->graph->stages[number];
    struct stage_context *context = arena_zero(&job->arena, 1, sizeof *context);
    *context = (struct stage_context){.name = stage->name,
                                      .run_dir = job->run_dir,
                                      .seed = job->graph->seed,
                                      .worker = facts->worker,
                                      .rank_count = 1,
                                      .batch_size = 1,
                                      .memory_bytes = stage->memory_bytes,
                                      .list_count = facts->list_count,
                                      .list_hash = facts->list_hash,
                                      .recipe = stage->recipe,
                                      .replay = facts->replay,
                                      .arena = &job->arena,
                                      .report = report,
                                      .engine = page};
    if (facts->line >= 0) {
        context->rank = facts->rank;
        context->rank_count = facts->replay ? 1 : job->ranks[facts->line];
        context->batch_size = (int64_t)job->batch[facts->line] / context->rank_count;
        context->store_path = job_store_path(job, facts->line);
        const struct graph_stage *sink = &job->graph->stages[job->graph->lines[facts->line].sink];
        if ((stage->kind->flags & STAGE_SOURCE) && (sink->kind->flags & STAGE_STORE))
            context->store_path = graph_store_path(sink);
    }
    if (stage->kind->flags & STAGE_STORE) {
        context->store_path = graph_store_path(stage);
        if (facts->line >= 0)
            context->recipe_text =
                recipe_text(job->graph, &job->graph->lines[facts->line], &job->arena);
    }
    enum status status = runner_open(runner, stage->kind, stage->state, context, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s", stage->name);
    return status;
}
