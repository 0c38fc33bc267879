/* How many connections a TCP server takes, in all and from one address, so that idle or hostile
 * peers cannot use up its descriptors. ZeroMQ accepts everybody; so a thread of its own counts
 * what it reports (a socket monitor), and lets the kernel drop new connection requests, of
 * everybody or of one address, by a packet filter on the listening socket. A dropped request is
 * repeated by the peer's kernel: a peer that has to wait comes in when there is room. */
#ifndef FOLDMILL_LINK_GATE_H
#define FOLDMILL_LINK_GATE_H

#include "engine/base/error.h"

#include <stdint.h>

enum {
    GATE_PEERS_MAX = 4096,  /* connections, whatever the limit of open files */
    GATE_ADDRESS_MAX = 256, /* from one address (IPv6: one /64) */
    GATE_BLOCKED_MAX = 32,  /* addresses that are kept out at a time */
    GATE_PEERS_LEAST = 4,   /* fewer are no service: the server does not start */
    GATE_FILES_SPARE = 8,   /* descriptors that are left for other things */
};

struct gate;

/* Watches the server `socket`, which is about to be bound to the listening descriptor.
 * STATUS_LIMIT: the limit of open files leaves no room for peers; STATUS_IO. */
enum status gate_open(struct gate **gate, void *context, void *socket, int listener,
                      struct error *err);
/* Before the socket is closed. NULL: nothing. */
void gate_close(struct gate *gate);

struct gate_counts {
    int peers, peers_max; /* connected now (authenticated or not); how many may be */
    int blocked;          /* addresses that are kept out now */
    uint64_t turned_away; /* connections closed because there was no descriptor for them */
};
struct gate_counts gate_count(const struct gate *gate);

#endif
