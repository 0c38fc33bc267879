/* Memory that may be used; see memory.h. */
#include "engine/base/memory.h"

#include "engine/base/cgroup.h"

#include <limits.h>
#include <stdio.h>

/* The limit of one group in bytes; 0: none ("max"). */
static double limit_of(const char *folder)
{
    static const char *const names[] = {"memory.max", "memory.limit_in_bytes"};
    char path[PATH_MAX + 32], text[128];
    double limit = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (cgroup_line(path, text, sizeof text))
            return sscanf(text, "%lf", &limit) == 1 && limit > 0 ? limit : 0;
    }
    return 0;
}

uint64_t memory_here(const char *root)
{
    char path[PATH_MAX], line[128];
    unsigned long long kibibytes = 0;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (cgroup_line(path, line, sizeof line)) /* MemTotal is the first */
        (void)sscanf(line, "MemTotal: %llu", &kibibytes);
    uint64_t bytes = (uint64_t)kibibytes << 10;
    double limit = cgroup_least(root, "memory", limit_of);
    return limit > 0 && (bytes == 0 || limit < (double)bytes) ? (uint64_t)limit : bytes;
}
