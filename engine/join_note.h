/* What a joined engine tells for the run's tables: a row for each process that it started, and for
 * each sample that took one of them long. Text, a row a line; what does not fit the graph is no
 * row. */
#ifndef FOLDMILL_JOIN_NOTE_H
#define FOLDMILL_JOIN_NOTE_H

#include "engine/graph.h"
#include "engine/sample.h"

#include <stdint.h>

enum { JOIN_NOTE_MAX = SAMPLE_KEY_MAX + 160 }; /* bytes of a row, with its newline */

enum join_note_kind { JOIN_NOTE_PROCESS, JOIN_NOTE_SLOW };

struct join_note {
    enum join_note_kind kind;
    int stage;      /* of the graph */
    uint32_t index; /* of the worker among those of its stage at that engine */
    /* JOIN_NOTE_PROCESS */
    uint64_t inc, starts;
    uint32_t pid;
    /* JOIN_NOTE_SLOW */
    int line;
    uint32_t attempt;
    uint64_t seq, ms;
    char key[SAMPLE_KEY_MAX + 1];
};

/* Writes the row; returns its bytes. */
size_t join_note_write(const struct join_note *note, char row[JOIN_NOTE_MAX]);
/* False: it is none, or names what the graph does not have. */
bool join_note_read(struct span row, const struct graph *graph, struct join_note *note);

#endif
