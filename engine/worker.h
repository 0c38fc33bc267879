/* The loop of one worker process: takes WORK of its stage, reads the input (from the line's head by
 * key, or the payload that the stage before made), feeds the stage, sends the result or the reason
 * why there is none. Stateless between samples; may be killed at any time. */
#ifndef FOLDMILL_WORKER_H
#define FOLDMILL_WORKER_H

#include "engine/head.h"
#include "engine/job.h"
#include "engine/lifeline.h"
#include "engine/link.h"
#include "engine/message.h"
#include "engine/parcel.h"
#include "engine/reuse.h"
#include "engine/runner.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    WORKER_HB_MS = 1000,       /* heartbeats, by a thread of their own while the stage works */
    WORKER_LISTEN_MS = 100,    /* between two looks at what the agent says */
    WORKER_HELLO_MS = 50,      /* between two HELLOs until the dispatcher answers */
    WORKER_RECLAIM_MS = 10000, /* a block that has not come back by then is taken back, if wanted */
    WORKER_SLOW_MS = 50,       /* samples that take as long stand in slow.tsv */
    WORKER_SLOW_ROWS = 200000, /* of one process: the table must not fill a disk */
    WORKER_SEND_MS = 5000,     /* a result that nobody takes for so long is dropped */
    WORKER_ROOM_MS = 2,        /* between two looks for room */
    WORKER_PARCELS_MAX = 16,   /* of a held list: what is on its way */
};

/* Bytes on their way from and to another engine, of one worker; one payload may be larger. */
#define WORKER_FAR_BYTES_MAX ((size_t)1 << 30)

struct worker_item {
    struct message message;
    struct parcel_block block; /* of a payload that came in parts; data NULL: none did */
    unsigned char payload[MESSAGE_INLINE_MAX];
};

struct worker {
    struct job *job;
    struct lifeline life;
    struct link *link;
    struct runner runner;
    struct head *heads[GRAPH_LINES_MAX];  /* of the lines that this stage works for */
    struct reuse *reuse[GRAPH_LINES_MAX]; /* NULL: everything is made */
    int stage;                            /* in the graph */
    uint16_t line, place;                 /* one of the lines that it works for, and where in it */
    uint32_t index;
    struct arena arena; /* of the sample in hand */

    /* Everything below, and the link and the pool, belongs to who holds the lock: the main thread
     * outside stage code, the pulse thread while the main thread is inside. */
    pthread_mutex_t lock;
    pthread_t pulse;
    struct worker_item queue[MESSAGE_HELD_MAX];
    int first, count;
    struct held current;
    bool far; /* its dispatcher is another engine's: payloads travel in parts */
    struct parcels *in;
    struct outgoing *out;
    _Atomic bool sending; /* parts wait */
    bool busy, welcome, drain, refused;
    uint64_t hub_inc;          /* of the dispatcher that we work for */
    int64_t sent_ms, heard_ms; /* last HELLO or HB; last look at the agent's socket */
    int slow, slow_rows;       /* descriptor of slow.tsv */
    uint32_t begun;            /* samples */
};

/* The result of one sample, ready to be sent. */
struct worker_outcome {
    enum message_type type;
    uint16_t flags;
    struct sample sample;
    struct error err;
};

/* With the lock held, all of these. Hears what has come and says what is due. */
void worker_turn(struct worker *worker);
/* Waits for messages, at most until the next heartbeat is due: the pulse thread has nothing to do
 * then. */
void worker_wait(struct worker *worker, int64_t timeout_ms);
/* A message of this process, to the dispatcher. */
struct message worker_message(const struct worker *worker, enum message_type type);

/* worker_send.c: sends what became of work; the lock is free while a sample is written. */
void worker_send(struct worker *worker, const struct message *work, struct worker_outcome *outcome);
/* Sends parts that wait. */
void worker_pump(struct worker *worker);

/* Runs until told to drain; returns the exit code of the process. */
int worker_run(struct job *job, int stage, uint32_t index, uint64_t inc);

#endif
