/* What the processes of a running engine count, added up: for its progress, its tables, and
 * everybody who asks over the control socket. */
#ifndef FOLDMILL_RUN_COUNT_H
#define FOLDMILL_RUN_COUNT_H

#include "engine/run_state.h"
#include "engine/snapshot.h"

struct run_sums {
    int running;
    uint64_t counter[METRIC_COUNT], started;
    int64_t held;
};

/* Of all workers of a stage, those that have gone and those of engines that joined included. */
struct run_sums run_sum_stage(const struct run *run, int stage);
/* The number of the first sink of a line at the supervisor. */
int run_find_sink(const struct run *run, int line);
/* What waits at the dispatcher for a stage, in all lines. */
int64_t run_queue(const struct run *run, int stage);
/* CPU time in nanoseconds of this process and all its children, living and dead. */
int64_t run_cpu_ns(const struct run *run);
/* Rates of all stages and sinks since the last call, smoothed. */
void run_update_rates(struct run *run);

/* Everything. */
void run_snapshot(struct run *run, struct snapshot *snapshot);

#endif
