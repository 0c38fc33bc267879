/* Programs in allowed folders; see programs.h. The list travels to children in the environment,
 * which every command sets or clears before anything else. */
#include "engine/programs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char variable[] = "FOLDMILL_PROGRAMS";

void programs_allow(const char *folders)
{
    if (folders && *folders)
        setenv(variable, folders, 1);
    else
        unsetenv(variable);
}

/* Nobody but the user and root can have put it there. */
static bool is_ours(const struct stat *info)
{
    return (info->st_uid == geteuid() || info->st_uid == 0) &&
           !(info->st_mode & (S_IWGRP | S_IWOTH));
}

enum status programs_find(const char *name, char path[PATH_MAX], struct error *err)
{
    const char *folders = getenv(variable);
    struct stat info;
    if (!*name || strchr(name, '/'))
        return error_set(
            err, STATUS_INVALID,
            "a program is given by its name, not as \"%s\"; its folder is given on the "
            "command line: --programs DIR",
            name);
    if (!folders)
        return error_set(err, STATUS_INVALID,
                         "%s may not be started: say --programs DIR, the "
                         "folder that holds it (several: DIR:DIR)",
                         name);
    for (const char *at = folders; *at;) {
        size_t size = strcspn(at, ":");
        char folder[PATH_MAX];
        int used = snprintf(folder, sizeof folder, "%.*s", (int)size, at);
        at += size + (at[size] == ':');
        if (used <= 0 || used >= PATH_MAX || !realpath(folder, path) || stat(path, &info) != 0)
            continue;
        if (!is_ours(&info))
            return error_set(err, STATUS_INVALID,
                             "--programs %s: others may change that folder: "
                             "chmod go-w, or use one of your own",
                             folder);
        size_t length = strlen(path);
        if (snprintf(path + length, PATH_MAX - length, "/%s", name) >= (int)(PATH_MAX - length) ||
            stat(path, &info) != 0)
            continue;
        if (!S_ISREG(info.st_mode) || access(path, X_OK) != 0)
            return error_set(err, STATUS_INVALID, "%s is no program: chmod +x", path);
        if (!is_ours(&info))
            return error_set(err, STATUS_INVALID, "others may change %s: chmod go-w", path);
        return STATUS_OK;
    }
    return error_set(err, STATUS_INVALID, "there is no %s in %s (--programs)", name, folders);
}
