/* A meeting of the processes that do one thing together (the ranks of a line): a region of shared
 * memory for each, a barrier, and notice of who is missing. A member that dies or is silent makes
 * the others fail with its number, and the meeting is of no use afterwards. One member alone: it
 * has its region, and never waits.
 *
 * The shared memory is a file whose path all members of a host know, best on /dev/shm; its lowest
 * member makes it, and removes the name as soon as all have come.
 *
 * Several hosts: each has a file with the regions of all members, and its lowest member a thread,
 * the bridge. Between two barriers nobody reads what another writes; so bridges send what members
 * say they have written (meet_wrote), in a star around the host of rank 0, and a member of another
 * host counts as come when all that it wrote has. A host that is lost, or silent for
 * MEET_HOST_SILENT_MS, fails the meeting on all hosts with the numbers of its members; so does a
 * lost message: nothing is sent twice. A connection that stalls for less goes on. */
#ifndef FOLDMILL_MEET_H
#define FOLDMILL_MEET_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MEET_MAX = 64,              /* members */
    MEET_SILENT_MS = 30000,     /* a member that does not beat for so long is missing */
    MEET_HOST_SILENT_MS = 7000, /* so is a host whose bridge says nothing; it speaks each second */
    MEET_HEAD_BYTES = 64,       /* of a message between bridges */
    MEET_PART_BYTES = 1 << 20,  /* of its payload at most */
    MEET_ALL = -1,
};

struct meet;

/* Who is where. Hosts are numbered from 0, the host of rank 0, and each has a member. */
struct meet_place {
    int host, hosts; /* this one; all */
    int host_of[MEET_MAX];
};

/* How the bridges of hosts reach each other; engine/meet_link.h makes one. Called by the bridge's
 * thread alone. Peers are numbers of the post; that of the host of rank 0 is 0 for all others, and
 * they need no other. Messages between two hosts stay in order while their connection lasts. */
struct meet_mail {
    uint32_t peer;
    const void *head, *payload; /* until the next take */
    size_t head_size, size;
};

struct meet_post {
    void *user;
    /* STATUS_BUSY: no room or no connection now; STATUS_MISS: the peer's connection has ended. */
    enum status (*send)(void *user, uint32_t peer, const void *head, size_t head_size,
                        const void *payload, size_t size);
    enum status (*take)(void *user, struct meet_mail *mail); /* STATUS_EMPTY: nothing */
    /* The connection to host 0 was up, and has ended; asked of the other hosts. */
    bool (*ended)(void *user);
    /* Until there is something to take, fd can be read, there is room to send (if `sends`), or
     * timeout_ms have passed. */
    void (*wait)(void *user, int fd, bool sends, int timeout_ms);
    void (*close)(void *user, int linger_ms);
};

/* Joins the meeting `token` (a number of this run and start, so that a file left by another is not
 * taken for ours) as member rank of ranks, with bytes of region each. Waits until all have come.
 * STATUS_IO: the file; STATUS_BUSY: not all came within timeout_ms; STATUS_INVALID: numbers out of
 * range, or the members do not agree on them. */
enum status meet_open(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                      int timeout_ms, struct meet **meet, struct error *err);
/* The same with members on several hosts: all give the same place but for `host`, and a path of
 * their own host. The lowest member of each host gives the post, which is then the meeting's
 * (closed with it, and after a failure); the others NULL. With one host it is meet_open. */
enum status meet_open_far(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                          int timeout_ms, const struct meet_place *place,
                          const struct meet_post *post, struct meet **meet, struct error *err);
/* NULL: nothing. */
void meet_close(struct meet *meet);
/* Removes the names of a meeting whose members were killed while it opened. */
void meet_remove(const char *path);

int meet_rank(const struct meet *meet);
int meet_ranks(const struct meet *meet);
size_t meet_bytes(const struct meet *meet);
/* The region of a member, 64-byte aligned, zero at first. Each writes its own, or what all agree
 * on; between two barriers nobody reads what another writes. */
void *meet_region(const struct meet *meet, int rank);

/* This member has written [from, from + bytes) of the region of a member: after the next barrier
 * rank `to` finds them there, or MEET_ALL do, as they were when this was said or newer. What a
 * host has no such rank for is not to be read there. Returns at once where `to` is on this host.
 * Not for two threads at a time. */
void meet_wrote(struct meet *meet, int region, size_t from, size_t bytes, int to);

/* "I live": from any thread of the process, every second or so. A process that never beats is not
 * held to it. */
void meet_beat(struct meet *meet);

/* How long a member may keep the others waiting at a barrier; 0, and at first: as long as it
 * beats. */
void meet_limit(struct meet *meet, int64_t limit_ms);

/* Waits until all members are here. STATUS_BUSY: one has exited, is silent, or did not come in
 * time, and err names it; within a second for those that exited. STATUS_EMPTY: `over` said so
 * (asked every 20 ms; may be NULL). */
enum status meet_wait(struct meet *meet, bool (*over)(void *user), void *user, struct error *err);

/* This member cannot go on: the others fail at once, with its number. */
void meet_break(struct meet *meet);
/* Whether the meeting failed by this member's own finding (meet_break, or a member that it found
 * late or silent), not because another ended. */
bool meet_is_finder(const struct meet *meet);

#endif
