/* Deciding which engine of a run this is; see launch.h. */
#include "engine/launch.h"

#include "engine/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *get(const struct launch_around *around, const char *name)
{
    const char *value = around->get(around->user, name);
    return value && *value ? value : NULL;
}

/* A whole number of the environment; STATUS_MISS: it is not set. */
static enum status get_int(const struct launch_around *around, const char *name, int64_t *value,
                           struct error *err)
{
    const char *text = get(around, name);
    if (!text)
        return STATUS_MISS;
    if (!text_int(span_of(text), 0, INT32_MAX, value))
        return error_set(err, STATUS_INVALID, "%s should be a whole number, it is '%s'", name,
                         text);
    return STATUS_OK;
}

static size_t label(const char *host)
{
    return strcspn(host, ".");
}

/* The same machine: equal names, or equal first labels where one of them has no more. */
static bool same_host(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    bool bare = !a[label(a)] || !b[label(b)];
    return bare && label(a) == label(b) && strncmp(a, b, label(a)) == 0;
}

/* FOLDMILL_HEAD=HOST[:PORT]: who has that name is the head, all others join it. */
static enum status by_name(const char *head, const struct launch_around *around,
                           struct launch *launch, struct error *err)
{
    int64_t port = LAUNCH_PORT;
    const char *colon = strrchr(head, ':');
    bool has_port = colon && strchr(head, ':') == colon;
    size_t size = has_port ? (size_t)(colon - head) : strlen(head);
    if ((colon && !has_port) || size == 0 || size >= sizeof launch->host ||
        (has_port && !text_int(span_of(colon + 1), 1, UINT16_MAX - 1, &port)))
        return error_set(err, STATUS_INVALID,
                         "FOLDMILL_HEAD should be HOST or HOST:PORT, it is '%s'", head);
    memcpy(launch->host, head, size);
    launch->host[size] = 0;
    if (same_host(launch->host, around->host)) {
        launch->kind = LAUNCH_HEAD;
        snprintf(launch->listen, sizeof launch->listen, "0.0.0.0:%d", (int)port);
    } else {
        launch->kind = LAUNCH_JOIN;
        snprintf(launch->to, sizeof launch->to, "%s:%d", launch->host, (int)port);
    }
    snprintf(launch->why, sizeof launch->why, "FOLDMILL_HEAD is %.80s, this is %.30s", head,
             around->host);
    return STATUS_OK;
}

/* The run's folder of a job: the same on all nodes, and again when the job is requeued. */
static enum status job_folder(const struct launch_wish *wish, const char *job, char *path,
                              struct error *err)
{
    const char *graph = wish->graph ? wish->graph : "graph";
    const char *slash = strrchr(graph, '/'), *base = slash ? slash + 1 : graph;
    const char *dot = strrchr(base, '.');
    int size = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
    int wrote = wish->run_dir ? snprintf(path, PATH_MAX, "%s", wish->run_dir)
                              : snprintf(path, PATH_MAX, "runs/%.*s-slurm-%s", size, base, job);
    return wrote < PATH_MAX ? STATUS_OK
                            : error_set(err, STATUS_LIMIT, "the path of the run is too long");
}

/* Inside `srun` with several tasks, the first is the head and the others join it. */
static enum status by_slurm(const struct launch_wish *wish, const struct launch_around *around,
                            struct launch *launch, struct error *err)
{
    int64_t tasks = 0, task = 0;
    const char *job = get(around, "SLURM_JOB_ID");
    enum status status = get_int(around, "SLURM_STEP_NUM_TASKS", &tasks, err);
    if (!job || status == STATUS_MISS || (status == STATUS_OK && tasks < 2))
        return STATUS_OK;
    if (status == STATUS_OK)
        status = get_int(around, "SLURM_PROCID", &task, err);
    if (status == STATUS_MISS)
        status = error_set(err, STATUS_INVALID,
                           "this step has %d tasks, but SLURM_PROCID is not set: start foldmill "
                           "by srun, or with --alone, --head or --join",
                           (int)tasks);
    if (status == STATUS_OK)
        status = job_folder(wish, job, task == 0 ? launch->run_dir : launch->to, err);
    if (status != STATUS_OK)
        return status;
    launch->kind = task == 0 ? LAUNCH_HEAD : LAUNCH_JOIN;
    snprintf(launch->why, sizeof launch->why, "task %d of %d of Slurm's job %.32s", (int)task,
             (int)tasks, job);
    return STATUS_OK;
}

/* Under Slurm an engine has the node's name; several on one node are told apart. */
static void choose_name(const struct launch_around *around, struct launch *launch)
{
    int64_t local = 0;
    const char *node = get(around, "SLURMD_NODENAME");
    if (!node || !get(around, "SLURM_JOB_ID"))
        return;
    if (get_int(around, "SLURM_LOCALID", &local, NULL) == STATUS_OK && local > 0)
        snprintf(launch->name, sizeof launch->name, "%.50s-%d", node, (int)local);
    else
        snprintf(launch->name, sizeof launch->name, "%.50s", node);
}

enum status launch_find(const struct launch_wish *wish, const struct launch_around *around,
                        struct launch *launch, struct error *err)
{
    const char *head = get(around, "FOLDMILL_HEAD");
    *launch = (struct launch){.kind = LAUNCH_ALONE};
    if (wish->alone + wish->head + (wish->join != NULL) > 1)
        return error_set(err, STATUS_INVALID, "--alone, --head and --join exclude each other");
    choose_name(around, launch);
    if (wish->join) {
        launch->kind = LAUNCH_JOIN;
        if (snprintf(launch->to, sizeof launch->to, "%s", wish->join) >= PATH_MAX)
            return error_set(err, STATUS_LIMIT, "--join: the path is too long");
    } else if (wish->head) {
        launch->kind = LAUNCH_HEAD;
    } else if (!wish->alone) {
        return head ? by_name(head, around, launch, err) : by_slurm(wish, around, launch, err);
    }
    return STATUS_OK;
}
