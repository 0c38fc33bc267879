/* A child's end of what the agent gave it: the socket over which it hears "drain" and asks for
 * other processes' pools, its page of counters, its own pool, and the pools of others that it has
 * seen. */
#ifndef FOLDMILL_LIFELINE_H
#define FOLDMILL_LIFELINE_H

#include "engine/base/arena.h"
#include "engine/metrics.h"
#include "engine/shm.h"

#include <stdbool.h>
#include <stdint.h>

enum { LIFELINE_VIEWS_MAX = 256 }; /* one for each process of the node */

struct lifeline {
    int socket;   /* to be waited for: readable when the agent says something */
    bool drain;   /* the agent asked to finish */
    bool paused;  /* a disk has little room: sinks wait */
    bool finish;  /* all other lines have ended */
    uint64_t inc; /* of this process */
    struct page *page;
    struct shm_pool *pool; /* NULL: makes no payloads */
    struct {
        uint64_t inc;
        struct shm_view *view;
    } views[LIFELINE_VIEWS_MAX]; /* by the producer's number: a new incarnation replaces the old */
};

/* Takes over the descriptors of enum child_fd. STATUS_INVALID when this process was not started by
 * an agent. */
enum status lifeline_open(struct lifeline *lifeline, uint64_t inc, struct error *err);
void lifeline_close(struct lifeline *lifeline);

/* Hears what the agent said; STATUS_EMPTY: the agent has gone, so should we. */
enum status lifeline_listen(struct lifeline *lifeline);

/* Finds the pool of the process inc, asking the agent when it is new. Not to be called by two
 * threads at a time, nor together with lifeline_listen. STATUS_MISS: that process is no more. */
enum status lifeline_view(struct lifeline *lifeline, uint64_t inc, struct shm_view **view,
                          struct error *err);

/* Copies a payload into arena and gives its block back. STATUS_CORRUPT: it was reused or damaged;
 * STATUS_LIMIT: too large. */
enum status lifeline_copy(struct shm_view *view, const struct shm_descriptor *descriptor,
                          struct arena *arena, void **payload, struct error *err);
/* Gives a block back unread. */
void lifeline_return(struct lifeline *lifeline, const struct shm_descriptor *descriptor);

#endif
