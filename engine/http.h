/* Metrics over HTTP, for Prometheus: 127.0.0.1 alone, GET and HEAD of /metrics alone. It tells and
 * changes nothing; what changes a run goes over the control socket. Requests whose Host is not this
 * machine's loopback are refused: a web page in a browser may have found the port by a name that it
 * controls. */
#ifndef FOLDMILL_HTTP_H
#define FOLDMILL_HTTP_H

#include "engine/base/error.h"
#include "engine/link.h"

#include <stdio.h>

enum {
    HTTP_PEERS_MAX = 64,          /* connections at a time */
    HTTP_IDLE_S = 10,             /* an idle connection ends */
    HTTP_REQUEST_MAX = 32 * 1024, /* bytes of a request's head */
};

/* Writes the body of /metrics. */
typedef void http_fn(void *user, FILE *body);

struct http;

/* Listens on the port of 127.0.0.1; 0: any that is free. STATUS_IO: the port is taken. */
enum status http_open(struct http **http, int port, http_fn *write, void *user, struct error *err);
int http_port(const struct http *http);
/* All of these take NULL: nothing listens. */
void http_wait(const struct http *http, struct link_wait *waits, int *count, int room);
void http_step(struct http *http);
void http_close(struct http *http);

/* True for a Host header that means this machine's loopback, with any port. For tests. */
bool http_is_loopback(const char *host);

#endif
