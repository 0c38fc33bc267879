/* Addresses of links; see link_address.h. */
#include "engine/link_address.h"

#include "engine/base/text.h"
#include "engine/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define FORMS "ipc://PATH, tcp://1.2.3.4:PORT, tcp://[::1]:PORT or tcp://NAME:PORT"

static enum status check_path(const char *path, struct error *err)
{
    size_t size = strlen(path);
    if (size <= LINK_PATH_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_LIMIT,
                     "the path of a socket may have %d bytes, \"%s\" has %zu: set TMPDIR to a "
                     "shorter folder",
                     LINK_PATH_MAX, path, size);
}

static bool is_name(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    return *text && *text != '-' && strspn(text, letters) == strlen(text);
}

static bool parse_host(struct link_address *address)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&address->number;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->number;
    if (address->six) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(address->port);
        address->number_size = sizeof *six;
        bool good = inet_pton(AF_INET6, address->host, &six->sin6_addr) == 1;
        address->loopback = good && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
        return good;
    }
    four->sin_family = AF_INET;
    four->sin_port = htons(address->port);
    address->number_size = sizeof *four;
    if (inet_pton(AF_INET, address->host, &four->sin_addr) == 1) {
        address->loopback = ntohl(four->sin_addr.s_addr) >> 24 == 127;
        return true;
    }
    address->named = true;
    return is_name(address->host);
}

enum status link_address_parse(const char *text, struct link_address *address, struct error *err)
{
    *address = (struct link_address){0};
    if (strncmp(text, "ipc://", 6) == 0)
        return check_path(text + 6, err);
    const char *host = text + 6, *colon = strrchr(text, ':');
    bool good = strncmp(text, "tcp://", 6) == 0 && colon && colon > host;
    if (good && *host == '[') {
        address->six = true;
        host++;
        good = colon > host && colon[-1] == ']';
    }
    size_t size = good ? (size_t)(colon - host) - address->six : 0;
    int64_t port = 0;
    good = good && size > 0 && size <= LINK_HOST_MAX &&
           text_int(span_of(colon + 1), 0, UINT16_MAX, &port);
    if (good) {
        memcpy(address->host, host, size);
        address->tcp = true;
        address->port = (uint16_t)port;
        good = parse_host(address);
    }
    if (!good)
        return error_set(err, STATUS_INVALID, "a link wants an address " FORMS ", found \"%s\"",
                         text);
    return STATUS_OK;
}

void link_address_resolve(struct link_address *address)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (!address->named)
        return;
    if (getaddrinfo(address->host, NULL, &hints, &found) == 0) {
        freeaddrinfo(found);
        return;
    }
    hints.ai_family = AF_INET6;
    if (getaddrinfo(address->host, NULL, &hints, &found) == 0) {
        freeaddrinfo(found);
        address->six = true;
    }
}

enum status link_address_listen(const struct link_address *address, int backlog, int *fd,
                                struct error *err)
{
    int one = 1;
    *fd = -1;
    if (address->named)
        return error_set(err, STATUS_INVALID,
                         "to listen an address in numbers is wanted, \"%s\" is a name: 0.0.0.0 or "
                         "[::] listen everywhere",
                         address->host);
    int family = address->six ? AF_INET6 : AF_INET;
    *fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return error_set(err, STATUS_IO, "no socket: %s", strerror(errno));
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(*fd, (const struct sockaddr *)&address->number, address->number_size) != 0 ||
        listen(*fd, backlog) != 0) {
        error_set(err, STATUS_IO, "cannot listen at %s port %u: %s%s", address->host, address->port,
                  strerror(errno),
                  errno == EADDRINUSE ? "; choose another port, or end who has it" : "");
        close(*fd);
        *fd = -1;
        return STATUS_IO;
    }
    return STATUS_OK;
}
