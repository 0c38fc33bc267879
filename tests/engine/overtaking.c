/* Whole runs in the order overtake: slow samples do not hold up steps, nobody is overtaken by more
 * than the bound, everything is taken once; killed runs, runs that follow another run's journal and
 * steps that are made again take what the journal says. */
#include "tests/engine/process.h"

enum { COUNT = 600, BATCH = 8, WINDOW = 40, EPOCHS = 2, POSITIONS = EPOCHS * COUNT };

static const char graph[] =
    "graph: overtaking\nseed: 5\norder: {overtake: 40}\nstages:\n"
    "  count:\n    with: {count: 600}\n"
    "  echo:\n    in: count\n    workers: 3\n"
    "    with: {bytes: 900, slow_every: 50, slow_ms: 60, refuse_every: 90}\n"
    "  jitter:\n    in: echo\n    workers: 2\n"
    "  bundle:\n    in: jitter\n    with: {size: 8}\n"
    "  tally:\n    in: bundle\n"
    "    with: {epochs: 2, recycles: 2, checkpoint_every: 10, sleep_us: "
    "2000}\n";

static int run_once(const char *run)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    const char *args[] = {"run", process_path("g"), "--run", path, "--quiet", NULL};
    return process_run(args, 60);
}

static void audit_run(const char *run)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    unlink(process_path("out"));
    const char *args[] = {"audit", path, "--replay", "12", NULL};
    cr_assert(process_run(args, 60) == 0, "%s", process_read("out").data);
    const char *out = process_read("out").data;
    cr_assert(strstr(out, "of 12 steps that were made again") && strstr(out, "overtaken"), "%s",
              out);
}

/* Reads a journal by itself: every position once, eight a step; returns the most that one was
 * overtaken by. */
static int journal_lag(const char *name)
{
    static bool taken[POSITIONS];
    struct span table = process_read(name), line;
    int steps = 0, base = 0, most = 0;
    memset(taken, 0, sizeof taken);
    for (; span_line(&table, &line); steps++) {
        char row[512], *at = row;
        int count = 0;
        snprintf(row, sizeof row, "%.*s", (int)line.size, line.data);
        cr_assert(strtol(at, &at, 10) == steps && *at == '\t', "%s", row);
        while (*at && *at != '\n') {
            long from = strtol(at + 1, &at, 10), to = from;
            if (*at == '-')
                to = strtol(at + 1, &at, 10);
            for (; from <= to; from++, count++) {
                cr_assert(from < POSITIONS && !taken[from], "%ld twice", from);
                taken[from] = true;
            }
        }
        cr_assert(count == BATCH, "%s", row);
        while (base < POSITIONS && taken[base])
            base++;
        if ((steps + 1) * BATCH - base > most)
            most = (steps + 1) * BATCH - base;
    }
    cr_assert(steps == POSITIONS / BATCH && base == POSITIONS, "%d steps, all up to %d", steps,
              base);
    return most;
}

/* Lines of a file that a run is writing; 0: it is not there yet. */
static int lines_so_far(const char *path)
{
    FILE *file = fopen(path, "r");
    int lines = 0;
    for (int c; file && (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose(file);
    return lines;
}

/* Kills the whole run, or its sink, again and again until it ends by itself: the first times when
 * it has made a few steps, so that it does not end before, later after random times. */
static void run_killed(const char *run, uint32_t whole_ms)
{
    enum { BY_STEPS = 3 };
    static const char *const sink[] = {"sink:tally", NULL};
    struct rng rng = rng_open(8, 0, 0, "killer", 0);
    char path[PATH_MAX], table[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s", process_path(run));
    snprintf(table, sizeof table, "%s/tally.tsv", path);
    int code = -1, runs = 0;
    for (; code != 0 && runs < 60; runs++) {
        const char *args[] = {"run", process_path("g"), "--run", path, "--quiet", NULL};
        pid_t pid = process_start(args), found = 0;
        int64_t end = clock_ms() + whole_ms / 8 + rng_below(&rng, whole_ms / 4 + 1) +
                      (int64_t)whole_ms * runs * runs / 100;
        int status;
        bool ended = false, due = false;
        int before = lines_so_far(table);
        while (!ended && !due) {
            due = runs < BY_STEPS ? lines_so_far(table) > before + 2 : clock_ms() >= end;
            ended = waitpid(pid, &status, WNOHANG) == pid;
            if (!ended && rng_below(&rng, 150) == 0 &&
                process_children(pid, sink[0], &found, 1) == 1)
                kill(found, SIGKILL);
            usleep(2000);
        }
        code = ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (!ended && kill(pid, SIGKILL) == 0)
            waitpid(pid, &status, 0);
        cr_assert(code <= 0, "exit code %d: %s", code, process_read("out").data);
    }
    cr_assert(code == 0 && runs >= BY_STEPS, "done after %d starts", runs);
}

Test(overtaking, killed_runs_and_those_that_follow_their_journal_are_the_same, .timeout = 300)
{
    char command[3 * PATH_MAX];
    process_begin();
    process_graph("g", graph);
    int64_t began = clock_ms();
    cr_assert(run_once("quiet") == 0, "%s", process_read("out").data);
    uint32_t whole_ms = (uint32_t)(clock_ms() - began);
    int lag = journal_lag("quiet/tally.order.0.tsv");
    cr_assert(lag > 0 && lag <= WINDOW, "overtaken by %d", lag);
    audit_run("quiet");

    run_killed("killed", whole_ms);
    lag = journal_lag("killed/tally.order.0.tsv");
    cr_assert(lag > 0 && lag <= WINDOW, "overtaken by %d", lag);
    audit_run("killed");

    snprintf(command, sizeof command, "mkdir %s && cp %s %s", process_path("again"),
             process_path("killed/tally.order.0.tsv"), process_path("again"));
    cr_assert(system(command) == 0);
    cr_assert(run_once("again") == 0, "%s", process_read("out").data);
    char *killed = process_digests("killed/tally.tsv"), *again = process_digests("again/tally.tsv");
    cr_assert(process_lines(span_of(again)) == 1 + POSITIONS / BATCH);
    cr_assert(strcmp(killed, again) == 0, "the same batches");
    snprintf(command, sizeof command, "cmp %s %s", process_path("killed/tally.order.0.tsv"),
             process_path("again/tally.order.0.tsv"));
    cr_assert(system(command) == 0, "the same journal");
    process_end();
}

Test(overtaking, a_run_does_not_go_on_without_its_journal, .timeout = 60)
{
    char path[PATH_MAX], file[PATH_MAX];
    process_begin();
    process_graph("g", graph);
    snprintf(path, sizeof path, "%s", process_path("run"));
    snprintf(file, sizeof file, "%s", process_path("g"));
    const char *first[] = {"run", file, "--run", path, "--quiet", "--set", "tally.epochs=100",
                           NULL};
    pid_t pid = process_start(first);
    int64_t end = clock_ms() + 20000;
    while (access(process_path("run/tally"), F_OK) && clock_ms() < end)
        usleep(5000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert(access(process_path("run/tally"), F_OK) == 0, "a checkpoint");
    cr_assert(unlink(process_path("run/tally.order.0.tsv")) == 0);
    unlink(process_path("out"));
    int code = process_run(first, 30);
    const char *out = process_read("out").data;
    cr_assert(code == 1 && strstr(out, "are not those that were journaled"), "%d: %s", code, out);
    process_end();
}
