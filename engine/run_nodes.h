/* The engines that joined this run, as its head knows them: lets them in, gives them the graph and
 * the frozen lists, adds their counters up, and tells them when the run is over. The dispatcher
 * knows their workers by itself. */
#ifndef FOLDMILL_RUN_NODES_H
#define FOLDMILL_RUN_NODES_H

#include "engine/join_words.h"
#include "engine/message.h"
#include "engine/metrics.h"
#include "engine/network.h"

enum {
    RUN_NODES_MAX = 256,
    RUN_NODE_SILENT_MS = 5000, /* without a word: not counted any more */
    RUN_NODES_END_MS = 3000,   /* for them to hear that the run is over */
};

struct run_node {
    uint64_t inc; /* of the engine; 0: a free row */
    uint32_t peer;
    int64_t seen_ms, joined_ms, rows_ms; /* rows_ms: of its last rows */
    char name[NETWORK_NAME_MAX + 1];
    struct join_row rows[GRAPH_STAGES_MAX]; /* by the number of the stage */
    double rate[GRAPH_STAGES_MAX];          /* samples a second, lately */
    int places;                             /* for ranks of a line */
    int asked[GRAPH_STAGES_MAX]; /* workers asked for by foldmill scale, and one; 0: none */
    bool leaving;                /* asked to, by foldmill drain */
};

struct run_nodes {
    struct run_node node[RUN_NODES_MAX];
    struct join_row gone[GRAPH_STAGES_MAX]; /* of those that have left */
    struct joined joined;                   /* what each is told */
    bool closing;
    uint64_t joins;
};

struct run;

/* Before the graph is settled and anything started: chooses addresses, makes keys where none are
 * given, and writes the file for children. Nothing without --head. */
enum status run_nodes_plan(struct run *run, struct error *err);
/* When the lists are frozen and the coordinator listens here: listens outside, and writes
 * RUN/rendezvous. */
enum status run_nodes_open(struct run *run, struct error *err);
/* The run has done all that it had to: engines that come now need not wait for a head. */
void run_nodes_over(struct run *run);
/* True: the message was for us. */
bool run_nodes_take(struct run *run, const struct message *message);
/* Those that are silent are given up. */
void run_nodes_turn(struct run *run);
/* Tells all that the run is over; true when nobody is left. Repeat until then, or for
 * RUN_NODES_END_MS. */
bool run_nodes_dismiss(struct run *run);

/* The one of that name, NULL: none. */
struct run_node *run_nodes_find(struct run *run, const char *name);
/* Asks it for so many workers of a stage; to leave. Repeated until it has heard. */
void run_nodes_scale(struct run *run, struct run_node *node, int stage, int workers);
void run_nodes_drain(struct run *run, struct run_node *node);

/* How many there are. */
int run_nodes_count(const struct run *run);
/* A stage's rows at all of them, those that have left included. */
struct join_row run_nodes_sum(const struct run *run, int stage);

#endif
