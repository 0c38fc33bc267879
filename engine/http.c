/* A small server of metrics over libmicrohttpd, driven by the engine's own loop; see http.h. */
#include "engine/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct http {
    struct MHD_Daemon *daemon;
    http_fn *write;
    void *user;
    int port, poll;
};

bool http_is_loopback(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (int i = 0; host && i < 3; i++) {
        size_t size = strlen(names[i]);
        if (strncasecmp(host, names[i], size) != 0)
            continue;
        host += size;
        if (*host == 0)
            return true;
        size_t digits = *host == ':' ? strspn(host + 1, "0123456789") : 0;
        return digits >= 1 && digits <= 5 && host[1 + digits] == 0;
    }
    return false;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned code, char *text,
                              size_t size, enum MHD_ResponseMemoryMode mode, const char *type)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, text, mode);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy", "default-src 'self'");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned code, const char *text)
{
    char copy[128];
    int size = snprintf(copy, sizeof copy, "%s\n", text);
    return answer(connection, code, copy, (size_t)size, MHD_RESPMEM_MUST_COPY, "text/plain");
}

static enum MHD_Result handle(void *memory, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    static char begun;
    struct http *http = memory;
    char *text = NULL;
    size_t size = 0;
    (void)version;
    (void)upload;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return *state ? MHD_NO
                      : refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD alone");
    if (!*state) { /* the head has come; the library wants to be asked once more */
        *state = &begun;
        return MHD_YES;
    }
    if (*upload_size)
        return MHD_NO;
    if (!http_is_loopback(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host")))
        return refuse(connection, MHD_HTTP_FORBIDDEN, "the Host must be 127.0.0.1 or localhost");
    if (strcmp(url, "/metrics") != 0)
        return refuse(connection, MHD_HTTP_NOT_FOUND, "there is /metrics alone");
    FILE *body = open_memstream(&text, &size);
    ASSERT(body);
    http->write(http->user, body);
    fclose(body);
    return answer(connection, MHD_HTTP_OK, text, size, MHD_RESPMEM_MUST_FREE,
                  "text/plain; version=0.0.4; charset=utf-8");
}

enum status http_open(struct http **http, int port, http_fn *write, void *user, struct error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct http *made = calloc(1, sizeof *made);
    ASSERT(made);
    *made = (struct http){.write = write, .user = user};
    made->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, handle, made, MHD_OPTION_SOCK_ADDR,
        (const struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_PEERS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_REQUEST_MAX, MHD_OPTION_END);
    if (!made->daemon) {
        int why = errno;
        free(made);
        return error_set(err, STATUS_IO,
                         "cannot listen on port %d of 127.0.0.1 for metrics: %s; 0 takes any port "
                         "that is free",
                         port, strerror(why));
    }
    made->port = MHD_get_daemon_info(made->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    made->poll = MHD_get_daemon_info(made->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    *http = made;
    return STATUS_OK;
}

int http_port(const struct http *http)
{
    return http->port;
}

void http_wait(const struct http *http, struct link_wait *waits, int *count, int room)
{
    if (http && *count < room)
        waits[(*count)++] = (struct link_wait){.fd = http->poll};
}

void http_step(struct http *http)
{
    if (http)
        MHD_run(http->daemon);
}

void http_close(struct http *http)
{
    if (!http)
        return;
    MHD_stop_daemon(http->daemon);
    free(http);
}
