/* A graph file as the engine uses it: stages with their settings, and the lines that they form
 * (engine/README.md). Reading checks everything that can be known before anything starts, and tells
 * all mistakes in one pass. */
#ifndef FOLDMILL_GRAPH_H
#define FOLDMILL_GRAPH_H

#include "engine/complaint.h"
#include "engine/params.h"
#include "engine/stage.h"

#include <stdio.h>

enum {
    GRAPH_STAGES_MAX = 128,
    GRAPH_LINES_MAX = 64,
    GRAPH_WORK_MAX = 16,      /* work stages of one line */
    GRAPH_MIX_MAX = 8,        /* data sets of one line */
    GRAPH_WORKERS_MAX = 1024, /* of one stage */
    GRAPH_RANKS_MAX = 64,     /* of one sink */
    GRAPH_NAME_MAX = 47,
    GRAPH_QUEUE_MAX = 32768,    /* positions that a sink asks for ahead */
    GRAPH_OVERTAKE_MAX = 16384, /* positions by which one may be overtaken */
    GRAPH_MEMORY_MIN = 1 << 20, /* bytes of `memory:`; no process lives on less */
};

/* One data set of a mixture: a store's port. */
struct graph_part {
    int store;         /* stage */
    const char *split; /* "" for all, else its port */
    double share;      /* of the line's positions, in any unit */
};

struct graph_stage {
    const char *name;
    const struct stage *kind;
    int input;             /* index of the stage named in `in`; -1: none; the first of a mixture */
    struct graph_part mix[GRAPH_MIX_MAX]; /* `in: {a.train: 0.25, b.train: 0.75}` */
    int mix_count;         /* 0: `in` names one stage */
    const char *split; /* of the input's samples, when it is a store: "" for all, else its port */
    const char *role;      /* `on`; "" when the graph does not say */
    int workers;
    int ranks; /* of a sink: processes that make its steps together */
    int queue; /* of a sink: positions that it asks for ahead; 0: as plan.c says */
    int64_t timeout_ms;    /* 0: none */
    uint64_t memory_bytes; /* 0: no limit */
    void *state;           /* the settings, kind->state_size bytes */
    uint64_t recipe;       /* of what reaches this stage: kinds, versions and settings above it, in
                              order, its own included; what a store's records are made by */
    struct place place;    /* of its name in the graph */
};

struct graph_line {
    int head;                    /* stage: the source, or the store that is read */
    const char *split;           /* of the head's samples; "": all; of a mixture "" */
    const struct graph_part *mix; /* the stores that are read, the first of them the head */
    int mix_count;               /* 0: one head */
    int work[GRAPH_WORK_MAX], work_count;
    int gather;                  /* -1: none */
    int sink;                    /* gives the line its name */
    int filled_by;               /* the line that fills the store which this one reads; -1: none */
};

struct graph {
    const char *name, *path;
    uint64_t seed;
    int64_t max_bad;             /* -1: the larger of 10 and 0.1 % of the positions */
    uint32_t overtake;           /* `order`: 0 strict, else {overtake: so many} */
    int stage_count, line_count;
    struct graph_stage stages[GRAPH_STAGES_MAX];
    struct graph_line lines[GRAPH_LINES_MAX];
    uint64_t hash;               /* of everything that decides what is made, and in which order */
};

/* What is changed from outside: "--set crop.length=64", the text after --set. */
struct graph_overrides {
    const char *const *text;
    int count;
};

/* Reads and checks the graph at path. run_dir: for "{run}" in paths, or NULL. Everything lies in
 * arena. NULL after at least one complaint. */
struct graph *graph_load(const char *path, const struct graph_overrides *overrides,
                         const char *run_dir, struct arena *arena, struct complaints *complaints);

/* The same from text in memory. */
struct graph *graph_parse(const struct source_text *source, const struct param_roots *roots,
                          const struct graph_overrides *overrides, struct arena *arena,
                          struct complaints *complaints);

/* Writes the graph with every value filled in and absolute paths: a graph again, of the same hash.
 */
void graph_write(const struct graph *graph, FILE *out);

/* The line whose sink is the stage of that name; -1: none. */
int graph_line_find(const struct graph *graph, const char *sink);

/* A number or choice of the line's sink by its name, as validate and workers must know it without
 * opening the sink (`epoch_length`, `weights`); fallback: it has no such setting. */
int64_t graph_sink_setting(const struct graph *graph, const struct graph_line *line,
                           const char *name, int64_t fallback);

/* By how many positions of its rank one of the line may be overtaken: as the graph says where the
 * sink keeps checkpoints; 0 of other lines, which take samples in order or fill a store. */
uint32_t graph_line_overtake(const struct graph *graph, const struct graph_line *line);

/* Samples that one step of a line takes (its gather stage's setting "size"; 1 without one). */
int64_t graph_line_batch(const struct graph *graph, const struct graph_line *line);

/* The path of a store stage (its setting "path"). */
const char *graph_store_path(const struct graph_stage *stage);

#endif
