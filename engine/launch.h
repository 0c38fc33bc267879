/* Which engine of a run this one is: the head, one that joins, or alone. Decided by the command
 * line, else by FOLDMILL_HEAD, else by what Slurm says of the step, so that the same command can be
 * started on every node. */
#ifndef FOLDMILL_LAUNCH_H
#define FOLDMILL_LAUNCH_H

#include "engine/base/error.h"
#include "engine/network.h"

#include <limits.h>
#include <stdbool.h>

enum { LAUNCH_PORT = 9310 }; /* of FOLDMILL_HEAD=HOST; the dispatcher has the next one */

enum launch_kind { LAUNCH_ALONE, LAUNCH_HEAD, LAUNCH_JOIN };

/* What the command line says; NULL, false: nothing. */
struct launch_wish {
    bool alone, head;
    const char *join;    /* HOST:PORT or a folder */
    const char *graph;   /* path */
    const char *run_dir; /* of --run or --resume */
};

/* What the surroundings say: get(user, NAME) is an environment variable or NULL. */
struct launch_around {
    const char *(*get)(const void *user, const char *name);
    const void *user;
    const char *host; /* this machine's (or pod's) name */
};

struct launch {
    enum launch_kind kind;
    char to[PATH_MAX];               /* LAUNCH_JOIN: HOST:PORT, or the run's folder */
    char run_dir[PATH_MAX];          /* LAUNCH_HEAD: where the run is; "": as without one */
    char listen[32];                 /* LAUNCH_HEAD: ADDR:PORT; "": as without one */
    char host[256];                  /* LAUNCH_HEAD: its name for others; "": the machine's */
    char name[NETWORK_NAME_MAX + 1]; /* of the engine; "": the machine's */
    char why[160];                   /* what decided, for people; "": the command line */
};

/* STATUS_INVALID: a variable, or the mixture of flags, makes no sense. */
enum status launch_find(const struct launch_wish *wish, const struct launch_around *around,
                        struct launch *launch, struct error *err);

#endif
