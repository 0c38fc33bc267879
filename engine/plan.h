/* What a graph means on one node: processes, credits, windows, and the memory that they may use. */
#ifndef FOLDMILL_PLAN_H
#define FOLDMILL_PLAN_H

#include "engine/graph.h"

#include <stdio.h>

enum {
    PLAN_CREDITS = 2,          /* samples that a worker may hold */
    PLAN_WINDOW_MIN = 16,      /* positions that a sink asks for ahead */
    PLAN_WINDOW_MAX = 4096,
};

#define PLAN_POOL_BYTES ((size_t)64 << 20) /* payload pool of a worker without a `memory:` */

/* Payload pool of one worker of a stage: a quarter of its `memory:`, at most PLAN_POOL_BYTES. */
size_t plan_pool_bytes(const struct graph_stage *stage);

struct plan_line {
    const struct graph_line *line;
    uint64_t window;  /* positions that each rank of its sink asks for ahead */
};

struct plan {
    const struct graph *graph;
    bool here[GRAPH_STAGES_MAX];       /* this node runs the stage */
    int processes;                     /* of all kinds, the engine's own two included */
    size_t pool_bytes;                 /* payload pools of all workers */
    uint64_t device_bytes;             /* GPU to plan for; 0: this machine as it is */
    struct plan_line lines[GRAPH_LINES_MAX];
};

/* role "": a node that runs everything; else stages with that `on`, and those without one. */
void plan_make(const struct graph *graph, const char *role, struct plan *plan);

/* The sizes that the line's stages fix for its sink's input, by capital; 0 where none does. */
void plan_sizes(const struct graph *graph, const struct graph_line *line, int64_t size[26]);

/* STATUS_LIMIT: a sink of this node says that it does not fit into its memory; text says what
 * would. */
enum status plan_fits(const struct plan *plan, struct error *err);

/* The plan as a table for people; false when a sink says that it cannot run so (the table tells
 * why). */
bool plan_print(const struct plan *plan, FILE *out);

#endif
