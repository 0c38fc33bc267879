/* What processes say to each other: the messages of the delivery protocol in their host form
 * (struct message), and their wire form, a fixed header in one frame and the payload in a second.
 * The step functions (sink.h, dispatch.h, coordinate.h) take and give host forms only.
 *
 * Who says what, and what the fields mean beside gen, attempt, seq (of which item), line and stage:
 *
 *   HELLO    all -> dispatcher   inc: mine; worker: line, stage of its kind, arg: items that it has
 *                         begun so far (0: a fresh process); payload: struct hello
 *   WELCOME  dispatcher -> all   arg: credits; inc: the dispatcher's. A worker that gets it from
 *                         another dispatcher than before forgets the work that it has not begun; a
 *                         sink asks again for all that it waits for (sink_step does)
 *   REFUSE   -> all       payload: why, in words, with what to do; the receiver ends or logs
 *   CHALLENGE dispatcher -> any   "I do not know you": answer with HELLO
 *   REQ      sink -> dispatcher   arg: recycling passes; stage: its lead, the positions by which it
 *                         may be begun before its turn; flags SOLO, IMPATIENT; payload: the key
 *   WORK     dispatcher -> worker   arg: recycling passes; inc: the worker meant; flags SOLO,
 *                         BLOCK; payload: the key (first stage) or the item
 *   OUT      worker -> dispatcher   result; arg: recycling passes that it was made with; flags
 *                         BLOCK, EMPTY; payload: the item
 *   ERR REFUSED MISS  worker -> dispatcher   no result; payload: why, in words (MISS: nothing)
 *   LOST     worker -> dispatcher   the input's block could not be read: no blame, try again;
 *                         also given by a sink's process to its own sink_step for a bad DATA
 *   DATA     dispatcher -> sink   result; inc: who made it; arg as in OUT; flags BLOCK, EMPTY;
 *                         payload: the item
 *   FAIL     dispatcher -> sink   arg: enum cause; inc: in which process; payload: why, in words
 *   FREE     dispatcher -> worker   payload: a BLOCK payload that the worker once gave and that
 *                         nobody will read; it may have come back by itself already. peer 0: the
 *                         maker is no more, but what it made may lie at the gateway
 *   HB       worker, sink, agent -> dispatcher   arg: progress counter; payload: held list
 *   DIED     agent -> dispatcher   inc: of the dead; payload: struct died; repeated until DIEDOK
 *   DIEDOK   dispatcher -> agent   inc: of the dead
 *   URGENT   dispatcher -> filling sink   payload: a key that another line waits for
 *   COMMIT   filling sink -> dispatcher   payload: a key that is in the store now (a record or a
 *                         tombstone); flags FINAL: it never will be (set aside)
 *   QPROP    sink -> coordinator   set seq aside; arg: enum cause; payload: struct aside
 *   QOK      coordinator -> sink   it is, durably; arg: coordinator's epoch
 *   START    sink -> coordinator   gen: the generation asked for; payload: struct start
 *   STARTED  coordinator -> sink   gen; arg: its epoch; payload: struct started and the ledger
 *   CKPT     rank 0 -> coordinator   seq: steps done; payload: 8 bytes, a digest of the checkpoint
 *   CKOK     coordinator -> sink   seq: steps of the committed checkpoint; arg: its epoch
 *   DRAIN    dispatcher -> worker   hand back what is not begun, finish, BYE, end (a new process
 *                         will take the place); agent -> dispatcher -> sink: the run ends
 *   BYE      any   leaving, all returned; flags FINAL: a sink that has everything it wanted
 *   JOIN     engine -> coordinator   lets me in; inc: the engine's random number, which all that it
 *                         says to the coordinator carries; payload: struct join (join_words.h)
 *   JOINED   coordinator -> engine   payload: struct joined. HB follows once a second, with its
 *                         workers' rows; DRAIN from the coordinator: the run is over; CHALLENGE:
 *                         JOIN again
 *   FILE     engine -> coordinator   wants bytes of a file of JOINED; arg: its number, seq: from
 *                         where. The answer: the same with the bytes; none: there are no more
 *   NOTES    engine -> coordinator   payload: rows for the run's tables (join_note.h)
 *   SCALE    coordinator -> engine   stage, arg: how many workers of it there should be; repeated
 *                         until a HB says so
 *   RANK     coordinator -> engine   line, gen, arg: the rank that it should run, of that
 *                         generation; payload: the engine of each rank, "0,0,1"; flags FINAL: it
 *                         is to finish; repeated
 *            engine -> coordinator   the same, what it runs; payload: struct rank_report; said with
 *                         each HB, and when it ends
 */
#ifndef FOLDMILL_MESSAGE_H
#define FOLDMILL_MESSAGE_H

#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/keys.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MESSAGE_MAGIC = 0x4c4d4446, /* "FDML" */
    MESSAGE_VERSION = 2,
    MESSAGE_HEADER_BYTES = 72,
    MESSAGE_INLINE_MAX = 4096,       /* of an item that travels in the message */
    MESSAGE_PART_CHECKED = 16,       /* bytes of a part that its own checksum covers */
    MESSAGE_PAYLOAD_MAX = 1 << 20,   /* of any message */
    MESSAGE_TEXT_MAX = 1024,         /* of a reason */
    MESSAGE_KEY_MAX = 255,
    MESSAGE_HELD_MAX = 64,           /* items that one worker may hold */
    MESSAGE_LEDGER_MAX = 16384,      /* positions that a line may have set aside */
};

enum message_type {
    MESSAGE_NONE,
    MESSAGE_HELLO,
    MESSAGE_WELCOME,
    MESSAGE_REFUSE,
    MESSAGE_CHALLENGE,
    MESSAGE_REQ,
    MESSAGE_WORK,
    MESSAGE_OUT,
    MESSAGE_ERR,
    MESSAGE_REFUSED,
    MESSAGE_MISS,
    MESSAGE_LOST,
    MESSAGE_DATA,
    MESSAGE_FAIL,
    MESSAGE_FREE,
    MESSAGE_HB,
    MESSAGE_DIED,
    MESSAGE_DIEDOK,
    MESSAGE_URGENT,
    MESSAGE_COMMIT,
    MESSAGE_QPROP,
    MESSAGE_QOK,
    MESSAGE_START,
    MESSAGE_STARTED,
    MESSAGE_CKPT,
    MESSAGE_CKOK,
    MESSAGE_DRAIN,
    MESSAGE_BYE,
    MESSAGE_JOIN,
    MESSAGE_JOINED,
    MESSAGE_FILE,
    MESSAGE_SCALE,
    MESSAGE_NOTES,
    MESSAGE_RANK,
    MESSAGE_TYPES
};

enum message_flag {
    MESSAGE_BLOCK = 1 << 0,    /* the payload is a descriptor of a shared-memory block */
    MESSAGE_EMPTY = 1 << 1,    /* a filter dropped the item: weight 0 */
    MESSAGE_SOLO = 1 << 2,     /* was struck before: alone, in a process that has done nothing */
    MESSAGE_IMPATIENT = 1 << 3,/* somebody waits for it now: before what is not so */
    MESSAGE_FINAL = 1 << 4,    /* COMMIT: refused for ever; BYE: finished */
    MESSAGE_PART = 1 << 5,     /* the payload is a part of a larger one: see parcel.h */
    MESSAGE_FLAGS = (1 << 6) - 1,
};

/* Why an attempt ended without a result. */
enum cause {
    CAUSE_LOST,    /* nobody's fault: the process or a message is gone */
    CAUSE_ERR,     /* the stage said so */
    CAUSE_CRASH,   /* its process ended by its own doing while it worked on it */
    CAUSE_TIMEOUT, /* the agent killed it for the stage's time limit */
    CAUSE_MEMORY,  /* ... or memory limit */
    CAUSE_REFUSED, /* final: the input is unusable */
    CAUSES
};
const char *cause_name(enum cause cause);
const char *message_type_name(enum message_type type);

/* One message. peer is the link's number of who it came from / goes to (link.h): meaningful to this
 * process only, and no part of the wire form. The payload is borrowed. */
struct message {
    enum message_type type;
    uint32_t peer;
    uint64_t job;
    uint64_t seq, inc;
    uint32_t gen, attempt;
    uint16_t line, stage, flags;
    uint32_t arg;
    uint32_t offset; /* of this part in a payload sent in parts; 0 on one node */
    uint32_t size;   /* of payload, bytes */
    const void *payload;
};

/* Where a step puts what is to be sent. put must copy or send before it returns; what it cannot
 * send is lost, which the protocol mends. */
struct outbox {
    void *user;
    void (*put)(void *user, const struct message *message);
};

/* Writes the header of message; its checksums cover header and payload. Aborts on a payload above
 * the limit or unknown flags: those are ours. */
void message_encode(const struct message *message, unsigned char header[MESSAGE_HEADER_BYTES]);

/* Reads two frames; payload is borrowed. STATUS_INVALID: not this protocol, version, type or size;
 * STATUS_CORRUPT: a checksum is wrong. Nothing in message is to be used then. */
enum status message_decode(const void *header, size_t header_size, const void *payload,
                           size_t payload_size, struct message *message, struct error *err);

/* A HELLO or JOIN of another version, which message_decode refuses: gives the version. Magic,
 * version and type (HELLO is 1, REFUSE 3, JOIN 28) stand where they stand in all versions. */
bool message_foreign_hello(const void *header, size_t header_size, uint16_t *version);
/* The header of a message that says it is of that version, for the answer: a REFUSE. */
void message_encode_as(const struct message *message, uint16_t version,
                       unsigned char header[MESSAGE_HEADER_BYTES]);

/* Whether who came with a key of this role may send this message (KEY_NONE: a process of this node
 * or of --insecure, which may send all). A worker's key says what workers and their agents say,
 * and does not say HELLO as a sink. */
bool message_allowed(const struct message *message, enum key_role role);

/* The same item of the same line. */
bool message_same_item(const struct message *a, const struct message *b);

/* ---- payloads that the protocol itself reads; little-endian, checked on reading ---- */

struct held {
    uint64_t seq;
    uint32_t gen, attempt;
};

enum peer_role { PEER_WORKER = 1, PEER_SINK, PEER_AGENT };

/* HELLO: who it is, what it speaks and what it holds. A HB's payload is its held list alone. */
struct hello {
    enum peer_role role;
    uint32_t version;    /* MESSAGE_VERSION */
    uint32_t index;      /* worker number, or rank */
    uint64_t graph_hash; /* of the resolved graph */
    uint64_t node;       /* random for each engine that joined; 0: the dispatcher's own */
    uint32_t held_count;
    struct held held[MESSAGE_HELD_MAX];
};

enum { HELD_BYTES = 16, HELLO_BYTES_MAX = 32 + MESSAGE_HELD_MAX * HELD_BYTES };

/* Returns the bytes written. */
size_t hello_encode(const struct hello *hello, unsigned char bytes[HELLO_BYTES_MAX]);
enum status hello_decode(struct span bytes, struct hello *hello, struct error *err);
size_t held_encode(const struct held *held, uint32_t count,
                   unsigned char bytes[MESSAGE_HELD_MAX * HELD_BYTES]);
enum status held_decode(struct span bytes, struct held held[MESSAGE_HELD_MAX], uint32_t *count,
                        struct error *err);

/* DIED: how a process ended, and which item it is to blame on. */
struct died {
    enum cause cause;  /* CRASH, TIMEOUT, MEMORY: blame executing; LOST: killed from outside */
    bool executing;    /* a sample was in hand: item names it */
    uint16_t line, stage;
    struct held item;
    char text[256];    /* for people: "killed by signal 11 in msa.2" */
};
enum { DIED_BYTES_MAX = 24 + 256 };
size_t died_encode(const struct died *died, unsigned char bytes[DIED_BYTES_MAX]);
enum status died_decode(struct span bytes, struct died *died, struct error *err);

/* QPROP: the sample that is proposed to be set aside, and why. */
struct aside {
    uint64_t index;              /* of the sample in the line's frozen list */
    char key[MESSAGE_KEY_MAX + 1];
    char text[256];
};
enum { ASIDE_BYTES_MAX = 12 + MESSAGE_KEY_MAX + 255 };
size_t aside_encode(const struct aside *aside, unsigned char bytes[ASIDE_BYTES_MAX]);
enum status aside_decode(struct span bytes, struct aside *aside, struct error *err);

/* START: what the run must not have changed. */
struct start {
    uint64_t config_hash, list_hash, positions; /* graph, key list, positions of an epoch */
};
enum { START_BYTES = 24 };
size_t start_encode(const struct start *start, unsigned char bytes[START_BYTES]);
enum status start_decode(struct span bytes, struct start *start, struct error *err);

/* STARTED: the committed checkpoint, then one row for every position that was set aside. The same
 * sample in another epoch is another position. */
struct ledger_row {
    uint64_t seq, index;
};
struct started {
    uint64_t step, digest; /* 0, 0: no checkpoint yet */
    uint32_t row_count;
};
enum { STARTED_BYTES = 24, LEDGER_ROW_BYTES = 16,
       STARTED_BYTES_MAX = STARTED_BYTES + MESSAGE_LEDGER_MAX * LEDGER_ROW_BYTES };
void started_encode(const struct started *started, unsigned char bytes[STARTED_BYTES]);
void ledger_row_encode(struct ledger_row row, unsigned char bytes[LEDGER_ROW_BYTES]);
enum status started_decode(struct span bytes, struct started *started, struct error *err);
struct ledger_row started_row(struct span bytes, uint32_t row);

/* CKPT: the digest of the checkpoint. */
enum { CKPT_BYTES = 8 };
void ckpt_encode(uint64_t digest, unsigned char bytes[CKPT_BYTES]);
enum status ckpt_decode(struct span bytes, uint64_t *digest, struct error *err);

#endif
