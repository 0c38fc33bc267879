/* The dispatcher's process: the pure steps of dispatch.h between the sockets of one node. All its
 * state is soft; it may be killed at any time. */
#ifndef FOLDMILL_HUB_H
#define FOLDMILL_HUB_H

#include "engine/job.h"

/* Runs until the agent says drain; returns the exit code of the process. */
int hub_run(struct job *job, uint64_t inc);

#endif
