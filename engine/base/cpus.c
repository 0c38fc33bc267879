/* CPUs that may be used; see cpus.h. */
#include "engine/base/cpus.h"

#include "engine/base/cgroup.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>

/* The quota of one group in CPUs; 0: none. folder: of that group. */
static double quota_of(const char *folder)
{
    char path[PATH_MAX + 32], text[128];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (cgroup_line(path, text, sizeof text))
        return sscanf(text, "%lf %lf", &quota, &period) == 2 && period > 0 ? quota / period : 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!cgroup_line(path, text, sizeof text) || sscanf(text, "%lf", &quota) != 1)
        return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (!cgroup_line(path, text, sizeof text) || sscanf(text, "%lf", &period) != 1)
        return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

double cpus_quota(const char *root)
{
    return cgroup_least(root, "cpu", quota_of);
}

int cpus_bound(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count < 1 ? 1 : count;
}

int cpus_here(void)
{
    int count = cpus_bound();
    double quota = cpus_quota("");
    if (quota > 0 && quota < count)
        count = (int)ceil(quota);
    return count < 1 ? 1 : count;
}
