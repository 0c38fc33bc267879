/* The directory of a run, and the folder with its sockets: made, locked against a second run, and
 * cleaned of what a killed run left behind. */
#ifndef FOLDMILL_RUNDIR_H
#define FOLDMILL_RUNDIR_H

#include "engine/base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct rundir {
    char path[PATH_MAX];    /* absolute */
    char sockets[PATH_MAX]; /* 0700, ours alone */
    bool fresh;             /* it was made now, or was empty */
    int lock, hold;         /* descriptors that are held locked: of path and of sockets */
};

/* Makes or enters the run's directory (given, or runs/NAME-YYYYMMDD-HHMMSS when given is NULL),
 * with its folders lists, checkpoints and plots, takes its lock and makes the folder for sockets in
 * XDG_RUNTIME_DIR, TMPDIR or /tmp. STATUS_BUSY: another run uses it; STATUS_IO; STATUS_LIMIT: path
 * too long; STATUS_INVALID: the folder for sockets belongs to somebody else. */
enum status rundir_open(struct rundir *rundir, const char *name, const char *given,
                        struct error *err);
/* Removes the sockets and gives the lock back. */
void rundir_close(struct rundir *rundir);

/* "ipc://" and the path of the socket of that name. Returns buffer. */
char *rundir_address(const char *sockets, const char *name, char *buffer, size_t size);

/* Writes PATH/name into buffer (PATH_MAX bytes) and returns it. Aborts when that is too long:
 * rundir_open has left room for the names that a run uses. */
char *rundir_file(const char *path, const char *name, char buffer[PATH_MAX]);

#endif
