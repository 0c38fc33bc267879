/* What the engine itself costs: CPU time for each sample and hop (two graphs that differ by two
 * stages which do next to nothing; all processes of the run, the dispatcher too), and a payload's
 * way through shared memory (copy, digest, give back) against memcpy. */
#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/file.h"
#include "engine/shm.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* CPU and wall seconds of one run. */
static void run_hops(const char *probe, const char *folder, int hops, double *cpu, double *wall)
{
    char graph[PATH_MAX], run[PATH_MAX], text[2048], ending[256], command[PATH_MAX + 16];
    struct error err;
    snprintf(graph, sizeof graph, "%s/graph.yaml", folder);
    snprintf(run, sizeof run, "%s/run", folder);
    snprintf(ending, sizeof ending, tail, hops == 1 ? "echo" : "echo5");
    snprintf(text, sizeof text, "%s%s%s", head, hops == 1 ? "" : more, ending);
    if (file_write_atomic(graph, span_of(text), &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    double before = cpu_seconds();
    int64_t from = clock_ns();
    pid_t pid = fork();
    if (pid == 0) {
        execl(probe, probe, "run", graph, "--run", run, "--quiet", (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(pid, &status, 0);
    *wall = (double)(clock_ns() - from) * 1e-9;
    *cpu = cpu_seconds() - before;
    snprintf(command, sizeof command, "rm -rf %s", run);
    if (status != 0 || system(command) != 0) {
        fprintf(stderr, "%s did not run\n", probe);
        exit(1);
    }
}

static void bench_hops(const char *probe)
{
    char folder[] = "/tmp/foldmill-bench-XXXXXX", command[64];
    double cpu[2] = {1e9, 1e9}, wall[2] = {1e9, 1e9};
    if (!mkdtemp(folder))
        exit(1);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2; i++) {
            double c, w;
            run_hops(probe, folder, i ? HOPS : 1, &c, &w);
            cpu[i] = c < cpu[i] ? c : cpu[i];
            wall[i] = w < wall[i] ? w : wall[i];
        }
    double hop = (cpu[1] - cpu[0]) / ((HOPS - 1.0) * SAMPLES) * 1e6;
    printf("%-36s %10s %10s\n", "empty stages, 40000 samples", "CPU s", "wall s");
    printf("%-36s %10.3f %10.3f\n", "one work stage", cpu[0], wall[0]);
    printf("%-36s %10.3f %10.3f\n", "five work stages", cpu[1], wall[1]);
    printf("%-36s %10.1f us   (target < %d)\n", "CPU for each sample and hop", hop, TARGET_US);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        exit(1);
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
    char probe[PATH_MAX];
    const char *slash = strrchr(argv[0], '/');
    snprintf(probe, sizeof probe, "%.*s/../tests/foldmill_probe",
             slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    bench_hops(probe);
    printf("\n%-12s %12s %12s %13s\n", "payload", "memcpy GB/s", "hop GB/s", "hop/memcpy");
    static const size_t sizes[] = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        bench_shm(sizes[i]);
    printf(
        "hop: copy out of shared memory, digest of the copy, block given back (target >= %d %%)\n",
        TARGET_PERCENT);
    return 0;
}
