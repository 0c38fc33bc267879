/* What meet.c (members and barriers) and meet_bridge.c (the way to other hosts) share. */
#ifndef FOLDMILL_MEET_INSIDE_H
#define FOLDMILL_MEET_INSIDE_H

#include "engine/base/meet.h"

#include <stdatomic.h>

enum { MEET_LINE = 64, MEET_POLL_MS = 20, MEET_RANGES = 128, MEET_HOST_ALL = -1 };

/* Why a meeting failed; travels between hosts. */
enum meet_why {
    WHY_NONE,
    WHY_EXITED,
    WHY_SILENT,
    WHY_LATE,
    WHY_BROKE,
    WHY_HOST_LOST,   /* the connection to its host was lost, and what was under way with it */
    WHY_HOST_SILENT, /* nothing came from its host for MEET_HOST_SILENT_MS */
    WHY_DISAGREE,    /* its host has other numbers of ranks, hosts or bytes */
    WHYS
};

/* What a member has written into a region, and which host wants it. */
struct meet_range {
    int32_t region, to; /* to: a host, or MEET_HOST_ALL */
    uint64_t from, bytes;
};

/* What the others know of a member; it alone writes it, the bridge for those of other hosts. */
struct meet_member {
    _Alignas(MEET_LINE) _Atomic uint32_t stage; /* barriers passed into; waited for as a futex */
    _Atomic int32_t pid;                        /* 0: on another host */
    _Atomic int32_t left;                       /* on another host, and has ended */
    _Atomic int64_t beat_ms;                    /* 0: it never beats */
    /* What it wrote and the bridge has not looked at yet: a ring from taken to put. */
    _Alignas(MEET_LINE) _Atomic uint32_t put;
    _Alignas(MEET_LINE) _Atomic uint32_t taken;
    struct meet_range range[MEET_RANGES];
};

struct meet_shared {
    _Alignas(MEET_LINE) _Atomic uint64_t ready; /* the magic, once the head is filled */
    uint64_t token, bytes;
    int32_t ranks;
    _Atomic int32_t broken; /* enum meet_why * MEET_MAX + the member that failed */
    _Atomic int32_t asleep; /* the bridge waits for its FIFO */
    _Atomic int32_t met;    /* the host of rank 0 has answered */
    struct meet_member member[MEET_MAX];
};

struct meet_bridge;

struct meet {
    int rank, ranks, open_ms, leader; /* leader: the lowest rank of this host */
    int64_t limit_ms;
    size_t bytes, mapped;
    uint32_t stage;
    bool opened;
    _Atomic bool finder;
    uint64_t token;
    struct meet_shared *shared;
    char *region;        /* ranks regions of `bytes` bytes */
    int watch[MEET_MAX]; /* pidfds of the others of this host */
    struct meet_place place;
    int wake;                   /* FIFO to the bridge; -1: one host */
    struct meet_bridge *bridge; /* of the leader, with several hosts */
};

/* The process of a member of this host has ended; watch: its pidfd, or -1 to find it. */
bool meet_is_gone(const struct meet *meet, int rank, int *watch);
/* The first to call it says why. */
void meet_set_broken(struct meet *meet, int rank, enum meet_why why);
/* A member of another host has come as far as stage. */
void meet_set_stage(struct meet *meet, int rank, uint32_t stage);

/* meet_file.c: status as meet_open; join waits for the leader's file. close unmaps. */
enum status meet_file_make(struct meet *meet, const char *path, uint64_t token, struct error *err);
enum status meet_file_join(struct meet *meet, const char *path, uint64_t token, struct error *err);
void meet_file_close(struct meet *meet);
size_t meet_file_head_bytes(void);

/* meet_bridge.c. Starts the thread; it owns the post from now on, also after a failure. */
enum status meet_bridge_open(struct meet *meet, const struct meet_post *post, struct error *err);
/* What is under way goes out, then the others hear that this host leaves. NULL: nothing. */
void meet_bridge_close(struct meet_bridge *bridge);
/* After a failure: waits a moment until the other hosts have been told. NULL: nothing. */
void meet_bridge_tell(struct meet_bridge *bridge);
/* Something for the bridge to look at. */
void meet_bridge_wake(struct meet *meet);

#endif
