/* A run as its processes see it: the resolved graph RUN/graph.yaml with the numbers by which
 * messages name lines, stages and pools, and where the run's files are. Every process of a run
 * reads the same file and so gets the same numbers. */
#ifndef FOLDMILL_JOB_H
#define FOLDMILL_JOB_H

#include "engine/graph.h"
#include "engine/metrics.h"
#include "engine/network.h"
#include "engine/plan.h"
#include "engine/runner.h"
#include "engine/stage.h"

#include <limits.h>
#include <stdint.h>

struct job {
    struct arena arena;
    struct network net;
    struct graph *graph;
    struct plan plan;
    uint64_t id;
    char run_dir[PATH_MAX], sockets[PATH_MAX];
    int pool[GRAPH_STAGES_MAX]; /* of the dispatcher; -1: has no workers of its own */
    int pool_count;
    uint64_t batch[GRAPH_LINES_MAX]; /* samples of a step */
    int ranks[GRAPH_LINES_MAX];      /* of its sink */
};

/* Numbers the stages of graph, which must lie in job->arena or live as long; job->net is set. */
void job_make(struct job *job, struct graph *graph, const char *run_dir, const char *sockets);

/* Reads RUN/graph.yaml and numbers it. Errors have the first mistake's text. */
enum status job_load(struct job *job, const char *run_dir, const char *sockets, struct error *err);

/* Whether workers of the stage may live on another engine: not where they read a store by key,
 * which lies on the node that fills it. */
bool job_travels(const struct job *job, int stage);

const char *job_line_name(const struct job *job, int line); /* its sink's */

/* "ipc://SOCKETS/NAME" into buffer, which is returned; in an engine that joined another: that
 * one's "dispatch" and "coordinate". */
char *job_address(const struct job *job, const char *name, char *buffer, size_t size);

/* The list file that holds the line's keys: that of its source; for a line that reads a store, of
 * the source that fills it, or the list of the store's own records; for a mixture, the list of all
 * its stores' records. Returns path. */
char *job_list_path(const struct job *job, int line, char path[PATH_MAX]);

/* What records that the line reads are made by; 0: no fill line, so any record will do. */
uint64_t job_recipe(const struct job *job, int line);

/* The path of the store that the line reads (of a mixture: the first one), or NULL: it reads a
 * source's list. */
const char *job_store_path(const struct job *job, int line);

/* Samples of the line that may be set aside before the run stops. */
uint64_t job_max_bad(const struct job *job, uint64_t positions);

/* Bytes of shared memory for the payloads of one worker: a quarter of its `memory:`, at most
 * PLAN_POOL_BYTES. */
size_t job_pool_bytes(const struct job *job, int stage);

/* The name under which the dispatcher reports what waits for a stage of a line. */
char *job_queue_name(int line, int place, char name[METRICS_NAME_MAX + 1]);

/* What a stage's context says beyond the graph. */
struct job_facts {
    int line, worker; /* line -1: a work stage of any */
    int rank;         /* of the line's sink */
    uint64_t list_count, list_hash;
    bool replay;
};

/* Opens a stage of this process. Its numbers go to page (NULL: nowhere). */
enum status job_open_stage(struct job *job, int stage, const struct job_facts *facts,
                           struct page *page, struct runner *runner, struct error *err);

#endif
