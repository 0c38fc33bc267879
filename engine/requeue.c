/* Out of quarantine; see requeue.h. */
#include "engine/requeue.h"

#include "engine/base/clock.h"
#include "engine/head.h"
#include "engine/rundir.h"
#include "engine/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* True when some line's list has the key. */
static bool is_known(const struct job *job, const char *key)
{
    bool known = false;
    for (int l = 0; l < job->graph->line_count && !known; l++) {
        struct head *head;
        if (head_open(&head, job, l, NULL) != STATUS_OK)
            continue;
        known = list_find(head->list, span_of(key)) != UINT64_MAX;
        head_close(head);
    }
    return known;
}

enum status requeue(const struct job *job, struct ledger *ledger, const char *key,
                    struct requeued *requeued, struct error *err)
{
    struct durable_log log = ledger_log(ledger);
    enum status status = STATUS_OK;
    *requeued = (struct requeued){0};
    for (int l = 0; l < job->graph->line_count && status == STATUS_OK; l++) {
        const struct graph_stage *sink = &job->graph->stages[job->graph->lines[l].sink];
        requeued->fills[l] = sink->kind->flags & STAGE_STORE;
        status = coordinate_requeue(ledger->coordinate, l, span_of(key), requeued->fills[l], &log,
                                    &requeued->aside[l], err);
        if (status == STATUS_OK && requeued->fills[l]) {
            enum status noted = store_requeue(graph_store_path(sink), key, err);
            requeued->refused[l] = noted == STATUS_OK;
            if (noted != STATUS_OK && noted != STATUS_MISS)
                status = noted;
        }
        requeued->any = requeued->any || requeued->aside[l] || requeued->refused[l];
    }
    if (status != STATUS_OK || requeued->any)
        return status;
    return is_known(job, key)
               ? error_set(err, STATUS_MISS, "%s is neither set aside nor refused in this run", key)
               : error_set(err, STATUS_INVALID, "no line of this run has a sample '%.200s'", key);
}

enum status requeue_stopped(struct job *job, const char *key, struct requeued *requeued,
                            struct error *err)
{
    char path[PATH_MAX];
    struct ledger ledger;
    struct arena arena;
    int lock = open(rundir_file(job->run_dir, "lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB)) {
        close(lock);
        return error_set(err, STATUS_BUSY,
                         "%s is in use: its engine starts or ends just now, or "
                         "runs on another host",
                         job->run_dir);
    }
    arena_open(&arena, 0);
    enum status status = ledger_open(&ledger, job, (uint64_t)clock_ns(), &arena, err);
    if (status == STATUS_OK)
        status = requeue(job, &ledger, key, requeued, err);
    ledger_close(&ledger);
    arena_close(&arena);
    close(lock);
    return status;
}

void requeue_print(const struct job *job, const struct requeued *requeued, FILE *out)
{
    for (int l = 0; l < job->graph->line_count; l++) {
        const char *name = job_line_name(job, l);
        if (requeued->refused[l])
            fprintf(out, "%s: its refusal is taken back, it is made again\n", name);
        if (requeued->aside[l] && requeued->fills[l])
            fprintf(out, "%s: no longer set aside, it is made again\n", name);
        else if (requeued->aside[l])
            fprintf(out,
                    "%s: used again from its next position on; the %u it missed stay as they "
                    "happened\n",
                    name, requeued->aside[l]);
    }
}
