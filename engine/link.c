/* ZeroMQ sockets with the options of the delivery protocol; see link.h. */
#include "engine/link.h"

#include "engine/base/cpus.h"
#include "engine/curve.h"
#include "engine/link_address.h"
#include "engine/link_gate.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct link {
    void *socket;
    struct gate *gate; /* of a server over tcp */
    void *monitor;     /* of a DEALER that watches */
    bool was_up, ended;
    bool router;
    enum key_role server; /* of a DEALER over tcp: who the other end is, by its key */
    uint64_t malformed;
    bool framed; /* frame is in use */
    zmq_msg_t frame;
    char address[LINK_ADDRESS_MAX];
};

/* A ROUTER names its peers by five bytes: 0 and a number. */
enum { PEER_BYTES = 5, BACKLOG = 64 };

static void *context;

enum status link_context_open(struct error *err)
{
    ASSERT(!context);
    context = zmq_ctx_new();
    if (!context)
        return error_set(err, STATUS_IO, "no ZeroMQ context: %s", zmq_strerror(errno));
    zmq_ctx_set(context, ZMQ_IO_THREADS, 1);
    return STATUS_OK;
}

void link_context_close(void)
{
    if (context) {
        zmq_ctx_shutdown(context); /* ends the thread that checks keys */
        curve_close();
        zmq_ctx_term(context);
    }
    context = NULL;
}

enum status link_secure(const struct keys *keys, struct error *err)
{
    ASSERT(context);
    if (keys->role != KEY_WORKER) { /* a server encrypts for many: a thread for each four cores */
        int cores = cpus_here() / 4;
        zmq_ctx_set(context, ZMQ_IO_THREADS, cores < 1 ? 1 : cores > 8 ? 8 : cores);
    }
    return curve_open(context, keys, err);
}

static void option(void *socket, int name, int value)
{
    int code = zmq_setsockopt(socket, name, &value, sizeof value);
    ASSERT_INT(code, ==, 0);
}

/* A silent or half-open peer is noticed in 5 s and a stuck handshake ends after 5 s. Nothing is
 * queued for a peer that is not there (IMMEDIATE, MANDATORY): the sender is told instead. */
static void set_options(void *socket, bool router, struct link_options options)
{
    int64_t frame_max = options.frame_bytes_max ? (int64_t)options.frame_bytes_max : LINK_BYTES_MAX;
    int code = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    ASSERT_INT(code, ==, 0);
    option(socket, ZMQ_LINGER, 0);
    option(socket, ZMQ_IMMEDIATE, 1);
    option(socket, ZMQ_RECONNECT_IVL, 20); /* ms: a dispatcher that starts again is back at once */
    option(socket, ZMQ_SNDHWM, options.queue_max);
    option(socket, ZMQ_RCVHWM, options.queue_max);
    option(socket, ZMQ_HANDSHAKE_IVL, 5000);
    option(socket, ZMQ_HEARTBEAT_IVL, 1000);
    option(socket, ZMQ_HEARTBEAT_TIMEOUT, 5000);
    option(socket, ZMQ_TCP_MAXRT, 10000);
    if (router)
        option(socket, ZMQ_ROUTER_MANDATORY, 1);
}

/* Whether the network may be used at this address, and how. */
static enum status check_tcp(const struct link_address *address, const char *text,
                             const struct link_options *options, struct error *err)
{
    if (!address->tcp)
        return STATUS_OK;
    if (options->insecure && !address->loopback)
        return error_set(err, STATUS_INVALID,
                         "--insecure is for addresses of this machine, 127.0.0.1 or [::1]; %s "
                         "wants keys: `foldmill keys DIR`",
                         text);
    if (!options->insecure && !curve_is_open())
        return error_set(err, STATUS_INVALID,
                         "%s is on the network, which wants keys: `foldmill keys DIR` makes them",
                         text);
    return STATUS_OK;
}

/* ZeroMQ takes memory for each large message anew. Left alone, the C library gives it back to the
 * system every time, and clearing the same pages again and again costs a quarter of all the time.
 */
static void keep_memory(void)
{
    enum { KEEP_BYTES = 64 << 20, ALONE_BYTES = 4 << 20, PAD_BYTES = 8 << 20 };
    mallopt(M_MMAP_THRESHOLD, ALONE_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    mallopt(M_TOP_PAD, PAD_BYTES);
}

static enum status open_tcp(struct link *link, struct link_address *address,
                            const struct link_options *options, struct error *err)
{
    int fd;
    enum status status = STATUS_OK;
    keep_memory();
    link_address_resolve(address);
    option(link->socket, ZMQ_IPV6, address->six);
    if (!options->insecure && link->router) {
        curve_serve(link->socket);
    } else if (!options->insecure) {
        link->server = options->server ? options->server : KEY_HEAD;
        curve_join(link->socket, link->server);
    }
    if (link->router) {
        ASSERT(!link->gate); /* one network address is enough */
        status = link_address_listen(address, BACKLOG, &fd, err);
        if (status == STATUS_OK)
            status = gate_open(&link->gate, context, link->socket, fd, err);
        if (status == STATUS_OK)
            option(link->socket, ZMQ_USE_FD, fd); /* ZeroMQ owns it when the bind works */
        else if (fd >= 0)
            close(fd);
    }
    return status;
}

/* What a tcp address had beside its socket. */
static void leave_tcp(struct link *link)
{
    gate_close(link->gate);
    link->gate = NULL;
}

/* ZeroMQ tells of the DEALER's connections, into a queue within the process. */
static enum status open_monitor(struct link *link, struct error *err)
{
    static _Atomic unsigned number; /* a name is free again only some time after its use */
    char inside[64];
    snprintf(inside, sizeof inside, "inproc://foldmill-watch-%u", number++);
    link->monitor = zmq_socket(context, ZMQ_PAIR);
    if (link->monitor)
        option(link->monitor, ZMQ_LINGER, 0);
    if (link->monitor &&
        zmq_socket_monitor(link->socket, inside,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) == 0 &&
        zmq_connect(link->monitor, inside) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_IO, "cannot watch a connection: %s", zmq_strerror(errno));
}

/* Binds or connects a socket; what it does at an earlier address stays as it is. */
static enum status open_address(struct link *link, const char *text, struct link_options options,
                                struct error *err)
{
    struct link_address address;
    enum status status = link_address_parse(text, &address, err);
    if (status == STATUS_OK)
        status = check_tcp(&address, text, &options, err);
    if (status != STATUS_OK)
        return status;
    set_options(link->socket, link->router, options);
    if (address.tcp)
        status = open_tcp(link, &address, &options, err);
    if (status == STATUS_OK && options.watch)
        status = open_monitor(link, err);
    if (status != STATUS_OK)
        return status;
    if (link->router ? zmq_bind(link->socket, text) : zmq_connect(link->socket, text)) {
        error_set(err, STATUS_IO, "cannot %s %s: %s", link->router ? "listen at" : "connect to",
                  text, zmq_strerror(errno));
        if (address.tcp)
            leave_tcp(link);
        return STATUS_IO;
    }
    size_t size = sizeof link->address;
    int code = zmq_getsockopt(link->socket, ZMQ_LAST_ENDPOINT, link->address, &size);
    ASSERT_INT(code, ==, 0);
    if (address.tcp && link->router && !options.insecure)
        status = curve_prove(context, link->address, err);
    if (status != STATUS_OK) { /* nobody may come in by a door that is not known to be shut */
        zmq_unbind(link->socket, link->address);
        leave_tcp(link);
    }
    return status;
}

static enum status link_open(struct link **link, const char *address, bool router,
                             struct link_options options, struct error *err)
{
    struct link *fresh = calloc(1, sizeof *fresh);
    ASSERT(fresh);
    *link = NULL;
    ASSERT(context);
    fresh->router = router;
    fresh->socket = zmq_socket(context, router ? ZMQ_ROUTER : ZMQ_DEALER);
    enum status status = fresh->socket ? open_address(fresh, address, options, err)
                                       : error_set(err, STATUS_IO, "no socket for %s: %s", address,
                                                   zmq_strerror(errno));
    if (status == STATUS_OK) {
        *link = fresh;
        return STATUS_OK;
    }
    link_close(fresh, 0);
    return status;
}

enum status link_listen(struct link **link, const char *address, struct link_options options,
                        struct error *err)
{
    return link_open(link, address, true, options, err);
}

enum status link_connect(struct link **link, const char *address, struct link_options options,
                         struct error *err)
{
    return link_open(link, address, false, options, err);
}

enum status link_also(struct link *link, const char *address, struct link_options options,
                      struct error *err)
{
    ASSERT(link->router);
    return open_address(link, address, options, err);
}

const char *link_address(const struct link *link)
{
    return link->address;
}

void link_close(struct link *link, int linger_ms)
{
    if (!link)
        return;
    gate_close(link->gate);
    if (link->framed)
        zmq_msg_close(&link->frame);
    if (link->monitor)
        zmq_socket_monitor(link->socket, NULL, 0);
    if (link->socket) {
        option(link->socket, ZMQ_LINGER, linger_ms);
        zmq_close(link->socket);
    }
    if (link->monitor)
        zmq_close(link->monitor);
    free(link);
}

/* One frame; ZeroMQ takes a message whole once its first frame was taken. */
static bool send_frame(void *socket, const void *data, size_t size, int flags)
{
    int code;
    do
        code = zmq_send(socket, data, size, flags | ZMQ_DONTWAIT);
    while (code < 0 && errno == EINTR);
    return code >= 0;
}

void *link_frame(struct link *link, size_t bytes)
{
    if (link->framed && zmq_msg_size(&link->frame) == bytes)
        return zmq_msg_data(&link->frame); /* was not sent: used again */
    if (link->framed)
        zmq_msg_close(&link->frame);
    int code = zmq_msg_init_size(&link->frame, bytes);
    ASSERT_INT(code, ==, 0);
    link->framed = true;
    return zmq_msg_data(&link->frame);
}

/* The payload: the frame that was filled in place, or a copy. */
static bool send_payload(struct link *link, const void *payload, size_t size)
{
    if (!link->framed || payload != zmq_msg_data(&link->frame) ||
        size != zmq_msg_size(&link->frame))
        return send_frame(link->socket, payload, size, 0);
    int code;
    do
        code = zmq_msg_send(&link->frame, link->socket, ZMQ_DONTWAIT);
    while (code < 0 && errno == EINTR);
    link->framed = code < 0;
    return code >= 0;
}

enum status link_send(struct link *link, uint32_t peer, const void *header, size_t header_size,
                      const void *payload, size_t payload_size)
{
    ASSERT_INT(header_size, <=, LINK_HEADER_BYTES_MAX);
    if (link->router) {
        unsigned char name[PEER_BYTES] = {0};
        memcpy(name + 1, &peer, sizeof peer);
        if (!send_frame(link->socket, name, sizeof name, ZMQ_SNDMORE))
            return errno == EHOSTUNREACH ? STATUS_MISS : STATUS_BUSY;
    }
    if (!send_frame(link->socket, header, header_size, ZMQ_SNDMORE))
        return errno == EHOSTUNREACH ? STATUS_MISS : STATUS_BUSY;
    return send_payload(link, payload, payload_size) ? STATUS_OK : STATUS_BUSY;
}

static bool receive_frame(void *socket, zmq_msg_t *frame)
{
    int code;
    do
        code = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
    while (code < 0 && errno == EINTR);
    return code >= 0;
}

/* Reads one whole message; true when it has the right form. *got: there was one. */
static bool receive_message(struct link *link, struct link_message *message, bool *got)
{
    zmq_msg_t extra;
    zmq_msg_init(&extra);
    int count = 0, parts = link->router ? 3 : 2;
    bool more = true, right = true;
    *got = false;
    message->peer = LINK_HUB;
    while (more) {
        int part = link->router ? count - 1 : count; /* -1: the peer's name */
        zmq_msg_t *frame = part == 0 || part == 1 ? &message->frame[part] : &extra;
        if (!receive_frame(link->socket, frame))
            break;
        *got = true;
        more = zmq_msg_more(frame);
        if (part == -1 && zmq_msg_size(frame) == PEER_BYTES)
            memcpy(&message->peer, (const char *)zmq_msg_data(frame) + 1, sizeof message->peer);
        else if (part == -1)
            right = false;
        count++;
    }
    zmq_msg_close(&extra);
    return right && count == parts && zmq_msg_size(&message->frame[0]) <= LINK_HEADER_BYTES_MAX;
}

/* A server learns from the check of the peer's key who it is; a client has checked the server's. */
static enum key_role role_of(const struct link *link, zmq_msg_t *frame)
{
    return link->router ? curve_role(zmq_msg_gets(frame, "User-Id")) : link->server;
}

enum status link_receive(struct link *link, struct link_message *message)
{
    for (;;) {
        bool got;
        zmq_msg_init(&message->frame[0]);
        zmq_msg_init(&message->frame[1]);
        if (receive_message(link, message, &got)) {
            message->role = role_of(link, &message->frame[0]);
            message->header = zmq_msg_data(&message->frame[0]);
            message->header_size = zmq_msg_size(&message->frame[0]);
            message->payload = zmq_msg_data(&message->frame[1]);
            message->payload_size = zmq_msg_size(&message->frame[1]);
            return STATUS_OK;
        }
        link_message_close(message);
        if (!got)
            return STATUS_EMPTY;
        link->malformed++;
    }
}

void link_message_close(struct link_message *message)
{
    zmq_msg_close(&message->frame[0]);
    zmq_msg_close(&message->frame[1]);
}

bool link_has_ended(struct link *link)
{
    uint16_t event;
    char frame[LINK_ADDRESS_MAX];
    ASSERT(link->monitor);
    while (zmq_recv(link->monitor, frame, sizeof frame, ZMQ_DONTWAIT) >= (int)sizeof event) {
        memcpy(&event, frame, sizeof event);
        zmq_recv(link->monitor, frame, sizeof frame, ZMQ_DONTWAIT); /* the address */
        link->was_up = link->was_up || event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        link->ended = link->ended || (link->was_up && event == ZMQ_EVENT_DISCONNECTED);
    }
    return link->ended;
}

struct gate_counts link_peers(const struct link *link)
{
    return link->gate ? gate_count(link->gate) : (struct gate_counts){0};
}

uint64_t link_malformed(const struct link *link)
{
    return link->malformed;
}

int link_poll(struct link_wait *waits, int count, int64_t timeout_ms)
{
    zmq_pollitem_t items[LINK_WAITS_MAX];
    ASSERT_INT(count, <=, LINK_WAITS_MAX);
    for (int i = 0; i < count; i++)
        items[i] =
            (zmq_pollitem_t){.socket = waits[i].link ? waits[i].link->socket : NULL,
                             .fd = waits[i].fd,
                             .events = waits[i].send ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN};
    int ready = zmq_poll(items, count, (long)timeout_ms);
    for (int i = 0; i < count; i++)
        waits[i].ready = ready > 0 && items[i].revents != 0;
    return ready > 0 ? ready : 0;
}
