/* How many CPUs this process may use: those that it is bound to (taskset, Slurm, a cpuset), and no
 * more than the quota of its control group (containers), rounded up. */
#ifndef FOLDMILL_CPUS_H
#define FOLDMILL_CPUS_H

/* At least 1. */
int cpus_here(void);

/* Those that this process is bound to, whatever the quota; at least 1. */
int cpus_bound(void);

/* The smallest quota of this process's control group and those above it, in CPUs; 0: none. root: ""
 * or, for tests, a folder that holds /proc/self/cgroup and /sys/fs/cgroup. Both versions. */
double cpus_quota(const char *root);

#endif
