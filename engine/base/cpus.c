/* CPUs that may be used; see cpus.h. */
#include "engine/base/cpus.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool first_line(const char *path, char *text, int size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool good = fgets(text, size, file) != NULL;
    fclose(file);
    return good;
}

/* The quota of one group in CPUs; 0: none. folder: of that group. */
static double quota_of(const char *folder)
{
    char path[PATH_MAX + 32], text[128];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (first_line(path, text, sizeof text))
        return sscanf(text, "%lf %lf", &quota, &period) == 2 && period > 0 ? quota / period : 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!first_line(path, text, sizeof text) || sscanf(text, "%lf", &quota) != 1)
        return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (!first_line(path, text, sizeof text) || sscanf(text, "%lf", &period) != 1)
        return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* The smallest of a group and those above it. mount: where their hierarchy lies; group: "/a/b". */
static double quota_up(const char *mount, const char *group)
{
    char folder[PATH_MAX];
    double least = 0;
    if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder)
        return 0;
    for (;;) {
        double quota = quota_of(folder);
        if (quota > 0 && (least <= 0 || quota < least))
            least = quota;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(mount))
            return least;
        *slash = 0;
    }
}

double cpus_quota(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX], mount[PATH_MAX];
    double least = 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        bool two = names[1] == 0, one = strstr(names, "cpu") && !strstr(names, "cpuset");
        if (!two && !one)
            continue;
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, two ? "" : "/cpu");
        double quota = quota_up(mount, strcmp(group, "/") == 0 ? "" : group);
        if (quota > 0 && (least <= 0 || quota < least))
            least = quota;
    }
    if (file)
        fclose(file);
    return least;
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
