/* Whole runs under fire: killed workers, dispatchers, sinks and everything at once; poison; a
 * stopped sink; ends by signal. What is audited is what the sink used: every position once, the
 * same bytes. */
#include "tests/engine/process.h"

/* Small limits make small pools, which start fast; the address sanitizer needs more for itself. */
#ifdef __SANITIZE_ADDRESS__
#define SMALL   "512MiB"
#define MEDIUM  "512MiB"
#define TIMEOUT "2s"
#define FIRE    "echo.sleep_us=2000"
#else
#define SMALL   "16MiB"
#define MEDIUM  "64MiB"
#define TIMEOUT "1s"
#define FIRE    "echo.sleep_us=8000"
#endif

static const char steps_graph[] = "graph: steps\n"
                                  "seed: 7\n"
                                  "max_bad: 1000\n"
                                  "stages:\n"
                                  "  count:\n"
                                  "    with: {count: 1000}\n"
                                  "  echo:\n"
                                  "    in: count\n"
                                  "    workers: 3\n"
                                  "    memory: " SMALL "\n"
                                  "    with: {bytes: 9000}\n"
                                  "  jitter:\n"
                                  "    in: echo\n"
                                  "    workers: 2\n"
                                  "    memory: " SMALL "\n"
                                  "  bundle:\n"
                                  "    in: jitter\n"
                                  "    with: {size: 8}\n"
                                  "  tally:\n"
                                  "    in: bundle\n"
                                  "    with: {epochs: 2, recycles: 1, checkpoint_every: 50}\n";

static const char store_graph[] = "graph: both\n"
                                  "seed: 11\n"
                                  "stages:\n"
                                  "  count:\n"
                                  "    with: {count: 600, held_out_every: 10}\n"
                                  "  echo:\n"
                                  "    in: count\n"
                                  "    workers: 2\n"
                                  "    memory: " SMALL "\n"
                                  "    with: {bytes: 6000, refuse_every: 50}\n"
                                  "  store:\n"
                                  "    in: echo\n"
                                  "    with: {path: \"{run}/store\"}\n"
                                  "  jitter:\n"
                                  "    in: store.train\n"
                                  "    workers: 2\n"
                                  "    memory: " SMALL "\n"
                                  "  bundle:\n"
                                  "    in: jitter\n"
                                  "    with: {size: 8}\n"
                                  "  tally:\n"
                                  "    in: bundle\n"
                                  "    with: {epochs: 3, recycles: 2, checkpoint_every: 20}\n";

/* Runs the graph in FOLDER/run with up to two settings; the exit code. */
static int run_simple(const char *graph, const char *run, const char *set_a, const char *set_b,
                      int limit_s)
{
    char run_path[PATH_MAX];
    snprintf(run_path, sizeof run_path, "%s", process_path(run));
    const char *args[] = {
        "run", process_path(graph),    "--run", run_path, "--quiet", set_a ? "--set" : NULL,
        set_a, set_b ? "--set" : NULL, set_b,   NULL};
    return process_run(args, limit_s);
}

static pid_t start_simple(const char *graph, const char *run, const char *set_a, const char *set_b)
{
    char run_path[PATH_MAX];
    snprintf(run_path, sizeof run_path, "%s", process_path(run));
    const char *args[] = {
        "run", process_path(graph),    "--run", run_path, "--quiet", set_a ? "--set" : NULL,
        set_a, set_b ? "--set" : NULL, set_b,   NULL};
    return process_start(args);
}

Test(process, the_same_digests_with_1_and_4_workers_and_under_fire, .timeout = 120)
{
    static const char *const prey[] = {"worker:", "dispatch", NULL};
    process_begin();
    process_graph("g", steps_graph);
    cr_assert(run_simple("g", "a", "echo.workers=1", "jitter.workers=1", 60) == 0, "one worker");
    cr_assert(run_simple("g", "b", "echo.workers=4", "jitter.workers=4", 60) == 0, "four workers");
    int kills;
    pid_t pid = start_simple("g", "c", "echo.workers=4", FIRE);
    cr_assert(process_torment(pid, prey, 50, 500, 1, 90, &kills) == 0, "under fire");
    cr_assert(kills >= 5, "%d kills", kills);
    char *a = process_digests("a/tally.tsv"), *b = process_digests("b/tally.tsv");
    char *c = process_digests("c/tally.tsv");
    cr_assert(process_lines(span_of(a)) == 251, "all steps were logged");
    cr_assert(strcmp(a, b) == 0, "1 and 4 workers");
    /* The time that a sample takes is a setting, so c is another graph of the same content. */
    cr_assert(strcmp(a, c) == 0, "quiet and under fire");
    process_audit_tally("c/tally", 1000, 2, 0);
    process_end();
}

Test(process, every_process_may_be_killed_at_any_time, .timeout = 900)
{
    static const char *const prey[] = {"worker:", "worker:", "dispatch", "sink:", NULL};
    process_begin();
    process_graph("g", steps_graph);
    bool full = process_full();
    int count = full ? 50000 : 1500, kills;
    char run[PATH_MAX];
    snprintf(run, sizeof run, "%s", process_path("run"));
    const char *args[] = {"run",
                          process_path("g"),
                          "--run",
                          run,
                          "--quiet",
                          "--set",
                          full ? "count.count=50000" : "count.count=1500",
                          "--set",
                          full ? "echo.sleep_us=500" : "echo.sleep_us=4000",
                          "--set",
                          "tally.checkpoint_every=10",
                          NULL};
    pid_t pid = process_start(args);
    cr_assert(process_torment(pid, prey, 50, 500, 2, full ? 800 : 120, &kills) == 0,
              "it ends well");
    cr_assert(kills >= 5, "%d kills", kills);
    process_audit_tally("run/tally", count, 2, 0);
    cr_assert(process_lines(process_read("run/refused.tsv")) == 1, "an innocent was set aside");
    process_end();
}

Test(process, a_run_that_was_killed_whole_goes_on, .timeout = 300)
{
    process_begin();
    process_graph("g", store_graph);
    int64_t began = clock_ms();
    cr_assert(run_simple("g", "quiet", NULL, NULL, 60) == 0, "undisturbed");
    uint32_t whole_ms = (uint32_t)(clock_ms() - began);
    struct rng rng = rng_open(3, 0, 0, "killer", 0);
    int code = -1, runs = 0;
    for (; code != 0 && runs < 60; runs++) {
        pid_t pid = start_simple("g", "run", NULL, NULL);
        /* A sixth to a third of what it takes undisturbed, so that the first ones cannot finish. */
        int64_t end = clock_ms() + whole_ms / 6 + rng_below(&rng, whole_ms / 6 + 1) +
                      (int64_t)whole_ms * runs * runs / 100;
        int status;
        while (clock_ms() < end && waitpid(pid, &status, WNOHANG) == 0)
            usleep(2000);
        code = clock_ms() < end && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (code < 0 && kill(pid, SIGKILL) == 0)
            waitpid(pid, &status, 0);
        cr_assert(code <= 0, "exit code %d: %s", code, process_read("out").data);
    }
    cr_assert(code == 0 && runs > 2, "done after %d starts", runs);
    char *quiet = process_digests("quiet/tally.tsv"), *killed = process_digests("run/tally.tsv");
    cr_assert(strcmp(quiet, killed) == 0, "the same batches");
    char store[PATH_MAX];
    snprintf(store, sizeof store, "%s", process_path("run/store"));
    const char *verify[] = {"store", "verify", store, NULL};
    cr_assert(process_run(verify, 30) == 0, "the store verifies");
    process_end();
}

/* The audit's words about a run. */
static const char *audit_words(const char *run)
{
    unlink(process_path("out"));
    const char *args[] = {"audit", process_path(run), NULL};
    cr_assert(process_run(args, 60) == 0, "%s", process_read("out").data);
    return process_read("out").data;
}

/* A sink that was killed between its last checkpoint and the coordinator's word of it: here the
 * journal is gone, which is that with all checkpoints. */
Test(process, a_checkpoint_that_nobody_heard_of_is_told_again, .timeout = 120)
{
    char command[256];
    const char *args[] = {"run", NULL, "--run", NULL, "--quiet", NULL};
    process_begin();
    process_graph("g", steps_graph);
    args[1] = process_path("g");
    args[3] = process_path("run");
    cr_assert(process_run(args, 60) == 0, "%s", process_read("out").data);
    cr_assert(strstr(audit_words("run"), "in 250 steps, checkpoint at 250"), "%s",
              process_read("out").data);
    snprintf(command, sizeof command, "rm %s/run/journal.*", process_folder);
    cr_assert(system(command) == 0, "%s", command);
    cr_assert(strstr(audit_words("run"), "checkpoint at 0"), "%s", process_read("out").data);
    args[1] = process_path("g");
    args[3] = process_path("run");
    cr_assert(process_run(args, 60) == 0, "%s", process_read("out").data);
    cr_assert(strstr(audit_words("run"), "in 250 steps, checkpoint at 250"), "%s",
              process_read("out").data);
    process_end();
}

Test(process, poison_is_set_aside_and_innocents_are_not, .timeout = 240)
{
    static const char *const prey[] = {"worker:", NULL};
    process_begin();
    process_graph("g", steps_graph);
    int kills;
    char run[PATH_MAX];
    snprintf(run, sizeof run, "%s", process_path("run"));
    const char *args[] = {"run",
                          process_path("g"),
                          "--run",
                          run,
                          "--quiet",
                          "--set",
                          "count.count=1000",
                          "--set",
                          "echo.poison_every=200",
                          "--set",
                          "echo.timeout=" TIMEOUT,
                          "--set",
                          "echo.memory=" MEDIUM,
                          "--set",
                          "tally.epochs=1",
                          "--set",
                          "echo.sleep_us=500",
                          NULL};
    cr_assert(process_torment(process_start(args), prey, 300, 900, 4, 200, &kills) == 0,
              "the run goes on: %s", process_read("out").data);
    process_audit_tally("run/tally", 1000, 1, 200);
    struct span table = process_read("run/refused.tsv"), line;
    int rows = -1, crash = 0, timeout = 0, memory = 0, error = 0;
    while (span_line(&table, &line)) {
        char text[1024];
        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        rows++;
        crash += strstr(text, "signal") != NULL;
        timeout += strstr(text, "timeout") != NULL;
        memory += strstr(text, "memory limit") != NULL;
        error += strstr(text, "poison") != NULL;
    }
    cr_assert(rows == 5, "%d rows: %s", rows, process_read("run/refused.tsv").data);
    cr_assert(crash == 2 && timeout == 1 && memory == 1 && error == 1, "reasons: %s",
              process_read("run/refused.tsv").data);
    process_end();
}

Test(process, a_signal_drains_and_the_run_goes_on_later, .timeout = 120)
{
    process_begin();
    process_graph("g", steps_graph);
    cr_assert(run_simple("g", "quiet", "tally.sleep_us=4000", NULL, 60) == 0, "undisturbed");
    for (int i = 0; i < 2; i++) {
        pid_t pid = start_simple("g", "run", "tally.sleep_us=4000", NULL);
        int before = process_lines(process_read("run/tally.tsv"));
        for (int wait = 0; wait < 1000; wait++, usleep(10000))
            if (process_lines(process_read("run/tally.tsv")) > before + 30)
                break;
        kill(pid, i ? SIGTERM : SIGINT);
        int64_t from = clock_ms();
        cr_assert(process_wait(pid, 30) == 0, "drained: %s", process_read("out").data);
        cr_assert(clock_ms() - from < 10000, "in good time");
    }
    cr_assert(access(process_path("run/tally"), F_OK) == 0, "a checkpoint was saved");
    cr_assert(run_simple("g", "run", "tally.sleep_us=4000", NULL, 60) == 0, "to the end");
    char *quiet = process_digests("quiet/tally.tsv"), *stopped = process_digests("run/tally.tsv");
    cr_assert(strcmp(quiet, stopped) == 0, "the same batches");
    process_audit_tally("run/tally", 1000, 2, 0);
    process_end();
}

Test(process, a_second_signal_stops_at_once, .timeout = 60)
{
    process_begin();
    process_graph("g", steps_graph);
    pid_t pid = start_simple("g", "run", "tally.sleep_us=5000000", NULL);
    for (int wait = 0; wait < 1500 && process_lines(process_read("run/tally.tsv")) < 1; wait++)
        usleep(10000);
    kill(pid, SIGINT);
    usleep(300000);
    kill(pid, SIGINT);
    int64_t from = clock_ms();
    cr_assert(process_wait(pid, 30) == 130, "exit code 130");
    cr_assert(clock_ms() - from < 2000, "at once");
    process_end();
}

/* Memory of the run and all its children that is theirs alone, and of what they share, in bytes. */
static uint64_t memory_of(pid_t pid)
{
    pid_t all[64];
    int count = process_children(pid, "", all, 63);
    all[count++] = pid;
    uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        char path[64];
        unsigned long long resident = 0;
        snprintf(path, sizeof path, "/proc/%d/statm", (int)all[i]);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%*u %llu", &resident) == 1)
            sum += resident * 4096;
        if (file)
            fclose(file);
    }
    return sum;
}

Test(process, a_stopped_sink_does_not_fill_memory, .timeout = 200)
{
    process_begin();
    process_graph("g", steps_graph);
    char run[PATH_MAX];
    snprintf(run, sizeof run, "%s", process_path("run"));
    const char *args[] = {"run",
                          process_path("g"),
                          "--run",
                          run,
                          "--quiet",
                          "--set",
                          "count.count=2000",
                          "--set",
                          "echo.bytes=1000000",
                          "--set",
                          "tally.epochs=1",
                          "--set",
                          "tally.sleep_us=10000",
                          "--set",
                          "echo.memory=" MEDIUM,
                          "--set",
                          "jitter.memory=" MEDIUM,
                          NULL};
    pid_t pid = process_start(args), sink = 0;
    for (int wait = 0; wait < 1000 && process_lines(process_read("run/tally.tsv")) < 5; wait++)
        usleep(10000);
    usleep(500000); /* windows and pools fill up */
    cr_assert(process_children(pid, "sink:", &sink, 1) == 1, "the sink is there");
    uint64_t before = memory_of(pid);
    kill(sink, SIGSTOP);
    uint64_t peak = 0;
    for (int i = 0; i < (process_full() ? 600 : 80); i++, usleep(100000))
        peak = memory_of(pid) > peak ? memory_of(pid) : peak;
    kill(sink, SIGCONT);
    cr_assert(process_wait(pid, 120) == 0, "it ends well afterwards: %s", process_read("out").data);
    cr_assert(peak < before + ((uint64_t)160 << 20),
              "%llu MiB before, %llu MiB while it was stopped", (unsigned long long)(before >> 20),
              (unsigned long long)(peak >> 20));
    process_audit_tally("run/tally", 2000, 1, 0);
    process_end();
}

Test(process, mistakes_at_the_start_are_one_line, .timeout = 60)
{
    process_begin();
    process_graph("g", steps_graph);
    pid_t pid = start_simple("g", "run", "tally.sleep_us=100000", NULL);
    usleep(700000);
    cr_assert(run_simple("g", "run", "tally.sleep_us=100000", NULL, 20) == 1, "a second run");
    cr_assert(strstr(process_read("out").data, "in use by another run"), "says so: %s",
              process_read("out").data);
    kill(pid, SIGKILL);
    process_wait(pid, 10);
    cr_assert(run_simple("g", "run", "seed=8", NULL, 20) == 1, "another graph");
    cr_assert(strstr(process_read("out").data, "holds a run of another graph"), "says so: %s",
              process_read("out").data);
    cr_assert(run_simple("g", "none", "count.count=0", NULL, 20) == 1, "an empty list");
    cr_assert(strstr(process_read("out").data, "the list is empty"), "says so");
    process_end();
}

/* Runs `replay`; its output is in FOLDER/out. */
static int replay(const char *step)
{
    char run[PATH_MAX];
    snprintf(run, sizeof run, "%s", process_path("run"));
    unlink(process_path("out"));
    const char *args[] = {"replay", run, "--step", step, "--out", process_path("made"), NULL};
    return process_run(args, 30);
}

Test(process, a_batch_is_made_again_and_told_from_another, .timeout = 90)
{
    process_begin();
    process_graph("g", store_graph);
    cr_assert(run_simple("g", "run", NULL, NULL, 60) == 0, "runs");
    static const char *const steps[] = {"0", "67", "100", "202"}; /* the last of two epochs too */
    for (int i = 0; i < 4; i++) {
        cr_assert(replay(steps[i]) == 0, "step %s: %s", steps[i], process_read("out").data);
        cr_assert(strstr(process_read("out").data, "the same as the run logged"), "says so");
    }
    cr_assert(access(process_path("made/step67.npz"), F_OK) == 0, "written");

    char run[PATH_MAX];
    snprintf(run, sizeof run, "%s", process_path("run"));
    const char *why[] = {"why", "67", "--run", run, NULL};
    cr_assert(process_run(why, 30) == 0 && strstr(process_read("out").data, "step 67 of tally"),
              "why: %s", process_read("out").data);
    const char *none[] = {"why", "9999", "--run", run, NULL};
    cr_assert(process_run(none, 30) == 1, "no such step");

    struct span table = process_read("run/tally.tsv");
    char *changed = strdup(table.data), *row = strstr(changed, "\n67\t");
    cr_assert(row, "the row of step 67");
    char *digest = strchr(strchr(row + 1, '\t') + 1, '\t') + 1;
    *digest = *digest == '0' ? '1' : '0';
    struct error err;
    file_write_atomic(process_path("run/tally.tsv"), span_of(changed), &err);
    free(changed);
    cr_assert(replay("67") == 1 && strstr(process_read("out").data, "NOT the same"), "told apart");
    process_end();
}
