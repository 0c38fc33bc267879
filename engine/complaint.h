/* Mistakes in a text that a person wrote, gathered so that all are shown in one pass: each with
 * file, line, column, the line itself with the place underlined, and what would be right. */
#ifndef FOLDMILL_COMPLAINT_H
#define FOLDMILL_COMPLAINT_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdbool.h>
#include <stdio.h>

enum { COMPLAINTS_MAX = 100 }; /* more are counted, not kept */

/* A text and where its lines come from: a file, or an option on the command line. */
struct source_text {
    const char *name; /* "graphs/demo.yaml", "--set crop.length=x" */
    struct span text;
    bool typed; /* on the command line */
};

/* A place in a text: line and column count from 1, columns and width in characters. line 0: the
 * whole text. */
struct place {
    const struct source_text *source;
    int line, column, width;
};

struct complaint {
    struct place place;
    const char *text;
};

struct complaints {
    struct arena *arena;
    int count; /* all, also those not kept */
    struct complaint item[COMPLAINTS_MAX];
};

/* None yet; texts will lie in arena. */
void complaints_open(struct complaints *complaints, struct arena *arena);

/* Adds one. */
void complain(struct complaints *complaints, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints all, in order of file and line: "file:line:column: error: text", the line, a caret. */
void complaints_print(struct complaints *complaints, FILE *out);

#endif
