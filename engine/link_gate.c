/* Counting connections and keeping some out; see link_gate.h. */
#include "engine/link_gate.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

enum {
    CHECK_MS = 1000,
    TELL_MS = 10000,
    TURN_AWAY_MAX = 256, /* waiting connections closed at a time */
    EVENTS = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
             ZMQ_EVENT_MONITOR_STOPPED,
    FILTER_MAX = 8 + 5 * GATE_BLOCKED_MAX, /* instructions for the addresses of one family */
};

/* Where a peer is: an IPv4 address, or the first half of an IPv6 address. */
struct origin {
    int family; /* 0: nobody */
    uint32_t word[2];
};

struct gate_peer {
    int fd;
    struct origin origin;
};

struct gate {
    void *socket, *monitor;
    pthread_t thread;
    int listener, spare; /* spare: given up for a moment to take and close a connection */
    int closing;         /* a connection that was ended to have its descriptor; -1: none */
    int count, blocked;
    bool filtered, full; /* what the filter says now */
    int64_t check_ms, told_ms;
    _Atomic int max;
    _Atomic int peers, blocked_count; /* copies, for others to read */
    _Atomic uint64_t turned_away;
    struct origin block[GATE_BLOCKED_MAX];
    struct gate_peer peer[GATE_PEERS_MAX];
};

/* ---- the packet filter ---- */

static struct sock_filter load(int size, int offset)
{
    return (struct sock_filter)BPF_STMT((uint16_t)(BPF_LD | BPF_ABS | size),
                                        (uint32_t)(SKF_NET_OFF + offset));
}

static struct sock_filter jump_unless(uint32_t value, uint8_t over)
{
    return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, over);
}

static struct sock_filter give(uint32_t bytes)
{
    return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, bytes);
}

/* Drops packets of the blocked addresses of one family; the version of the packet is checked. */
static int filter_family(const struct gate *gate, int family, struct sock_filter *code)
{
    int size = 0;
    int from = family == AF_INET ? 12 : 8; /* of the source address in the header */
    for (int i = 0; i < gate->blocked; i++) {
        const struct origin *origin = &gate->block[i];
        if (origin->family != family)
            continue;
        code[size++] = load(BPF_W, from);
        code[size++] = jump_unless(origin->word[0], family == AF_INET ? 1 : 3);
        if (family == AF_INET6) {
            code[size++] = load(BPF_W, from + 4);
            code[size++] = jump_unless(origin->word[1], 1);
        }
        code[size++] = give(0);
    }
    code[size++] = give(UINT32_MAX);
    return size;
}

static void set_filter(struct gate *gate)
{
    struct sock_filter code[2 * FILTER_MAX];
    int size = 0, none = 0;
    gate->full = gate->count >= gate->max;
    if (gate->full) {
        code[size++] = give(0);
    } else if (gate->blocked) {
        struct sock_filter four[FILTER_MAX];
        int four_size = filter_family(gate, AF_INET, four);
        code[size++] = load(BPF_B, 0);
        code[size++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4);
        code[size++] = jump_unless(4, (uint8_t)four_size);
        memcpy(code + size, four, (size_t)four_size * sizeof *four);
        size += four_size;
        size += filter_family(gate, AF_INET6, code + size);
    }
    struct sock_fprog program = {(unsigned short)size, code};
    if (size)
        setsockopt(gate->listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    else if (gate->filtered)
        setsockopt(gate->listener, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
    gate->filtered = size > 0;
    atomic_store_explicit(&gate->blocked_count, gate->blocked, memory_order_relaxed);
    atomic_store_explicit(&gate->peers, gate->count, memory_order_relaxed);
}

/* ---- counting ---- */

static struct origin origin_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    struct origin origin = {0};
    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0)
        return origin;
    if (address.ss_family == AF_INET) {
        origin.family = AF_INET;
        origin.word[0] = ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr);
    } else if (address.ss_family == AF_INET6) {
        uint32_t word[4];
        memcpy(word, &((struct sockaddr_in6 *)&address)->sin6_addr, sizeof word);
        bool mapped = word[0] == 0 && word[1] == 0 && ntohl(word[2]) == 0xffff;
        origin.family = mapped ? AF_INET : AF_INET6;
        origin.word[0] = ntohl(word[mapped ? 3 : 0]);
        origin.word[1] = mapped ? 0 : ntohl(word[1]);
    }
    return origin;
}

static bool same(struct origin a, struct origin b)
{
    return a.family == b.family && a.word[0] == b.word[0] && a.word[1] == b.word[1];
}

static int count_from(const struct gate *gate, struct origin origin)
{
    int count = 0;
    for (int i = 0; i < gate->count; i++)
        count += same(gate->peer[i].origin, origin);
    return count;
}

static void tell(struct gate *gate)
{
    int64_t now = clock_ms();
    if (gate->told_ms && now - gate->told_ms < TELL_MS)
        return;
    gate->told_ms = now;
    if (gate->count >= gate->max)
        log_warn("%d peers are connected, as many as may be: others wait; `ulimit -n 65536` before "
                 "the start allows up to %d",
                 gate->count, GATE_PEERS_MAX);
    else
        log_warn("%d peers from one address are connected: others from there wait",
                 GATE_ADDRESS_MAX);
}

/* Looks again who must be kept out, after a peer has come or gone. */
static void review(struct gate *gate, struct origin changed)
{
    bool full = gate->count >= gate->max;
    int at = 0;
    while (at < gate->blocked && !same(gate->block[at], changed))
        at++;
    bool many = changed.family && count_from(gate, changed) >= GATE_ADDRESS_MAX;
    bool known = at < gate->blocked, change = full != gate->full;
    if (many && !known && gate->blocked < GATE_BLOCKED_MAX) {
        gate->block[gate->blocked++] = changed;
        change = true;
    } else if (!many && known) {
        gate->block[at] = gate->block[--gate->blocked];
        change = true;
    }
    if (change && (full || many))
        tell(gate);
    if (change)
        set_filter(gate);
    atomic_store_explicit(&gate->peers, gate->count, memory_order_relaxed);
}

static void remove_peer(struct gate *gate, int at)
{
    struct origin origin = gate->peer[at].origin;
    gate->peer[at] = gate->peer[--gate->count];
    review(gate, origin);
}

static void take_gone(struct gate *gate, int fd)
{
    if (gate->closing == fd)
        gate->closing = -1;
    for (int i = 0; i < gate->count; i++)
        if (gate->peer[i].fd == fd) {
            remove_peer(gate, i);
            return;
        }
}

/* ZeroMQ sees the end and gives the descriptor back. */
static void end_peer(struct gate *gate, int at)
{
    gate->closing = gate->peer[at].fd;
    shutdown(gate->closing, SHUT_RDWR);
    atomic_fetch_add_explicit(&gate->turned_away, 1, memory_order_relaxed);
}

/* The last of the address with the most connections. */
static void end_one(struct gate *gate)
{
    int most = 0, at = -1;
    for (int i = gate->count - 1; i >= 0; i--) {
        int count = count_from(gate, gate->peer[i].origin);
        if (count > most) {
            most = count;
            at = i;
        }
    }
    if (at >= 0)
        end_peer(gate, at);
}

static void take_accepted(struct gate *gate, int fd)
{
    take_gone(gate, fd); /* the number is used again: its end was not reported */
    struct gate_peer peer = {fd, origin_of(fd)};
    if (peer.origin.family == 0 || gate->count == GATE_PEERS_MAX)
        return; /* gone already, or of this node: the socket may have an ipc address as well */
    gate->peer[gate->count++] = peer;
    if (gate->spare < 0)
        end_peer(gate, gate->count - 1);
    review(gate, peer.origin);
}

/* Descriptors that are not in use and may be. */
static int free_files(void)
{
    struct rlimit limit;
    int used = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    while (readdir(folder))
        used++;
    closedir(folder);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    return (int)limit.rlim_cur - used;
}

static void set_max(struct gate *gate)
{
    int64_t max = (int64_t)gate->count + free_files() - GATE_FILES_SPARE;
    gate->max = max < 1 ? 1 : max > GATE_PEERS_MAX ? GATE_PEERS_MAX : (int)max;
}

/* No descriptor was left. Those that wait in the kernel's queue would be offered to ZeroMQ again
 * and again, without a pause: they are closed instead. Where ZeroMQ was faster and took the spare
 * descriptor for one of them, connections are ended, one at a time, until the queue is empty. */
static void turn_away(struct gate *gate)
{
    int fd = -1;
    if (gate->spare >= 0)
        close(gate->spare);
    for (int i = 0; i < TURN_AWAY_MAX; i++) {
        fd = accept4(gate->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            break;
        close(fd);
        atomic_fetch_add_explicit(&gate->turned_away, 1, memory_order_relaxed);
    }
    bool none = fd < 0 && (errno == EMFILE || errno == ENFILE);
    gate->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (none && gate->closing < 0)
        end_one(gate);
    set_max(gate);
    tell(gate);
    set_filter(gate);
}

/* A connection that ended without a report is noticed here. */
static void check_peers(struct gate *gate)
{
    for (int i = gate->count - 1; i >= 0; i--)
        if (origin_of(gate->peer[i].fd).family == 0)
            remove_peer(gate, i);
    if (gate->spare < 0)
        gate->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    gate->closing = -1;
    set_max(gate); /* other things use descriptors too */
    review(gate, (struct origin){0});
}

static bool take_event(struct gate *gate)
{
    unsigned char frame[512];
    uint16_t event;
    uint32_t value;
    int got = zmq_recv(gate->monitor, frame, sizeof frame, ZMQ_DONTWAIT);
    if (got < (int)(sizeof event + sizeof value))
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    memcpy(&event, frame, sizeof event);
    memcpy(&value, frame + sizeof event, sizeof value);
    while (zmq_recv(gate->monitor, frame, sizeof frame, 0) < 0) /* the address, of no use */
        if (errno != EINTR)
            return false;
    if (event == ZMQ_EVENT_ACCEPTED)
        take_accepted(gate, (int)value);
    else if (event == ZMQ_EVENT_DISCONNECTED)
        take_gone(gate, (int)value);
    else if (event == ZMQ_EVENT_ACCEPT_FAILED && (value == EMFILE || value == ENFILE))
        turn_away(gate);
    return event != ZMQ_EVENT_MONITOR_STOPPED;
}

static void *watch(void *memory)
{
    struct gate *gate = memory;
    bool open = true;
    while (open) {
        zmq_pollitem_t item = {.socket = gate->monitor, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, CHECK_MS) < 0 && errno == ETERM)
            break;
        if (item.revents)
            open = take_event(gate);
        if (clock_ms() - gate->check_ms >= CHECK_MS) {
            gate->check_ms = clock_ms();
            check_peers(gate);
        }
    }
    zmq_close(gate->monitor);
    return NULL;
}

enum status gate_open(struct gate **opened, void *context, void *socket, int listener,
                      struct error *err)
{
    static _Atomic unsigned number;
    char name[64];
    sigset_t all, before;
    *opened = NULL;
    int room = free_files() - GATE_FILES_SPARE;
    if (room < GATE_PEERS_LEAST)
        return error_set(err, STATUS_LIMIT,
                         "a server on the network wants %d more open files than the limit leaves: "
                         "`ulimit -n 65536`",
                         GATE_PEERS_LEAST - room);
    struct gate *gate = calloc(1, sizeof *gate);
    ASSERT(gate);
    gate->socket = socket;
    gate->listener = listener;
    gate->closing = -1;
    snprintf(name, sizeof name, "inproc://foldmill-gate-%u", number++);
    gate->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!gate->monitor || zmq_socket_monitor(socket, name, EVENTS) != 0 ||
        zmq_connect(gate->monitor, name) != 0) {
        error_set(err, STATUS_IO, "cannot watch connections: %s", zmq_strerror(errno));
        if (gate->monitor)
            zmq_close(gate->monitor);
        free(gate);
        return STATUS_IO;
    }
    gate->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    set_max(gate);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&gate->thread, NULL, watch, gate);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        error_set(err, STATUS_IO, "no thread to watch connections: %s", strerror(code));
        zmq_socket_monitor(socket, NULL, 0);
        zmq_close(gate->monitor);
        free(gate);
        return STATUS_IO;
    }
    *opened = gate;
    return STATUS_OK;
}

void gate_close(struct gate *gate)
{
    if (!gate)
        return;
    zmq_socket_monitor(gate->socket, NULL, 0); /* says MONITOR_STOPPED */
    pthread_join(gate->thread, NULL);
    if (gate->spare >= 0)
        close(gate->spare);
    free(gate);
}

struct gate_counts gate_count(const struct gate *gate)
{
    return (struct gate_counts){
        .peers = atomic_load_explicit(&gate->peers, memory_order_relaxed),
        .peers_max = gate->max,
        .blocked = atomic_load_explicit(&gate->blocked_count, memory_order_relaxed),
        .turned_away = atomic_load_explicit(&gate->turned_away, memory_order_relaxed),
    };
}
