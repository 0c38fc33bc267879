/* The engine's end of the control socket; see control.h. Peers are few, short-lived and of the
 * same user; none of them can hold up the engine: reads and writes never wait, and who is slow is
 * put out. */
#include "engine/control.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct peer {
    int fd; /* -1: free */
    int64_t end_ms;
    char request[CONTROL_REQUEST_MAX + 1];
    size_t size;
    char *answer; /* NULL: the request has not come whole */
    size_t answer_size, sent;
};

struct control {
    int listener, spare; /* spare: given up for a moment where no descriptor is left */
    control_fn *handle;
    void *user;
    struct sockaddr_un address;
    struct peer peers[CONTROL_PEERS_MAX];
};

enum status control_open(struct control **control, const char *sockets, control_fn *handle,
                         void *user, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = snprintf(address.sun_path, sizeof address.sun_path, "%s/control", sockets);
    if (size < 0 || (size_t)size >= sizeof address.sun_path)
        return error_set(err, STATUS_LIMIT,
                         "%s/control is too long for a socket (at most %zu bytes): set TMPDIR to a "
                         "shorter folder",
                         sockets, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(address.sun_path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) ||
        listen(fd, CONTROL_PEERS_MAX)) {
        enum status status =
            error_set(err, STATUS_IO, "cannot listen on %s: %s", address.sun_path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    struct control *made = calloc(1, sizeof *made);
    ASSERT(made);
    *made = (struct control){.listener = fd,
                             .spare = open("/dev/null", O_RDONLY | O_CLOEXEC),
                             .handle = handle,
                             .user = user,
                             .address = address};
    for (int i = 0; i < CONTROL_PEERS_MAX; i++)
        made->peers[i].fd = -1;
    *control = made;
    return STATUS_OK;
}

static void peer_close(struct peer *peer)
{
    close(peer->fd);
    free(peer->answer);
    peer->answer = NULL;
    peer->fd = -1;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    for (int i = 0; i < CONTROL_PEERS_MAX; i++)
        if (control->peers[i].fd >= 0)
            peer_close(&control->peers[i]);
    close(control->listener);
    if (control->spare >= 0)
        close(control->spare);
    unlink(control->address.sun_path);
    free(control);
}

void control_wait(const struct control *control, struct link_wait *waits, int *count, int room)
{
    bool full = true;
    for (int i = 0; i < CONTROL_PEERS_MAX; i++) {
        const struct peer *peer = &control->peers[i];
        full = full && peer->fd >= 0;
        /* What is being answered is looked at with every tick: it does not become readable. */
        if (peer->fd >= 0 && !peer->answer && *count < room)
            waits[(*count)++] = (struct link_wait){.fd = peer->fd};
    }
    if (!full && *count < room)
        waits[(*count)++] = (struct link_wait){.fd = control->listener};
}

/* No descriptor is left: a peer that is not taken would keep the listener ready for ever. */
static void turn_away(struct control *control)
{
    if (control->spare < 0)
        return;
    close(control->spare);
    int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        char text[128], request[CONTROL_REQUEST_MAX];
        (void)!recv(fd, request, sizeof request, 0); /* what is unread would reset the answer */
        int size = snprintf(text, sizeof text,
                            "%d\nthe engine has no file descriptor left: raise `ulimit -n`",
                            (int)STATUS_BUSY);
        send(fd, text, (size_t)size, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    control->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void take_peer(struct control *control)
{
    struct ucred who;
    socklen_t size = sizeof who;
    for (int i = 0; i < CONTROL_PEERS_MAX; i++) {
        struct peer *peer = &control->peers[i];
        if (peer->fd >= 0)
            continue;
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                turn_away(control);
            return;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) ||
            (who.uid != geteuid() && who.uid != 0)) {
            close(fd); /* the folder lets nobody else come so far */
            continue;
        }
        peer->fd = fd;
        peer->size = 0;
        peer->end_ms = clock_ms() + CONTROL_ASK_MS;
    }
}

static void answer_peer(struct control *control, struct peer *peer)
{
    const char *words[CONTROL_WORDS_MAX];
    struct error err = {0};
    char *body = NULL;
    size_t size = 0;
    int count = 0;
    peer->request[strcspn(peer->request, "\n")] = 0;
    for (char *rest = peer->request, *word; count < CONTROL_WORDS_MAX && (word = rest) != NULL;) {
        strsep(&rest, "\t");
        words[count++] = word;
    }
    FILE *memory = open_memstream(&body, &size);
    ASSERT(memory);
    fputs("ok\n", memory);
    enum status status = control->handle(control->user, words, count, memory, &err);
    fclose(memory);
    if (status == STATUS_OK && size <= CONTROL_ANSWER_MAX) {
        peer->answer = body;
        peer->answer_size = size;
    } else {
        free(body);
        if (status == STATUS_OK)
            status = error_set(&err, STATUS_LIMIT, "the answer has %zu bytes", size);
        int used = asprintf(&peer->answer, "%d\n%s", (int)status, err.text);
        ASSERT(used > 0);
        peer->answer_size = (size_t)used;
    }
    peer->sent = 0;
}

static void peer_turn(struct control *control, struct peer *peer, int64_t now_ms)
{
    ssize_t moved = 0;
    while (!peer->answer) {
        moved = recv(peer->fd, peer->request + peer->size, CONTROL_REQUEST_MAX - peer->size, 0);
        if (moved <= 0)
            break;
        peer->size += (size_t)moved;
        peer->request[peer->size] = 0;
        if (memchr(peer->request, '\n', peer->size))
            answer_peer(control, peer);
        else if (peer->size == CONTROL_REQUEST_MAX)
            moved = 0;
        if (moved == 0)
            break;
    }
    while (peer->answer && peer->sent < peer->answer_size) {
        moved =
            send(peer->fd, peer->answer + peer->sent, peer->answer_size - peer->sent, MSG_NOSIGNAL);
        if (moved <= 0)
            break;
        peer->sent += (size_t)moved;
    }
    bool waits = moved < 0 && (errno == EAGAIN || errno == EINTR);
    bool done = peer->answer && peer->sent == peer->answer_size;
    if (done || !waits || now_ms > peer->end_ms)
        peer_close(peer);
}

void control_step(struct control *control)
{
    int64_t now = clock_ms();
    take_peer(control);
    for (int i = 0; i < CONTROL_PEERS_MAX; i++)
        if (control->peers[i].fd >= 0)
            peer_turn(control, &control->peers[i], now);
}
