/* Links over TCP: who is let in, who is not, and what the others can do about it. */
#include "engine/base/clock.h"
#include "engine/curve.h"
#include "engine/link.h"
#include "engine/post.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct link_options options = {.queue_max = 64};
static struct error err;
static struct link *hub;
static struct keys keys;

/* A set of keys without a folder; the process has the secret of role. */
static void make_keys(struct keys *to, enum key_role role)
{
    *to = (struct keys){.role = role};
    for (enum key_role i = KEY_HEAD; i < KEY_ROLES; i++) {
        char secret[KEY_TEXT + 1];
        cr_assert(zmq_curve_keypair(to->public_key[i], secret) == 0, "key pair");
        if (i == role)
            memcpy(to->secret, secret, sizeof secret);
    }
}

static void begin(enum key_role role)
{
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    make_keys(&keys, role);
    cr_assert(link_secure(&keys, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_listen(&hub, "tcp://127.0.0.1:0", options, &err) == STATUS_OK, "%s", err.text);
}

static void end(void)
{
    link_close(hub, 0);
    link_context_close();
}

static enum status take(struct link *link, struct link_message *message, int tries)
{
    struct link_wait wait = {.link = link};
    for (int i = 0; i < tries; i++) {
        enum status status = link_receive(link, message);
        if (status != STATUS_EMPTY)
            return status;
        link_poll(&wait, 1, 20);
    }
    return STATUS_EMPTY;
}

static enum status send_soon(struct link *link, const void *header, size_t size)
{
    enum status status = STATUS_BUSY;
    for (int i = 0; i < 1000 && status == STATUS_BUSY; i++) {
        status = link_send(link, LINK_HUB, header, size, "body", 4);
        if (status == STATUS_BUSY)
            usleep(2000);
    }
    return status;
}

/* A client in a context of its own, with any key: what a hostile program would use. */
struct stranger {
    void *context, *socket;
};

static struct stranger stranger_open(const char *server_key, const char *public_key,
                                     const char *secret)
{
    int zero = 0, six = 1;
    struct stranger it = {.context = zmq_ctx_new()};
    it.socket = zmq_socket(it.context, ZMQ_DEALER);
    zmq_setsockopt(it.socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(it.socket, ZMQ_IPV6, &six, sizeof six);
    if (server_key) {
        zmq_setsockopt(it.socket, ZMQ_CURVE_SERVERKEY, server_key, KEY_TEXT);
        zmq_setsockopt(it.socket, ZMQ_CURVE_PUBLICKEY, public_key, KEY_TEXT);
        zmq_setsockopt(it.socket, ZMQ_CURVE_SECRETKEY, secret, KEY_TEXT);
    }
    cr_assert(zmq_connect(it.socket, link_address(hub)) == 0, "connect to %s", link_address(hub));
    zmq_send(it.socket, "h", 1, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(it.socket, "p", 1, ZMQ_DONTWAIT);
    return it;
}

static void stranger_close(struct stranger it)
{
    zmq_close(it.socket);
    zmq_ctx_term(it.context);
}

Test(network, a_message_says_the_role_of_its_sender)
{
    begin(KEY_SINK);
    struct link *peer;
    struct link_message message;
    struct link_options to_sink = options;
    to_sink.server = KEY_SINK;
    cr_assert(link_connect(&peer, link_address(hub), to_sink, &err) == STATUS_OK, "%s", err.text);
    cr_assert(send_soon(peer, "head", 4) == STATUS_OK, "send");
    cr_assert(take(hub, &message, 100) == STATUS_OK, "nothing came");
    cr_assert(message.role == KEY_SINK, "role %s", key_role_name(message.role));
    cr_assert(message.payload_size == 4, "whole");
    cr_assert(link_send(hub, message.peer, "back", 4, "", 0) == STATUS_OK, "answer");
    link_message_close(&message);
    cr_assert(take(peer, &message, 100) == STATUS_OK && message.role == KEY_SINK, "the answer");
    link_message_close(&message);
    cr_assert(curve_refused() == 0, "the proof at the start does not count");
    link_close(peer, 0);
    end();
}

Test(network, a_peer_of_another_role_is_known_as_such)
{
    begin(KEY_HEAD);
    struct link_message raw;
    struct message message;
    char public_key[KEY_TEXT + 1], secret[KEY_TEXT + 1];
    /* The worker's secret is not this process's: make a set whose worker key is known. */
    end();
    cr_assert(zmq_curve_keypair(public_key, secret) == 0, "key pair");
    memcpy(keys.public_key[KEY_WORKER], public_key, sizeof public_key);
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    cr_assert(link_secure(&keys, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_listen(&hub, "tcp://127.0.0.1:0", options, &err) == STATUS_OK, "%s", err.text);
    struct stranger it = stranger_open(keys.public_key[KEY_HEAD], public_key, secret);
    cr_assert(take(hub, &raw, 100) == STATUS_OK && raw.role == KEY_WORKER, "a worker");
    link_message_close(&raw);
    static const enum message_type said[] = {MESSAGE_CKPT, MESSAGE_START, MESSAGE_QPROP,
                                             MESSAGE_HB};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        unsigned char header[MESSAGE_HEADER_BYTES];
        message_encode(&(struct message){.type = said[i], .seq = i}, header);
        zmq_send(it.socket, header, sizeof header, ZMQ_SNDMORE);
        zmq_send(it.socket, "", 0, 0);
    }
    uint64_t bad = 0;
    enum status status = STATUS_EMPTY;
    for (int i = 0; i < 200 && status != STATUS_OK; i++, usleep(5000))
        status = post_receive(hub, &raw, &message, &bad);
    cr_assert(status == STATUS_OK && message.type == MESSAGE_HB && message.seq == 3, "only HB");
    cr_assert(bad == 3, "what a worker may not say was dropped, %d", (int)bad);
    link_message_close(&raw);
    stranger_close(it);
    end();
}

Test(network, strangers_are_kept_out)
{
    begin(KEY_HEAD);
    char public_key[KEY_TEXT + 1], secret[KEY_TEXT + 1];
    cr_assert(zmq_curve_keypair(public_key, secret) == 0, "key pair");
    struct stranger unknown = stranger_open(keys.public_key[KEY_HEAD], public_key, secret);
    struct stranger null = stranger_open(NULL, NULL, NULL);
    struct stranger misled = stranger_open(public_key, keys.public_key[KEY_HEAD], keys.secret);
    struct link_message message;
    cr_assert(take(hub, &message, 30) == STATUS_EMPTY, "a stranger was heard");
    cr_assert(curve_refused() >= 1, "the unknown key was counted");
    struct link *peer;
    cr_assert(link_connect(&peer, link_address(hub), options, &err) == STATUS_OK, "%s", err.text);
    cr_assert(send_soon(peer, "h", 1) == STATUS_OK, "a friend");
    cr_assert(take(hub, &message, 100) == STATUS_OK, "is heard");
    link_message_close(&message);
    link_close(peer, 0);
    stranger_close(unknown);
    stranger_close(null);
    stranger_close(misled);
    end();
}

Test(network, the_proof_is_quick_and_finds_an_open_door)
{
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    make_keys(&keys, KEY_HEAD);
    int64_t start = clock_ms();
    cr_assert(link_secure(&keys, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_listen(&hub, "tcp://127.0.0.1:0", options, &err) == STATUS_OK, "%s", err.text);
    cr_assert(clock_ms() - start <= CURVE_PROOF_MS, "%d ms", (int)(clock_ms() - start));
    /* A server that does not ask the handler, in a context without one. */
    void *context = zmq_ctx_new(), *server = zmq_socket(context, ZMQ_ROUTER);
    int one = 1, zero = 0;
    char at[64];
    size_t size = sizeof at;
    zmq_setsockopt(server, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(server, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(server, ZMQ_CURVE_SECRETKEY, keys.secret, KEY_TEXT);
    cr_assert(zmq_bind(server, "tcp://127.0.0.1:*") == 0, "bind");
    zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, at, &size);
    void *ours = zmq_ctx_new();
    cr_assert(curve_prove(ours, at, &err) == STATUS_REFUSED, "the open door was not found");
    cr_assert(strstr(err.text, "unknown key"), "%s", err.text);
    zmq_close(server);
    /* One that has no security at all. */
    server = zmq_socket(context, ZMQ_ROUTER);
    zmq_setsockopt(server, ZMQ_LINGER, &zero, sizeof zero);
    cr_assert(zmq_bind(server, "tcp://127.0.0.1:*") == 0, "bind");
    size = sizeof at;
    zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, at, &size);
    cr_assert(curve_prove(ours, at, &err) == STATUS_REFUSED, "not found: %s", err.text);
    cr_assert(strstr(err.text, "no key"), "%s", err.text);
    zmq_close(server);
    /* Nobody is there. */
    cr_assert(curve_prove(ours, "tcp://127.0.0.1:1", &err) == STATUS_IO, "nobody");
    zmq_ctx_term(ours);
    zmq_ctx_term(context);
    end();
}

Test(network, addresses)
{
    static const struct {
        const char *text;
        bool insecure;
        enum status status;
    } rows[] = {
        {"tcp://127.0.0.1:0", false, STATUS_INVALID}, /* no keys yet */
        {"tcp://127.0.0.1:0", true, STATUS_OK},
        {"tcp://[::1]:0", true, STATUS_OK},
        {"tcp://0.0.0.0:0", true, STATUS_INVALID},
        {"tcp://[::]:0", true, STATUS_INVALID},
        {"tcp://localhost:0", true, STATUS_INVALID},
        {"tcp://10.0.0.1:0", true, STATUS_INVALID},
        {"tcp://127.0.0.1", true, STATUS_INVALID},
        {"tcp://127.0.0.1:", true, STATUS_INVALID},
        {"tcp://127.0.0.1:65536", true, STATUS_INVALID},
        {"tcp://:7001", true, STATUS_INVALID},
        {"tcp://[::1:7001", true, STATUS_INVALID},
        {"tcp://[]:7001", true, STATUS_INVALID},
        {"tcp://eth0;lo:7001", true, STATUS_INVALID},
        {"udp://127.0.0.1:1", true, STATUS_INVALID},
        {"", true, STATUS_INVALID},
    };
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct link *link;
        struct link_options how = options;
        how.insecure = rows[i].insecure;
        enum status status = link_listen(&link, rows[i].text, how, &err);
        cr_assert(status == rows[i].status, "%s: %s", rows[i].text, status_name(status));
        if (status != STATUS_OK)
            continue;
        const char *port = strrchr(link_address(link), ':');
        cr_assert(port && atoi(port + 1) > 0, "the chosen port: %s", link_address(link));
        struct link *second;
        cr_assert(link_listen(&second, link_address(link), how, &err) == STATUS_IO, "taken");
        cr_assert(strstr(err.text, "another port"), "%s", err.text);
        link_close(link, 0);
    }
    make_keys(&keys, KEY_HEAD);
    cr_assert(link_secure(&keys, &err) == STATUS_OK, "%s", err.text);
    static const char *const good[] = {"tcp://0.0.0.0:0", "tcp://[::1]:0", "tcp://[::]:0"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct link *link;
        cr_assert(link_listen(&link, good[i], options, &err) == STATUS_OK, "%s", err.text);
        link_close(link, 0);
    }
    link_context_close();
}

Test(network, one_server_at_two_addresses)
{
    enum { NEAR = 20 };
    char folder[] = "/tmp/foldmill-network-XXXXXX", near[64];
    struct link *far, *close[NEAR];
    struct link_message message;
    cr_assert(mkdtemp(folder), "no folder");
    snprintf(near, sizeof near, "ipc://%s/hub", folder);
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    make_keys(&keys, KEY_HEAD);
    cr_assert(link_secure(&keys, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_listen(&hub, near, options, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_also(hub, "tcp://256.0.0.1:0", options, &err) == STATUS_INVALID, "a name");
    cr_assert(link_also(hub, "tcp://192.0.2.1:0", options, &err) == STATUS_IO, "not ours");
    cr_assert(link_also(hub, "tcp://127.0.0.1:0", options, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_connect(&far, link_address(hub), options, &err) == STATUS_OK, "%s", err.text);
    cr_assert(send_soon(far, "far", 3) == STATUS_OK, "send");
    cr_assert(take(hub, &message, 100) == STATUS_OK && message.role == KEY_HEAD, "by its key");
    link_message_close(&message);
    for (int i = 0; i < NEAR; i++) {
        cr_assert(link_connect(&close[i], near, options, &err) == STATUS_OK, "%s", err.text);
        cr_assert(send_soon(close[i], "near", 4) == STATUS_OK, "send");
        cr_assert(take(hub, &message, 100) == STATUS_OK && message.role == KEY_NONE,
                  "of this node");
        link_message_close(&message);
    }
    cr_assert(link_peers(hub).peers == 1, "%d came over the network", link_peers(hub).peers);
    for (int i = 0; i < NEAR; i++)
        link_close(close[i], 0);
    link_close(far, 0);
    end();
    unlink(near + 6);
    rmdir(folder);
}

Test(network, without_keys_on_loopback)
{
    struct link *peer;
    struct link_message message;
    struct link_options how = options;
    how.insecure = true;
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    cr_assert(link_listen(&hub, "tcp://[::1]:0", how, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_connect(&peer, link_address(hub), how, &err) == STATUS_OK, "%s", err.text);
    cr_assert(send_soon(peer, "h", 1) == STATUS_OK, "send");
    cr_assert(take(hub, &message, 100) == STATUS_OK && message.role == KEY_NONE, "heard");
    link_message_close(&message);
    link_close(peer, 0);
    end();
}

Test(network, another_version_is_refused_with_both_values)
{
    struct link *peer;
    struct link_message raw;
    struct message message;
    uint64_t bad = 0;
    unsigned char header[MESSAGE_HEADER_BYTES];
    begin(KEY_HEAD);
    cr_assert(link_connect(&peer, link_address(hub), options, &err) == STATUS_OK, "%s", err.text);
    message_encode_as(&(struct message){.type = MESSAGE_HELLO, .size = 4, .payload = "body"}, 7,
                      header);
    cr_assert(send_soon(peer, header, sizeof header) == STATUS_OK, "send");
    for (int i = 0; i < 200 && !bad; i++, usleep(5000))
        cr_assert(post_receive(hub, &raw, &message, &bad) == STATUS_EMPTY, "it was taken");
    cr_assert(bad == 1, "counted");
    cr_assert(take(peer, &raw, 100) == STATUS_OK && raw.header_size == sizeof header, "an answer");
    const unsigned char *bytes = raw.header;
    cr_assert(bytes[4] == 7 && bytes[6] == MESSAGE_REFUSE, "a REFUSE that a version 7 reads");
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)raw.payload_size, (const char *)raw.payload);
    cr_assert(strstr(text, "version 2, you speak 7") && strstr(text, "install"), "%s", text);
    link_message_close(&raw);
    link_close(peer, 0);
    end();
}
