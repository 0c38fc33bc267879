/* The room for a network: how much memory it may use where it runs, and how many of its blocks keep
 * their activations so that it is used. The choice changes time, never the numbers. */
#ifndef STAGES_LEARN_ROOM_H
#define STAGES_LEARN_ROOM_H

#include "stages/learn/network.h"

struct network_room {
    bool device;          /* a GPU's memory, else the host's */
    uint64_t limit_bytes; /* what may be planned with; 0: not known */
    bool clip;            /* each sample is clipped alone */
    char limit_note[96];  /* where that comes from */
    struct net_plan plan;
};

/* Threads of the cpu backend in each of so many ranks on this machine. */
int network_threads(const struct network_settings *settings, int ranks);

/* What may be used, before anything runs: of a GPU of room->device_bytes where they are given, else
 * of this machine by the settings; and the plan within it: see net_plan_fit. Counts that are -1 in
 * config become numbers. clip: samples are clipped alone (net_clip_open). STATUS_LIMIT: it does
 * not fit. STATUS_MISS, STATUS_CORRUPT: the CUDA library that has to count is not there or of
 * another build. */
enum status network_room_plan(const struct network_settings *settings,
                              const struct stage_room *room, bool clip, struct net_config *config,
                              struct network_room *to, struct error *err);

/* The same of an open backend, whose device says itself what is left. */
enum status network_room_fit(const struct network_settings *settings, struct backend *backend,
                             const struct stage_room *room, bool clip, struct net_config *config,
                             struct network_room *to, struct error *err);

/* The plan as rows for people. */
void network_room_show(const struct network_room *room, const struct net_config *config,
                       struct stage_uses *uses);

#endif
