/* Messages over links: encodes, sends, receives and checks; and a backlog for senders that may not
 * lose what a full queue does not take. */
#ifndef FOLDMILL_POST_H
#define FOLDMILL_POST_H

#include "engine/link.h"
#include "engine/message.h"
#include "engine/parcel.h"

#include <stddef.h>

/* Sends to message->peer. Status as link_send. */
enum status post_send(struct link *link, const struct message *message);

/* Takes the next good message; raw must be closed after use (message.payload lies in it). Messages
 * that do not decode, or that the sender's key does not entitle to, are dropped and counted in
 * *bad, and so are parts of larger payloads. A HELLO of another protocol version is answered with
 * REFUSE, which says both. STATUS_EMPTY: none is there. */
enum status post_receive(struct link *link, struct link_message *raw, struct message *message,
                         uint64_t *bad);

/* The same where large payloads may come in parts. A part is handed over with MESSAGE_PART set: it
 * says only that its sender lives. With the last part the message is the whole one, and its
 * payload lies in whole, which the caller owns then (parcel_free); else whole->block.data is NULL.
 */
enum status post_receive_parcel(struct link *link, struct parcels *parcels, int64_t now_ms,
                                struct link_message *raw, struct message *message,
                                struct parcel *whole, uint64_t *bad);

/* A way for outgoing_send: link is its user. */
struct parcel_way post_way(struct link *link);

enum { POST_BACKLOG_MAX = 64 << 20 }; /* bytes; what goes beyond is dropped */

/* Messages waiting to be sent over one link, oldest first. Zeroed at the start. */
struct backlog {
    unsigned char *data;
    size_t start, end, room;
    uint64_t dropped;
};

/* Copies the message. */
void backlog_add(struct backlog *backlog, const struct message *message);
/* Sends over a DEALER until its queue is full or it has no connection. Returns true when nothing is
 * left. */
bool backlog_flush(struct backlog *backlog, struct link *link);
void backlog_free(struct backlog *backlog);

#endif
