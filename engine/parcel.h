/* Payloads between nodes: what is too large for one message travels in parts of 256 KiB, each a
 * message with MESSAGE_PART and its offset, and is put together again at the other end. A link
 * keeps order, so a part that is not the next one means that something was lost: the parcel is
 * given up, which costs the item another attempt. Both ends are plain state: sending and memory
 * are given from outside.
 *
 * A part's payload: total u32, id u32 (of this sending: parts of two never mix), digest_bytes of
 * the whole u64 (in the last part; else 0), then the bytes. The header's checksum of the payload
 * covers those 16 bytes, the digest of the whole the rest: each byte is read once at both ends,
 * when it is copied. Every part but the last has a multiple of DIGEST_PIECE bytes. */
#ifndef FOLDMILL_PARCEL_H
#define FOLDMILL_PARCEL_H

#include "engine/message.h"
#include "engine/wire.h"

enum {
    PARCEL_HEAD_BYTES = 16,
    PARCEL_PART_BYTES = 256 << 10, /* of the payload in a part */
    PARCEL_BYTES_MAX = WIRE_FRAME_MAX,
    PARCELS_MAX = 2048,       /* at a time, in each direction: two of each worker elsewhere */
    PARCEL_SILENT_MS = 10000, /* without a part: given up */
    PARCEL_BURST = 64,        /* parts sent in one turn of each direction */
};

/* ---- sending ---- */

/* Where parts go. Status as link_send: STATUS_BUSY, the peer's queue is full; STATUS_MISS, it has
 * gone. The payload is copied or sent before it returns. frame gives the memory that the next
 * part is written to (NULL: outgoing's own). */
struct parcel_way {
    void *user;
    enum status (*send)(void *user, const struct message *part);
    void *(*frame)(void *user, size_t bytes);
};

/* The bytes of a parcel: borrowed until done is called, exactly once, with whether all was sent
 * (which does not say that it arrived). done may be NULL. */
struct parcel_source {
    const void *data;
    size_t bytes;
    void *user;
    void (*done)(void *user, bool sent);
};

struct outgoing;

/* bytes_max: of all parcels that wait together. */
struct outgoing *outgoing_open(size_t bytes_max);
/* Drops what waits. NULL: nothing. */
void outgoing_close(struct outgoing *outgoing);

/* Queues one; of message, payload and size are not read. STATUS_FULL: PARCELS_MAX or bytes_max
 * (one parcel alone may be larger): done is not called, try later. */
enum status outgoing_add(struct outgoing *outgoing, const struct message *message,
                         struct parcel_source source, int64_t now_ms);

/* Sends up to PARCEL_BURST parts, the parcels in turn, none waiting for a peer that is busy.
 * What is short and due (a heartbeat) is to be sent before, in each turn until it is taken: parts
 * fill a queue. Parcels of a peer that has gone, or that took nothing for PARCEL_SILENT_MS, are
 * dropped. */
void outgoing_send(struct outgoing *outgoing, const struct parcel_way *way, int64_t now_ms);

int outgoing_count(const struct outgoing *outgoing);
uint64_t outgoing_dropped(const struct outgoing *outgoing);
/* Drops what is for a peer. */
void outgoing_forget(struct outgoing *outgoing, uint32_t peer);
/* The items that wait or are being sent: held, for a heartbeat. Returns how many of max. */
uint32_t outgoing_held(const struct outgoing *outgoing, struct held *held, uint32_t max);

/* ---- receiving ---- */

/* Memory for a whole parcel; tag is the owner's. */
struct parcel_block {
    unsigned char *data;
    size_t bytes;
    uint64_t tag[4];
};

/* Where the memory comes from. take sets data, or returns false (no room now). */
struct parcel_room {
    void *user;
    bool (*take)(void *user, size_t bytes, struct parcel_block *block);
    void (*drop)(void *user, struct parcel_block *block);
};

/* One that is whole: its message with the payload in block, without MESSAGE_PART. */
struct parcel {
    struct message message;
    uint64_t digest; /* digest_bytes of the payload */
    struct parcel_block block;
};

struct parcels;

/* bytes_max: of all that are begun, by the totals that their senders say. room NULL: malloc. */
struct parcels *parcels_open(size_t bytes_max, const struct parcel_room *room);
void parcels_close(struct parcels *parcels);

/* Takes a message with MESSAGE_PART. STATUS_OK: whole is complete, and belongs to the caller
 * (parcel_free, or its block is the room's own affair). STATUS_EMPTY: taken, more must come.
 * Given up: STATUS_INVALID, malformed; STATUS_MISS, not the next part; STATUS_FULL, no memory;
 * STATUS_CORRUPT, the whole's digest is wrong. */
enum status parcels_take(struct parcels *parcels, const struct message *part, int64_t now_ms,
                         struct parcel *whole);
void parcel_free(struct parcels *parcels, struct parcel *whole);

/* Gives up those that are silent; every second or so. */
void parcels_tick(struct parcels *parcels, int64_t now_ms);
/* Gives up those of a peer. */
void parcels_forget(struct parcels *parcels, uint32_t peer);
/* The items of which a part is here: held, for a heartbeat. Returns how many of max. */
uint32_t parcels_held(const struct parcels *parcels, struct held *held, uint32_t max);

struct parcel_counts {
    int begun;            /* now */
    size_t bytes;         /* of those */
    uint64_t whole, lost; /* so far; lost: given up */
};
struct parcel_counts parcels_count(const struct parcels *parcels);

#endif
