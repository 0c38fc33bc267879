/* What a training checkpoint carries beside the tensors: the network's sizes, so that evaluate can
 * build it without being told, and where the line's sink stands. */
#ifndef STAGES_LEARN_SAVED_H
#define STAGES_LEARN_SAVED_H

#include "engine/stage.h"
#include "kernels/net/net.h"

enum { SAVED_VERSION = 3 };

struct saved {
    struct net_config config;
    struct sink_position position; /* journal: inside the checkpoint's memory, or the caller's */
};

/* The checkpoint's state bytes, in arena. */
struct span saved_pack(const struct saved *saved, struct arena *arena);

/* And back. STATUS_INVALID: not of this version, or too short. */
enum status saved_unpack(struct span state, struct saved *saved, struct error *err);

/* RUN/checkpoints. */
const char *saved_folder(const char *run_dir, struct arena *arena);

#endif
