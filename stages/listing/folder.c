/* See folder.h. */
#include "stages/listing/folder.h"

#include "stages/bio/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool name_ends(struct span text, const char *end)
{
    size_t size = strlen(end);
    return text.size > size && memcmp(text.data + text.size - size, end, size) == 0;
}

bool name_stem(struct span name, const char *const *suffixes, struct span *stem)
{
    if (name_ends(name, ".gz"))
        name.size -= 3;
    for (; *suffixes; suffixes++)
        if (name_ends(name, *suffixes)) {
            *stem = (struct span){name.data, name.size - strlen(*suffixes)};
            return true;
        }
    return false;
}

struct span name_base(struct span path)
{
    while (path.size && path.data[path.size - 1] == '/')
        path.size--;
    const char *slash = path.size ? memrchr(path.data, '/', path.size) : NULL;
    if (!slash)
        return path;
    size_t skip = (size_t)(slash + 1 - path.data);
    return (struct span){path.data + skip, path.size - skip};
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **folder_files(const char *folder, struct arena *arena, int *count, struct error *err)
{
    DIR *handle = opendir(folder);
    if (!handle) {
        error_set(err, STATUS_IO, "%s: %s", folder, strerror(errno));
        return NULL;
    }
    char **paths = NULL;
    int capacity = 0;
    *count = 0;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(handle)) != NULL; errno = 0) {
        if (entry->d_name[0] == '.')
            continue;
        if (*count == FOLDER_FILES_MAX)
            break;
        paths = array_grow(arena, paths, *count, &capacity, sizeof *paths);
        ASSERT(paths);
        paths[(*count)++] = arena_printf(arena, "%s/%s", folder, entry->d_name);
    }
    int code = errno;
    closedir(handle);
    if (code || *count == FOLDER_FILES_MAX) {
        error_set(err, code ? STATUS_IO : STATUS_LIMIT, "%s: %s", folder,
                  code ? strerror(code) : "holds 10,000,000 files or more: use subfolders");
        return NULL;
    }
    if (*count)
        qsort(paths, (size_t)*count, sizeof *paths, by_text);
    static char *none[1];
    return paths ? paths : none;
}

bool path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool path_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}
