/* The way from a process's control group up to the root; see cgroup.h. */
#include "engine/base/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

bool cgroup_line(const char *path, char *text, int size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool good = fgets(text, size, file) != NULL;
    fclose(file);
    return good;
}

/* The smallest of a group and those above it. mount: where their hierarchy lies; group: "/a/b". */
static double least_up(const char *mount, const char *group, cgroup_limit *limit)
{
    char folder[PATH_MAX];
    double least = 0;
    if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder)
        return 0;
    for (;;) {
        double found = limit(folder);
        if (found > 0 && (least <= 0 || found < least))
            least = found;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(mount))
            return least;
        *slash = 0;
    }
}

/* "cpu,cpuacct" has "cpu"; "cpuset" has not. */
static bool controllers_have(const char *names, const char *controller)
{
    size_t size = strlen(controller);
    for (const char *at = names; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, controller, size) == 0 && (at[size] == ',' || at[size] == 0))
            return true;
    }
    return false;
}

double cgroup_least(const char *root, const char *controller, cgroup_limit *limit)
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
        bool two = names[1] == 0, one = controllers_have(names + 1, controller);
        if (!two && !one)
            continue;
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s%s", root, two ? "" : "/",
                 two ? "" : controller);
        double found = least_up(mount, strcmp(group, "/") == 0 ? "" : group, limit);
        if (found > 0 && (least <= 0 || found < least))
            least = found;
    }
    if (file)
        fclose(file);
    return least;
}
