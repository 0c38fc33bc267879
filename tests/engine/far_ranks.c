/* Ranks of one sink on several engines, all on this machine: the steps of one rank alone, also when
 * ranks and their engines are killed. */
#include "tests/engine/process.h"

#ifdef __SANITIZE_ADDRESS__
#define SMALL "512MiB"
#else
#define SMALL "16MiB"
#endif

static const char graph_text[] = "graph: far\n"
                                 "seed: 11\n"
                                 "max_bad: 1000\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 402}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    memory: " SMALL "\n"
                                 "    with: {bytes: 40000}\n"
                                 "  bundle:\n"
                                 "    in: echo\n"
                                 "    with: {size: 4}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 2, recycles: 1, checkpoint_every: 20}\n";

enum { STEPS = 202 };

static char run_path[PATH_MAX], graph_path[PATH_MAX];

static void begin(void)
{
    process_begin();
    process_graph("g", graph_text);
    snprintf(run_path, sizeof run_path, "%s/run", process_folder);
    snprintf(graph_path, sizeof graph_path, "%s/g", process_folder);
    char quiet[PATH_MAX];
    snprintf(quiet, sizeof quiet, "%s/quiet", process_folder);
    const char *args[] = {"run", graph_path, "--run", quiet, "--quiet", NULL};
    cr_assert(process_run(args, 60) == 0, "one rank");
}

/* A head with one of so many ranks, and one more setting. */
static pid_t start_head(const char *ranks, const char *set)
{
    const char *args[] = {"run",     graph_path, "--run",   run_path, "--quiet", "--head",
                          "--listen", "127.0.0.1:0", "--ranks", "1",  "--set",   ranks,
                          "--set",   set,        NULL};
    return process_start(args);
}

static pid_t start_joiner(const char *name, const char *ranks, const char *workers)
{
    const char *args[] = {"run",     "--join", run_path, "--quiet",   "--name", name,
                          "--ranks", ranks,    "--wait", "30",        "--workers", workers, NULL};
    return process_start(args);
}

static const char *out_tail(void)
{
    struct span out = process_read("out");
    return out.data + (out.size > 3000 ? out.size - 3000 : 0);
}

static void audit(void)
{
    static char quiet[1 << 20];
    snprintf(quiet, sizeof quiet, "%s", process_digests("quiet/tally.tsv"));
    cr_assert(process_lines(span_of(quiet)) == STEPS + 1, "all steps");
    cr_assert(strcmp(quiet, process_digests("run/tally.tsv")) == 0, "the same batches");
    process_audit_tally("run/tally", 402, 2, 0);
    const char *args[] = {"audit", run_path, NULL};
    cr_assert(process_run(args, 30) == 0, "audit: %s", process_read("out").data);
}

/* Waits until the run has made that many steps. */
static void wait_steps(int steps)
{
    for (int i = 0; i < 6000 && process_lines(process_read("run/tally.tsv")) <= steps; i++)
        usleep(10000);
    cr_assert(process_lines(process_read("run/tally.tsv")) > steps, "it goes on: %s", out_tail());
}

/* The log of the run, and waits for a line in it. */
static void wait_log(const char *text, int limit_s)
{
    for (int i = 0; i < limit_s * 100 && !strstr(process_read("run/log.txt").data, text); i++)
        usleep(10000);
    cr_assert(strstr(process_read("run/log.txt").data, text), "the log says \"%s\": %s", text,
              process_read("run/log.txt").data);
}

Test(far_ranks, on_three_engines_they_make_the_steps_of_one, .timeout = 120)
{
    begin();
    pid_t head = start_head("tally.ranks=4", "tally.sleep_us=2000"), joiner[2];
    joiner[1] = start_joiner("b", "1", "echo=0");
    wait_log("waiting for 2 of 4 ranks", 20);
    joiner[0] = start_joiner("a", "2", "echo=1");
    wait_steps(20);
    const char *status[] = {"status", run_path, NULL};
    cr_assert(process_run(status, 10) == 0, "status: %s", out_tail());
    cr_assert(strstr(out_tail(), "tally.3") && strstr(out_tail(), "  on a\n") &&
                  strstr(out_tail(), "  on b\n"), "%s", out_tail());
    cr_assert(process_wait(head, 60) == 0, "head: %s", out_tail());
    for (int i = 0; i < 2; i++)
        cr_assert(process_wait(joiner[i], 20) == 0, "engine %d: %s", i, out_tail());
    wait_log("rank 1 runs on b", 1); /* it was there first */
    wait_log("rank 3 runs on a", 1);
    audit();
    process_end();
}

/* A rank elsewhere that is killed again and again, then its whole engine, in whose place another
 * one comes. */
Test(far_ranks, killed_there_they_make_the_same_steps, .timeout = 200)
{
    begin();
    pid_t head = start_head("tally.ranks=2", "tally.sleep_us=20000"), found[4];
    pid_t first = start_joiner("first", "1", "echo=1");
    for (int i = 0; i < 3; i++) {
        wait_steps(5 + 15 * i);
        cr_assert(process_children(first, "sink:", found, 4) == 1, "a rank is there");
        kill(found[0], SIGKILL);
    }
    wait_steps(60);
    cr_assert(process_children(head, "sink:", found, 4) == 1, "and one at the head");
    kill(found[0], SIGKILL); /* the end of the other, too */
    wait_steps(80);
    kill(first, SIGKILL);
    process_wait(first, 5);
    wait_log("engine first has gone silent", 30);
    pid_t second = start_joiner("second", "1", "echo=1");
    cr_assert(process_wait(head, 100) == 0, "head: %s", out_tail());
    cr_assert(process_wait(second, 20) == 0, "second: %s", out_tail());
    wait_log("rank 1 runs on second", 1);
    audit();
    process_end();
}

/* Asked to go, an engine takes its ranks with it; Ctrl-C at the head ends and saves all, and the
 * run goes on later, on one engine. */
Test(far_ranks, they_are_drained_and_go_on, .timeout = 200)
{
    begin();
    pid_t head = start_head("tally.ranks=2", "tally.sleep_us=10000");
    pid_t first = start_joiner("first", "1", "echo=1");
    wait_steps(20);
    kill(first, SIGTERM);
    cr_assert(process_wait(first, 20) == 0, "first: %s", out_tail());
    wait_log("engine first left", 10);
    pid_t second = start_joiner("second", "1", "echo=1");
    wait_steps(60);
    kill(head, SIGINT);
    cr_assert(process_wait(head, 30) == 0, "head: %s", out_tail());
    cr_assert(process_wait(second, 20) == 0, "second: %s", out_tail());
    int made = process_lines(process_read("run/tally.tsv"));
    cr_assert(made < STEPS, "before the end");
    const char *args[] = {"run", graph_path, "--resume",           run_path, "--quiet",
                          "--set", "tally.sleep_us=10000", NULL};
    cr_assert(process_run(args, 60) == 0, "alone: %s", out_tail());
    audit();
    process_end();
}

/* An engine that is cut off for longer than it may be silent: its rank is fenced when it comes
 * back, and a rank of a newer generation takes its place. */
Test(far_ranks, one_that_was_silent_comes_back, .timeout = 200)
{
    begin();
    pid_t head = start_head("tally.ranks=2", "tally.sleep_us=20000"), found[4];
    pid_t first = start_joiner("first", "1", "echo=1");
    wait_steps(30);
    int count = process_children(first, "sink:", found, 4);
    cr_assert(count == 1, "a rank is there");
    kill(first, SIGSTOP);
    kill(found[0], SIGSTOP);
    wait_log("engine first has gone silent", 30);
    kill(found[0], SIGCONT);
    kill(first, SIGCONT);
    cr_assert(process_wait(head, 100) == 0, "head: %s", out_tail());
    cr_assert(process_wait(first, 20) == 0, "first: %s", out_tail());
    audit();
    process_end();
}

/* ---- two hosts ---- */

static char space[2][32];

/* "A" and "B" are this test's two network namespaces. */
static int shell(const char *words)
{
    char command[512];
    size_t size = 0;
    for (const char *at = words; *at && size + 40 < sizeof command; at++)
        if (*at == 'A' || *at == 'B')
            size += (size_t)snprintf(command + size, sizeof command - size, "%s", space[*at - 'A']);
        else
            command[size++] = *at;
    command[size] = 0;
    return system(command);
}

static pid_t start_in(const char *name, const char *const *args)
{
    pid_t pid = fork();
    if (pid == 0) {
        int out = open(process_path("out"), O_WRONLY | O_CREAT | O_APPEND, 0666);
        dup2(out, 1);
        dup2(out, 2);
        char *argv[40] = {strdup("ip"), strdup("netns"), strdup("exec"), strdup(name),
                          strdup(FOLDMILL_PROBE)};
        for (int i = 0; args[i] && i < 32; i++)
            argv[5 + i] = strdup(args[i]);
        execvp("ip", argv);
        _exit(127);
    }
    return pid;
}

/* Ranks on two hosts that have nothing but a cable between them, which is pulled for seconds. */
Test(far_ranks, over_a_network_that_is_cut, .timeout = 200)
{
    for (int i = 0; i < 2; i++)
        snprintf(space[i], sizeof space[i], "fr%d%c", (int)getpid(), "ab"[i]);
    if (geteuid() != 0 || shell("ip netns add A 2>/dev/null") != 0)
        cr_skip("no network namespaces here: ip netns add needs root");
    int made = shell("ip netns add B && ip link add v0 netns A type veth peer name v0 netns B");
    made |= shell("ip -n A addr add 10.99.8.1/24 dev v0 && ip -n A link set v0 up && "
                  "ip -n A link set lo up");
    made |= shell("ip -n B addr add 10.99.8.2/24 dev v0 && ip -n B link set v0 up");
    cr_assert(made == 0, "a pair of veth");
    begin();
    const char *head_args[] = {"run",   graph_path,      "--run",    run_path,       "--quiet",
                               "--head", "--ranks",      "2",        "--listen",     "10.99.8.1:0",
                               "--set", "tally.ranks=4", "--set",    "tally.sleep_us=20000", NULL};
    pid_t head = start_in(space[0], head_args);
    const char *join_args[] = {"run",       "--join", run_path, "--ranks", "2",
                               "--workers", "echo=1", "--wait", "60",      NULL};
    pid_t joiner = start_in(space[1], join_args);
    wait_steps(40);
    shell("ip -n B link set v0 down");
    usleep(9000000); /* longer than an engine may be silent */
    shell("ip -n B link set v0 up");
    int code = process_wait(head, 100), joined = process_wait(joiner, 30);
    shell("ip netns del A; ip netns del B");
    cr_assert(code == 0 && joined == 0, "head %d, engine %d: %s", code, joined, out_tail());
    wait_log("gone silent", 1);
    audit();
    process_end();
}
