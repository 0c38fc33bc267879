/* The sink's side of the protocol, as a pure step: the owner of all retries of its line. It keeps a
 * window of positions, asks the dispatcher for each, asks again when a deadline passes, drops what
 * is late, double or of another generation, counts strikes, and skips a position only when the
 * coordinator has durably set it aside. No clock, no socket, no allocation after opening.
 *
 * How a process uses it:
 *   sink_open; then sink_step for every message and, at least every 100 ms, with in == NULL.
 *   When sink_mode is SINK_STARTED: load the checkpoint, mark what a store already holds
 *   (sink_mark_done), sink_begin.
 *   A DATA that sink_slot wants (>= 0): copy and check its payload, keep it under that slot number,
 *   then sink_step(DATA); when the copy is bad, sink_step with its type changed to MESSAGE_LOST.
 *   A DATA that is not wanted goes to sink_step too (to be counted), its block is given back.
 *   Ordered sinks: while sink_batch is true, note what it takes (in the order overtake, before
 *   anything is fed), feed those slots, then sink_batch_done.
 *   Others: sink_take, feed; after the store's commit sink_committed for each of them. */
#ifndef FOLDMILL_SINK_H
#define FOLDMILL_SINK_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/message.h"
#include "engine/order.h"

enum {
    SINK_WINDOW_MAX = 65536,
    SINK_BATCH_MAX = 4096,
    SINK_STRIKES = 3,
    SINK_DEADLINE_MIN_MS = 2000,   /* default of deadline_min_ms */
    SINK_DEADLINE_MAX_MS = 120000, /* default of deadline_max_ms */
    SINK_REPEAT_MS = 500,          /* START, QPROP, CKPT until answered */
    SINK_HB_MS = 1000,
};

/* Where messages of a sink go: their peer. */
enum sink_peer { SINK_TO_DISPATCH, SINK_TO_COORDINATE };

enum sink_mode {
    SINK_STARTING, /* asks the coordinator for its generation */
    SINK_STARTED,  /* has it; sink_begin is awaited */
    SINK_RUNNING,
    SINK_DRAINING, /* the run ends: asks for nothing more */
    SINK_FENCED,   /* a newer generation exists, or the run was refused: this process must end */
};

enum slot_state {
    SLOT_NEED,     /* to be asked for */
    SLOT_ASKED,
    SLOT_HAVE,     /* data is there */
    SLOT_TAKEN,    /* stores: its process is storing it; ordered: a step has taken it */
    SLOT_PROPOSED, /* struck three times, the coordinator has been asked to set it aside */
    SLOT_SKIPPED,  /* weight 0: set aside, refused, dropped by a filter, or padding */
    SLOT_IDLE,     /* no position */
};

/* Why a slot has weight 0. */
enum skip { SKIP_NO, SKIP_PADDING, SKIP_EMPTY, SKIP_REFUSED, SKIP_ASIDE };

struct sink_config {
    uint64_t job, inc;
    uint64_t node; /* of an engine that joined; 0: the head */
    uint16_t line;
    uint32_t gen;            /* the generation that the supervisor started it for */
    struct start start;
    uint64_t graph_hash;     /* for HELLO */
    struct order order;
    uint32_t rank, rank_count;
    uint32_t window;         /* slots; a multiple of group / rank_count for ordered sinks */
    bool ordered;            /* steps in order; else a store: any order, urgent keys first */
    bool retries_first;      /* what was lost or struck, or is late for the next step, is urgent */
    /* Ordered: a sample may be overtaken by so many later ones of its rank, 0: steps are strict.
     * The window must be larger by as much, at least. */
    uint32_t overtake;
    uint64_t seq_end;        /* one past the last seq: epochs * positions, or less (whole steps) */
    uint32_t recycles_max;
    int64_t deadline_min_ms, deadline_max_ms; /* 0: defaults */
    /* [order.count] by how many positions work on each sample is begun before its turn, as far as
     * the window goes (head_leads); borrowed. NULL: in turn. */
    const uint16_t *lead;
    /* Pure look-ups in the frozen list. key: writes at most MESSAGE_KEY_MAX bytes, returns how
     * many. find (stores): the index of key, or ORDER_EMPTY. */
    void *user;
    size_t (*key)(void *user, uint64_t index, char *key);
    uint64_t (*find)(void *user, struct span key);
    /* In the order overtake: what the journal says that this rank's share of a step took, for steps
     * that are made again: true and its count seqs, ascending. May be NULL: nothing is known. */
    bool (*planned)(void *user, uint64_t step, uint64_t *seqs, uint32_t count);
    /* Told once for every position that gets no data in the end; text is the reason. May be
     * NULL. */
    void (*skipped)(void *user, uint64_t seq, uint64_t index, enum skip skip, const char *text);
};

struct sink;

/* Checks the configuration (STATUS_INVALID) and takes all memory from arena. */
enum status sink_open(struct sink **sink, const struct sink_config *config, struct arena *arena,
                      struct error *err);

/* Takes one message, or NULL for a tick. */
void sink_step(struct sink *sink, const struct message *in, int64_t now_ms,
               const struct outbox *out);

enum sink_mode sink_mode(const struct sink *sink);
const char *sink_reason(const struct sink *sink); /* of SINK_FENCED, in words */
/* The committed checkpoint of SINK_STARTED: steps done, and its digest; 0: start anew. */
uint64_t sink_checkpoint(const struct sink *sink, uint64_t *digest);

/* Stores: position `seq` (of epoch 0) needs no work, its record is there. Before sink_begin. */
void sink_mark_done(struct sink *sink, uint64_t seq);
/* Order overtake: a step that the checkpoint covers has taken seq. Of all its steps, in order,
 * before sink_begin. False: seq does not fit the window, or was taken before. */
bool sink_mark_taken(struct sink *sink, uint64_t seq);
/* Starts asking, from step `step` (ordered; 0 for stores). */
void sink_begin(struct sink *sink, uint64_t step, int64_t now_ms, const struct outbox *out);
/* Lets an ordered sink go on to another end (a further pass); never back. */
void sink_extend(struct sink *sink, uint64_t seq_end);
/* True when every position up to seq_end is done (stores: committed or skipped). */
bool sink_done(const struct sink *sink);

/* The slot that waits for this DATA, 0..window-1, or -1: late, double, of another generation, or
 * set aside. */
int sink_slot(const struct sink *sink, const struct message *data);

/* One position of a batch. */
struct sink_item {
    uint64_t seq, index; /* index ORDER_EMPTY: padding */
    int slot;
    enum skip skip;      /* SKIP_NO: data is under slot; else weight 0 */
};
struct sink_batch {
    uint64_t step, epoch, position; /* of the first item of the whole group */
    uint32_t recycles;
    uint32_t count;
    struct sink_item items[SINK_BATCH_MAX];
};
/* Ordered: fills batch and returns true when the next step can be made. What it takes is chosen
 * when it is first asked, and stays so until sink_batch_done. */
bool sink_batch(struct sink *sink, struct sink_batch *batch, int64_t now_ms,
                const struct outbox *out);
/* That step is done: the window moves on, and asks. */
void sink_batch_done(struct sink *sink, int64_t now_ms, const struct outbox *out);

/* Checkpoint of `step` steps is on disk: proposes it until sink_committed_step says so. */
void sink_checkpoint_saved(struct sink *sink, uint64_t step, uint64_t digest, int64_t now_ms,
                           const struct outbox *out);
uint64_t sink_committed_step(const struct sink *sink);

/* Stores: takes the next item that is there, false when none is. A refused item comes too, with
 * skip SKIP_REFUSED and its reason in sink_item_text: it wants a tombstone. */
bool sink_take(struct sink *sink, struct sink_item *item);
const char *sink_item_text(const struct sink *sink, int slot);
/* The item of that slot is durable in the store. */
void sink_committed(struct sink *sink, int slot, int64_t now_ms, const struct outbox *out);

/* Says BYE, FINAL when sink_done. */
void sink_bye(struct sink *sink, const struct outbox *out);

/* For progress and `why`. */
struct sink_counts {
    uint64_t done;       /* positions that are behind the window, or committed */
    uint32_t slots[SLOT_IDLE + 1]; /* in each state */
    uint64_t asked, asked_again, accepted, dropped_late, dropped_gen;
    uint64_t strikes, aside, refused, empty;
    uint64_t overtaken;  /* taken later than by a step of strict order */
    uint64_t recounted;  /* asked for again with the passes of another step */
    int64_t latency_ms;  /* from the first request on, 95th percentile of the last 64 */
};
void sink_count(const struct sink *sink, struct sink_counts *counts);
struct sink_wait {
    uint64_t seq, index;
    enum slot_state state;
    uint32_t attempt, strikes;
    int64_t asked_ms;    /* when this attempt was asked for */
};
bool sink_why(const struct sink *sink, int slot, struct sink_wait *wait);

#endif
