/* Accounts of a run: every position of every line has exactly one fate. Read from what is durable:
 * frozen lists, step tables, the journal, stores and the list of refusals; nothing is believed that
 * two of them tell differently. */
#ifndef FOLDMILL_AUDIT_H
#define FOLDMILL_AUDIT_H

#include "engine/job.h"

#include <stdio.h>

/* Of one line. A line with steps counts positions of its step table; a line that fills a store
 * counts the keys of its list. */
struct audit_line {
    const char *name;
    bool fills;              /* a store line */
    uint64_t positions;      /* that must have a fate: in steps that were made; keys of the list */
    uint64_t delivered;      /* used in a step; stored */
    uint64_t refused, aside; /* by name, with a reason; aside: after three strikes */
    uint64_t empty, padding; /* dropped by a filter; places that only fill a last batch */
    uint64_t holes, doubles; /* 0 unless something is wrong */
    uint64_t missing;        /* fills: not made yet (the run goes on and makes them), or lost */
    uint64_t steps, committed;   /* rows of the step table; of the last checkpoint */
    uint64_t damaged;            /* rows or entries that cannot be read */
    uint32_t overtake;           /* positions of a rank that may overtake one; 0: strict order */
    uint64_t overtaken;          /* taken later than in their turn, */
    uint64_t overtaken_by;       /* by so many positions at most */
    uint64_t checked, different; /* steps that were made again; with another digest than logged */
};

/* Counts a line. Errors name the file that is missing or damaged. */
enum status audit_line(struct job *job, int line, struct audit_line *audit, struct error *err);

/* Makes `count` steps again, spread over those that were made, and compares their digests. */
enum status audit_replay(struct job *job, int line, uint64_t count, struct audit_line *audit,
                         struct error *err);

/* True when nothing is wrong: no holes, doubles, damage or differences. */
bool audit_good(const struct audit_line *audit);
void audit_print(const struct audit_line *audit, FILE *out);

/* The rows of what was set aside, of all lines: line, key, cause, stage's words. */
enum status audit_print_aside(const struct job *job, FILE *out, struct error *err);

#endif
