/* What the engine itself costs: CPU time for each sample and hop (two graphs that differ by two
 * stages which do next to nothing; all processes of the run, the dispatcher too), and a payload's
 * way through shared memory (copy, digest, give back) against memcpy. */
#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/shm.h"
#include "tools/bench_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 40000, HOPS = 5, TARGET_US = 30, TARGET_PERCENT = 60, ROUNDS = 5 };

static const char head[] = "graph: hops\nseed: 1\nstages:\n"
                           "  count:\n    with: {count: 40000}\n"
                           "  echo:\n    in: count\n    memory: 16MiB\n";
static const char more[] = "  echo2:\n    run: echo\n    in: echo\n    memory: 16MiB\n"
                           "  echo3:\n    run: echo\n    in: echo2\n    memory: 16MiB\n"
                           "  echo4:\n    run: echo\n    in: echo3\n    memory: 16MiB\n"
                           "  echo5:\n    run: echo\n    in: echo4\n    memory: 16MiB\n";
static const char tail[] = "  bundle:\n    in: %s\n    with: {size: 64}\n"
                           "  tally:\n    in: bundle\n    with: {shuffle: false}\n";

/* CPU and wall seconds of one run. */
static void run_hops(const char *graph, double *cpu, double *wall)
{
    double before = bench_cpu();
    int64_t from = clock_ns();
    bench_wait(bench_start(graph, "run", (const char *const[]){NULL}));
    *wall = (double)(clock_ns() - from) * 1e-9;
    *cpu = bench_cpu() - before;
}

static void bench_hops(void)
{
    static const char *const graphs[] = {"one.yaml", "five.yaml"};
    double cpu[2] = {1e9, 1e9}, wall[2] = {1e9, 1e9};
    char ending[256];
    for (int i = 0; i < 2; i++) {
        snprintf(ending, sizeof ending, tail, i ? "echo5" : "echo");
        bench_graph(graphs[i], (const char *const[]){head, i ? more : "", ending, NULL});
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2; i++) {
            double c, w;
            run_hops(graphs[i], &c, &w);
            cpu[i] = c < cpu[i] ? c : cpu[i];
            wall[i] = w < wall[i] ? w : wall[i];
        }
    double hop = (cpu[1] - cpu[0]) / ((HOPS - 1.0) * SAMPLES) * 1e6;
    printf("%-36s %10s %10s\n", "empty stages, 40000 samples", "CPU s", "wall s");
    printf("%-36s %10.3f %10.3f\n", "one work stage", cpu[0], wall[0]);
    printf("%-36s %10.3f %10.3f\n", "five work stages", cpu[1], wall[1]);
    printf("%-36s %10.1f us   (target < %d)\n", "CPU for each sample and hop", hop, TARGET_US);
}

static void bench_shm(size_t bytes)
{
    struct shm_fds fds;
    struct shm_pool *pool;
    struct shm_view *view;
    struct shm_block block;
    struct error err;
    unsigned char *plain = malloc(bytes), *copy = malloc(bytes);
    if (!plain || !copy || shm_make(&fds, 2 * bytes, &err) || shm_pool_open(&pool, fds, &err) ||
        shm_view_open(&view, fds, &err))
        exit(1);
    memset(plain, 1, bytes);
    memset(copy, 2, bytes);
    double best_plain = 1e9, best_shm = 1e9;
    int repeats = (int)((64u << 20) / bytes) + 1;
    for (int round = 0; round < ROUNDS; round++) {
        double total_plain = 0, total_shm = 0;
        for (int i = 0; i < repeats; i++) {
            if (shm_pool_take(pool, bytes, &block) != STATUS_OK)
                exit(1);
            memset(block.data, i, bytes);
            struct shm_descriptor descriptor = {
                1, block.offset, bytes, digest_bytes(block.data, bytes), block.slot, block.use};
            int64_t from = clock_ns();
            if (shm_view_copy(view, &descriptor, copy, &err) != STATUS_OK)
                exit(1);
            int64_t between = clock_ns();
            memset(plain, i, bytes);
            int64_t then = clock_ns();
            memcpy(copy, plain, bytes);
            total_plain += (double)(clock_ns() - then);
            total_shm += (double)(between - from);
        }
        best_plain = total_plain < best_plain ? total_plain : best_plain;
        best_shm = total_shm < best_shm ? total_shm : best_shm;
    }
    double scale = (double)bytes * repeats;
    printf("%8zu KiB %12.2f %12.2f %11.0f %%\n", bytes >> 10, scale / best_plain, scale / best_shm,
           100 * best_plain / best_shm);
    shm_view_close(view);
    shm_pool_close(pool);
    shm_close(&fds);
    free(plain);
    free(copy);
}

int main(int argc, char **argv)
{
    (void)argc;
    bench_begin(argv[0]);
    bench_hops();
    bench_end();
    printf("\n%-12s %12s %12s %13s\n", "payload", "memcpy GB/s", "hop GB/s", "hop/memcpy");
    static const size_t sizes[] = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        bench_shm(sizes[i]);
    printf(
        "hop: copy out of shared memory, digest of the copy, block given back (target >= %d %%)\n",
        TARGET_PERCENT);
    return 0;
}
