/* Which programs of others a run may start: those that lie in folders given on the command line
 * (`--programs DIR[:DIR]`), and nothing else. A graph names a program, never a path, so that a
 * graph from somebody else starts nothing that its user did not allow. */
#ifndef FOLDMILL_PROGRAMS_H
#define FOLDMILL_PROGRAMS_H

#include "engine/base/error.h"

#include <limits.h>

/* Command line: these folders (colons between), for this process and those it starts; NULL: none,
 * whatever the environment says. */
void programs_allow(const char *folders);

/* The program of that name in the first allowed folder that has it. STATUS_INVALID, with the fix: a
 * name with '/', no folder allowed, not found, or folder or file could be changed by others (owned
 * by neither the user nor root, or writable for group or world). */
enum status programs_find(const char *name, char path[PATH_MAX], struct error *err);

#endif
