/* A meeting of the processes that do one thing together on a host (the ranks of a line): a region
 * of shared memory for each, a barrier, and notice of who is missing. A member that dies or is
 * silent makes the others fail with its number, and the meeting is of no use afterwards. One
 * member alone: it has its region, and never waits.
 *
 * The shared memory is a file whose path all members know, best on /dev/shm; member 0 makes it, and
 * removes the name as soon as all have come. */
#ifndef FOLDMILL_MEET_H
#define FOLDMILL_MEET_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MEET_MAX = 64,           /* members */
    MEET_SILENT_MS = 30000,  /* a member that does not beat for so long is missing */
};

struct meet;

/* Joins the meeting `token` (a number of this run and start, so that a file left by another is not
 * taken for ours) as member rank of ranks, with bytes of region each. Waits until all have come.
 * STATUS_IO: the file; STATUS_BUSY: not all came within timeout_ms; STATUS_INVALID: numbers out of
 * range, or the members do not agree on them. */
enum status meet_open(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                      int timeout_ms, struct meet **meet, struct error *err);
void meet_close(struct meet *meet);

int meet_rank(const struct meet *meet);
int meet_ranks(const struct meet *meet);
size_t meet_bytes(const struct meet *meet);
/* The region of a member, 64-byte aligned, zero at first. Each writes its own, or what all agree
 * on; between two barriers nobody reads what another writes. */
void *meet_region(const struct meet *meet, int rank);

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
