/* The proof that a server lets in the keys of the job and nobody else; see curve.h. */
#include "engine/curve.h"

#include "engine/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

enum { GREETING_BYTES = 64, TURN_MS = 50, ADDRESS_MAX = 128 };

enum verdict { VERDICT_OPEN, VERDICT_IN, VERDICT_OUT };

/* Somebody who knocks: with ZeroMQ and a key, or with a bare socket that asks for no security. */
struct knock {
    void *socket, *monitor;
    int bare;
    size_t heard; /* bytes of what the server said to the bare socket */
    enum verdict verdict;
};

/* A server that listens everywhere is reached on this machine. */
static void own_address(const char *endpoint, char address[ADDRESS_MAX])
{
    static const char everywhere[] = "tcp://0.0.0.0:", everywhere6[] = "tcp://[::]:";
    if (strncmp(endpoint, everywhere, sizeof everywhere - 1) == 0)
        snprintf(address, ADDRESS_MAX, "tcp://127.0.0.1:%s", endpoint + sizeof everywhere - 1);
    else if (strncmp(endpoint, everywhere6, sizeof everywhere6 - 1) == 0)
        snprintf(address, ADDRESS_MAX, "tcp://[::1]:%s", endpoint + sizeof everywhere6 - 1);
    else
        snprintf(address, ADDRESS_MAX, "%s", endpoint);
}

static bool open_knock(void *context, const char *address, bool stranger, struct knock *knock)
{
    static _Atomic unsigned number; /* a name is free again only some time after its use */
    int zero = 0, never = -1, six = strchr(address, '[') != NULL;
    char public_key[KEY_TEXT + 1], secret[KEY_TEXT + 1], inside[64];
    knock->socket = zmq_socket(context, ZMQ_DEALER);
    knock->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!knock->socket || !knock->monitor)
        return false;
    zmq_setsockopt(knock->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(knock->monitor, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(knock->socket, ZMQ_RECONNECT_IVL, &never, sizeof never);
    zmq_setsockopt(knock->socket, ZMQ_IPV6, &six, sizeof six);
    curve_join(knock->socket, curve_own_role());
    if (stranger) { /* the server's key is right, its own was made up */
        if (zmq_curve_keypair(public_key, secret) != 0)
            return false;
        zmq_setsockopt(knock->socket, ZMQ_CURVE_PUBLICKEY, public_key, KEY_TEXT);
        zmq_setsockopt(knock->socket, ZMQ_CURVE_SECRETKEY, secret, KEY_TEXT);
        explicit_bzero(secret, sizeof secret);
    }
    snprintf(inside, sizeof inside, "inproc://foldmill-prove-%u", number++);
    return zmq_socket_monitor(knock->socket, inside, ZMQ_EVENT_ALL) == 0 &&
           zmq_connect(knock->monitor, inside) == 0 && zmq_connect(knock->socket, address) == 0;
}

static void close_knock(struct knock *knock)
{
    if (knock->socket) {
        zmq_socket_monitor(knock->socket, NULL, 0);
        zmq_close(knock->socket);
    }
    if (knock->monitor)
        zmq_close(knock->monitor);
    if (knock->bare >= 0)
        close(knock->bare);
}

static void hear_monitor(struct knock *knock)
{
    uint16_t event;
    char frame[256];
    while (zmq_recv(knock->monitor, frame, sizeof frame, ZMQ_DONTWAIT) >= (int)sizeof event) {
        memcpy(&event, frame, sizeof event);
        zmq_recv(knock->monitor, frame, sizeof frame, ZMQ_DONTWAIT); /* the address */
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            knock->verdict = VERDICT_IN;
        else if (knock->verdict == VERDICT_OPEN &&
                 (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ||
                  event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
                  event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || event == ZMQ_EVENT_DISCONNECTED))
            knock->verdict = VERDICT_OUT;
    }
}

/* Connects a bare socket and asks, in ZMTP 3.0, for the mechanism NULL, then says READY. */
static bool open_bare(const char *address, struct knock *knock)
{
    static const unsigned char ready[] =
        "\4\x29\5READY\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0";
    unsigned char greeting[GREETING_BYTES] = {0xff, [8] = 1, [9] = 0x7f, [10] = 3};
    char host[ADDRESS_MAX];
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    memcpy(greeting + 12, "NULL", 4);
    const char *from = address + strlen("tcp://"), *colon = strrchr(from, ':');
    if (!colon)
        return false;
    bool bracket = *from == '[';
    snprintf(host, sizeof host, "%.*s", (int)(colon - from) - 2 * bracket, from + bracket);
    uint16_t port = htons((uint16_t)atoi(colon + 1));
    four.sin_port = six.sin6_port = port;
    if (inet_pton(bracket ? AF_INET6 : AF_INET, host,
                  bracket ? (void *)&six.sin6_addr : (void *)&four.sin_addr) != 1)
        return false;
    knock->bare = socket(bracket ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (knock->bare < 0)
        return false;
    struct timeval limit = {.tv_usec = TURN_MS * 1000};
    setsockopt(knock->bare, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const struct sockaddr *to = bracket ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    if (connect(knock->bare, to, bracket ? sizeof six : sizeof four) != 0)
        return false;
    ssize_t sent = send(knock->bare, greeting, sizeof greeting, MSG_NOSIGNAL);
    if (sent == sizeof greeting)
        sent = send(knock->bare, ready, 43, MSG_NOSIGNAL);
    return sent > 0;
}

/* The server's greeting is no secret; any byte after it is an answer to a stranger. */
static void hear_bare(struct knock *knock)
{
    char data[256];
    ssize_t got = recv(knock->bare, data, sizeof data, MSG_DONTWAIT);
    if (got > 0)
        knock->heard += (size_t)got;
    if (knock->heard > GREETING_BYTES)
        knock->verdict = VERDICT_IN;
    else if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        knock->verdict = VERDICT_OUT;
}

static void wait_verdicts(struct knock *own, struct knock *strange, struct knock *bare)
{
    int64_t end = clock_ms() + CURVE_PROOF_MS - 2 * TURN_MS;
    while ((!own->verdict || !strange->verdict || !bare->verdict) && clock_ms() < end) {
        zmq_pollitem_t items[] = {{.socket = own->monitor, .events = ZMQ_POLLIN},
                                  {.socket = strange->monitor, .events = ZMQ_POLLIN},
                                  {.fd = bare->bare, .events = ZMQ_POLLIN}};
        zmq_poll(items, bare->verdict ? 2 : 3, TURN_MS);
        hear_monitor(own);
        hear_monitor(strange);
        if (!bare->verdict)
            hear_bare(bare);
    }
}

static enum status judge(const char *address, const struct knock *own, const struct knock *strange,
                         const struct knock *bare, struct error *err)
{
    if (strange->verdict == VERDICT_IN || bare->verdict == VERDICT_IN)
        return error_set(err, STATUS_REFUSED,
                         "%s let in a peer with %s: this ZeroMQ does not check keys, so nothing is "
                         "started; install libzmq 4.3.3 or later with CURVE",
                         address, strange->verdict == VERDICT_IN ? "an unknown key" : "no key");
    if (own->verdict != VERDICT_IN || !strange->verdict || !bare->verdict)
        return error_set(err, STATUS_IO,
                         "%s gave no answer to %s within %d ms: is a firewall between this machine "
                         "and itself?",
                         address,
                         own->verdict != VERDICT_IN ? "a peer with the right key" : "a probe",
                         CURVE_PROOF_MS);
    return STATUS_OK;
}

static enum status prove_once(void *context, const char *address, struct error *err)
{
    struct knock own = {.bare = -1}, strange = {.bare = -1}, bare = {.bare = -1};
    enum status status;
    if (open_knock(context, address, false, &own) && open_knock(context, address, true, &strange) &&
        open_bare(address, &bare)) {
        wait_verdicts(&own, &strange, &bare);
        status = judge(address, &own, &strange, &bare, err);
    } else {
        status = error_set(err, STATUS_IO, "cannot prove that %s checks keys: %s", address,
                           zmq_strerror(errno));
    }
    close_knock(&own);
    close_knock(&strange);
    close_knock(&bare);
    return status;
}

enum status curve_prove(void *context, const char *endpoint, struct error *err)
{
    char address[ADDRESS_MAX];
    enum status status = STATUS_IO;
    own_address(endpoint, address);
    curve_quiet(true);
    for (int i = 0; i < CURVE_PROOF_TRIES && status == STATUS_IO; i++)
        status = prove_once(context, address, err);
    curve_quiet(false);
    return status;
}
