/* Folders and names of files, for what lists the samples of a run. */
#ifndef STAGES_LISTING_FOLDER_H
#define STAGES_LISTING_FOLDER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdbool.h>

enum { FOLDER_FILES_MAX = 10000000 };

bool name_ends(struct span text, const char *end); /* and has something before it */

/* The name without ".gz" and then without the first of the suffixes (ended by NULL) that it ends
 * with; false: none. */
bool name_stem(struct span name, const char *const *suffixes, struct span *stem);

/* What stands behind the last '/'; slashes at the end do not count. */
struct span name_base(struct span path);

/* FOLDER/NAME of everything in a folder that does not begin with '.', sorted by bytes, in arena;
 * NULL when it cannot be read, or when it holds more than FOLDER_FILES_MAX. */
char **folder_files(const char *folder, struct arena *arena, int *count, struct error *err);

bool path_is_folder(const char *path);
bool path_is_file(const char *path); /* a regular file, or a link to one */

#endif
