/* `foldmill run`: a graph from its file to the end of its lines, on this machine. */
#ifndef FOLDMILL_RUN_H
#define FOLDMILL_RUN_H

#include <stdbool.h>
#include <stdint.h>

enum { RUN_SETS_MAX = 64 };

struct run_options {
    const char *graph;              /* path */
    const char *run_dir;            /* NULL: runs/GRAPH-YYYYMMDD-HHMMSS */
    bool resume;                    /* run_dir must hold a run, which goes on */
    const char *sets[RUN_SETS_MAX]; /* "stage.key=value" */
    int set_count;
    bool quiet;
    bool head;             /* other engines may join */
    const char *listen;    /* ADDR:PORT; NULL: all addresses, any port */
    const char *advertise; /* host by which others find this one; NULL: its name */
    const char *keys;      /* folder; NULL: RUN/keys */
    bool insecure;         /* no keys, this machine alone */
    uint32_t reach;        /* positions that windows have more, for the workers of others */
    int ranks;             /* of each line that run here, others on engines that join; -1: all */
    const char *role;      /* NULL: every stage; else others are left to engines that join */
    int metrics_port;      /* of 127.0.0.1; 0: any that is free; -1: no metrics over HTTP */
};

/* Returns the exit code: 0 done or drained, 1 failed, 130 stopped at once. */
int run_graph(const struct run_options *options);

#endif
