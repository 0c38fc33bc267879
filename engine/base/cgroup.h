/* Limits of control groups, of both versions. */
#ifndef FOLDMILL_CGROUP_H
#define FOLDMILL_CGROUP_H

#include <stdbool.h>

/* The limit of the group whose files lie in folder; 0: none. */
typedef double cgroup_limit(const char *folder);

/* The smallest limit of this process's group and those above it; 0: none. controller: "cpu" or
 * "memory", as version 1 names it. root: "" or, for tests, a folder that holds /proc/self/cgroup
 * and /sys/fs/cgroup. */
double cgroup_least(const char *root, const char *controller, cgroup_limit *limit);

/* The first line of a small file; false where there is none. */
bool cgroup_line(const char *path, char *text, int size);

#endif
