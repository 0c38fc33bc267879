/* Programs made up by tests, in a folder of their own that is allowed. */
#ifndef TESTS_STAGES_OUTSIDE_H
#define TESTS_STAGES_OUTSIDE_H

#include "engine/base/file.h"
#include "engine/programs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena arena;
static struct error err;
static char folder[] = "/tmp/foldmill_outside_XXXXXX";

static inline void outside_begin(void)
{
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
    programs_allow(folder);
}

static inline void outside_end(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0);
    arena_close(&arena);
}

/* FOLDER/name with this text. */
static inline const char *outside_file(const char *name, const char *text)
{
    char *path = arena_printf(&arena, "%s/%s", folder, name);
    cr_assert(file_write_atomic(path, span_of(text), &err) == STATUS_OK, "%s", err.text);
    return path;
}

static inline const char *outside_program(const char *name, const char *text)
{
    const char *path = outside_file(name, text);
    cr_assert(chmod(path, 0755) == 0);
    return path;
}

#endif
