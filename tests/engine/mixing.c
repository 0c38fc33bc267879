/* Whole runs whose epochs are weighted and mixed: they take what they should, as often as they
 * should, and the same when they are killed, gone on with, audited and made again. */
#include "tests/engine/process.h"

#define LINE                                                                                       \
    "    workers: 2\n"                                                                             \
    "  bundle:\n"                                                                                  \
    "    in: jitter\n"                                                                             \
    "    with: {size: 8}\n"                                                                        \
    "  tally:\n"                                                                                   \
    "    in: bundle\n"

static const char weighted_graph[] =
    "graph: weighted\n"
    "seed: 11\n"
    "stages:\n"
    "  count:\n"
    "    with: {count: 600, held_out_every: 10}\n"
    "  echo:\n"
    "    in: count\n"
    "    workers: 2\n"
    "    with: {bytes: 3000, refuse_every: 50}\n"
    "  store:\n"
    "    in: echo\n"
    "    with: {path: \"{run}/store\"}\n"
    "  jitter:\n"
    "    in: store.train\n" LINE "    with: {epochs: 6, epoch_length: 205, weights: openfold, "
                                 "recycles: 2, checkpoint_every: 9}\n";

/* 300 numbers from 0, every tenth held out; and 40 from 1000. */
static const char one_graph[] = "graph: one\nstages:\n"
                                "  count: {with: {count: 300, held_out_every: 10}}\n"
                                "  echo: {in: count}\n"
                                "  store: {in: echo, with: {path: one}}\n";
static const char two_graph[] = "graph: two\nstages:\n"
                                "  count: {with: {first: 1000, count: 40}}\n"
                                "  echo: {in: count}\n"
                                "  store: {in: echo, with: {path: two}}\n";
static const char mixed_graph[] = "graph: mixed\n"
                                  "seed: 5\n"
                                  "stages:\n"
                                  "  one: {run: store, with: {path: one}}\n"
                                  "  two: {run: store, with: {path: two}}\n"
                                  "  jitter:\n"
                                  "    in: {one.train: 0.25, two: 0.75}\n" LINE
                                  "    with: {epochs: 5, epoch_length: 400, weights: openfold,\n"
                                  "           checkpoint_every: 20}\n";

static int run_once(const char *graph, const char *run, const char *set)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    const char *args[] = {"run",     process_path(graph),  "--run", path,
                          "--quiet", set ? "--set" : NULL, set,     NULL};
    return process_run(args, 60);
}

/* Kills the whole run again and again until it ends by itself. */
static void run_killed(const char *graph, const char *run, uint32_t whole_ms)
{
    struct rng rng = rng_open(4, 0, 0, "killer", 0);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    int code = -1, runs = 0;
    for (; code != 0 && runs < 60; runs++) {
        const char *args[] = {"run", process_path(graph), "--run", path, "--quiet", NULL};
        pid_t pid = process_start(args);
        int64_t end = clock_ms() + whole_ms / 4 + rng_below(&rng, whole_ms / 4 + 1) +
                      (int64_t)whole_ms * runs * runs / 100;
        int status;
        bool ended = false;
        while (!ended && clock_ms() < end) {
            ended = waitpid(pid, &status, WNOHANG) == pid;
            usleep(2000);
        }
        code = ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (!ended && kill(pid, SIGKILL) == 0)
            waitpid(pid, &status, 0);
        cr_assert(code <= 0, "exit code %d: %s", code, process_read("out").data);
    }
    cr_assert(code == 0 && runs > 2, "done after %d starts", runs);
}

static void audit_run(const char *run)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    unlink(process_path("out"));
    const char *args[] = {"audit", path, "--replay", "9", NULL};
    cr_assert(process_run(args, 60) == 0, "%s", process_read("out").data);
    cr_assert(strstr(process_read("out").data, "of 9 steps that were made again"), "%s",
              process_read("out").data);
}

/* How often each number came, out of a tally; the count of all. */
static int count_numbers(const char *name, int *seen, int max)
{
    struct span table = process_read(name), line, word;
    int64_t number;
    int all = 0;
    memset(seen, 0, (size_t)max * sizeof *seen);
    cr_assert(span_line(&table, &line), "%s is empty", name); /* position and journal */
    while (span_line(&table, &line)) {
        cr_assert(span_word(&line, &word) && span_word(&line, &word), "step and epoch");
        for (; span_word(&line, &word); all++) {
            cr_assert(text_int(word, 0, max - 1, &number), "number");
            seen[number]++;
        }
    }
    return all;
}

static uint32_t run_undisturbed(const char *graph, const char *run)
{
    int64_t began = clock_ms();
    cr_assert(run_once(graph, run, NULL) == 0, "%s", process_read("out").data);
    return (uint32_t)(clock_ms() - began);
}

Test(mixing, weighted_epochs_are_the_same_when_killed_and_made_again, .timeout = 300)
{
    enum { COUNT = 600, EPOCHS = 6, LENGTH = 205 };
    static int seen[COUNT];
    process_begin();
    process_graph("g", weighted_graph);
    uint32_t whole_ms = run_undisturbed("g", "quiet");
    run_killed("g", "run", whole_ms);
    char *quiet = process_digests("quiet/tally.tsv"), *killed = process_digests("run/tally.tsv");
    cr_assert(process_lines(span_of(quiet)) == 1 + EPOCHS * 208 / 8, "epochs of 208 positions");
    cr_assert(strcmp(quiet, killed) == 0, "the same batches");
    audit_run("quiet");
    audit_run("run");
    int all = count_numbers("quiet/tally", seen, COUNT), by[2][4] = {{0}};
    cr_assert(all > EPOCHS * LENGTH * 9 / 10 && all <= EPOCHS * LENGTH, "%d numbers", all);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(seen[i] == 0 || i % 10 != 0, "%d is held out", i);
        by[i % 8 >= 4][i % 4] += seen[i];
    }
    /* One of a cluster of 4 and short: an eighth of one that is alone and long. */
    cr_assert(by[1][0] > 4 * by[0][3] && by[0][3] > 0, "%d and %d", by[1][0], by[0][3]);
    cr_assert(by[1][0] > 2 * by[1][3] && by[0][0] > 2 * by[0][3], "clusters of 1 and 4");
    process_end();
}

Test(mixing, stores_are_mixed_and_the_run_is_the_same_when_killed, .timeout = 300)
{
    enum { COUNT = 1040, ALL = 5 * 400 };
    static int seen[COUNT];
    process_begin();
    process_graph("one.yaml", one_graph);
    process_graph("two.yaml", two_graph);
    process_graph("g", mixed_graph);
    cr_assert(run_once("g", "early", NULL) == 1, "no stores yet");
    cr_assert(strstr(process_read("out").data, "there is no store; fill one first"), "%s",
              process_read("out").data);
    cr_assert(run_once("one.yaml", "a", NULL) == 0 && run_once("two.yaml", "b", NULL) == 0);
    uint32_t whole_ms = run_undisturbed("g", "quiet");
    run_killed("g", "run", whole_ms);
    char *quiet = process_digests("quiet/tally.tsv"), *killed = process_digests("run/tally.tsv");
    cr_assert(strcmp(quiet, killed) == 0, "the same batches");
    audit_run("quiet");
    audit_run("run");
    int from_two = 0, alone = 0, of_four = 0;
    cr_assert(count_numbers("run/tally", seen, COUNT) == ALL);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(seen[i] == 0 || i >= 1000 || i % 10 != 0, "%d is held out", i);
        from_two += i >= 1000 ? seen[i] : 0;
        alone += i >= 1000 && i % 4 == 0 ? seen[i] : 0;
        of_four += i >= 1000 && i % 4 == 3 ? seen[i] : 0;
    }
    /* Five standard deviations of 2000 draws. */
    cr_assert(from_two > 1400 && from_two < 1600, "%d of %d out of the second store", from_two,
              ALL);
    cr_assert(alone > 3 * of_four && of_four > 0, "%d and %d", alone, of_four);
    process_end();
}

Test(mixing, what_cannot_be_weighed_or_mixed_is_told_at_the_start, .timeout = 120)
{
    process_begin();
    process_graph("one.yaml", one_graph);
    process_graph("two.yaml", two_graph);
    process_graph("g", mixed_graph);
    cr_assert(run_once("one.yaml", "a", NULL) == 0);
    cr_assert(run_once("two.yaml", "b", "echo.bare=1") == 0);
    cr_assert(run_once("g", "c", NULL) == 1, "records without cluster_size");
    cr_assert(strstr(process_read("out").data, "n0001000 has no cluster_size and length"), "%s",
              process_read("out").data);
    cr_assert(run_once("g", "d", "tally.weights=uniform") == 0, "%s", process_read("out").data);
    cr_assert(run_once("g", "e", "jitter.in={one.train: 1, two.held_out: 1}") == 1, "nothing");
    cr_assert(run_once("two.yaml", "f", "count.first=200") == 0);
    cr_assert(run_once("g", "h", "tally.weights=uniform") == 1, "a key in both stores");
    cr_assert(strstr(process_read("out").data, "mixing in two: the key \"n00002"), "%s",
              process_read("out").data);
    process_graph("w", weighted_graph);
    cr_assert(run_once("w", "i", "tally.shuffle=false") == 1, "as listed");
    cr_assert(strstr(process_read("out").data, "for lines in random order"), "%s",
              process_read("out").data);
    process_end();
}
