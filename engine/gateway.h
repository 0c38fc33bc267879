/* The dispatcher's door to workers of other engines. The dispatcher itself moves descriptors alone;
 * for a worker elsewhere the gateway reads the block and sends its bytes in parts, and what such a
 * worker made comes in parts into a pool of the dispatcher's process, from which consumers here
 * read it as from any other producer. So a worker elsewhere is, to the dispatcher's rules, a worker
 * like any other. */
#ifndef FOLDMILL_GATEWAY_H
#define FOLDMILL_GATEWAY_H

#include "engine/lifeline.h"
#include "engine/link.h"
#include "engine/message.h"

enum {
    GATEWAY_WORKERS_MAX = 1024, /* elsewhere, known at a time */
    GATEWAY_POOL_BYTES = 4096,  /* of the pool: its blocks take their pages when they are made */
    GATEWAY_RECLAIM_MS =
        10000,                 /* a block that has not come back by then is taken back, if wanted */
    GATEWAY_OLD_MS = 600000,    /* ... after so long in any case: its reader has died */
    GATEWAY_SILENT_MS = 60000, /* a worker that says nothing for so long is forgotten */
};

/* Bytes that may wait to be sent, and of results that are coming in. */
#define GATEWAY_BYTES_MAX ((size_t)1 << 30)

struct gateway;

/* life has the pool of this process; link is the dispatcher's. Both are borrowed. */
struct gateway *gateway_open(struct lifeline *life, struct link *link);
void gateway_close(struct gateway *gateway);

/* Takes the next message; raw must be closed after use. STATUS_EMPTY: there is none.
 * What comes in parts is handed over when it is whole, with the descriptor of a block as its
 * payload, and not before. Whoever says HELLO from another engine is remembered. */
enum status gateway_receive(struct gateway *gateway, int64_t now_ms, struct link_message *raw,
                            struct message *message);

/* Sends what the dispatcher says; false: it is lost. */
bool gateway_send(struct gateway *gateway, int64_t now_ms, const struct message *message);

/* Sends parts that wait; true: more wait. */
bool gateway_turn(struct gateway *gateway, int64_t now_ms);

struct gateway_counts {
    int workers;              /* known */
    uint64_t in, out;         /* payloads that came and went whole */
    uint64_t lost, malformed; /* given up */
};
struct gateway_counts gateway_count(const struct gateway *gateway);

#endif
