/* Room on a disk; see room.h. */
#include "engine/room.h"

#include <sys/statvfs.h>

bool room_look(const char *path, struct room *room)
{
    struct statvfs disk;
    if (statvfs(path, &disk))
        return false;
    *room = (struct room){(uint64_t)disk.f_bavail * disk.f_frsize,
                          (uint64_t)disk.f_blocks * disk.f_frsize};
    return true;
}

uint64_t room_least(const struct room *room)
{
    uint64_t least = room->disk_bytes / ROOM_SHARE;
    least = least > ROOM_AMPLE ? ROOM_AMPLE : least;
    return least < ROOM_MIN ? ROOM_MIN : least;
}

bool room_is_low(const struct room *room, bool paused)
{
    uint64_t least = room_least(room);
    return room->free_bytes < (paused ? least + least / 8 : least);
}
