/* Inside of a bridge (meet_bridge.c): its messages, what waits for each host (meet_send.c), and
 * what it does with those that come (meet_hear.c). */
#ifndef FOLDMILL_MEET_BRIDGE_H
#define FOLDMILL_MEET_BRIDGE_H

#include "engine/base/meet_inside.h"

#include <pthread.h>

enum {
    ITEMS = 1024,            /* that wait for a host */
    ITEMS_KEPT = 256,        /* of them for what is not data */
    MAIL_MAGIC = 0x4d454554, /* "MEET", version 1 */
};

enum mail_kind {
    MAIL_HELLO,   /* a host comes; asks until it is answered */
    MAIL_WELCOME, /* the hub has its numbers */
    MAIL_GONE,    /* the hub does not know who speaks */
    MAIL_BEAT,
    MAIL_DATA,  /* the payload is [from, from + size) of the region of rank, for host `to` */
    MAIL_STAGE, /* all members of the host, or by the hub of all hosts, have come to `number` */
    MAIL_LEFT,  /* rank has ended */
    MAIL_BREAK, /* the meeting failed at rank; number says why */
    MAIL_BYE,   /* the host leaves: nothing is heard of it from now on; answered with the same */
    MAILS
};

/* A message between bridges of machines with the same byte order (little-endian). */
struct mail {
    uint32_t magic, kind;
    uint64_t token, serial; /* serial: from 1 on for each direction; 0: outside of the order */
    int32_t host, rank, to;
    uint32_t number;
    uint64_t from, bytes; /* HELLO: a hash of the place; of a region */
};

_Static_assert(sizeof(struct mail) <= MEET_HEAD_BYTES, "a head");

struct item {
    enum mail_kind kind;
    int32_t rank, to;
    uint32_t number;
    uint64_t from, bytes; /* of data: what is left of it */
};

struct far_host {
    bool known;         /* it may be sent to */
    bool bye, answered; /* it leaves; and has heard that we know, or do as well */
    uint32_t peer;
    uint64_t sent, heard; /* serials */
    uint32_t stage;       /* its members have come so far */
    int64_t sent_ms, heard_ms;
    uint32_t first, count; /* of a ring */
    struct item item[ITEMS];
};

struct meet_bridge {
    struct meet *meet;
    struct meet_post post;
    pthread_t thread;
    bool hub;
    uint32_t stage;    /* told of this host; at the hub also: */
    uint32_t released; /* told to all */
    int64_t looked_ms;
    bool told; /* of the failure */
    bool left[MEET_MAX];
    int watch[MEET_MAX];
    _Atomic bool closing, quiet; /* quiet: a failure has been sent to all */
    struct far_host *host;       /* [hosts]; of others than the hub only [0] is used */
};

/* The same for all who agree on who is where. */
uint64_t bridge_place(const struct meet *meet);
bool bridge_is_broken(const struct meet_bridge *b);
/* A host cannot go on with us, as found by this one. */
void bridge_fail(struct meet_bridge *b, int host, enum meet_why why);
int bridge_lowest(const struct meet *meet, int host);

/* meet_send.c: puts an item behind what waits for the hub, or at the hub for all hosts but one (-1:
 * none). */
void bridge_push(struct meet_bridge *b, struct item item, int but);
/* Data goes to the hub, or at the hub to those that want it. */
void bridge_push_data(struct meet_bridge *b, struct item item, int but);
/* Data may be pushed once more. */
bool bridge_has_room(const struct meet_bridge *b);
/* Sends one message now, with `size` bytes of data; serial: it has its place in the order. */
enum status bridge_send(struct meet_bridge *b, struct far_host *to, const struct item *item,
                        size_t size, bool serial);
/* Sends what goes out at once; false: something waits. */
bool bridge_flush(struct meet_bridge *b);

/* meet_hear.c: takes some messages; false: there was none. */
bool bridge_hear(struct meet_bridge *b);

#endif
