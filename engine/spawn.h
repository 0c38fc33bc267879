/* Starts a process of a run: fork + exec of this program, with the descriptors that a child knows
 * by number. A bare fork is never used: neither LMDB nor ZeroMQ nor CUDA survives it. Also what the
 * kernel tells about a process that is running. */
#ifndef FOLDMILL_SPAWN_H
#define FOLDMILL_SPAWN_H

#include "engine/base/error.h"
#include "engine/shm.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Descriptors of a child. 0 reads nothing; 1 and 2 lead to the agent, which logs the lines. */
enum child_fd { CHILD_FD_AGENT = 3, CHILD_FD_PAGE, CHILD_FD_POOL, CHILD_FD_RETURNS, CHILD_FD_END };

/* A process that was started, and the agent's ends of what leads to it. */
struct spawned {
    pid_t pid;
    int socket; /* SOCK_SEQPACKET, CHILD_FD_AGENT in the child */
    int output; /* what it writes to 1 and 2; not blocking */
};

/* Starts program (NULL: this one again) with argv (argv[0] included, ended by NULL). page and pool
 * are given to the child (-1: none). It is killed when the calling thread ends, ignores SIGINT,
 * SIGTERM and SIGPIPE, may gain no privileges and writes no core. */
enum status spawn(const char *program, char **argv, int page, struct shm_fds pool,
                  struct spawned *spawned, struct error *err);

/* Lets this process have as many descriptors as its hard limit allows: it has several sockets, an
 * agent several descriptors a child. */
void file_limit_raise(void);

/* The name of this machine, cut to 63 bytes. */
const char *host_name(void);

/* Kills by the kernel for want of memory since boot. */
uint64_t kernel_oom_kills(void);
/* True where the process has been stopped by a signal, or is no more. */
bool process_is_stopped(pid_t pid);
/* Bytes of memory that the process has for itself; 0 when it is no more. */
uint64_t process_memory(pid_t pid);
/* Nanoseconds of CPU time that the process has used; 0 when it is no more. */
int64_t process_cpu_ns(pid_t pid);

#endif
