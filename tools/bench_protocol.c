/* What delivery costs, as ratios in one run: two stages of 1 ms and 1 MiB a sample through the
 * engine and through a bare ROUTER with DEALERs, which keeps no window, no attempts and no digests;
 * how many samples of 4 KiB go through three stages in a second; how soon an engine that joins
 * gives its first sample. Rounds alternate, medians count. */
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "tools/bench_run.h"

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum { ROUNDS = 5, WORK_US = 1000, FEW = 1000, MANY = 4000, BYTES = 1 << 20, CREDITS = 2 };
enum { RATE_FEW = 10000, RATE_MANY = 50000, JOINS = 5 };

/* ---- the bare chain ---- */

static void *open_socket(void *context, int type, const char *address)
{
    int none = 0, high = 1000;
    void *socket = zmq_socket(context, type);
    ASSERT(socket && zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high, sizeof high);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high, sizeof high);
    int code = type == ZMQ_ROUTER ? zmq_bind(socket, address) : zmq_connect(socket, address);
    ASSERT(code == 0);
    return socket;
}

/* Says its stage, then: receives, sleeps, sends 1 MiB. */
static void bare_worker(const char *address, char stage)
{
    static unsigned char content[BYTES];
    void *socket = open_socket(zmq_ctx_new(), ZMQ_DEALER, address);
    zmq_send(socket, &stage, 1, 0);
    for (uint32_t turn = 0;; turn++) {
        zmq_msg_t in;
        zmq_msg_init(&in);
        if (zmq_msg_recv(&in, socket, 0) < 0)
            _exit(0);
        zmq_msg_close(&in);
        usleep(WORK_US);
        memset(content, (int)turn, sizeof content);
        zmq_send(socket, content, sizeof content, 0);
    }
}

struct bare_peer {
    unsigned char name[8];
    int stage, credits;
};

struct bare {
    void *socket;
    struct bare_peer peer[16];
    int peers;
    int wanted; /* of the first stage, not yet given */
    zmq_msg_t queue[4096];
    int from, to, done;
};

static void give(struct bare *bare)
{
    for (int i = 0; i < bare->peers; i++) {
        struct bare_peer *peer = &bare->peer[i];
        while (peer->credits && (peer->stage ? bare->from < bare->to : bare->wanted > 0)) {
            zmq_send(bare->socket, peer->name, 5, ZMQ_SNDMORE);
            if (peer->stage) {
                zmq_msg_send(&bare->queue[bare->from++ % 4096], bare->socket, 0);
            } else {
                zmq_send(bare->socket, "go", 2, 0);
                bare->wanted--;
            }
            peer->credits--;
        }
    }
}

static void take(struct bare *bare)
{
    static unsigned char sink[BYTES];
    unsigned char name[8];
    zmq_msg_t body;
    zmq_msg_init(&body);
    ASSERT(zmq_recv(bare->socket, name, sizeof name, 0) == 5);
    ASSERT(zmq_msg_recv(&body, bare->socket, 0) >= 0);
    int at = 0;
    while (at < bare->peers && memcmp(bare->peer[at].name, name, 5) != 0)
        at++;
    if (at == bare->peers) {
        struct bare_peer peer = {.stage = *(char *)zmq_msg_data(&body) - '0', .credits = CREDITS};
        memcpy(peer.name, name, 5);
        bare->peer[bare->peers++] = peer;
        zmq_msg_close(&body);
        return;
    }
    bare->peer[at].credits++;
    if (bare->peer[at].stage == 0) {
        zmq_msg_init(&bare->queue[bare->to % 4096]);
        zmq_msg_move(&bare->queue[bare->to++ % 4096], &body);
    } else {
        memcpy(sink, zmq_msg_data(&body), zmq_msg_size(&body));
        bare->done++;
    }
    zmq_msg_close(&body);
}

/* Samples a second through the bare chain with so many workers a stage. The hub is source and sink,
 * which spares this chain a hop. */
static double run_bare(int workers)
{
    static struct bare bare;
    char address[PATH_MAX];
    pid_t pids[16];
    bare = (struct bare){0};
    snprintf(address, sizeof address, "ipc://%s/bare", bench_folder());
    fflush(stdout);
    for (int i = 0; i < 2 * workers; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            bare_worker(address, i < workers ? '0' : '1');
        }
    }
    void *context = zmq_ctx_new();
    bare.socket = open_socket(context, ZMQ_ROUTER, address);
    while (bare.peers < 2 * workers)
        take(&bare);
    int64_t begun = clock_ns();
    for (int asked = 0; bare.done < MANY - FEW;) {
        while (asked < MANY - FEW && asked - bare.done < 64) {
            asked++;
            bare.wanted++;
        }
        give(&bare);
        take(&bare);
    }
    double seconds = (double)(clock_ns() - begun) * 1e-9;
    for (int i = 0; i < 2 * workers; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    zmq_close(bare.socket);
    zmq_ctx_term(context);
    return (MANY - FEW) / seconds;
}

/* ---- the engine ---- */

static double wall(const char *graph, int count)
{
    char set[64];
    snprintf(set, sizeof set, "count.count=%d", count);
    int64_t begun = clock_ns();
    bench_wait(bench_start(graph, "run", (const char *const[]){"--set", set, NULL}));
    return (double)(clock_ns() - begun) * 1e-9;
}

/* Samples a second: of two runs, so that starting and ending do not count. */
static double run_engine(const char *graph, int few, int many)
{
    double before = wall(graph, few);
    return (many - few) / (wall(graph, many) - before);
}

static const char head[] = "graph: protocol\nseed: 1\nstages:\n  count:\n    with: {count: 1000}\n";
static const char tail[] = "  bundle:\n    in: last\n    with: {size: 20}\n"
                           "  tally:\n    in: bundle\n    with: {shuffle: false}\n";

static void bench_chain(int workers)
{
    char stages[512];
    double bare[ROUNDS], engine[ROUNDS], ratio[ROUNDS];
    snprintf(stages, sizeof stages,
             "  first:\n    run: echo\n    in: count\n    workers: %d\n    memory: 256MiB\n"
             "    with: {bytes: %d, sleep_us: %d}\n"
             "  last:\n    run: echo\n    in: first\n    workers: %d\n    memory: 256MiB\n"
             "    with: {bytes: %d, sleep_us: %d}\n",
             workers, BYTES, WORK_US, workers, BYTES, WORK_US);
    bench_graph("chain.yaml", (const char *const[]){head, stages, tail, NULL});
    for (int round = 0; round < ROUNDS; round++) {
        bare[round] = run_bare(workers);
        engine[round] = run_engine("chain.yaml", FEW, MANY);
        ratio[round] = engine[round] / bare[round];
    }
    double least = 1e9, most = 0;
    for (int i = 0; i < ROUNDS; i++) {
        least = ratio[i] < least ? ratio[i] : least;
        most = ratio[i] > most ? ratio[i] : most;
    }
    printf("%-34d %12.0f %12.0f %8.2f   (%.2f to %.2f)\n", workers, bench_median(bare, ROUNDS),
           bench_median(engine, ROUNDS), bench_median(ratio, ROUNDS), least, most);
}

static void bench_rate(void)
{
    static const char stages[] =
        "  first:\n    run: echo\n    in: count\n    memory: 16MiB\n    with: {bytes: 4096}\n"
        "  middle:\n    run: echo\n    in: first\n    memory: 16MiB\n    with: {bytes: 4096}\n"
        "  last:\n    run: echo\n    in: middle\n    memory: 16MiB\n    with: {bytes: 4096}\n";
    double rate[ROUNDS];
    bench_graph("rate.yaml", (const char *const[]){head, stages, tail, NULL});
    for (int round = 0; round < ROUNDS; round++)
        rate[round] = run_engine("rate.yaml", RATE_FEW, RATE_MANY);
    double median = bench_median(rate, ROUNDS);
    printf("\n4 KiB through three stages: %.0f samples a second (%.0f to %.0f; target 5000)\n",
           median, rate[0], rate[ROUNDS - 1]);
}

/* From the start of an engine to the first step made of its samples, s. */
static void bench_join(void)
{
    static const char stages[] =
        "  last:\n    run: echo\n    in: count\n    on: cpu\n    with: {bytes: 4096}\n";
    double took[JOINS];
    char run[PATH_MAX], table[PATH_MAX + 16];
    bench_graph("join.yaml", (const char *const[]){head, stages, tail, NULL});
    snprintf(run, sizeof run, "%s/run", bench_folder());
    snprintf(table, sizeof table, "%s/tally.tsv", run);
    for (int i = 0; i < JOINS; i++) {
        struct stat stat_of = {0};
        pid_t lead = bench_start("join.yaml", "run",
                                 (const char *const[]){"--head", "--insecure", "--listen",
                                                       "127.0.0.1:0", "--role", "gpu", NULL});
        char rendezvous[PATH_MAX + 16];
        snprintf(rendezvous, sizeof rendezvous, "%s/rendezvous", run);
        while (access(rendezvous, F_OK) != 0)
            usleep(10000);
        usleep(300000);
        off_t before = stat(table, &stat_of) == 0 ? stat_of.st_size : 0;
        int64_t begun = clock_ns();
        pid_t joined =
            bench_start(NULL, NULL, (const char *const[]){"--join", run, "--insecure", NULL});
        while (stat(table, &stat_of) != 0 || stat_of.st_size <= before)
            usleep(2000);
        took[i] = (double)(clock_ns() - begun) * 1e-9;
        bench_wait(lead);
        bench_wait(joined);
    }
    double median = bench_median(took, JOINS);
    printf(
        "an engine that joins: %.2f s to the first step of its samples (%.2f to %.2f; target 2)\n",
        median, took[0], took[JOINS - 1]);
}

int main(int argc, char **argv)
{
    (void)argc;
    bench_begin(argv[0]);
    printf("two stages of 1 ms and 1 MiB a sample, samples a second (medians of %d rounds)\n"
           "%-34s %12s %12s %8s\n",
           ROUNDS, "workers of each stage", "bare ROUTER", "engine", "ratio");
    bench_chain(1);
    bench_chain(4);
    bench_rate();
    bench_join();
    bench_end();
    return 0;
}
