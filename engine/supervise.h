/* Starts, watches, limits and restarts the processes of one node: the agent's side. A child is this
 * program again (fork + exec of /proc/self/exe); it dies with the agent, ignores SIGINT and SIGTERM
 * (the agent tells it to drain) and inherits exactly the descriptors of enum child_fd. Its black
 * box says what it was doing when it died. */
#ifndef FOLDMILL_SUPERVISE_H
#define FOLDMILL_SUPERVISE_H

#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/link.h"
#include "engine/metrics.h"
#include "engine/spawn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SUPERVISE_CHILDREN_MAX = 256,
    SUPERVISE_NAME_MAX = 79,
    SUPERVISE_ARGS_MAX = 16,
    SUPERVISE_TAIL_BYTES = 2048, /* of what a child wrote last */
    SUPERVISE_EXIT_SETUP =
        78, /* a child's exit code: it cannot start, and trying again is useless */
    SUPERVISE_EXIT_PEER = 79, /* it cannot go on, since another of its line cannot */
};

/* What goes over CHILD_FD_AGENT (a SOCK_SEQPACKET): both ways the same 16 bytes. */
enum agent_talk {
    TALK_POOL = 1, /* child: descriptors of inc's pool?  agent: here (with descriptors) / gone */
    TALK_DRAIN,    /* agent: finish what is in hand, then exit 0 */
    TALK_PAUSE,    /* agent, to a sink: a disk has little room, take nothing and make no step */
    TALK_RESUME,   /* agent, to a sink: go on */
    TALK_FINISH,   /* agent, to a sink that waits for others: the other lines have ended */
};

struct agent_message {
    uint32_t type;  /* enum agent_talk */
    uint32_t index; /* TALK_POOL: the producer's number; a new process takes its number over */
    uint64_t inc;
};

enum restart {
    RESTART_NEVER,
    RESTART_FAILED, /* exit code 0 means that it has done all it had to do */
    RESTART_ALWAYS,
};

struct child_spec {
    char name[SUPERVISE_NAME_MAX + 1];        /* "parse.2": for logs */
    const char *program;                      /* NULL: this one */
    const char *args[SUPERVISE_ARGS_MAX + 1]; /* after the program's name, ended by NULL; the
                                                 incarnation is appended as "--inc=HEX" */
    size_t pool_bytes;                        /* 0: makes no payloads */
    int64_t timeout_ms;                       /* for one sample; 0: none */
    uint64_t memory_bytes;                    /* anonymous memory of the process; 0: no limit */
    enum restart restart;
    bool held;                                /* does not start before supervise_resume */
};

/* How a child ended. */
struct death {
    int child;
    const char *name;
    uint64_t inc;
    int exit_code, signal; /* one of them; the other is -1 / 0 */
    enum verdict verdict;  /* the agent killed it for that */
    bool out_of_memory;    /* the kernel did */
    bool executing;        /* a sample was in hand: it is named by the next five */
    bool blamed;     /* and is to blame: the end was of the process's own making, or the agent's
                        verdict; a kill from outside is not */
    bool setup;      /* exit code SUPERVISE_EXIT_SETUP */
    int idle_deaths; /* how often in a row it has ended now without having touched a sample */
    uint32_t line, stage, gen, attempt;
    uint64_t seq;
    char key[METRICS_KEY_MAX + 1];
    const char *tail; /* last lines that it wrote */
};

struct supervise_events {
    void *user;
    void (*died)(void *user, const struct death *death);
    /* A child is about to be started (again): what its spec's args point to may be changed. NULL:
     * nothing is done. */
    void (*launching)(void *user, int child);
    /* One line that a child wrote, without its newline. */
    void (*line)(void *user, const char *child, struct span line);
};

struct supervisor;

/* Blocks SIGCHLD, SIGINT and SIGTERM in this process and takes them by a descriptor. One a process.
 */
enum status supervise_open(struct supervisor **supervisor, struct supervise_events events,
                           struct error *err);
/* Kills and reaps all children. NULL: nothing. */
void supervise_close(struct supervisor *supervisor);

/* Starts one child; its number is in *child. The spec is copied, except args, which must live on.
 */
enum status supervise_start(struct supervisor *supervisor, const struct child_spec *spec,
                            int *child, struct error *err);

/* Adds what to wait for to waits[*count], at most room entries. */
void supervise_wait(struct supervisor *supervisor, struct link_wait *waits, int *count, int room);
/* Takes signals, answers children, reads what they wrote, reaps, applies limits, restarts what is
 * due. Call it after every wait, at least every 100 ms. */
void supervise_step(struct supervisor *supervisor);

/* How often SIGINT or SIGTERM came. */
int supervise_interrupts(const struct supervisor *supervisor);

void supervise_drain(struct supervisor *supervisor,
                     int child); /* tells it, and restarts it no more */
/* Takes a drain back: the child is started (again), when it has ended at the latest. */
void supervise_resume(struct supervisor *supervisor, int child);
void supervise_pause(struct supervisor *supervisor, int child, bool pause); /* TALK_PAUSE, RESUME */
void supervise_finish(struct supervisor *supervisor, int child); /* says TALK_FINISH */
void supervise_kill(struct supervisor *supervisor, int child);   /* SIGKILL, no restart */
/* SIGKILL, and it starts again. False: it does not run, or has just ended by itself. */
bool supervise_restart(struct supervisor *supervisor, int child);

struct child_info {
    const char *name;
    pid_t pid; /* 0: not running */
    uint64_t inc;
    uint64_t starts;   /* times started */
    struct page *page; /* counters add up over restarts */
};
struct child_info supervise_info(const struct supervisor *supervisor, int child);
int supervise_count(const struct supervisor *supervisor);
int supervise_running(const struct supervisor *supervisor);

#endif
