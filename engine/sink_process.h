/* The process of one sink. Two threads: the pump speaks the protocol (asks, receives, copies and
 * checks payloads, heartbeats), the main thread runs the gather and the sink stage on what is
 * there. So data arrives while a step computes, and a step that takes minutes is not taken for a
 * death. */
#ifndef FOLDMILL_SINK_PROCESS_H
#define FOLDMILL_SINK_PROCESS_H

#include "engine/base/meet.h"
#include "engine/head.h"
#include "engine/job.h"
#include "engine/lifeline.h"
#include "engine/link.h"
#include "engine/post.h"
#include "engine/rows.h"
#include "engine/runner.h"
#include "engine/sink.h"

#include <pthread.h>
#include <stdio.h>

enum {
    SINK_TICK_MS = 50,      /* between two ticks of the protocol */
    SINK_GROUP_MAX = 256,   /* records of one commit of a store */
    SINK_OPEN_MS = 5000,    /* longest wait for a store that another process has */
    SINK_DRAIN_MS = 10000,  /* longest wait for what is in flight when the run ends */
    SINK_ROOM_MS = 500,     /* between two tries on a full disk */
    SINK_COMMIT_MS = 10000, /* longest wait for the coordinator at the end */
};

/* Payloads that a store's sink holds at most until they are stored, or a quarter of its `memory:`
 * if that is less; one that is larger alone comes when nothing else is held. What finds no room
 * waits in the shared memory of who made it. */
#define SINK_HELD_BYTES_MAX ((size_t)512 << 20)

/* Of payloads that come in parts, at a time. */
#define SINK_PARCELS_BYTES_MAX ((size_t)1 << 30)

/* What is kept under a slot of the window. */
struct sink_slot {
    struct arena arena; /* of the payload */
    size_t held_bytes;  /* of the payload, until it is stored */
    struct sample sample;
    uint64_t seq, inc; /* of the process that made it */
    uint32_t attempt;
    int64_t asked_ms, came_ms;
};

/* DATA that waits for room: it is as if it had not come yet. */
struct sink_parked {
    struct message message;
    unsigned char payload[SHM_DESCRIPTOR_BYTES];
};

/* The sample that a step waited for. */
struct step_last {
    bool known;
    uint32_t attempt;
    uint64_t seq, index, inc;
    int64_t asked_ms, came_ms;
};

struct sink_process {
    struct job *job;
    int line;
    const struct graph_line *plan;
    const char *name; /* of the sink, and of its line */
    struct lifeline life;
    struct link *hub, *coordinator;
    struct parcels *parcels; /* payloads from another node; NULL: at the head */
    struct head *head;
    struct runner gather, runner; /* gather.stage NULL: none */
    struct stage_context context; /* of the sink stage */
    struct arena arena;           /* of the process */
    struct arena step_arena;
    struct store *store; /* of a filling sink */
    uint32_t *needs;     /* filling sinks: position -> index, in order of need */
    struct rows table, waits, skips, refused;
    bool table_headed;
    uint32_t window, batch; /* slots; positions of a step */
    const char *place;        /* as sink_run has it */
    uint32_t rank, rank_count, share; /* share: positions of a step that are this rank's */
    struct sink_batch whole;  /* ranks.c: the step of all ranks */
    unsigned meet_turn;
    int64_t longest_ms;       /* that a step took to compute */
    uint32_t overtake;        /* 0: strict order */
    struct delivery *journal; /* of what steps took; NULL in strict order */
    bool ordered;
    size_t held_max;     /* filling sinks: bytes of payloads at a time */
    size_t keep_bytes;   /* of a slot's memory, between payloads */
    struct sink_parked *parked; /* [window], the pump's alone, in the order of their coming */
    uint32_t parked_count;

    pthread_mutex_t lock; /* over all below, but a slot that is HAVE is the main thread's */
    pthread_cond_t change;
    pthread_t pump, pump_self; /* the second set by the pump itself */
    int wake;                  /* eventfd: the main thread has put something into a backlog */
    struct sink *sink;
    struct sink_slot *slots;
    size_t held_bytes; /* the sum of the slots' */
    struct backlog to_hub, to_coordinator;
    unsigned char *told; /* bits by index: its refusal stands in the table */
    struct meet *meet; /* of the ranks; NULL until all have come */
    bool drain, finishing, ending, lost_agent;
    bool shows_pause;

    bool starved; /* the main thread's: a disk was full at the last try */
};

/* Runs to the end of the sink's work; returns the exit code of the process. gen: the generation
 * that the agent gave it. place: on which engine each rank is, "0,0,1": numbers from 0, the
 * head's; NULL: all here. */
int sink_run(struct job *job, int line, int rank, uint32_t gen, const char *place, uint64_t inc);

/* sink_work.c: the steps of an ordered sink, from `step` on, with their checkpoints. STATUS_BUSY:
 * another rank has failed. */
enum status sink_work(struct sink_process *process, uint64_t step, struct error *err);

/* With the lock held: returns after a turn of the pump, or after a while. */
void sink_wait_change(struct sink_process *process);
/* What ends every loop: a newer generation, or the agent's death. With the lock held. */
bool sink_is_over(const struct sink_process *process);

/* sink_room.c. True while the agent lets sinks wait because a disk has little room; with the lock
 * held. */
bool sink_is_paused(struct sink_process *process);
/* A write found no room: waits a while, without the lock. False: the run ends, do not
 * try again. When it worked, sink_room_found. */
bool sink_wait_room(struct sink_process *process, const char *why);
void sink_room_found(struct sink_process *process);

/* sink_store.c: before the beginning, what the store holds is marked as done; then everything that
 * comes is stored, to the end. */
enum status sink_store_mark(struct sink_process *process, struct error *err);
enum status sink_store_run(struct sink_process *process, struct error *err);

/* sink_journal.c: in the order overtake, what steps take; in strict order nothing. Opened before
 * the sink is, whose window it may widen. */
enum status sink_journal_open(struct sink_process *process, struct error *err);
/* sink_config.planned: what a step that is made again has taken. */
bool sink_journal_planned(void *process, uint64_t step, uint64_t *seqs, uint32_t count);
/* Tells the started sink what the steps of the checkpoint took. STATUS_CORRUPT: the journal is not
 * that of the checkpoint, or of other ranks. */
enum status sink_journal_resume(struct sink_process *process, const struct sink_position *position,
                                struct error *err);
/* Before the step is made. STATUS_BUSY: the disk is full, and the run ends meanwhile. */
enum status sink_journal_step(struct sink_process *process, const struct sink_batch *batch,
                              struct error *err);
/* Before the checkpoint is saved, which keeps what is put into position. */
enum status sink_journal_sync(struct sink_process *process, struct sink_position *position,
                              struct error *err);

/* sink_pump.c */
void *sink_pump(void *process);
/* Where sink steps put what is to be sent. */
struct outbox sink_outbox(struct sink_process *process);

/* sink_tables.c: train.tsv and waits.tsv (one row a step), skips.tsv (positions without data),
 * refused.tsv. Rows of steps from `step`
 * on are removed first: they will be made again. */
enum status sink_tables_open(struct sink_process *process, uint64_t step, struct error *err);
/* Writes what found no room before; true when nothing waits. */
bool sink_tables_flush(struct sink_process *process);
void sink_tables_close(struct sink_process *process);
struct step_record {
    const struct sink_batch *batch;
    uint64_t digest;
    int64_t begun_ns; /* when it had all of its data */
    double waited_s, computed_s;
    struct step_last last;
};
/* Of a batch of this rank. */
struct step_last sink_tables_last(const struct sink_process *process,
                                  const struct sink_batch *batch);
void sink_tables_step(struct sink_process *process, const struct step_record *record);
/* Told by the protocol's step for each position that gets no data. */
void sink_tables_skipped(void *process, uint64_t seq, uint64_t index, enum skip skip,
                         const char *text);

#endif
