/* The dispatcher's side of the protocol, as a pure step: queues, credits and blame for all lines
 * of a node. Everything in it is soft: it may be killed at any time, and then sinks ask again.
 * It never reads payloads; it remembers which process made one, so that a block that nobody will
 * read goes back. Every message costs a constant number of table look-ups, and a walk over the
 * waiting items that it goes before.
 *
 * A worker belongs to a pool: the process type of one stage, which may serve several (line,
 * stage) pairs. Pools give urgent work first, then lines of a lower rank, then lines in turn; of
 * one stage of a line what is to be begun first, by seq less lead. */
#ifndef FOLDMILL_DISPATCH_H
#define FOLDMILL_DISPATCH_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/message.h"

enum {
    DISPATCH_LINES_MAX = 64,
    DISPATCH_STAGES_MAX = 16,     /* work stages of a line */
    DISPATCH_POOLS_MAX = 256,
    DISPATCH_WORKERS_MAX = 4096,
    DISPATCH_RANKS_MAX = 64,
    DISPATCH_CREDITS = 2,
    DISPATCH_DEAR = 4,            /* what takes as long as so many gets a process alone */
    DISPATCH_COPIES_MAX = 2,      /* of one item being worked on at the same time */
    DISPATCH_HELD_MS = 2000,      /* T of rule 5 */
    DISPATCH_SILENT_MS = 5000,    /* without a word: given up */
    DISPATCH_PARK_MS = 1000,      /* a parked item's key is called urgent again after this ... */
    DISPATCH_RETRY_MS = 8000,     /* ... and looked for again after that */
    DISPATCH_ABSENT_MS = 30000,   /* nobody has filled the store for so long: nobody will */
};

struct dispatch_line {
    int stage_count;
    uint16_t pool[DISPATCH_STAGES_MAX];
    uint64_t group;          /* samples of a step on all ranks */
    uint32_t rank_count;     /* sink processes */
    uint32_t window;         /* slots of one rank */
    int filled_by;           /* the line that fills the store that this one reads; -1: none */
    uint32_t rank;           /* 0: training and evaluation; 1: filling ahead of them */
};

struct dispatch_config {
    uint64_t job, inc, graph_hash;
    int line_count, pool_count;
    uint32_t worker_max;     /* processes that may be known at a time */
    const struct dispatch_line *lines;
    int64_t held_ms, silent_ms, absent_ms; /* 0: defaults */
};

struct dispatch;

/* Checks the configuration (STATUS_INVALID) and takes all memory from arena. */
enum status dispatch_open(struct dispatch **dispatch, const struct dispatch_config *config,
                          struct arena *arena, struct error *err);

/* Takes one message, or NULL for a tick (at least every 100 ms). */
void dispatch_step(struct dispatch *dispatch, const struct message *in, int64_t now_ms,
                   const struct outbox *out);

/* Per stage of a line, for progress. */
struct dispatch_counts {
    uint32_t queued, running, parked;
    uint32_t workers;        /* of its pool, known and alive */
    uint64_t done, refused, failed, missed;
};
void dispatch_count(const struct dispatch *dispatch, int line, int stage,
                    struct dispatch_counts *counts);

/* What was dropped, and why; for logs and tests. */
struct dispatch_totals {
    uint64_t messages, dropped_job, dropped_gen, dropped_unknown, dropped_full, replaced, declined,
        credits_recovered, challenged, workers_lost, freed;
    uint32_t items, items_max; /* in hand now; room for */
};
void dispatch_total(const struct dispatch *dispatch, struct dispatch_totals *totals);

enum where { WHERE_QUEUED, WHERE_RUNNING, WHERE_PARKED };

/* Where an item is. */
struct dispatch_place {
    uint16_t line, stage;
    uint64_t seq;
    uint32_t gen, attempt;
    enum where where;
    uint64_t worker_inc;     /* WHERE_RUNNING */
    uint32_t worker_index;
    int64_t since_ms;        /* in this state */
    bool urgent, solo;       /* of a request that somebody waits for; of a struck item */
};
/* Fills up to max places of the item (its copies), returns how many. */
int dispatch_why(const struct dispatch *dispatch, uint16_t line, uint64_t seq,
                 struct dispatch_place *places, int max);

/* The run ends: gives no more work; sinks are told. True when no work is running. */
void dispatch_drain(struct dispatch *dispatch, const struct outbox *out);
bool dispatch_idle(const struct dispatch *dispatch);

#endif
