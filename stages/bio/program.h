/* Runs another program on a text: argument vector, no shell, an empty environment but PATH and
 * LC_ALL=C, nothing inherited but the three standard streams, with limits on time, memory and
 * output, and never alive after this process. */
#ifndef STAGES_BIO_PROGRAM_H
#define STAGES_BIO_PROGRAM_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

struct program_limits {
    int64_t time_ms;       /* of the clock; 0: none */
    uint64_t memory_bytes; /* of address space of each of its processes; 0: none */
    size_t output_bytes;   /* more on its standard output is an error */
};

/* Runs argv[0] (a path, not looked up) with `input` as standard input; *output is its standard
 * output, in arena. STATUS_MISS: there is no such program; STATUS_REFUSED: it ended with another
 * exit code than 0, or by a signal: the text has its last words; STATUS_LIMIT: a limit was
 * exceeded, all its processes are dead; STATUS_IO. */
enum status program_run(const char *const *argv, struct span input,
                        const struct program_limits *limits, struct arena *arena,
                        struct span *output, struct error *err);

#endif
