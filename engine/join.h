/* `foldmill run --join`: an engine that works for a run elsewhere. It is an agent without
 * coordinator and without dispatcher: it fetches the graph and the frozen lists, starts worker
 * processes, which connect to the run's dispatcher by themselves, and tells that one which of them
 * died over what. It may come and go at any moment: nothing of the run is its own. */
#ifndef FOLDMILL_JOIN_H
#define FOLDMILL_JOIN_H

#include <stdbool.h>
#include <stdint.h>

enum { JOIN_WORKERS_OPTIONS_MAX = 64, JOIN_WAIT_S = 600 };

struct join_options {
    const char *to;      /* HOST:PORT, or the path of a run's folder or of its rendezvous file */
    const char *keys;    /* folder; NULL: the one that the rendezvous names */
    bool insecure;       /* no keys, this machine alone */
    const char *workers; /* "parse=8,msa=2"; NULL: as many as this machine has CPUs */
    int ranks;           /* places for ranks of each line that has several */
    const char *role;    /* stages of the graph with that `on`, and those without; NULL: "cpu" */
    const char *name;    /* of this engine; NULL: the host's */
    int64_t wait_s;      /* for a head that is not there */
    bool quiet;
};

/* Returns the exit code: 0 the run is over, or this engine was asked to go; 1 failed; 130 stopped
 * at once. */
int join_run(const struct join_options *options);

#endif
