/* Links between processes: a ZeroMQ ROUTER that listens (dispatcher, coordinator) and DEALERs that
 * connect, with messages of exactly two frames, a header and a payload. What the frames mean
 * stands in engine/message.h. The sockets of one node are ipc:// paths in a folder of mode 0700.
 * A tcp:// address needs the keys of the job (link_secure): the server checks each peer's key
 * against the list before a byte of it is heard, every message says which role sent it, and
 * link_listen proves that strangers are kept out before it returns. */
#ifndef FOLDMILL_LINK_H
#define FOLDMILL_LINK_H

#include "engine/base/error.h"
#include "engine/keys.h"
#include "engine/link_gate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

enum {
    LINK_PATH_MAX = 107,         /* bytes of an ipc path, without the NUL (sockaddr_un) */
    LINK_HEADER_BYTES_MAX = 256, /* of a first frame; longer ones are malformed */
    LINK_BYTES_MAX = 1 << 21,    /* of any frame: 1 MiB of payload and what may surround it */
    LINK_ADDRESS_MAX = 280,      /* with the NUL */
};

struct link_options {
    int queue_max;          /* messages a peer may have waiting in each direction */
    size_t frame_bytes_max; /* larger frames end the connection; 0: LINK_BYTES_MAX */
    enum key_role server;   /* link_connect over tcp: whose key the other end has; 0: KEY_HEAD */
    bool insecure;          /* tcp without keys: only at 127.0.0.0/8 and ::1 */
    bool watch;             /* link_connect: for link_has_ended */
};

/* Who a message came from: meaningful to the ROUTER that received it, until that peer's
 * connection ends. A DEALER has one peer, LINK_HUB. */
enum { LINK_HUB = 0 };

struct link_message {
    uint32_t peer;
    enum key_role role;           /* by its key; KEY_NONE: came without one (ipc, insecure) */
    const void *header, *payload; /* live until link_message_close */
    size_t header_size, payload_size;
    zmq_msg_t frame[2];
};

struct link;

/* Opens this process's ZeroMQ context (one I/O thread) and closes it. Sockets do not survive a
 * fork: open it after exec. */
enum status link_context_open(struct error *err);
void link_context_close(void);

/* Gives this process the keys of the job (a copy; wiped by link_context_close) and starts the
 * thread that checks peers; after link_context_open, before the first tcp link, once. */
enum status link_secure(const struct keys *keys, struct error *err);

/* Binds a ROUTER at / connects a DEALER to address (link_address.h has the forms; a port of 0
 * takes a free one). STATUS_LIMIT: a path longer than LINK_PATH_MAX; STATUS_INVALID: not an
 * address, or tcp without keys; STATUS_REFUSED: strangers could connect, which the proof at the
 * start found (curve.h; less than a second); STATUS_IO. */
enum status link_listen(struct link **link, const char *address, struct link_options options,
                        struct error *err);
enum status link_connect(struct link **link, const char *address, struct link_options options,
                         struct error *err);
/* A link that listens does so at one more address, under the same conditions: peers of both are
 * told apart by their numbers alone. link_address then says the new one. */
enum status link_also(struct link *link, const char *address, struct link_options options,
                      struct error *err);
/* Where a link listens or connects to, with the port that was chosen. */
const char *link_address(const struct link *link);
/* NULL: nothing. What was not sent is lost, but for what goes out within linger_ms. */
void link_close(struct link *link, int linger_ms);

/* Sends one message without waiting; both frames are copied. STATUS_BUSY: the peer's queue is full
 * (or a DEALER has no connection); STATUS_MISS: a ROUTER has no such peer any more. A message
 * that got STATUS_OK may still be lost with its connection. */
enum status link_send(struct link *link, uint32_t peer, const void *header, size_t header_size,
                      const void *payload, size_t payload_size);

/* Memory for the payload of the next link_send, which sends it without a copy when payload and size
 * are those of the frame; valid until then or until the next link_frame. */
void *link_frame(struct link *link, size_t bytes);

/* Takes the next message, without waiting; STATUS_EMPTY when there is none. Messages that do not
 * have exactly two frames, or a header longer than LINK_HEADER_BYTES_MAX, are dropped and counted.
 * Every STATUS_OK needs a link_message_close. */
enum status link_receive(struct link *link, struct link_message *message);
void link_message_close(struct link_message *message);

/* Whether the connection of a DEALER that watches was up, and has ended since. It connects anew by
 * itself, but what was under way may be lost. */
bool link_has_ended(struct link *link);

/* The connections of a server over tcp; zeros for other links. */
struct gate_counts link_peers(const struct link *link);

/* Malformed messages dropped so far. */
uint64_t link_malformed(const struct link *link);

/* One thing to wait for: a link, or a descriptor when link is NULL. */
struct link_wait {
    struct link *link;
    int fd;
    bool send;  /* also wait for room to send: of a DEALER's queue (a ROUTER has many) */
    bool ready; /* result: something can be received or read, or the other end has gone */
};

/* Waits until one of them is ready or timeout_ms has passed (-1: for ever); a signal ends the wait
 * early. Returns how many are ready. count <= LINK_WAITS_MAX. */
enum { LINK_WAITS_MAX = 1024 };
int link_poll(struct link_wait *waits, int count, int64_t timeout_ms);

#endif
