/* The page that each process of a run shares with its agent: a black box that says which sample is
 * being worked on (so that blame is exact when the process dies), counters for progress and tables,
 * and the numbers that a stage reports by name. The agent makes the page (a memfd) and passes it at
 * exec; it outlives the process and is read after the process has died. */
#ifndef FOLDMILL_METRICS_H
#define FOLDMILL_METRICS_H

#include "engine/base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { METRICS_REPORTS_MAX = 32, METRICS_NAME_MAX = 31, METRICS_KEY_MAX = 255 };

/* Counters: only ever grow. Times are nanoseconds. */
enum metric {
    METRIC_DONE, /* samples finished: sent on, or stored, or used in a step */
    METRIC_REFUSED,
    METRIC_FAILED, /* attempts that ended in an error */
    METRIC_REUSED, /* of those done: taken from a record that holds them unchanged (reuse.h) */
    METRIC_MISSED, /* records that were not in the store yet */
    METRIC_BYTES_IN,
    METRIC_BYTES_OUT,
    METRIC_BUSY_NS,      /* inside stage code */
    METRIC_WAIT_WORK_NS, /* waiting for samples */
    METRIC_WAIT_ROOM_NS, /* waiting for a block to put the result in */
    METRIC_RESENT,       /* requests that were sent again */
    METRIC_DROPPED,      /* messages that nobody wanted: malformed, late, double */
    METRIC_COUNT
};

/* Gauges: what is so now. */
enum gauge {
    GAUGE_QUEUE,       /* dispatcher: work waiting; sink: samples in hand, ready to be used */
    GAUGE_HELD,        /* samples being worked on */
    GAUGE_WANTED,      /* sink: samples asked for and not there yet */
    GAUGE_STEP,        /* sink: steps done */
    GAUGE_EPOCH,       /* sink: epoch of the next step */
    GAUGE_POSITION,    /* sink: positions of that epoch that are done */
    GAUGE_TOTAL,       /* sink: positions of one epoch */
    GAUGE_STEPS_TOTAL, /* sink: steps until the end, 0 when unknown */
    GAUGE_DONE,        /* sink: positions that are done, of all epochs */
    GAUGE_QUARANTINED, /* sink: positions set aside */
    GAUGE_STATE,       /* enum process_state */
    GAUGE_WAITS_SINCE_NS, /* sink: clock_ns when it began to wait; 0: it computes */
    GAUGE_COUNT
};

enum process_state {
    PROCESS_STARTING,
    PROCESS_WORKING,
    PROCESS_DRAINING,
    PROCESS_FINISHED, /* a sink: nothing more to do */
    PROCESS_PAUSED,   /* a sink: waits for room on a disk */
};

/* Why the agent killed a process: written before it kills. */
enum verdict { VERDICT_NONE, VERDICT_TIMEOUT, VERDICT_MEMORY };

struct black_box {
    _Atomic uint32_t executing; /* 1 while inside stage code; the fields below are then valid */
    _Atomic uint32_t verdict;   /* enum verdict, by the agent */
    uint64_t seq;
    uint32_t gen, attempt;
    uint32_t line, stage;
    int64_t since_ns; /* clock_ns at the start */
    char key[METRICS_KEY_MAX + 1];
};

struct report {
    char name[METRICS_NAME_MAX + 1];
    _Atomic uint64_t bits; /* of a double */
};

struct page {
    struct black_box box;
    _Atomic uint64_t counter[METRIC_COUNT];
    _Atomic int64_t gauge[GAUGE_COUNT];
    _Atomic uint32_t report_count;
    struct report report[METRICS_REPORTS_MAX];
};

/* Agent: makes a page and maps it; the descriptor is passed to the child. Process: maps it. */
enum status page_make(int *fd, struct page **page, struct error *err);
enum status page_map(int fd, struct page **page, struct error *err);
void page_unmap(struct page *page);

/* The black box: set before stage code is entered, cleared after it has returned. */
void black_box_enter(struct page *page, uint32_t line, uint32_t stage, uint64_t seq, uint32_t gen,
                     uint32_t attempt, const char *key);
void black_box_leave(struct page *page);

static inline void metric_add(struct page *page, enum metric metric, uint64_t value)
{
    atomic_fetch_add_explicit(&page->counter[metric], value, memory_order_relaxed);
}

static inline uint64_t metric_get(const struct page *page, enum metric metric)
{
    return atomic_load_explicit(&page->counter[metric], memory_order_relaxed);
}

static inline void gauge_set(struct page *page, enum gauge gauge, int64_t value)
{
    atomic_store_explicit(&page->gauge[gauge], value, memory_order_relaxed);
}

static inline int64_t gauge_get(const struct page *page, enum gauge gauge)
{
    return atomic_load_explicit(&page->gauge[gauge], memory_order_relaxed);
}

/* Publishes a number by name; names beyond METRICS_REPORTS_MAX are ignored. One thread reports. */
void report_set(struct page *page, const char *name, double value);
/* True when it was reported. */
bool report_get(const struct page *page, const char *name, double *value);

#endif
