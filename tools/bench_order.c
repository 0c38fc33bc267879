/* How long a trainer waits when one sample in 100 takes 100 times as long: in strict order, with
 * costs known, where slow samples may be overtaken, over a store that is full, and through
 * PyTorch's DataLoader where that is installed (bench_loader.py). The stages are those of the
 * tests: work sleeps 4 ms, or 400 ms, in eight processes; a step of 16 samples sleeps 24 ms.
 * Everything sleeps, so that the machine's speed hardly matters. */
#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "tools/bench_run.h"

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

/* sets: overrides, NULL behind the last. */
static void run_graph(const char *name, const char *const sets[SETS])
{
    const char *args[2 * SETS + 1] = {NULL};
    for (int i = 0; i < SETS && sets[i]; i++) {
        args[2 * i] = "--set";
        args[2 * i + 1] = sets[i];
    }
    bench_wait(bench_start(name, "run", args));
}

/* Steps behind the first ones, which fill the pipeline. */
static struct waits read_waits(void)
{
    char path[PATH_MAX];
    struct arena arena;
    struct span table, row, word;
    struct error err;
    struct waits waits = {0};
    arena_open(&arena, 0);
    snprintf(path, sizeof path, "%s/run/tally.tsv", bench_folder());
    if (file_read(path, 1 << 24, &arena, &table, &err) != STATUS_OK)
        bench_fail(err.text);
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

static void show(const char *name)
{
    struct waits waits = read_waits();
    printf("%-36s %7d %12.2f %12.1f %14.2f %%\n", name, waits.steps,
           1e3 * waits.waited / waits.steps, 1e3 * waits.most, 100 * waits.waited / waits.computed);
}

int main(int argc, char **argv)
{
    (void)argc;
    char order[64];
    bench_begin(argv[0]);
    snprintf(order, sizeof order, "order={overtake: %d}", OVERTAKE);
    bench_graph("train.yaml", (const char *const[]){head, "  jitter: {in: echo}\n", train, NULL});
    bench_graph("fill.yaml", (const char *const[]){head, fill, NULL});
    bench_graph("replay.yaml", (const char *const[]){replay, train, NULL});
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
        run_graph("train.yaml", ways[i]);
        show(names[i]);
    }
    run_graph("train.yaml", (const char *const[SETS]){order});
    show("order: {overtake: 384}");
    run_graph("fill.yaml", (const char *const[SETS]){NULL});
    run_graph("replay.yaml", (const char *const[SETS]){NULL});
    show("order: strict, over a full store");
    bench_end();
    fflush(stdout);
    int status = system("python3 " FOLDMILL_SOURCE "/tools/bench_loader.py");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        puts("PyTorch DataLoader: not measured, there is no torch for python3 (python3-torch)");
    return status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}
