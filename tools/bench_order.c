/* How long a trainer waits when one sample in 100 takes 100 times as long: in strict order, with
 * costs known, where slow samples may be overtaken, over a store that is full, and through
 * PyTorch's DataLoader where that is installed (bench_loader.py). The stages are those of the
 * tests: work sleeps 4 ms, or 400 ms, in eight processes; a step of 16 samples sleeps 24 ms.
 * Everything sleeps, so that the machine's speed hardly matters. */
#include "engine/base/arena.h"
#include "engine/base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SETS = 4, WARM_STEPS = 20, OVERTAKE = 384 };

static const char head[] =
    "graph: waits\nseed: 1\nstages:\n"
    "  count:\n    with: {count: 4000}\n"
    "  echo:\n    in: count\n    workers: 8\n"
    "    with: {bytes: 4096, sleep_us: 4000, slow_every: 100, slow_ms: 400}\n";
static const char fill[] = "  store: {in: echo, with: {path: store}}\n";
static const char replay[] = "graph: replay\nseed: 1\nstages:\n"
                             "  store: {with: {path: store}}\n"
                             "  jitter: {in: store}\n";
static const char train[] = "  bundle:\n    in: jitter\n    with: {size: 16}\n"
                            "  tally:\n    in: bundle\n"
                            "    with: {sleep_us: 24000, recycles: 3, checkpoint_every: 100}\n";

struct waits {
    int steps;
    double waited, computed, most; /* seconds */
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_order: %s\n", what);
    exit(1);
}

static void write_graph(const char *folder, const char *name, const char *const parts[3])
{
    char path[PATH_MAX], text[2048];
    struct error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(text, sizeof text, "%s%s%s", parts[0], parts[1], parts[2]);
    if (file_write_atomic(path, span_of(text), &err) != STATUS_OK)
        fail(err.text);
}

/* sets: overrides, NULL behind the last. */
static void run_graph(const char *probe, const char *folder, const char *name,
                      const char *const sets[SETS])
{
    char graph[PATH_MAX], run[PATH_MAX], command[PATH_MAX + 16];
    const char *args[16] = {probe, "run", graph, "--run", run, "--quiet"};
    int count = 6, status = 0;
    snprintf(graph, sizeof graph, "%s/%s", folder, name);
    snprintf(run, sizeof run, "%s/run", folder);
    snprintf(command, sizeof command, "rm -rf %s", run);
    if (system(command) != 0)
        fail(command);
    for (int i = 0; i < SETS && sets[i]; i++) {
        args[count++] = "--set";
        args[count++] = sets[i];
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char *copy[16] = {NULL};
        for (int i = 0; i < count; i++)
            copy[i] = strdup(args[i]);
        execv(probe, copy);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        fail("a run failed");
}

/* Steps behind the first ones, which fill the pipeline. */
static struct waits read_waits(const char *folder)
{
    char path[PATH_MAX];
    struct arena arena;
    struct span table, row, word;
    struct error err;
    struct waits waits = {0};
    arena_open(&arena, 0);
    snprintf(path, sizeof path, "%s/run/tally.tsv", folder);
    if (file_read(path, 1 << 24, &arena, &table, &err) != STATUS_OK)
        fail(err.text);
    for (int line = 0; span_line(&table, &row); line++) {
        double column[6] = {0};
        for (int i = 0; i < 6 && span_word(&row, &word); i++)
            column[i] = strtod(word.data, NULL);
        if (line <= WARM_STEPS)
            continue;
        waits.steps++;
        waits.waited += column[4];
        waits.computed += column[5];
        waits.most = column[4] > waits.most ? column[4] : waits.most;
    }
    arena_close(&arena);
    return waits;
}

static void show(const char *name, const char *folder)
{
    struct waits waits = read_waits(folder);
    printf("%-36s %7d %12.2f %12.1f %14.2f %%\n", name, waits.steps,
           1e3 * waits.waited / waits.steps, 1e3 * waits.most, 100 * waits.waited / waits.computed);
}

int main(int argc, char **argv)
{
    (void)argc;
    char probe[PATH_MAX], folder[] = "/tmp/foldmill-bench-XXXXXX", command[64], order[64];
    char *slash = strrchr(argv[0], '/');
    snprintf(probe, sizeof probe, "%.*s/../tests/foldmill_probe",
             slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    if (!mkdtemp(folder))
        fail("no folder");
    snprintf(order, sizeof order, "order={overtake: %d}", OVERTAKE);
    write_graph(folder, "train.yaml", (const char *const[]){head, "  jitter: {in: echo}\n", train});
    write_graph(folder, "fill.yaml", (const char *const[]){head, fill, ""});
    write_graph(folder, "replay.yaml", (const char *const[]){replay, train, ""});
    printf("1 sample in 100 sleeps 400 ms, the others 4 ms, in 8 processes; a step of 16: 24 ms\n"
           "%-36s %7s %12s %12s %16s\n",
           "", "steps", "wait, ms", "longest, ms", "of a step's time");
    static const char *const ways[][SETS] = {
        {NULL},
        {"tally.queue=432", NULL},
        {"tally.queue=432", "count.dear_every=100", "count.dear=100", NULL}};
    static const char *const names[] = {"order: strict", "strict, queue: 432",
                                        "strict, queue: 432, costs listed"};
    for (int i = 0; i < 3; i++) {
        run_graph(probe, folder, "train.yaml", ways[i]);
        show(names[i], folder);
    }
    run_graph(probe, folder, "train.yaml", (const char *const[SETS]){order});
    show("order: {overtake: 384}", folder);
    run_graph(probe, folder, "fill.yaml", (const char *const[SETS]){NULL});
    run_graph(probe, folder, "replay.yaml", (const char *const[SETS]){NULL});
    show("order: strict, over a full store", folder);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        return 1;
    fflush(stdout);
    int status = system("python3 " FOLDMILL_SOURCE "/tools/bench_loader.py");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        puts("PyTorch DataLoader: not measured, there is no torch for python3 (python3-torch)");
    return status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}
