/* A seeded simulator of one run: the product's own sink, dispatcher and coordinator, driven by
 * modelled workers, an agent, a store, a trainer and a network that loses, doubles, delays and
 * reorders. A seed gives one history, with faults until TIME_FAULTS; the guarantees are checked
 * all the way.
 *
 * Line 0 fills a store: two stages, a sink. Line 1 trains from it: two stages, two ranks, two
 * epochs, in strict order or in one where some may be overtaken. In every second world two engines
 * join and leave, are killed and cut off, with a worker each for stages that read no store. */
#ifndef FOLDMILL_SIM_H
#define FOLDMILL_SIM_H

#include "engine/coordinate.h"
#include "engine/dispatch.h"
#include "engine/mutant.h"
#include "engine/sink.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LINES = 2, FILL = 0, TRAIN = 1,
    STAGES = 2,
    KEYS = 30,
    RANKS = 2, PER_RANK = 2, GROUP = RANKS * PER_RANK,
    POSITIONS = 32, /* KEYS padded to groups */
    EPOCHS = 2,
    STEPS = EPOCHS * POSITIONS / GROUP,
    SEQS = EPOCHS * POSITIONS,
    WINDOW_FILL = 8, WINDOW_TRAIN = 3 * PER_RANK, /* and what may be overtaken */
    OVERTAKE_MAX = 8,
    RECYCLES_MAX = 3,
    CHECKPOINT_STEPS = 3,
    POOLS = LINES * STAGES,
    POOL_WORKERS = 2,
    LOCAL_WORKERS = POOLS * POOL_WORKERS,
    NODES = 2,            /* engines that may join, in every second world */
    FAR_POOLS = 3,        /* of which each has a worker */
    WORKERS = LOCAL_WORKERS + NODES * FAR_POOLS,
    TRANSFERS_MAX = 64,
    HUB_BLOCKS = 32,
    HUB_POOL = WORKERS,   /* the number of the dispatcher's pool in descriptors */
    BLOCKS = 5,           /* of each worker */
    HOLD_MAX = 8,
    TIME_FAULTS = 30000,  /* ms: nothing is broken after this */
    TIME_MAX = 300000,
    TIME_QUIET = 20000,   /* after the end: by then everything must have come home */
    PAYLOAD_MAX = 1200,
    RESTARTS_MAX = 512,
};

/* Who takes part; numbers are also the links' peers. */
enum actor { COORDINATE, DISPATCH, AGENT, SINK_FILL, SINK_TRAIN, WORKER0 = SINK_TRAIN + RANKS,
             FAR_AGENT0 = WORKER0 + WORKERS, ACTORS = FAR_AGENT0 + NODES };

static inline enum actor actor_of(int worker)
{
    return (enum actor)(WORKER0 + (uint32_t)worker);
}

/* What is wrong with a sample in a line. */
enum ill { WELL, ILL_CRASH, ILL_ERR, ILL_OFTEN, ILL_HANG, ILL_REFUSED, ILL_EMPTY };

enum event_type { EVENT_MESSAGE, EVENT_TICK, EVENT_WORK, EVENT_FAULT, EVENT_RESTART, EVENT_HEAL,
                  EVENT_COMMIT, EVENT_DIED, EVENT_KILL, EVENT_JOIN, EVENT_PARCEL };

struct event {
    uint64_t order;      /* time << 32 | number */
    uint32_t type, actor;
    uint64_t value;      /* of the type: a message's slot, an incarnation */
};

struct parcel {
    struct message message;
    uint32_t next;       /* free list */
    unsigned char payload[PAYLOAD_MAX];
};

/* What an item is, in a block or in a slot: who made it from what. */
struct content {
    uint64_t seq, value;
    uint32_t recycles;
};

struct block {
    struct content content;
    int64_t since_ms;
    uint32_t use;
    bool taken;
};

/* What a message carries of a block: the beginning of shm.h's descriptor, as far as it matters. */
struct descriptor {
    uint64_t inc;
    uint32_t worker, slot, use, pad;
};

struct job {
    struct message message; /* WORK; payload in bytes */
    unsigned char bytes[64];
};

struct sim_worker {
    uint64_t node;          /* of the engine that started it; 0: the dispatcher's own */
    uint64_t dispatcher;    /* inc of who it works for */
    int64_t started_ms;     /* of the item in hand */
    struct job jobs[HOLD_MAX];
    int job_count;          /* jobs[0] is in hand when busy */
    uint32_t begun;
    bool busy, draining, stuck; /* stuck: no room for the result */
    struct block blocks[BLOCKS];
};

/* A payload on its way between the dispatcher's process and a worker or a rank elsewhere. */
struct transfer {
    bool used, out;
    enum actor actor;
    uint64_t actor_inc, hub_inc;
    struct message message;
    struct content content;
};

struct sim_sink {
    struct sink *sink;
    struct arena arena;
    struct content have[WINDOW_FILL + WINDOW_TRAIN + OVERTAKE_MAX];
    int committing[WINDOW_FILL]; /* fill: slots whose transaction is under way */
    int committing_count;
};

struct stats {
    uint64_t events, faults, kills, lost, doubled, restarts, asides, refused, recovered, late,
        stale, overtaken, recounted, replaced, declined, freed, reclaimed, parked, strikes,
        asked_again, given_up,
        parcels, far_data;
};

struct world {
    uint64_t random;
    int64_t now;
    struct event *heap;
    uint32_t heap_count, heap_max;
    uint64_t event_number;
    struct parcel *parcels;
    uint32_t parcel_count, parcel_max, parcel_free;

    bool alive[ACTORS], cut[ACTORS];
    int64_t stopped_until[ACTORS];
    uint64_t inc[ACTORS], inc_next;

    struct dispatch *dispatch;
    struct arena dispatch_arena;
    struct coordinate *coordinate;
    struct arena coordinate_arena;
    uint32_t coordinator_epoch;
    struct sim_sink sinks[1 + RANKS]; /* fill, ranks */
    struct sim_worker workers[WORKERS];
    bool nodes;                      /* others join */
    uint64_t node_id[NODES];         /* 0: away */
    bool far_rank[RANKS];            /* elsewhere: with engine r % NODES it ends or is cut off */
    struct transfer transfers[TRANSFERS_MAX];
    struct block hub_blocks[HUB_BLOCKS];

    /* What is durable. */
    unsigned char log[512][COORDINATE_RECORD_MAX];
    size_t log_size[512];
    int log_count;
    uint8_t store[KEYS];              /* 0 absent, 1 record, 2 tombstone */
    bool ledger[LINES][SEQS];         /* what the log says, followed by the test itself */
    uint32_t durable_gen[LINES];
    uint64_t durable_step;

    /* Samples. */
    uint8_t ill[LINES][KEYS];

    /* The run: generations asked for, and the graph that each of them had. */
    uint32_t gen[LINES];
    uint32_t graph_of[LINES][RESTARTS_MAX];
    uint32_t graph[LINES];

    /* The model. */
    uint32_t model_gen;
    uint64_t trained;
    uint8_t delivered[SEQS];
    struct {
        bool set;
        uint32_t graph;
        uint8_t skip[GROUP];
        uint64_t seq[GROUP]; /* what it took, rank by rank */
        uint64_t digest;
    } history[STEPS];
    /* What each rank's journal says that its steps took; a fault may take rows away that no
     * checkpoint covers. */
    uint32_t overtake;
    uint64_t rows[RANKS][STEPS][PER_RANK];
    uint64_t row_count[RANKS], rows_durable;

    /* DIED messages that the dispatcher has not acknowledged. */
    struct {
        uint64_t inc;
        enum actor agent;
        struct died died;
    } obituary[64];
    int obituary_count;

    bool slow;           /* profile: much of the work takes longer than the deadlines */
    bool done;
    bool fill_leaves, fill_left; /* the filling sink ends when the store is full */
    int64_t done_ms;
    struct order order[LINES];
    uint64_t sample[LINES][SEQS]; /* which one stands where: order_index, made once */
    uint16_t lead[LINES][KEYS];   /* of each sample; some are longer than the windows */
    struct stats stats;
    char why[300];

};

extern struct world world;
extern sigjmp_buf broken_jump;

/* sim_net.c */
uint32_t random_u32(void);
bool chance(uint32_t per_mille);
void event_push(int64_t delay_ms, enum event_type type, enum actor actor, uint64_t value);
bool event_pop(struct event *event);
/* Sends through the network, which may do its worst / delivers surely after a delay. */
void net_send(enum actor from, const struct message *message);
void net_delay(enum actor from, const struct message *message, int64_t delay_ms);
struct parcel *parcel_of(uint64_t value);
void parcel_release(uint64_t value);
__attribute__((noreturn, format(printf, 1, 2))) void broken(const char *format, ...);
void key_write(uint64_t index, char *key);
uint64_t key_read(const void *key, size_t size);
uint64_t value_of(uint64_t seq, uint32_t line, uint32_t gen);

/* sim_hub.c */
void hub_reset(void);
void dispatch_start(void);
void coordinate_start(void);
void dispatch_receive(const struct message *in);
void coordinate_receive(const struct message *in);
void dispatch_check(bool finished);

/* sim_work.c */
void worker_start(int worker);
void worker_receive(int worker, const struct message *in);
void worker_tick(int worker);
void worker_finish(int worker, uint64_t inc);
void worker_kill(int worker, enum cause cause);
void agent_receive(const struct message *in);
void agent_tick(void);
/* Copies the payload of a message; false when the block is another one by now. */
bool content_read(const struct message *in, struct content *content);
void block_return(const struct message *in);

/* Told to finish what it has and to go. */
void worker_drain(int worker);

/* sim_far.c */
int worker_pool(int worker);
int worker_node(int worker); /* -1: the dispatcher's own */
enum actor agent_of(int worker);
/* WORK with a block for, and a result of a worker elsewhere; DATA with a block for a rank. */
void far_work(const struct message *work);
void far_data(const struct message *data);
bool far_sink(enum actor actor);
void far_out(int worker, const struct message *out, struct content content);
void far_arrive(uint64_t transfer);
int far_held(int worker, struct held *held, int max);
void node_join(int node);
void node_fault(void);

/* sim_sink.c */
uint32_t window_train(void);
void journals_cut(void);
void sink_start(enum actor actor);
void train_restart(void);
void kill_ranks(void);
void sink_receive(enum actor actor, const struct message *in);
void fill_commit(uint64_t inc);
void train_ready(void);
/* True when a strike against that sample is a just one. */
bool blame_fair(uint32_t line, uint64_t index);
bool run_finished(void);
void final_check(void);

#endif
