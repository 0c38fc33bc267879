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
#include "engine/reuse.h"
#include "engine/runner.h"

#include <pthread.h>

enum {
    WORKER_HB_MS = 1000,       /* heartbeats, by a thread of their own while the stage works */
    WORKER_LISTEN_MS = 100,    /* between two looks at what the agent says */
    WORKER_HELLO_MS = 50,      /* between two HELLOs until the dispatcher answers */
    WORKER_RECLAIM_MS = 10000, /* a block that has not come back by then is taken back, if wanted */
    WORKER_SLOW_MS = 50,       /* samples that take as long stand in slow.tsv */
    WORKER_SLOW_ROWS = 200000, /* of one process: the table must not fill a disk */
    WORKER_SEND_MS = 5000,     /* a result that nobody takes for so long is dropped */
};

struct worker_item {
    struct message message;
    unsigned char payload[MESSAGE_INLINE_MAX];
};

struct worker {
    struct job *job;
    struct lifeline life;
    struct link *link;
    struct runner runner;
    struct head *heads[GRAPH_LINES_MAX]; /* of the lines that this stage works for */
    struct reuse *reuse[GRAPH_LINES_MAX]; /* NULL: everything is made */
    int stage;                           /* in the graph */
    uint16_t line, place;                /* one of the lines that it works for, and where in it */
    uint32_t index;
    struct arena arena; /* of the sample in hand */

    /* Everything below, and the link and the pool, belongs to who holds the lock: the main thread
     * outside stage code, the pulse thread while the main thread is inside. */
    pthread_mutex_t lock;
    pthread_t pulse;
    struct worker_item queue[MESSAGE_HELD_MAX];
    int first, count;
    struct held current;
    bool busy, welcome, drain, refused;
    uint64_t hub_inc;          /* of the dispatcher that we work for */
    int64_t sent_ms, heard_ms; /* last HELLO or HB; last look at the agent's socket */
    int slow, slow_rows;       /* descriptor of slow.tsv */
    uint32_t begun;            /* samples */
};

/* Runs until told to drain; returns the exit code of the process. */
int worker_run(struct job *job, int stage, uint32_t index, uint64_t inc);

#endif
