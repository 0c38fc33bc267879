/* Addresses of links: ipc://PATH, tcp://1.2.3.4:PORT, tcp://[2001:db8::1]:PORT and, to connect to,
 * tcp://NAME:PORT. */
#ifndef FOLDMILL_LINK_ADDRESS_H
#define FOLDMILL_LINK_ADDRESS_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { LINK_HOST_MAX = 253 };

struct link_address {
    bool tcp, six, named, loopback;
    uint16_t port;
    char host[LINK_HOST_MAX + 1];   /* without brackets */
    struct sockaddr_storage number; /* when not named */
    socklen_t number_size;
};

/* STATUS_INVALID: not an address (the text gives the forms); STATUS_LIMIT: a path too long. */
enum status link_address_parse(const char *text, struct link_address *address, struct error *err);

/* A name is looked up to learn whether it has IPv4 addresses; six is set when it has only others.
 */
void link_address_resolve(struct link_address *address);

/* Opens, binds and listens; port 0 takes a free one. The descriptor is close-on-exec. */
enum status link_address_listen(const struct link_address *address, int backlog, int *fd,
                                struct error *err);

#endif
