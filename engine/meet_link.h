/* The way between the hosts of a meeting (engine/base/meet.h) over a link: the host of rank 0
 * listens, the others connect. Over the network both need the keys of the job: rank 0's process
 * hears the roles head and sink, and nobody else. The process has opened its link context, and has
 * its keys (network_secure), before. */
#ifndef FOLDMILL_MEET_LINK_H
#define FOLDMILL_MEET_LINK_H

#include "engine/base/meet.h"
#include "engine/link.h"

enum { MEET_LINK_QUEUE = 32 }; /* parts that a host may have waiting in each direction */

/* Where the ranks of a line meet, from where the dispatcher of the run is: the ports after its own,
 * one a line. hub: its address, tcp://HOST:PORT, as it listens or as others find it. Nothing else
 * needs to be told between nodes. STATUS_INVALID: no such address, or no such port. */
enum status meet_link_address(const char *hub, int line, char address[LINK_ADDRESS_MAX],
                              struct error *err);

/* For the lowest member of host 0: listens. insecure: no keys, on this machine alone. Status as
 * link_listen; STATUS_REFUSED also: this process's key is a worker's. */
enum status meet_link_listen(const char *address, bool insecure, struct meet_post *post,
                             struct error *err);
/* For the lowest member of another host. server: whose key the process of rank 0 has. */
enum status meet_link_connect(const char *address, enum key_role server, bool insecure,
                              struct meet_post *post, struct error *err);
/* Where it listens, with the port that was chosen, until the post is given away. */
const char *meet_link_where(const struct meet_post *post);

#endif
