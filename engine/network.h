/* How the processes of an engine reach others over the network: where the dispatcher listens or is
 * found, with which keys, and who this engine is among those of a run. The agent writes it into the
 * folder of the sockets (mode 0700) before it starts its children; a run on one node has none. */
#ifndef FOLDMILL_NETWORK_H
#define FOLDMILL_NETWORK_H

#include "engine/keys.h"
#include "engine/link.h"

#include <limits.h>
#include <stdint.h>

enum { NETWORK_NAME_MAX = 63, NETWORK_REACH = 128, NETWORK_REACH_MAX = 16384 };

enum network_kind {
    NETWORK_NONE,   /* one node */
    NETWORK_HEAD,   /* others may join: hub is where our dispatcher listens as well */
    NETWORK_JOINED, /* of a run elsewhere: hub is that run's dispatcher */
};

struct network {
    enum network_kind kind;
    char hub[LINK_ADDRESS_MAX];
    char coordinate[LINK_ADDRESS_MAX]; /* NETWORK_JOINED: of that run's coordinator */
    char keys[PATH_MAX]; /* folder; "": no keys, this machine alone */
    uint32_t reach;      /* positions that windows have more, for joined workers */
    bool ranks;          /* NETWORK_JOINED: offers places for ranks, so has the key of a sink */
    uint64_t job;        /* NETWORK_JOINED: the run */
    uint64_t node;       /* NETWORK_JOINED: random, who we are */
    char name[NETWORK_NAME_MAX + 1];
};

/* Whose key an engine has. */
enum key_role network_role(const struct network *net);

enum status network_write(const struct network *net, const char *sockets, struct error *err);
/* NETWORK_NONE where there is no such file. STATUS_INVALID: it is damaged. */
enum status network_read(const char *sockets, struct network *net, struct error *err);
/* Parses its text; for network_read and tests. */
enum status network_parse(struct span text, struct network *net, struct error *err);

/* Gives this process the keys, after link_context_open; nothing on one node and without keys. */
enum status network_secure(const struct network *net, struct error *err);
/* Options of a link of this run at the other end of the network, whose key must be the head's. */
struct link_options network_options(const struct network *net, int queue_max);

#endif
