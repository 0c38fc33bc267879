/* Bridges' messages over a ROUTER and DEALERs; see meet_link.h. */
#include "engine/meet_link.h"

#include "engine/curve.h"
#include "engine/link_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURVE_SPARE = 4096 }; /* what encryption adds to a frame, and more */

struct meet_link {
    struct link *link;
    bool insecure, listens;
    bool held; /* message is open */
    struct link_message message;
};

static enum status link_post_send(void *user, uint32_t peer, const void *head, size_t head_size,
                                  const void *payload, size_t size)
{
    struct meet_link *way = user;
    if (size) { /* one copy, into the frame that is sent */
        void *frame = link_frame(way->link, size);
        memcpy(frame, payload, size);
        payload = frame;
    }
    return link_send(way->link, way->listens ? peer : LINK_HUB, head, head_size, payload, size);
}

static void let_go(struct meet_link *way)
{
    if (way->held)
        link_message_close(&way->message);
    way->held = false;
}

/* The hub's own key was checked by the connection; those who connect may be workers as well. */
static bool may_speak(const struct meet_link *way)
{
    enum key_role role = way->message.role;
    return way->insecure || !way->listens || role == KEY_HEAD || role == KEY_SINK;
}

static enum status link_post_take(void *user, struct meet_mail *mail)
{
    struct meet_link *way = user;
    let_go(way);
    while (link_receive(way->link, &way->message) == STATUS_OK) {
        way->held = true;
        if (may_speak(way)) {
            *mail = (struct meet_mail){.peer = way->message.peer,
                                       .head = way->message.header,
                                       .payload = way->message.payload,
                                       .head_size = way->message.header_size,
                                       .size = way->message.payload_size};
            return STATUS_OK;
        }
        let_go(way);
    }
    return STATUS_EMPTY;
}

static bool link_post_ended(void *user)
{
    return link_has_ended(((struct meet_link *)user)->link);
}

static void link_post_wait(void *user, int fd, bool sends, int timeout_ms)
{
    struct meet_link *way = user;
    struct link_wait waits[] = {{.link = way->link, .send = sends && !way->listens}, {.fd = fd}};
    link_poll(waits, 2, timeout_ms);
}

static void link_post_close(void *user, int linger_ms)
{
    struct meet_link *way = user;
    let_go(way);
    link_close(way->link, linger_ms);
    free(way);
}

static struct link_options options_of(enum key_role server, bool insecure, bool watch)
{
    return (struct link_options){.queue_max = MEET_LINK_QUEUE,
                                 .frame_bytes_max = MEET_PART_BYTES + CURVE_SPARE,
                                 .server = server,
                                 .insecure = insecure,
                                 .watch = watch};
}

static enum status check_role(bool insecure, struct error *err)
{
    if (insecure || curve_own_role() != KEY_WORKER)
        return STATUS_OK;
    return error_set(err, STATUS_REFUSED,
                     "ranks of other nodes meet with the key of the role head or sink, and this "
                     "node has a worker's: copy sink.key of the head's keys to it");
}

static enum status finish(struct link *link, bool insecure, bool listens, struct meet_post *post)
{
    struct meet_link *way = calloc(1, sizeof *way);
    ASSERT(way);
    way->link = link, way->insecure = insecure, way->listens = listens;
    *post = (struct meet_post){.user = way,
                               .send = link_post_send,
                               .take = link_post_take,
                               .ended = link_post_ended,
                               .wait = link_post_wait,
                               .close = link_post_close};
    return STATUS_OK;
}

enum status meet_link_address(const char *hub, int line, char text[LINK_ADDRESS_MAX],
                              struct error *err)
{
    struct link_address address;
    enum status status = link_address_parse(hub, &address, err);
    if (status != STATUS_OK)
        return status;
    int port = address.port + 1 + line;
    if (!address.tcp || !address.port || line < 0 || port > UINT16_MAX)
        return error_set(err, STATUS_INVALID,
                         "%s: wanted tcp://HOST:PORT with a port for each line after it", hub);
    const char *colon = strrchr(hub, ':');
    snprintf(text, LINK_ADDRESS_MAX, "%.*s:%d", (int)(colon - hub), hub, port);
    return STATUS_OK;
}

enum status meet_link_listen(const char *address, bool insecure, struct meet_post *post,
                             struct error *err)
{
    struct link *link;
    enum status status = check_role(insecure, err);
    if (status == STATUS_OK)
        status = link_listen(&link, address, options_of(KEY_NONE, insecure, false), err);
    return status == STATUS_OK ? finish(link, insecure, true, post) : status;
}

enum status meet_link_connect(const char *address, enum key_role server, bool insecure,
                              struct meet_post *post, struct error *err)
{
    struct link *link;
    enum status status = check_role(insecure, err);
    if (status == STATUS_OK)
        status = link_connect(&link, address, options_of(server, insecure, true), err);
    return status == STATUS_OK ? finish(link, insecure, false, post) : status;
}

const char *meet_link_where(const struct meet_post *post)
{
    const struct meet_link *way = post->user;
    return link_address(way->link);
}
