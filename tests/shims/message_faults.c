/* Preloaded by a test: of the whole messages that a process sends over DEALER and ROUTER sockets,
 * one in FOLDMILL_MESSAGE_EVERY is lost, sent twice or sent behind the next one, by
 * FOLDMILL_MESSAGE_SEED and the process's number. Each fault puts one letter (l, d, r) at the end
 * of the file FOLDMILL_MESSAGE_LOG. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { SOCKETS_MAX = 16, FRAMES_MAX = 4 };
enum fate { PASS, LOSE, DOUBLE, REORDER };

struct copy {
    int count;
    void *data[FRAMES_MAX];
    size_t size[FRAMES_MAX];
};

/* What is done to the message that a socket is in the midst of, and the one it holds back. */
struct state {
    void *socket;
    bool inside;
    enum fate fate;
    struct copy now, late;
};

typedef int send_fn(void *socket, const void *data, size_t size, int flags);
typedef int msg_send_fn(zmq_msg_t *msg, void *socket, int flags);
typedef int close_fn(void *socket);

static _Thread_local struct state states[SOCKETS_MAX];
static _Thread_local uint64_t dice;

static int send_real(void *socket, const void *data, size_t size, int flags)
{
    send_fn *real;
    *(void **)&real = dlsym(RTLD_NEXT, "zmq_send");
    return real(socket, data, size, flags);
}

static uint64_t roll(void)
{
    if (!dice) {
        const char *seed = getenv("FOLDMILL_MESSAGE_SEED");
        dice = (strtoull(seed ? seed : "1", NULL, 10) << 32) + (uint64_t)getpid() * 2654435761U + 1;
    }
    dice ^= dice << 13; /* xorshift, Marsaglia 2003 */
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice >> 11;
}

static enum fate choose(void)
{
    const char *text = getenv("FOLDMILL_MESSAGE_EVERY");
    uint64_t every = text ? strtoull(text, NULL, 10) : 0;
    if (!every || roll() % every)
        return PASS;
    return (enum fate)(LOSE + roll() % 3);
}

static void note(char letter)
{
    const char *path = getenv("FOLDMILL_MESSAGE_LOG");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    if (write(fd, &letter, 1) != 1)
        abort(); /* what is not counted would make the figures wrong */
    close(fd);
}

static void copy_clear(struct copy *copy)
{
    for (int i = 0; i < copy->count; i++)
        free(copy->data[i]);
    copy->count = 0;
}

static void copy_add(struct copy *copy, const void *data, size_t size)
{
    if (copy->count == FRAMES_MAX || !(copy->data[copy->count] = malloc(size + 1)))
        abort();
    if (size)
        memcpy(copy->data[copy->count], data, size);
    copy->size[copy->count++] = size;
}

static void copy_send(struct copy *copy, void *socket, char letter)
{
    bool sent = copy->count > 0;
    for (int i = 0; i < copy->count && sent; i++)
        sent = send_real(socket, copy->data[i], copy->size[i],
                         ZMQ_DONTWAIT | (i + 1 < copy->count ? ZMQ_SNDMORE : 0)) >= 0;
    if (copy->count > 0)
        note(sent ? letter : 'l'); /* a peer that is not there, or full: it is lost */
    copy_clear(copy);
}

/* The state of a socket between engine processes; NULL: another socket, or too many. */
static struct state *state_of(void *socket)
{
    int type = -1;
    size_t size = sizeof type;
    if (zmq_getsockopt(socket, ZMQ_TYPE, &type, &size) ||
        (type != ZMQ_DEALER && type != ZMQ_ROUTER))
        return NULL;
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (states[i].socket == socket)
            return &states[i];
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (!states[i].socket) {
            states[i].socket = socket;
            return &states[i];
        }
    return NULL;
}

/* A frame is about to be sent; true: it is not, for the message is lost or held back. */
static bool frame_begin(struct state *state, const void *data, size_t size)
{
    if (!state->inside) {
        state->fate = choose();
        if (state->fate == REORDER && state->late.count)
            state->fate = PASS; /* one is held back already */
        copy_clear(&state->now);
    }
    if (state->fate == DOUBLE || state->fate == REORDER)
        copy_add(&state->now, data, size);
    return state->fate == LOSE || state->fate == REORDER;
}

/* It was sent or kept; at the end of a message what is due goes out. */
static void frame_end(struct state *state, bool more)
{
    state->inside = more;
    if (more)
        return;
    if (state->fate == LOSE)
        note('l');
    if (state->fate == DOUBLE)
        copy_send(&state->now, state->socket, 'd');
    if (state->fate == REORDER) {
        state->late = state->now;
        state->now.count = 0;
    } else if (state->fate != LOSE) {
        copy_send(&state->late, state->socket, 'r');
    }
}

__attribute__((visibility("default"))) int zmq_send(void *socket, const void *data, size_t size,
                                                    int flags)
{
    struct state *state = state_of(socket);
    bool kept = state && frame_begin(state, data, size);
    int code = kept ? (int)size : send_real(socket, data, size, flags);
    if (state && code >= 0)
        frame_end(state, flags & ZMQ_SNDMORE);
    else if (state)
        state->inside = false;
    return code;
}

__attribute__((visibility("default"))) int zmq_msg_send(zmq_msg_t *msg, void *socket, int flags)
{
    msg_send_fn *real;
    struct state *state = state_of(socket);
    int code = (int)zmq_msg_size(msg);
    *(void **)&real = dlsym(RTLD_NEXT, "zmq_msg_send");
    if (state && frame_begin(state, zmq_msg_data(msg), (size_t)code)) {
        zmq_msg_close(msg); /* as if it had been taken */
        zmq_msg_init(msg);
    } else {
        code = real(msg, socket, flags);
    }
    if (state && code >= 0)
        frame_end(state, flags & ZMQ_SNDMORE);
    else if (state)
        state->inside = false;
    return code;
}

__attribute__((visibility("default"))) int zmq_close(void *socket)
{
    close_fn *real;
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (states[i].socket == socket) {
            copy_clear(&states[i].now);
            copy_clear(&states[i].late);
            states[i] = (struct state){0};
        }
    *(void **)&real = dlsym(RTLD_NEXT, "zmq_close");
    return real(socket);
}
