/* How much memory this process may use: the machine's, and no more than the limit of its control
 * group (containers, Slurm, systemd). */
#ifndef FOLDMILL_MEMORY_H
#define FOLDMILL_MEMORY_H

#include <stdint.h>

/* Bytes; 0: not known. root: "" or, for tests, a folder that holds /proc and /sys. */
uint64_t memory_here(const char *root);

#endif
