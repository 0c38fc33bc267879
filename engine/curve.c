/* The ZAP handler and CURVE options; see curve.h. Without a handler ZeroMQ lets in every key, and
 * with an empty domain it does not ask the handler: both are measured facts of 4.3.4. */
#include "engine/curve.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <zmq.h>

enum {
    ZAP_PARTS = 7, /* version, request, domain, address, routing id, mechanism, the key */
    ZAP_PART_MAX = 255,
    ZAP_TELL_MS = 10000, /* between two lines of the log about those turned away */
};

#define ZAP_DOMAIN "foldmill"

static struct {
    bool open;
    void *socket;
    pthread_t thread;
    struct keys keys;
    int64_t told_ms;
    _Atomic bool quiet;
    _Atomic uint64_t refused;
} zap;

struct part {
    size_t size;
    char data[ZAP_PART_MAX + 1];
};

/* Reads one whole request; its parts beyond those known are dropped. Returns how many there were,
 * or -1 when the context ends. */
static int receive_request(struct part parts[ZAP_PARTS])
{
    int count = 0, more = 1;
    size_t size = sizeof more;
    while (more) {
        struct part extra, *part = count < ZAP_PARTS ? &parts[count] : &extra;
        int got = zmq_recv(zap.socket, part->data, ZAP_PART_MAX, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        part->size = (size_t)got > ZAP_PART_MAX ? ZAP_PART_MAX : (size_t)got;
        part->data[part->size] = 0;
        if ((size_t)got > ZAP_PART_MAX)
            count = ZAP_PARTS; /* too large: no such request */
        count++;
        if (zmq_getsockopt(zap.socket, ZMQ_RCVMORE, &more, &size) != 0)
            return -1;
    }
    return count;
}

static bool send_text(const char *text, size_t size, int flags)
{
    int sent;
    do
        sent = zmq_send(zap.socket, text, size, flags);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

static enum key_role judge(const struct part *parts, int count)
{
    bool known = count == ZAP_PARTS && strcmp(parts[0].data, "1.0") == 0 &&
                 strcmp(parts[2].data, ZAP_DOMAIN) == 0 && strcmp(parts[5].data, "CURVE") == 0 &&
                 parts[6].size == 32;
    return known ? keys_find(&zap.keys, (const unsigned char *)parts[6].data) : KEY_NONE;
}

static void tell_refused(const struct part *parts, int count)
{
    int64_t now = clock_ms();
    if (atomic_load(&zap.quiet))
        return;
    atomic_fetch_add_explicit(&zap.refused, 1, memory_order_relaxed);
    if (zap.told_ms && now - zap.told_ms < ZAP_TELL_MS)
        return;
    zap.told_ms = now;
    struct error words; /* its text has no control characters */
    error_set(&words, STATUS_REFUSED, "%s", count > 3 ? parts[3].data : "?");
    log_info("turned away a peer at %s: its key is not of this job; give it the folder of keys "
             "that the head uses",
             words.text);
}

static void *answer(void *unused)
{
    static struct part parts[ZAP_PARTS];
    (void)unused;
    for (;;) {
        int count = receive_request(parts);
        if (count < 0)
            break;
        enum key_role role = judge(parts, count);
        if (!role)
            tell_refused(parts, count);
        const char *code = role ? "200" : "400", *name = role ? key_role_name(role) : "";
        if (count < 2)
            parts[1].size = 0;
        if (!send_text("1.0", 3, ZMQ_SNDMORE) ||
            !send_text(parts[1].data, parts[1].size, ZMQ_SNDMORE) ||
            !send_text(code, 3, ZMQ_SNDMORE) || !send_text("", 0, ZMQ_SNDMORE) ||
            !send_text(name, strlen(name), ZMQ_SNDMORE) || !send_text("", 0, 0))
            break;
    }
    zmq_close(zap.socket);
    return NULL;
}

static enum status start_handler(void *context, struct error *err)
{
    sigset_t all, before;
    zap.socket = zmq_socket(context, ZMQ_REP);
    if (!zap.socket)
        return error_set(err, STATUS_IO, "no socket for checking keys: %s", zmq_strerror(errno));
    if (zmq_bind(zap.socket, "inproc://zeromq.zap.01") != 0) {
        error_set(err, STATUS_IO, "cannot check keys: %s", zmq_strerror(errno));
        zmq_close(zap.socket);
        return STATUS_IO;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&zap.thread, NULL, answer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        zmq_close(zap.socket);
        return error_set(err, STATUS_IO, "no thread for checking keys: %s", strerror(code));
    }
    return STATUS_OK;
}

enum status curve_open(void *context, const struct keys *keys, struct error *err)
{
    ASSERT(!zap.open);
    ASSERT(keys->role > KEY_NONE && keys->role < KEY_ROLES);
    if (!zmq_has("curve"))
        return error_set(err, STATUS_IO,
                         "this ZeroMQ was built without CURVE: install one with libsodium");
    zap.keys = *keys;
    zap.told_ms = 0;
    atomic_store(&zap.refused, 0);
    struct rlimit none = {0, 0}; /* a core file would hold the secret */
    setrlimit(RLIMIT_CORE, &none);
    enum status status = start_handler(context, err);
    zap.open = status == STATUS_OK;
    if (!zap.open)
        keys_wipe(&zap.keys);
    return status;
}

bool curve_is_open(void)
{
    return zap.open;
}

void curve_close(void)
{
    if (!zap.open)
        return;
    pthread_join(zap.thread, NULL);
    explicit_bzero(&zap.keys, sizeof zap.keys);
    zap.open = false;
}

void curve_quiet(bool quiet)
{
    atomic_store(&zap.quiet, quiet);
}

uint64_t curve_refused(void)
{
    return atomic_load_explicit(&zap.refused, memory_order_relaxed);
}

static void set_text(void *socket, int name, const char *text)
{
    int code = zmq_setsockopt(socket, name, text, strlen(text));
    ASSERT_INT(code, ==, 0);
}

void curve_serve(void *socket)
{
    ASSERT(zap.open);
    int one = 1;
    int code = zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one);
    ASSERT_INT(code, ==, 0);
    set_text(socket, ZMQ_CURVE_SECRETKEY, zap.keys.secret);
    set_text(socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN);
}

void curve_join(void *socket, enum key_role server)
{
    ASSERT(zap.open && server > KEY_NONE && server < KEY_ROLES);
    set_text(socket, ZMQ_CURVE_SERVERKEY, zap.keys.public_key[server]);
    set_text(socket, ZMQ_CURVE_PUBLICKEY, zap.keys.public_key[zap.keys.role]);
    set_text(socket, ZMQ_CURVE_SECRETKEY, zap.keys.secret);
}

enum key_role curve_role(const char *user)
{
    return user ? key_role_of(span_of(user)) : KEY_NONE;
}

enum key_role curve_own_role(void)
{
    return zap.keys.role;
}
