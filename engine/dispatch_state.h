/* Inside of the dispatcher: items, queues, workers and pools, shared by dispatch.c (what
 * messages do), dispatch_result.c (what workers answer), dispatch_item.c (where items are),
 * dispatch_pool.c (who works) and dispatch_report.c (what people are told). Everything is a row
 * of a table sized at opening; rows are named by their number. */
#ifndef FOLDMILL_DISPATCH_STATE_H
#define FOLDMILL_DISPATCH_STATE_H

#include "engine/dispatch.h"
#include "engine/mutant.h"
#include "engine/table.h"

#define NOBODY UINT32_MAX

struct link_row {
    uint32_t prev, next;
};

struct row_list {
    uint32_t head, tail, count;
};

/* One copy of one item of a line: waiting (queued or parked) or being worked on. There is at most
 * one waiting copy, and at most DISPATCH_COPIES_MAX running ones. */
struct item {
    uint64_t seq, producer; /* inc of who made the payload; 0: a sink's key */
    uint64_t key;           /* parked: hash of the key and of the line that fills it */
    int64_t start;          /* its seq, less its lead: queues are sorted by it, then by seq */
    int64_t since_ms;       /* in its present state */
    int64_t due_ms;         /* parked: when the key is called again */
    int64_t parked_ms;      /* parked: since when without a look */
    struct link_row queue, same_key;
    uint32_t gen, attempt, recycles;
    uint32_t size;          /* of the payload */
    uint32_t copy;          /* next copy of the same item, or next free row */
    uint32_t worker;        /* running: who */
    uint16_t line, stage, flags;
    uint8_t where;          /* enum where, or WHERE_FREE */
};
enum { WHERE_FREE = 255 };

struct worker {
    uint64_t inc, node;
    int64_t seen_ms, retiring_ms; /* retiring_ms -1: not asked to end */
    struct link_row free, all;
    uint32_t peer, index, entry[DISPATCH_CREDITS]; /* items; NOBODY: a free credit */
    int credits;
    uint16_t pool;
    bool known, fresh, solo, listed;
};

struct served {
    uint16_t line, stage;
};

struct pool {
    struct row_list free[DISPATCH_CREDITS + 1]; /* workers by free credits; [0] stays empty */
    struct row_list all, solo;                  /* workers; items that want a fresh process */
    struct served *serves;
    int serve_count, turn;
};

struct stage_row {
    struct row_list queue[2]; /* items by start: 1 those that somebody is waiting for */
    struct dispatch_counts counts;
};

struct sink_row {
    uint64_t inc;
    uint32_t peer;
    bool known;
};

struct line_row {
    struct dispatch_line config;
    uint32_t gen;
    /* Of a line that fills a store. It has ended since finished_ms (INT64_MAX: it has not): its
     * sink said so, or others spoke for absent_ms and it did not. */
    int64_t finished_ms, alone_ms;
    struct stage_row *stages;
    struct sink_row *sinks;
};

enum { DEAD_MAX = 256, AGENTS_MAX = 256, NEVER_MAX = 512 };

struct dispatch {
    struct dispatch_config config;
    struct line_row *lines;
    struct pool *pools;
    struct item *items;
    unsigned char *payloads;  /* MESSAGE_INLINE_MAX bytes for each item */
    struct worker *workers;
    struct table by_item, by_inc, by_place, by_key;
    struct table never;       /* keys that their line has set aside, as far as remembered */
    uint64_t agents[AGENTS_MAX];
    uint32_t agent_next;
    struct row_list parked;   /* by due_ms */
    uint32_t item_max, item_free, worker_free;
    uint64_t dead[DEAD_MAX];  /* incs that have ended: their late words count nothing */
    uint32_t dead_next;
    uint32_t running;
    bool draining;
    struct dispatch_totals totals;
    int64_t now_ms;           /* of the step in hand */
    int64_t tick_ms;          /* of the last tick */
    bool heard;               /* something, since the last tick */
    const struct outbox *out;
};

/* ---- dispatch_item.c ---- */

#define LIST_EMPTY ((struct row_list){NOBODY, NOBODY, 0})
void list_append(struct row_list *list, struct item *items, uint32_t row);
void list_remove(struct row_list *list, struct item *items, uint32_t row);

unsigned char *item_payload(const struct dispatch *d, uint32_t row);
uint32_t item_first(const struct dispatch *d, uint16_t line, uint64_t seq);
/* A new copy, in no queue yet; NOBODY when the table is full. */
uint32_t item_new(struct dispatch *d, uint16_t line, uint64_t seq);
/* Forgets a copy that is in no queue and at no worker. */
void item_drop(struct dispatch *d, uint32_t row);
void item_store(struct dispatch *d, uint32_t row, const struct message *from);
/* Puts it into its queue / takes it out of the queue or the parking place. */
void item_queue(struct dispatch *d, uint32_t row);
void item_unqueue(struct dispatch *d, uint32_t row);
void item_park(struct dispatch *d, uint32_t row);
/* Key of the parking place. */
uint64_t key_hash(int filler, const void *key, size_t size);
/* Tells the maker of the payload that nobody will read it. */
void item_free_block(struct dispatch *d, uint32_t row);
void block_free(struct dispatch *d, uint64_t producer, uint32_t peer, const struct message *in);
/* Sends FAIL to the sink, and forgets the item. */
void item_fail(struct dispatch *d, uint32_t row, enum cause cause, uint64_t inc, const void *text,
               uint32_t size);
void fail_send(struct dispatch *d, const struct message *item, enum cause cause, uint64_t inc,
               const void *text, uint32_t size);
/* Drops all waiting items of a line that are of another generation. */
void line_fence(struct dispatch *d, uint16_t line, uint32_t gen);
struct sink_row *sink_of(struct dispatch *d, uint16_t line, uint64_t seq);
struct stage_row *stage_of(const struct dispatch *d, uint16_t line, uint16_t stage);

/* ---- dispatch_result.c ---- */

/* OUT, ERR, REFUSED, MISS, LOST: what became of one piece of work. */
void take_result(struct dispatch *d, const struct message *in);
/* The item's key will never be in the store. */
void item_refuse_key(struct dispatch *d, uint32_t row);
/* Tells the line that fills the store that this parked item's key is waited for. */
void urgent_send(struct dispatch *d, uint32_t row);

/* ---- dispatch_pool.c ---- */

void pools_open(struct dispatch *d, struct arena *arena);
struct pool *pool_of(struct dispatch *d, uint16_t line, uint16_t stage);
uint32_t worker_find(const struct dispatch *d, uint64_t inc);
/* A process that has said HELLO, which replaces the one in its place (pool, node, index); NOBODY
 * when the table is full. */
uint32_t worker_add(struct dispatch *d, const struct message *in, const struct hello *hello,
                    uint16_t pool);
/* It has ended or is given up: what it holds is LOST. */
void worker_remove(struct dispatch *d, uint32_t row);
bool worker_dead(const struct dispatch *d, uint64_t inc);
void worker_mark_dead(struct dispatch *d, uint64_t inc);
/* The entry of exactly this attempt at this worker, or -1. */
int worker_entry(const struct dispatch *d, uint32_t row, const struct message *in);
/* Takes the item out of the worker's hands and gives the credit back. */
uint32_t worker_release(struct dispatch *d, uint32_t row, int entry);
/* Rule 5: what is older than held_ms and not in the held list is lost. */
void worker_compare(struct dispatch *d, uint32_t row, const struct held *held, uint32_t count);
/* Gives what waits to who is free. */
void pool_assign(struct dispatch *d, struct pool *pool);
/* Silence, and fresh processes for struck items. */
void pools_tick(struct dispatch *d);

#endif
