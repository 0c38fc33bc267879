/* Ranks of a line that run on engines which joined: where each has its place, that all of a
 * generation are started, and what it means when one of them ends or its engine goes. Rank 0 and
 * as many as `--ranks` says run at the head, whose supervisor has them; engines are asked for the
 * others again and again until they say that they run them. */
#ifndef FOLDMILL_RUN_RANKS_H
#define FOLDMILL_RUN_RANKS_H

#include "engine/join_words.h"

enum { RUN_FAR_MAX = 256, RUN_RANKS_TELL_MS = 10000 };

/* One rank elsewhere. */
struct run_far {
    int line, rank;
    uint64_t node; /* its engine; 0: it has no place */
    char name[NETWORK_NAME_MAX + 1];
    uint32_t gen; /* that the report is of */
    struct rank_report report;
    int failures; /* by its own doing in a row without a step */
    int64_t step;
};

struct run_ranks {
    struct run_far far[RUN_FAR_MAX];
    int count;
    bool held[GRAPH_LINES_MAX]; /* the line waits for places */
    int64_t told_ms;
    int told; /* places that were missing then */
};

struct run;
struct run_node;

/* Before processes start. STATUS_INVALID: ranks are to run elsewhere, and nobody may join. */
enum status run_ranks_open(struct run *run, struct error *err);
/* How many ranks of a line's sink run here. */
int run_ranks_here(const struct run *run, int line);
bool run_ranks_any(const struct run *run, int line);

/* Where each rank of the line is, as sink_run has it; NULL: all here. Lives until the next call. */
const char *run_ranks_place(const struct run *run, int line);

/* Gives places out, and tells people what is missing. */
void run_ranks_turn(struct run *run);
/* An engine's RANK. */
void run_ranks_take(struct run *run, const struct run_node *node, const struct message *in);
/* Asks an engine for what it does not show yet. */
void run_ranks_say(struct run *run, const struct run_node *node);
/* An engine is no more: the lines of its ranks begin anew, when they have places. */
void run_ranks_gone(struct run *run, uint64_t node);
/* The line has another generation: engines hear it at once. */
void run_ranks_renewed(struct run *run, int line);

/* All have done what they had to; how many still run. */
bool run_ranks_done(const struct run *run);
int run_ranks_running(const struct run *run);

#endif
