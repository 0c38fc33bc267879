/* Links: two frames each way, peers that are not there, full queues, malformed messages. */
#include "engine/link.h"
#include "engine/post.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/foldmill-link-XXXXXX";
static char address[64];
static struct link *hub;

static void begin(int queue_max)
{
    cr_assert(mkdtemp(folder), "no folder");
    snprintf(address, sizeof address, "ipc://%s/hub", folder);
    cr_assert(link_context_open(NULL) == STATUS_OK, "context");
    struct error err;
    cr_assert(link_listen(&hub, address, (struct link_options){.queue_max = queue_max}, &err) ==
                  STATUS_OK,
              "%s", err.text);
}

static void end(void)
{
    link_close(hub, 0);
    link_context_close();
    unlink(address + 6);
    rmdir(folder);
}

/* Waits for one message. */
static enum status take(struct link *link, struct link_message *message)
{
    struct link_wait wait = {.link = link};
    for (int i = 0; i < 100; i++) {
        enum status status = link_receive(link, message);
        if (status != STATUS_EMPTY)
            return status;
        link_poll(&wait, 1, 50);
    }
    return STATUS_EMPTY;
}

static enum status send_soon(struct link *link, const char *header, const char *payload)
{
    enum status status = STATUS_BUSY;
    for (int i = 0; i < 500 && status == STATUS_BUSY; i++) {
        status = link_send(link, LINK_HUB, header, strlen(header), payload, strlen(payload));
        if (status == STATUS_BUSY)
            usleep(2000);
    }
    return status;
}

Test(link, there_and_back)
{
    begin(16);
    struct link *peer;
    struct link_message message;
    cr_assert(link_connect(&peer, address, (struct link_options){.queue_max = 16}, NULL) ==
                  STATUS_OK,
              "connect");
    cr_assert(send_soon(peer, "head", "body") == STATUS_OK, "send");
    cr_assert(take(hub, &message) == STATUS_OK, "the hub heard nothing");
    cr_assert(message.header_size == 4 && memcmp(message.header, "head", 4) == 0, "header");
    cr_assert(message.payload_size == 4 && memcmp(message.payload, "body", 4) == 0, "payload");
    uint32_t who = message.peer;
    link_message_close(&message);
    cr_assert(link_send(hub, who, "h2", 2, "", 0) == STATUS_OK, "answer");
    cr_assert(take(peer, &message) == STATUS_OK, "the peer heard nothing");
    cr_assert(message.peer == LINK_HUB && message.header_size == 2 && message.payload_size == 0,
              "answer's form");
    link_message_close(&message);
    link_close(peer, 0);
    enum status status = STATUS_OK;
    for (int i = 0; i < 200 && status == STATUS_OK; i++, usleep(5000))
        status = link_send(hub, who, "h3", 2, "", 0);
    cr_assert(status == STATUS_MISS, "a peer that has gone is said to be gone");
    end();
}

Test(link, nobody_there_and_full_queues)
{
    begin(4);
    struct link *lonely, *peer;
    char nowhere[80];
    snprintf(nowhere, sizeof nowhere, "ipc://%s/nobody", folder);
    struct link_options options = {.queue_max = 4};
    cr_assert(link_connect(&lonely, nowhere, options, NULL) == STATUS_OK, "connect waits");
    cr_assert(link_send(lonely, LINK_HUB, "h", 1, "p", 1) == STATUS_BUSY, "nobody takes it");
    link_close(lonely, 0);
    cr_assert(link_connect(&peer, address, options, NULL) == STATUS_OK, "connect");
    cr_assert(send_soon(peer, "h", "p") == STATUS_OK, "first");
    static char big[1 << 16];
    int sent = 0;
    while (sent < 10000 && link_send(peer, LINK_HUB, "h", 1, big, sizeof big) == STATUS_OK)
        sent++;
    cr_assert(sent < 10000, "a queue without limit");
    cr_assert(link_send(hub, 12345, "h", 1, "p", 1) == STATUS_MISS, "an unknown peer");
    link_close(peer, 0);
    end();
}

Test(link, malformed_messages_are_dropped_and_counted)
{
    begin(64);
    void *context = zmq_ctx_new(), *raw = zmq_socket(context, ZMQ_DEALER);
    int zero = 0;
    zmq_setsockopt(raw, ZMQ_LINGER, &zero, sizeof zero);
    cr_assert(zmq_connect(raw, address) == 0, "raw connect");
    char large[LINK_HEADER_BYTES_MAX + 1] = {0};
    zmq_send(raw, "one frame", 9, 0);
    zmq_send(raw, "a", 1, ZMQ_SNDMORE);
    zmq_send(raw, "b", 1, ZMQ_SNDMORE);
    zmq_send(raw, "c", 1, 0);
    zmq_send(raw, large, sizeof large, ZMQ_SNDMORE);
    zmq_send(raw, "p", 1, 0);
    zmq_send(raw, "good", 4, ZMQ_SNDMORE);
    zmq_send(raw, "one", 3, 0);
    struct link_message message;
    cr_assert(take(hub, &message) == STATUS_OK, "the good one");
    cr_assert(message.header_size == 4 && message.payload_size == 3, "is the good one");
    cr_assert(link_malformed(hub) == 3, "three were malformed, counted %d",
              (int)link_malformed(hub));
    link_message_close(&message);
    zmq_close(raw);
    zmq_ctx_term(context);
    end();
}

Test(link, addresses)
{
    struct error err;
    struct link *link;
    char path[256] = "ipc:///";
    memset(path + 7, 'x', LINK_PATH_MAX + 1);
    cr_assert(link_context_open(NULL) == STATUS_OK, "context");
    struct link_options options = {.queue_max = 4};
    cr_assert(link_listen(&link, path, options, &err) == STATUS_LIMIT, "too long");
    cr_assert(strstr(err.text, "TMPDIR"), "names the fix: %s", err.text);
    cr_assert(link_listen(&link, "tcp://127.0.0.1:5", options, &err) == STATUS_INVALID,
              "the network needs keys");
    cr_assert(link_listen(&link, "ipc:///no/such/folder/s", options, &err) == STATUS_IO, "folder");
    link_context_close();
}

Test(link, a_backlog_keeps_messages_in_order_until_somebody_is_there)
{
    struct backlog backlog = {0};
    struct link *peer;
    begin(8);
    link_close(hub, 0);
    unlink(address + 6);
    cr_assert(link_connect(&peer, address, (struct link_options){.queue_max = 8}, NULL) ==
                  STATUS_OK,
              "connect");
    char text[3000];
    memset(text, 'x', sizeof text);
    for (uint64_t i = 0; i < 500; i++) {
        struct message message = {
            .type = MESSAGE_REQ, .seq = i, .size = (uint32_t)(i * 6), .payload = text};
        backlog_add(&backlog, &message);
    }
    cr_assert(!backlog_flush(&backlog, peer), "nobody is there yet");
    struct error err;
    cr_assert(link_listen(&hub, address, (struct link_options){.queue_max = 8}, &err) == STATUS_OK,
              "%s", err.text);
    uint64_t next = 0, bad = 0;
    bool sent = false;
    for (int i = 0; i < 20000 && next < 500; i++) {
        struct link_message raw;
        struct message message;
        sent = backlog_flush(&backlog, peer);
        while (post_receive(hub, &raw, &message, &bad) == STATUS_OK) {
            cr_assert(message.seq == next && message.size == next * 6, "in order, whole");
            next++;
            link_message_close(&raw);
        }
        usleep(500);
    }
    cr_assert(sent && next == 500 && bad == 0 && backlog.dropped == 0, "all: %d", (int)next);
    backlog_free(&backlog);
    link_close(peer, 0);
    end();
}
