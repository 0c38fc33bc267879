/* How fast payloads travel between nodes, over loopback, as ratios in one run: a plain socket copy
 * (what iperf3 measures), the same with a digest, parcels over a link without keys, and with
 * CURVE. Rounds of all ways alternate, and the median round counts, since the machine is shared. */
#include "engine/base/clock.h"
#include "engine/curve.h"
#include "engine/link.h"
#include "engine/parcel.h"
#include "engine/post.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <xxhash.h>

enum { ROUNDS = 7, WAYS = 4, SIZES = 3, CHUNK = 256 << 10, QUEUE = 32 };

static const size_t sizes[SIZES] = {(size_t)1 << 20, (size_t)8 << 20, (size_t)64 << 20};
static const char *const names[WAYS] = {"socket copy", "socket copy, XXH3 both ends",
                                        "parcels, no keys", "parcels, CURVE"};

static size_t round_bytes(int way)
{
    return (size_t)(way == 3 ? 64 : 192) << 20;
}

/* ---- plain sockets ---- */

static int listen_plain(struct sockaddr_in *at)
{
    socklen_t size = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)at, size) == 0 && listen(fd, 1) == 0);
    getsockname(fd, (struct sockaddr *)at, &size);
    return fd;
}

static void send_plain(int fd, const unsigned char *data, size_t bytes, size_t total, bool digest)
{
    uint64_t sum = 0;
    for (size_t done = 0; done < total; done += bytes)
        for (size_t at = 0; at < bytes;) {
            size_t left = bytes - at < CHUNK ? bytes - at : CHUNK;
            if (digest)
                sum += XXH3_64bits(data + at, left);
            ssize_t sent = send(fd, data + at, left, MSG_NOSIGNAL);
            ASSERT(sent > 0);
            at += (size_t)sent;
        }
    __asm__ volatile("" : : "r"(sum));
}

static void receive_plain(int fd, unsigned char *data, size_t bytes, size_t total, bool digest)
{
    uint64_t sum = 0;
    for (size_t done = 0; done < total; done += bytes)
        for (size_t at = 0; at < bytes;) {
            ssize_t got = recv(fd, data + at, bytes - at < CHUNK ? bytes - at : CHUNK, 0);
            ASSERT(got > 0);
            if (digest)
                sum += XXH3_64bits(data + at, (size_t)got);
            at += (size_t)got;
        }
    __asm__ volatile("" : : "r"(sum));
}

static double run_plain(const unsigned char *data, unsigned char *to, size_t bytes, size_t total,
                        bool digest)
{
    struct sockaddr_in at;
    int listener = listen_plain(&at);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        ASSERT(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
        send_plain(fd, data, bytes, total, digest);
        char byte;
        _exit(read(fd, &byte, 1) < 0);
    }
    int fd = accept(listener, NULL, NULL), status;
    ASSERT(fd >= 0);
    int64_t start = clock_ns();
    receive_plain(fd, to, bytes, total, digest);
    double seconds = (double)(clock_ns() - start) * 1e-9;
    close(fd);
    close(listener);
    waitpid(child, &status, 0);
    return seconds;
}

/* What iperf3 reaches over loopback in a second, B/s; 0: it is not installed. */
static double run_iperf(void)
{
    struct sockaddr_in at;
    char command[256], line[256];
    int probe = listen_plain(&at);
    close(probe);
    snprintf(command, sizeof command,
             "command -v iperf3 >/dev/null && { iperf3 -s -1 -p %u >/dev/null 2>&1 & sleep 0.2; "
             "iperf3 -c 127.0.0.1 -p %u -t 1 -l 256K -f m 2>/dev/null | "
             "awk '/receiver/ { print $7 }'; wait; }",
             ntohs(at.sin_port), ntohs(at.sin_port));
    FILE *answer = popen(command, "re");
    double megabits = answer && fgets(line, sizeof line, answer) ? strtod(line, NULL) : 0;
    if (answer)
        pclose(answer);
    return megabits * 1e6 / 8;
}

/* ---- links ---- */

/* A pool of one warm block for each parcel that is on its way, as a dispatcher has. */
struct room {
    unsigned char *block[QUEUE];
    int free;
};

static bool room_take(void *user, size_t bytes, struct parcel_block *block)
{
    struct room *room = user;
    (void)bytes;
    if (!room->free)
        return false;
    block->data = room->block[--room->free];
    return true;
}

static void room_drop(void *user, struct parcel_block *block)
{
    struct room *room = user;
    room->block[room->free++] = block->data;
}

static void open_link(const struct keys *keys)
{
    struct error err;
    if (link_context_open(&err) != STATUS_OK || (keys && link_secure(keys, &err) != STATUS_OK)) {
        fprintf(stderr, "bench_delivery: %s\n", err.text);
        _exit(1);
    }
}

static void send_parcels(const char *address, const struct keys *keys, const unsigned char *data,
                         size_t bytes, size_t total)
{
    struct link *peer;
    struct link_options options = {.queue_max = 16, .insecure = !keys};
    struct link_message raw;
    open_link(keys);
    ASSERT(link_connect(&peer, address, options, NULL) == STATUS_OK);
    struct outgoing *outgoing = outgoing_open((size_t)128 << 20);
    struct parcel_way way = post_way(peer);
    for (size_t done = 0; done < total || outgoing_count(outgoing);) {
        struct message message = {.type = MESSAGE_OUT, .seq = done, .peer = LINK_HUB};
        struct parcel_source source = {.data = data, .bytes = bytes};
        while (done < total && outgoing_count(outgoing) < 2 &&
               outgoing_add(outgoing, &message, source, clock_ms()) == STATUS_OK) {
            done += bytes;
            message.seq = done;
        }
        outgoing_send(outgoing, &way, clock_ms());
        struct link_wait wait = {.link = peer, .send = true};
        if (outgoing_count(outgoing))
            link_poll(&wait, 1, 20);
    }
    while (link_receive(peer, &raw) == STATUS_EMPTY) {
        struct link_wait wait = {.link = peer};
        link_poll(&wait, 1, 100);
    }
    _exit(0);
}

static double run_parcels(const unsigned char *data, struct room *room, size_t bytes, size_t total,
                          const struct keys *keys)
{
    struct link *hub;
    struct error err;
    struct link_options options = {.queue_max = 16, .insecure = !keys};
    struct sockaddr_in at;
    char address[64];
    int status, probe = listen_plain(&at); /* a free port: links open only after the fork */
    close(probe);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", ntohs(at.sin_port));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        send_parcels(address, keys, data, bytes, total);
    }
    open_link(keys);
    if (link_listen(&hub, address, options, &err) != STATUS_OK) {
        fprintf(stderr, "bench_delivery: %s\n", err.text);
        exit(1);
    }
    struct parcel_room from = {room, room_take, room_drop};
    struct parcels *parcels = parcels_open((size_t)1 << 30, &from);
    int64_t start = 0;
    uint64_t bad = 0;
    uint32_t peer = 0;
    for (size_t done = 0; done < total;) {
        struct link_wait wait = {.link = hub};
        link_poll(&wait, 1, 100);
        struct link_message raw;
        struct message message;
        struct parcel whole;
        while (post_receive_parcel(hub, parcels, 0, &raw, &message, &whole, &bad) == STATUS_OK) {
            start = start ? start : clock_ns();
            peer = raw.peer;
            link_message_close(&raw);
            if (whole.block.data) {
                done += message.size;
                parcel_free(parcels, &whole);
            }
        }
    }
    double seconds = (double)(clock_ns() - start) * 1e-9;
    ASSERT(bad == 0);
    link_send(hub, peer, "end", 3, "", 0);
    waitpid(child, &status, 0);
    parcels_close(parcels);
    link_close(hub, 100);
    link_context_close();
    return seconds;
}

/* CPU time of this process and its ended children, s. */
static double cpu_seconds(void)
{
    struct rusage own, child;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &child);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + child.ru_utime.tv_sec +
                    child.ru_stime.tv_sec) +
           1e-6 * (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + child.ru_utime.tv_usec +
                           child.ru_stime.tv_usec);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Memory that a fork shares, so that no page is copied when it is written. */
static unsigned char *shared(size_t bytes)
{
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(data != MAP_FAILED);
    return data;
}

static void make_keys(struct keys *keys)
{
    *keys = (struct keys){.role = KEY_HEAD};
    for (enum key_role role = KEY_HEAD; role < KEY_ROLES; role++) {
        char secret[KEY_TEXT + 1];
        ASSERT(zmq_curve_keypair(keys->public_key[role], secret) == 0);
        if (role == KEY_HEAD)
            memcpy(keys->secret, secret, sizeof secret);
    }
}

int main(void)
{
    static double rate[WAYS][ROUNDS], cost[WAYS][ROUNDS];
    struct keys keys;
    struct room room = {.free = QUEUE};
    size_t largest = sizes[SIZES - 1];
    unsigned char *data = shared(largest), *to = shared(largest);
    for (size_t i = 0; i < largest; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 7);
    memset(to, 1, largest);
    for (int i = 0; i < QUEUE; i++) {
        room.block[i] = shared(largest);
    }
    make_keys(&keys);
    printf("payloads over loopback (median of %d alternating rounds): MB/s, share of the socket "
           "copy's,"
           " CPU s for each GB at both ends\n"
           "%-28s",
           ROUNDS, "");
    for (int s = 0; s < SIZES; s++)
        printf("  %8zu MiB     ", sizes[s] >> 20);
    puts("");
    static double median[WAYS][SIZES], cpus[WAYS][SIZES];
    for (int s = 0; s < SIZES; s++) {
        for (int round = 0; round < ROUNDS; round++)
            for (int way = 0; way < WAYS; way++) {
                size_t bytes = sizes[s], total = round_bytes(way);
                double cpu = cpu_seconds();
                double seconds =
                    way < 2 ? run_plain(data, to, bytes, total, way == 1)
                            : run_parcels(data, &room, bytes, total, way == 3 ? &keys : NULL);
                rate[way][round] = (double)total / seconds * 1e-6;
                cost[way][round] = (cpu_seconds() - cpu) / (double)total * 1e9;
            }
        for (int way = 0; way < WAYS; way++) {
            qsort(rate[way], ROUNDS, sizeof **rate, by_value);
            qsort(cost[way], ROUNDS, sizeof **cost, by_value);
            median[way][s] = rate[way][ROUNDS / 2];
            cpus[way][s] = cost[way][ROUNDS / 2];
        }
    }
    double iperf[ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        iperf[round] = run_iperf();
    qsort(iperf, ROUNDS, sizeof *iperf, by_value);
    if (iperf[ROUNDS / 2] > 0)
        printf("%-28s  %7.0f\n", "iperf3, one stream", iperf[ROUNDS / 2] * 1e-6);
    else
        puts("iperf3: not measured, it is not installed");
    for (int way = 0; way < WAYS; way++) {
        printf("%-28s", names[way]);
        for (int s = 0; s < SIZES; s++)
            printf("  %7.0f %4.0f %% %4.2f", median[way][s], 100 * median[way][s] / median[0][s],
                   cpus[way][s]);
        puts("");
    }
    return 0;
}
