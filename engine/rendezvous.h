/* RUN/rendezvous: where a run's head listens, for engines that join it by the folder of the run
 * (on a disk that both see) or by a copy of this file. It holds no secret. */
#ifndef FOLDMILL_RENDEZVOUS_H
#define FOLDMILL_RENDEZVOUS_H

#include "engine/keys.h"
#include "engine/network.h"

struct rendezvous {
    char address[LINK_ADDRESS_MAX]; /* tcp://HOST:PORT of the coordinator */
    char run[PATH_MAX];             /* the run's folder, at the head */
    char keys[PATH_MAX];            /* folder of keys at the head; "": none, that machine alone */
    char fingerprint[KEY_TEXT + 1]; /* the head's public key; "" without keys */
    uint64_t job;
    bool over; /* the run has ended, with all that it had to do */
};

enum status rendezvous_write(const struct rendezvous *rendezvous, const char *path,
                             struct error *err);
/* path: the file, or the folder that it is in. STATUS_MISS: it is not there (yet);
 * STATUS_INVALID: something else is. */
enum status rendezvous_read(const char *path, struct rendezvous *rendezvous, struct error *err);
/* Parses its text; for rendezvous_read and tests. */
enum status rendezvous_parse(struct span text, struct rendezvous *rendezvous, struct error *err);

#endif
