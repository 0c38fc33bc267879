/* Room on a disk, and when there is so little that a run should wait rather than fill it: a full
 * disk harms everybody who writes there. */
#ifndef FOLDMILL_ROOM_H
#define FOLDMILL_ROOM_H

#include <stdbool.h>
#include <stdint.h>

enum { ROOM_SHARE = 20 };               /* a 20th, 5 %, is to stay free ... */
#define ROOM_AMPLE ((uint64_t)32 << 30) /* ... but this many bytes are room on any disk ... */
#define ROOM_MIN   ((uint64_t)16 << 20) /* ... and fewer than these on none */

struct room {
    uint64_t free_bytes, disk_bytes; /* that a user who is not root may still write; of the disk */
};

/* False when the disk of path cannot be asked. */
bool room_look(const char *path, struct room *room);

/* The bytes below which a run pauses. */
uint64_t room_least(const struct room *room);

/* True when there is too little; a run that is paused goes on when there is an eighth more. */
bool room_is_low(const struct room *room, bool paused);

#endif
