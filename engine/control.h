/* How people speak with an engine that runs: a Unix socket in the run's folder of sockets (0700),
 * one request line, one answer, then the connection ends. Everything that changes a run comes this
 * way; nothing on a network does. RUN/lock tells where the socket is. */
#ifndef FOLDMILL_CONTROL_H
#define FOLDMILL_CONTROL_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/link.h"

#include <limits.h>
#include <stdio.h>

enum {
    CONTROL_REQUEST_MAX = 4096,    /* bytes of a request line */
    CONTROL_WORDS_MAX = 8,         /* of a request, separated by tabs */
    CONTROL_ANSWER_MAX = 16 << 20, /* bytes */
    CONTROL_PEERS_MAX = 16,        /* connections at a time; more wait in the backlog */
    CONTROL_ASK_MS = 5000,         /* for a request to arrive and an answer to be taken */
};

/* ---- the engine's side ---- */

/* Does what a request says (words: the command and its arguments) and writes the answer's body.
 * Another status than STATUS_OK: the text of err is the answer. Must not wait. */
typedef enum status control_fn(void *user, const char *const *words, int count, FILE *body,
                               struct error *err);

struct control;

/* Listens on SOCKETS/control. STATUS_IO; STATUS_LIMIT: the path is too long. */
enum status control_open(struct control **control, const char *sockets, control_fn *handle,
                         void *user, struct error *err);
void control_close(struct control *control); /* NULL: nothing */
/* Adds what to wait for to waits[*count], at most room entries. */
void control_wait(const struct control *control, struct link_wait *waits, int *count, int room);
/* Takes requests and sends answers without waiting: after every wait. */
void control_step(struct control *control);

/* ---- the other side ---- */

/* The folder of the run that a command means: given, or the one in runs/ that was started last.
 * STATUS_MISS: there is none; STATUS_INVALID: given is not the folder of a run. */
enum status control_find_run(const char *given, char path[PATH_MAX], struct error *err);

/* Asks the engine of that run; answer is ended by a NUL and lies in arena. STATUS_MISS: no engine
 * runs there; STATUS_BUSY: it does not answer; else the status and text that the engine gave. */
enum status control_ask(const char *run_path, const char *const *words, int count,
                        struct arena *arena, struct span *answer, struct error *err);

#endif
