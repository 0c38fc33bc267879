/* CURVE on ZeroMQ sockets: who may connect (a ZAP handler with the list of a job's keys), and the
 * proof at the start that nobody else can. For link.c; a process has one set of keys. */
#ifndef FOLDMILL_CURVE_H
#define FOLDMILL_CURVE_H

#include "engine/keys.h"

#include <stdint.h>

/* Starts the handler in a thread of its own, before the first socket of the network is bound;
 * copies the keys. STATUS_IO: no thread, or this ZeroMQ was built without CURVE. */
enum status curve_open(void *context, const struct keys *keys, struct error *err);
bool curve_is_open(void);
/* Whose secret it is. */
enum key_role curve_own_role(void);
/* Ends the handler and wipes the keys. The context must have been shut down (zmq_ctx_shutdown). */
void curve_close(void);

/* Makes a socket the server / a client of the server in a role; before bind or connect. */
void curve_serve(void *socket);
void curve_join(void *socket, enum key_role server);

/* The role in the words of the handler (the User-Id of a message); NULL: KEY_NONE. */
enum key_role curve_role(const char *user);

/* Proves the server at endpoint: a client with our own key is let in; one
 * with a key made up just now and one without any are not. STATUS_REFUSED: somebody was let in
 * who has no key; STATUS_IO: the server cannot be reached. */
enum {
    CURVE_PROOF_MS =
        1000, /* for one try; milliseconds suffice on a machine that is not overloaded */
    CURVE_PROOF_TRIES = 3, /* when no answer came in time */
};
enum status curve_prove(void *context, const char *endpoint, struct error *err);

/* While set, those turned away are neither told nor counted: for the proof itself. */
void curve_quiet(bool quiet);
/* Handshakes that were turned away so far. */
uint64_t curve_refused(void);

#endif
