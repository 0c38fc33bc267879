/* What the sum of a gradient over two ranks costs: on one host, on two over loopback, and on two
 * encrypted; as multiples of a copy of the same bytes in the same run. Rounds of all ways
 * alternate, each with processes of its own, and the median counts, since the machine is shared. */
#include "engine/base/clock.h"
#include "engine/meet_link.h"
#include "kernels/backend.h"
#include "kernels/comm.h"
#include "tools/bench_run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAYS = 3, SIZES = 2, ROUNDS = 3, RANKS = 2, TIMES = 5, OPEN_MS = 20000 };

static const char *const names[WAYS] = {"one host", "two hosts", "two hosts, CURVE"};
static const size_t sizes[SIZES] = {(size_t)4 << 20, (size_t)64 << 20};

/* What both ranks see. */
struct table {
    char folder[64], address[LINK_ADDRESS_MAX];
    _Atomic int listens;
    double sum_s[TIMES], copy_s[TIMES];
};

static void need(enum status status, const struct error *err)
{
    if (status != STATUS_OK)
        bench_fail(err->text);
}

static void post_open(struct table *table, int way, int rank, struct meet_post *post)
{
    struct error err;
    struct keys keys;
    char path[96];
    need(link_context_open(&err), &err);
    snprintf(path, sizeof path, "%s/keys", table->folder);
    if (way == 2) {
        need(keys_load(path, rank ? KEY_SINK : KEY_HEAD, &keys, &err), &err);
        need(link_secure(&keys, &err), &err);
    }
    if (rank == 0) {
        need(meet_link_listen("tcp://127.0.0.1:0", way != 2, post, &err), &err);
        snprintf(table->address, sizeof table->address, "%s", meet_link_where(post));
        table->listens = 1;
        return;
    }
    while (!table->listens)
        usleep(1000);
    need(meet_link_connect(table->address, KEY_HEAD, way != 2, post, &err), &err);
}

static void rank_run(struct table *table, int way, int rank, size_t bytes)
{
    struct backend *b = cpu_backend_open(1);
    struct meet_place place = {.host = way ? rank : 0, .hosts = way ? 2 : 1};
    struct meet_post post;
    struct meet *meet;
    struct error err;
    char path[96];
    place.host_of[1] = way ? 1 : 0;
    snprintf(path, sizeof path, "/dev/shm/foldmill-bench-%d-%d", (int)getppid(), place.host);
    if (way)
        post_open(table, way, rank, &post);
    need(meet_open_far(path, 1, rank, RANKS, COMM_REGION_BYTES, OPEN_MS, &place, way ? &post : NULL,
                       &meet, &err),
         &err);
    struct comm *comm = comm_open(meet, 0, COMM_REGION_BYTES);
    char *data = b->alloc(b, bytes), *copy = b->alloc(b, bytes);
    memset(data, 0, bytes);
    memset(copy, 0, bytes);
    for (int i = -1; i < TIMES; i++) { /* the first warms up */
        int64_t begun = clock_ns();
        memcpy(copy, data, bytes);
        __asm__ volatile("" : : "r"(copy) : "memory");
        int64_t between = clock_ns();
        need(comm_sum(comm, b, data, (int64_t)(bytes / sizeof(float)), NULL, 0, &err), &err);
        if (rank == 0 && i >= 0) {
            table->copy_s[i] = (double)(between - begun) * 1e-9;
            table->sum_s[i] = (double)(clock_ns() - between) * 1e-9;
        }
    }
    comm_close(comm);
    meet_close(meet);
    link_context_close();
    _exit(EXIT_SUCCESS);
}

/* One round of one way: median times of a sum and of a copy, s. */
static void round_run(struct table *table, int way, size_t bytes, double *sum, double *copy)
{
    table->listens = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            rank_run(table, way, rank, bytes);
        }
        if (pid < 0)
            bench_fail("no process");
    }
    for (int rank = 0; rank < RANKS; rank++) {
        int state;
        if (wait(&state) < 0 || !WIFEXITED(state) || WEXITSTATUS(state))
            bench_fail("a rank has failed");
    }
    *sum = bench_median(table->sum_s, TIMES);
    *copy = bench_median(table->copy_s, TIMES);
}

int main(int argc, char **argv)
{
    (void)argc;
    struct error err;
    char keys[96];
    struct table *table =
        mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        bench_fail("no memory");
    bench_begin(argv[0]);
    snprintf(table->folder, sizeof table->folder, "%s", bench_folder());
    snprintf(keys, sizeof keys, "%s/keys", table->folder);
    need(keys_make(keys, false, &err), &err);
    printf("Sum of a gradient over two ranks, in times of a copy of its bytes; median of %d rounds "
           "of %d\n\n| way |",
           ROUNDS, TIMES);
    for (int s = 0; s < SIZES; s++)
        printf(" %zu MiB | ms |", sizes[s] >> 20);
    printf("\n|---|---:|---:|---:|---:|\n");
    double ratio[WAYS][SIZES][ROUNDS], time_ms[WAYS][SIZES][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int s = 0; s < SIZES; s++)
            for (int way = 0; way < WAYS; way++) {
                double sum, copy;
                round_run(table, way, sizes[s], &sum, &copy);
                ratio[way][s][round] = sum / copy;
                time_ms[way][s][round] = sum * 1e3;
            }
    for (int way = 0; way < WAYS; way++) {
        printf("| %s |", names[way]);
        for (int s = 0; s < SIZES; s++)
            printf(" %.1f | %.1f |", bench_median(ratio[way][s], ROUNDS),
                   bench_median(time_ms[way][s], ROUNDS));
        printf("\n");
    }
    bench_end();
    return 0;
}
