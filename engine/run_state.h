/* Inside of `foldmill run`: one process that is the agent (starts and watches the others), the
 * coordinator (durable records) and the display. run.c opens and ends it, run_lists.c freezes the
 * lists, run_agent.c is its loop, run_report.c what it shows and writes. */
#ifndef FOLDMILL_RUN_STATE_H
#define FOLDMILL_RUN_STATE_H

#include "engine/control.h"
#include "engine/agent.h"
#include "engine/head.h"
#include "engine/http.h"
#include "engine/job.h"
#include "engine/ledger.h"
#include "engine/link.h"
#include "engine/progress.h"
#include "engine/run.h"
#include "engine/run_nodes.h"
#include "engine/run_ranks.h"
#include "engine/rundir.h"
#include "engine/supervise.h"

#include <stdio.h>

enum {
    RUN_TICK_MS = 50,
    RUN_METRICS_MS = 2000, /* between two rows of metrics.tsv */
    RUN_ROOM_MS = 500,     /* between two looks at the room on disks */
    RUN_SCRAPE_MS = 100,   /* metrics that are not older are told again */
    RUN_GIVE_UP = 6,       /* ends in a row of a process that never works stop the run */
    RUN_END_MS = 15000,    /* for the last processes to end by themselves */
};

enum child_kind { CHILD_HUB, CHILD_WORKER, CHILD_SINK };

/* How busy a sink was, lately. */
struct run_use {
    int64_t busy_ns, waited_ns; /* at the last look */
    double utilisation;
    bool known;
};

/* One child, by its number at the supervisor. */
struct run_child {
    enum child_kind kind;
    int stage, line; /* of a worker; of a sink */
    int index;       /* of a worker in its stage; of a sink: its rank */
    uint32_t started_gen; /* of a sink */
    bool sent;       /* a rank: the agent killed it because another of its line ended */
    uint64_t starts; /* that stand in processes.tsv */
    bool paused;     /* a sink: it was told to wait for room on a disk */
    bool finished;   /* a sink: all done */
    int failures;    /* of a sink in a row without a step */
    int64_t step;
    int64_t waited_ns; /* of a sink: that was told */
    struct run_use use;
    char role[SUPERVISE_NAME_MAX + 1], gen[16], place[256];
};

struct run {
    struct run_options options;
    struct rundir dir;
    struct job job;
    struct arena arena;
    struct supervisor *supervisor;
    struct run_child children[SUPERVISE_CHILDREN_MAX];
    struct link *coordinator;
    struct agent agent; /* to the dispatcher */
    struct run_nodes nodes;
    struct run_ranks ranks;
    char listen[LINK_ADDRESS_MAX]; /* of the coordinator, for other engines */
    struct ledger ledger;
    uint32_t gen[GRAPH_LINES_MAX]; /* that the ranks of a line were started for last */
    bool draining, stopping, finishing, failed;
    bool paused;      /* some sink waits for room on a disk: */
    char notice[256]; /* which, in words */
    int64_t room_ms;
    bool drain_asked; /* over the control socket */
    char failure[ERROR_TEXT_MAX];

    FILE *log, *metrics, *processes;
    struct progress progress;
    int64_t begin_ns, metrics_ns;
    int64_t cpu_ns; /* at the last row */
    uint64_t done_before[GRAPH_STAGES_MAX], busy_before[GRAPH_LINES_MAX];
    double rate[GRAPH_STAGES_MAX];
    int64_t rate_ns;
    double use_cpu; /* share of the CPUs, lately */
    int64_t use_cpu_ns;
    uint64_t deaths;
    int cpus;
    char node[64]; /* this host's name */
    struct control *control;
    struct http *http; /* NULL: no metrics over HTTP */
};

/* run_lists.c: every line's list, made now or as the run began with it. STATUS_EMPTY: a line has
 * nothing to work on; STATUS_INVALID: a sample's weight is not known. */
enum status run_lists_make(struct run *run, struct error *err);

/* run_agent.c. The first reason for which the run stops stays. */
void run_fail(struct run *run, const char *text);
/* The ranks of a line that start from now on are another generation. */
void run_next_gen(struct run *run, int line);
enum status run_start_worker(struct run *run, int stage, int index, struct error *err);
enum status run_agent_open(struct run *run, struct error *err);
/* Runs to the end; true when all sinks did what they had to, or drained. */
bool run_agent_loop(struct run *run);
void run_agent_close(struct run *run);

/* run_control.c: what people ask of a running engine. */
enum status run_control_open(struct run *run, struct error *err);

/* run_room.c */
void run_room_turn(struct run *run);

/* run_report.c */
enum status run_report_open(struct run *run, struct error *err);
void run_report_line(void *run, const char *child, struct span line); /* of a child's output */
void run_report_turn(struct run *run); /* progress, metrics.tsv, processes.tsv, when due */
void run_report_end(struct run *run);  /* the table, summary.txt, pictures */
void run_report_close(struct run *run);

#endif
