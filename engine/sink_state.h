/* Inside of the sink: its slots, shared by sink.c (what messages do), sink_window.c (which
 * positions are in the window, what is ready) and sink_report.c (what people are told). */
#ifndef FOLDMILL_SINK_STATE_H
#define FOLDMILL_SINK_STATE_H

#include "engine/mutant.h"
#include "engine/sink.h"
#include "engine/table.h"

struct slot {
    uint64_t seq, index;
    uint64_t blamed[SINK_STRIKES]; /* incs of the processes that it struck */
    int64_t first_ms;        /* of the first attempt */
    int64_t asked_ms;        /* of the newest */
    int64_t due_ms;          /* asked: ask again; need: ask not before */
    enum slot_state state;
    enum skip skip;
    uint32_t attempt;
    uint32_t recycles;       /* passes that it is asked for with */
    uint32_t blamed_attempt; /* the newest attempt that was a strike: each counts once */
    uint32_t strikes;
    enum cause cause;        /* of the last strike */
    bool solo, urgent;
    bool hurt;               /* an attempt was lost or struck: nobody works on it any more */
    char text[256];          /* reason of the last strike, or of the refusal */
};

enum { LATENCIES = 64 };

struct list_fifo {
    uint32_t *rows;
    uint32_t head, count, room;
};

struct sink {
    struct sink_config config;
    enum sink_mode mode;
    struct sink_counts counts;
    struct slot *slots;
    uint32_t per_rank;          /* slots of a batch */
    uint64_t base, next;        /* ordered: first n in the window, first n behind it */
    uint64_t step;              /* ordered: the next one */
    uint32_t *picked;           /* [per_rank] slots that it takes, once it is chosen ... */
    uint32_t picked_count;      /* ... else 0 */
    uint64_t *plan;             /* [per_rank] seqs of a step that is made again */
    bool plan_over;             /* there are no more such steps */
    /* Stores: positions that are done, those of them that will never be there, those called
     * urgent. */
    uint8_t *done, *final, *called;
    uint32_t *position;         /* index -> position; NULL: the same */
    uint64_t cursor;            /* next position to look at */
    struct table by_seq;
    struct list_fifo idle, ready, urgent; /* slots, slots, positions */
    struct table bad;           /* indices that were set aside before, at any position */
    struct table aside;         /* positions set aside, durably */
    uint32_t coordinator_epoch;
    uint64_t dispatcher_inc;    /* 0: not welcomed yet */
    uint64_t checkpoint, checkpoint_digest; /* committed, as far as known */
    uint64_t saved, saved_digest;           /* newest on disk */
    int64_t start_due, hello_due, hb_due, ckpt_due;
    uint32_t latency[LATENCIES]; /* ms; how long the last ones took from their first request on */
    uint32_t latency_count;
    int64_t latency_p95_ms;
    int64_t now_ms;
    const struct outbox *out;
    char reason[MESSAGE_TEXT_MAX + 1];
};

bool bit_get(const uint8_t *bits, uint64_t at);
void bit_set(uint8_t *bits, uint64_t at, bool value);
bool fifo_push(struct list_fifo *fifo, uint32_t row);
bool fifo_pop(struct list_fifo *fifo, uint32_t *row);

/* ---- sink_window.c ---- */
enum status window_open(struct sink *sink, struct arena *arena, struct error *err);
/* The slot of seq, or NULL when it is not in the window. */
struct slot *window_find(const struct sink *sink, uint64_t seq);
/* Takes in positions while there is room. */
void window_fill(struct sink *sink);
/* A key that another line waits for. */
void window_urgent(struct sink *sink, struct span key);
/* The position gets weight 0; tells the process why. */
void slot_skip(struct sink *sink, struct slot *slot, enum skip skip, const char *text);

/* ---- sink_steps.c ---- */
void steps_open(struct sink *sink, struct arena *arena);
/* Recycling passes of a step. */
uint32_t step_recycles(const struct sink *sink, uint64_t step);
/* True for a position that the next step cannot be made without. */
bool step_awaits(const struct sink *sink, const struct slot *slot);

/* ---- sink.c ---- */
/* Asks for the slot if it is due; again: with a new attempt number. */
void slot_ask(struct sink *sink, struct slot *slot, bool again);
void sink_send(struct sink *sink, enum sink_peer peer, struct message message);

#endif
