/* A made-up sample for measurements: its numbers mean nothing, but no mask is empty and no number
 * out of range, so that a network does the work of a full crop. */
#ifndef FOLDMILL_KERNELS_NET_MADE_H
#define FOLDMILL_KERNELS_NET_MADE_H

#include "engine/base/arena.h"
#include "kernels/net/net.h"

/* What a network of this configuration takes, of so many passes; arrays lie in arena. */
struct net_input net_input_made(const struct net_config *config, int passes, struct arena *arena);

#endif
