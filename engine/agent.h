/* What an agent (the process that starts and reaps the others of its engine) says to a dispatcher:
 * who it is, once a second that it lives, and of each child that ended which sample it is to blame
 * on. Each death is told again until the dispatcher has answered. */
#ifndef FOLDMILL_AGENT_H
#define FOLDMILL_AGENT_H

#include "engine/link.h"
#include "engine/message.h"
#include "engine/supervise.h"

enum {
    AGENT_HELLO_MS = 200, /* between two HELLOs until it is answered */
    AGENT_HB_MS = 1000,
    AGENT_DIED_MS = 500, /* DIED is said again until it is answered */
    AGENT_DIED_MAX = 256 /* deaths that wait for an answer */
};

struct agent_died {
    uint64_t inc;
    int64_t said_ms;
    struct died died;
    bool waiting;
};

struct agent {
    struct link *hub; /* to the dispatcher; the owner opens and closes it */
    uint64_t job, inc, graph_hash, node;
    bool welcome; /* the dispatcher knows us */
    int64_t hello_ms;
    struct agent_died died[AGENT_DIED_MAX];
    char refused[ERROR_TEXT_MAX]; /* why the dispatcher will not have us; "": it does not say so */
};

/* Hears what the dispatcher said and says what is due. */
void agent_turn(struct agent *agent);
/* A child that makes samples has ended; text says how (agent_describe). */
void agent_tell(struct agent *agent, const struct death *death, const char *text);

/* "killed by signal 11 (Segmentation fault) in msa.2" */
void agent_describe(const struct death *death, char *text, size_t size);
/* The last error line of what a child wrote, without the log's time and names; else its last line;
 * "" where it wrote nothing. Returns words. */
const char *agent_last_words(const char *tail, char words[512]);

#endif
