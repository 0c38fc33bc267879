/* Runs of several engines, all on this machine: some join and leave, are killed, stopped and cut
 * off, with their workers and the head's dispatcher; what the sink used is the same as in a run of
 * one engine that nobody disturbs. */
#include "tests/engine/process.h"

#include <sys/stat.h>

#ifdef __SANITIZE_ADDRESS__
#define SMALL   "512MiB"
#define MEDIUM  "512MiB"
#define TIMEOUT "2s"
#else
#define SMALL   "16MiB"
#define MEDIUM  "64MiB"
#define TIMEOUT "1s"
#endif

static const char graph_text[] = "graph: steps\n"
                                 "seed: 7\n"
                                 "max_bad: 1000\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 320}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    memory: " SMALL "\n"
                                 "    with: {bytes: 90000, sleep_us: 6000}\n"
                                 "  jitter:\n"
                                 "    in: echo\n"
                                 "    memory: " SMALL "\n"
                                 "  bundle:\n"
                                 "    in: jitter\n"
                                 "    with: {size: 4}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 2, recycles: 1, checkpoint_every: 20}\n";

enum { ENGINES_MAX = 4 };

static char run_path[PATH_MAX], graph_path[PATH_MAX];

static void begin(void)
{
    process_begin();
    process_graph("g", graph_text);
    snprintf(run_path, sizeof run_path, "%s/run", process_folder);
    snprintf(graph_path, sizeof graph_path, "%s/g", process_folder);
    char quiet[PATH_MAX];
    snprintf(quiet, sizeof quiet, "%s/quiet", process_folder);
    const char *args[] = {
        "run",   graph_path,        "--run", quiet, "--quiet", "--set", "echo.workers=2",
        "--set", "echo.sleep_us=0", NULL};
    cr_assert(process_run(args, 60) == 0, "the undisturbed run");
}

/* The head; sleeps that change nothing but the time it takes: 6 ms a sample at one worker. */
static pid_t start_head(const char *listen)
{
    const char *args[] = {"run",    graph_path, "--run", run_path, "--quiet",
                          "--head", "--listen", listen,  NULL};
    return process_start(args);
}

static pid_t start_joiner(const char *to, const char *wait)
{
    const char *args[] = {"run",    "--join", to,  "--quiet", "--workers", "echo=2,jitter=1",
                          "--wait", wait,     NULL};
    return process_start(args);
}

static void audit(void)
{
    static char quiet[1 << 20];
    snprintf(quiet, sizeof quiet, "%s", process_digests("quiet/tally.tsv"));
    cr_assert(strcmp(quiet, process_digests("run/tally.tsv")) == 0, "the same batches");
    const char *args[] = {"audit", run_path, NULL};
    cr_assert(process_run(args, 30) == 0, "audit: %s", process_read("out").data);
}

static const char *out_tail(void)
{
    struct span out = process_read("out");
    return out.data + (out.size > 3000 ? out.size - 3000 : 0);
}

/* Waits until the run has made that many steps. */
static void wait_steps(int steps)
{
    for (int i = 0; i < 3000 && process_lines(process_read("run/tally.tsv")) <= steps; i++)
        usleep(10000);
    cr_assert(process_lines(process_read("run/tally.tsv")) > steps, "it goes on: %s", out_tail());
}

Test(engines, two_that_join_share_the_work_and_leave_when_it_is_done, .timeout = 120)
{
    begin();
    pid_t joiner[2], head;
    joiner[0] = start_joiner(run_path, "30"); /* before there is a head */
    head = start_head("127.0.0.1:0");
    wait_steps(5);
    const char *args[] = {"run",    "--join",    run_path,          "--name",
                          "second", "--workers", "echo=1,jitter=1", NULL};
    joiner[1] = process_start(args);
    cr_assert(process_wait(head, 60) == 0, "head: %s", out_tail());
    for (int i = 0; i < 2; i++)
        cr_assert(process_wait(joiner[i], 20) == 0, "engine %d: %s", i, out_tail());
    const char *first = strstr(process_read("out").data, "first sample ");
    cr_assert(first, "it was of use: %s", out_tail());
    cr_assert(atoi(first + strlen("first sample ")) < 5000, "soon: %.40s", first);
    const char *late[] = {"run", "--join", run_path, "--wait", "20", NULL};
    cr_assert(process_run(late, 10) == 0 && strstr(out_tail(), " is over"), "too late: %s",
              out_tail());
    cr_assert(strstr(process_read("run/log.txt").data, "engine second joined"), "by its name");
    audit();
    process_end();
}

/* Kills and stops engines that joined, their workers, and the head's dispatcher. */
static int torment(pid_t head, pid_t joiner[], int count, int64_t seed, int *kills)
{
    struct rng rng = rng_open((uint64_t)seed, 0, 0, "killer", 0);
    int status;
    for (int64_t end = clock_ms() + 60000; clock_ms() < end;) {
        usleep((useconds_t)(50 + (int)rng_below(&rng, 450)) * 1000);
        if (waitpid(head, &status, WNOHANG) == head)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        int who = (int)rng_below(&rng, (uint32_t)count);
        uint32_t what = rng_below(&rng, 10);
        pid_t found[8];
        if (what == 0) { /* a whole engine, and a new one in its place */
            kill(joiner[who], SIGKILL);
            process_wait(joiner[who], 5);
            joiner[who] = start_joiner(run_path, "20");
        } else if (what == 1) {
            kill(joiner[who], SIGSTOP);
            usleep((useconds_t)rng_below(&rng, 300) * 1000);
            kill(joiner[who], SIGCONT);
        } else {
            pid_t whose = what == 2 || what == 3 ? head : joiner[who];
            int there = process_children(whose, what == 2 ? "dispatch" : "worker:", found, 8);
            if (there && what == 4) {
                kill(found[0], SIGSTOP); /* a stopped worker is given up, and comes back */
                usleep((useconds_t)rng_below(&rng, 400) * 1000);
                kill(found[0], SIGCONT);
            } else if (there) {
                kill(found[rng_below(&rng, (uint32_t)there)], SIGKILL);
            }
        }
        ++*kills;
    }
    return -1000;
}

Test(engines, killed_and_stopped_engines_lose_nothing, .timeout = 200)
{
    begin();
    pid_t head = start_head("127.0.0.1:0"), joiner[2];
    for (int i = 0; i < 2; i++)
        joiner[i] = start_joiner(run_path, "20");
    int kills = 0, code = torment(head, joiner, 2, 1, &kills);
    cr_assert(code == 0, "head %d after %d faults: %s", code, kills, out_tail());
    for (int i = 0; i < 2; i++)
        cr_assert(process_wait(joiner[i], 30) == 0, "engine %d: %s", i, out_tail());
    cr_assert(kills > 5, "%d faults", kills);
    audit();
    process_end();
}

Test(engines, one_joins_and_one_leaves_every_second, .timeout = 120)
{
    begin();
    pid_t head = start_head("127.0.0.1:0"), joiner[ENGINES_MAX] = {0};
    int status, rounds = 0, ended = -1000;
    for (int64_t end = clock_ms() + 60000; ended == -1000 && clock_ms() < end; rounds++) {
        pid_t *place = &joiner[rounds % 2];
        if (*place) {
            kill(*place, SIGTERM);
            int code = process_wait(*place, 20); /* the signal: it had not begun yet */
            cr_assert(code == 0 || code == -SIGTERM, "left with %d: %s", code, out_tail());
        }
        *place = start_joiner(run_path, "20");
        for (int i = 0; i < 50 && ended == -1000; i++, usleep(20000))
            if (waitpid(head, &status, WNOHANG) == head)
                ended = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    cr_assert(ended == 0, "head %d: %s", ended, out_tail());
    for (int i = 0; i < 2; i++)
        if (joiner[i]) {
            kill(joiner[i], SIGTERM); /* one may be waiting for a head that is no more */
            int code = process_wait(joiner[i], 20);
            cr_assert(code == 0 || code == -SIGTERM, "the last ones, %d: %s", code, out_tail());
        }
    cr_assert(rounds > 1, "%d rounds", rounds);
    audit();
    process_end();
}

Test(engines, a_head_that_starts_again_finds_its_engines_again, .timeout = 120)
{
    begin();
    pid_t head = start_head("127.0.0.1:0"), joiner = start_joiner(run_path, "30");
    for (int i = 0; i < 2; i++) {
        wait_steps(30 + 30 * i);
        kill(head, SIGKILL);
        process_wait(head, 5);
        usleep(300000);
        head = start_head("127.0.0.1:0");
    }
    cr_assert(process_wait(head, 60) == 0, "head: %s", out_tail());
    cr_assert(process_wait(joiner, 20) == 0, "the same engine all the time: %s", out_tail());
    audit();
    process_end();
}

Test(engines, who_may_not_join_is_told_why, .timeout = 60)
{
    process_begin();
    char keys[PATH_MAX];
    snprintf(keys, sizeof keys, "%s/keys", process_folder);
    const char *none[] = {"run", "--join", "127.0.0.1:9", "--insecure", "--wait", "1", NULL};
    cr_assert(process_run(none, 20) == 1 && strstr(out_tail(), "no head answers at 127.0.0.1:9"),
              "no head: %s", out_tail());
    cr_assert(strstr(out_tail(), "in 1 s: its run is over"), "what it may be: %s", out_tail());
    const char *file[] = {"run", "--join", keys, "--wait", "1", NULL};
    cr_assert(process_run(file, 20) == 1 && strstr(out_tail(), "there is no "), "no run: %s",
              out_tail());
    const char *open[] = {"run", "--join", "127.0.0.1:9", "--wait", "1", NULL};
    cr_assert(process_run(open, 20) == 1 && strstr(out_tail(), "wants keys"), "no keys: %s",
              out_tail());
    const char *far[] = {"run", "--join", "10.0.0.1:9", "--insecure", "--wait", "1", NULL};
    cr_assert(process_run(far, 20) == 1 && strstr(out_tail(), "--insecure is for"), "far: %s",
              out_tail());
    const char *odd[] = {"run", "--join", "nothing", NULL};
    cr_assert(process_run(odd, 20) == 1 && strstr(out_tail(), "--join wants"), "odd: %s",
              out_tail());
    const char *both[] = {"run", "g", "--join", "127.0.0.1:9", NULL};
    cr_assert(process_run(both, 20) == 2, "a graph");

    process_graph("g", graph_text);
    snprintf(run_path, sizeof run_path, "%s/run", process_folder);
    snprintf(graph_path, sizeof graph_path, "%s/g", process_folder);
    pid_t head = start_head("127.0.0.1:0");
    wait_steps(2);
    const char *make[] = {"keys", keys, NULL};
    cr_assert(process_run(make, 20) == 0, "keys");
    const char *other[] = {"run", "--join", run_path, "--keys", keys, "--wait", "2", NULL};
    cr_assert(process_run(other, 20) == 1 && strstr(out_tail(), "the head's key is"),
              "other keys: %s", out_tail());
    /* The head's own preflight looks at all keys of the folder, not at the head's alone. */
    char loose[PATH_MAX + 16], second[PATH_MAX];
    snprintf(loose, sizeof loose, "%s/worker.key", keys);
    snprintf(second, sizeof second, "%s/second", process_folder);
    cr_assert(chmod(loose, 0644) == 0, "chmod");
    const char *lent[] = {"run", graph_path, "--head", "--keys", keys, "--run", second, NULL};
    cr_assert(process_run(lent, 30) == 1 && strstr(out_tail(), "chmod 600"), "loose keys: %s",
              out_tail());
    const char *wrong[] = {"run", "--join", run_path, "--workers", "eco=2", NULL};
    cr_assert(process_run(wrong, 20) == 1 && strstr(out_tail(), "--workers wants"), "workers: %s",
              out_tail());
    kill(head, SIGINT);
    cr_assert(process_wait(head, 30) == 0, "drained");
    process_end();
}

Test(engines, a_head_may_leave_a_role_to_others, .timeout = 60)
{
    begin();
    char text[4096];
    snprintf(text, sizeof text, "%s", graph_text);
    char *echo = strstr(text, "    in: count\n");
    memmove(echo + strlen("    on: cpu\n"), echo, strlen(echo) + 1);
    memcpy(echo, "    on: cpu\n", strlen("    on: cpu\n"));
    process_graph("g", text);
    const char *args[] = {"run",      graph_path,
                          "--run",    run_path,
                          "--quiet",  "--head",
                          "--listen", "127.0.0.1:0",
                          "--role",   "gpu",
                          "--reach",  "20",
                          "--set",    "echo.sleep_us=500",
                          "--set",    "echo.slow_every=100",
                          "--set",    "echo.slow_ms=70",
                          NULL};
    pid_t head = process_start(args);
    usleep(1500000);
    cr_assert(process_lines(process_read("run/tally.tsv")) < 2, "nobody makes the first stage");
    pid_t joiner = start_joiner(run_path, "20");
    cr_assert(process_wait(head, 40) == 0, "head: %s", out_tail());
    cr_assert(process_wait(joiner, 20) == 0, "the engine that joined: %s", out_tail());
    /* What took its processes long, and which they were, stands in the run's tables. */
    const char *slow = process_read("run/slow.tsv").data;
    cr_assert(strstr(slow, "echo.0@") && strstr(slow, "n0000100\t"), "slow: %s", slow);
    const char *processes = process_read("run/processes.tsv").data;
    cr_assert(strstr(processes, "echo.1@") && strstr(processes, "jitter.0@"), "%s", processes);
    audit();
    process_end();
}

/* Kills workers of both engines until the head ends; its exit code. */
static int torment_workers(pid_t head, pid_t joiner, int min_ms, int *kills)
{
    struct rng rng = rng_open(9, 0, 0, "killer", 0);
    int status;
    for (int64_t end = clock_ms() + 100000; clock_ms() < end;) {
        usleep((useconds_t)(min_ms + (int)rng_below(&rng, 600)) * 1000);
        if (waitpid(head, &status, WNOHANG) == head)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        pid_t found[16];
        int count = process_children(rng_below(&rng, 3) ? joiner : head, "worker:", found, 16);
        if (count && kill(found[rng_below(&rng, (uint32_t)count)], SIGKILL) == 0)
            ++*kills;
    }
    return -1000;
}

Test(engines, poison_elsewhere_is_set_aside_and_innocents_are_not, .timeout = 200)
{
    process_begin();
    process_graph("g", graph_text);
    snprintf(run_path, sizeof run_path, "%s/run", process_folder);
    snprintf(graph_path, sizeof graph_path, "%s/g", process_folder);
    const char *args[] = {"run",      graph_path,
                          "--run",    run_path,
                          "--quiet",  "--head",
                          "--listen", "127.0.0.1:0",
                          "--set",    "count.count=1000",
                          "--set",    "echo.poison_every=200",
                          "--set",    "echo.timeout=" TIMEOUT,
                          "--set",    "echo.memory=" MEDIUM,
                          "--set",    "tally.epochs=1",
                          "--set",    "echo.sleep_us=500",
                          NULL};
    pid_t head = process_start(args);
    const char *join_args[] = {"run", "--join", run_path, "--quiet", "--workers", "echo=3", NULL};
    pid_t joiner = process_start(join_args);
    int kills = 0, code = torment_workers(head, joiner, 300, &kills);
    cr_assert(code == 0, "head %d: %s", code, out_tail());
    cr_assert(process_wait(joiner, 20) == 0, "the engine that joined: %s", out_tail());
    process_audit_tally("run/tally", 1000, 1, 200);
    const char *table = process_read("run/refused.tsv").data;
    cr_assert(process_lines(process_read("run/refused.tsv")) == 6, "five and a head: %s", table);
    static const char *const reasons[] = {
        "signal",       "timeout", "poison", "@",
#ifndef __SANITIZE_ADDRESS__ /* there its hog may be so slow that its time is over first */
        "memory limit",
#endif
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        cr_assert(strstr(table, reasons[i]), "%s: %s", reasons[i], table);
    process_end();
}

static const char store_text[] = "graph: both\n"
                                 "seed: 11\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 400, held_out_every: 10}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    memory: " SMALL "\n"
                                 "    with: {bytes: 60000, refuse_every: 50, sleep_us: 5000}\n"
                                 "  store:\n"
                                 "    in: echo\n"
                                 "    with: {path: \"{run}/store\"}\n"
                                 "  jitter:\n"
                                 "    in: store.train\n"
                                 "    memory: " SMALL "\n"
                                 "  bundle:\n"
                                 "    in: jitter\n"
                                 "    with: {size: 8}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 2, recycles: 2, checkpoint_every: 20}\n";

Test(engines, a_store_is_filled_from_two_engines_and_read_where_it_is, .timeout = 120)
{
    process_begin();
    process_graph("g", store_text);
    snprintf(run_path, sizeof run_path, "%s/run", process_folder);
    snprintf(graph_path, sizeof graph_path, "%s/g", process_folder);
    char quiet[PATH_MAX];
    snprintf(quiet, sizeof quiet, "%s/quiet", process_folder);
    const char *alone[] = {"run",     graph_path, "--run",           quiet,
                           "--quiet", "--set",    "echo.sleep_us=0", NULL};
    cr_assert(process_run(alone, 60) == 0, "the undisturbed run: %s", out_tail());
    pid_t head = start_head("127.0.0.1:0");
    const char *wrong[] = {"run", "--join", run_path, "--workers", "jitter=1", NULL};
    cr_assert(process_run(wrong, 30) == 1 && strstr(out_tail(), "jitter reads a store"), "told: %s",
              out_tail());
    const char *join_args[] = {"run", "--join", run_path, NULL}; /* its own choice */
    pid_t joiner = process_start(join_args);
    int kills = 0, code = torment_workers(head, joiner, 50, &kills);
    cr_assert(code == 0, "head %d: %s", code, out_tail());
    cr_assert(process_wait(joiner, 20) == 0, "the engine that joined: %s", out_tail());
    cr_assert(strstr(process_read("out").data, "first sample"), "it was of use: %s", out_tail());
    audit();
    process_end();
}

/* ---- a cable that is pulled ---- */

/* "A" and "B" in a command of the shell are this test's two network namespaces. */
static char space[2][32];

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
        const char *argv[32] = {"ip", "netns", "exec", name, FOLDMILL_PROBE};
        int count = 5;
        for (int i = 0; args[i] && count < 31; i++)
            argv[count++] = args[i];
        char *copy[32] = {NULL};
        for (int i = 0; i < count; i++)
            copy[i] = strdup(argv[i]);
        execvp("ip", copy);
        _exit(127);
    }
    return pid;
}

Test(engines, a_node_that_is_cut_off_for_seconds_comes_back, .timeout = 120)
{
    for (int i = 0; i < 2; i++)
        snprintf(space[i], sizeof space[i], "fm%d%c", (int)getpid(), "ab"[i]);
    if (geteuid() != 0 || shell("ip netns add A 2>/dev/null") != 0)
        cr_skip("no network namespaces here: ip netns add needs root");
    int made = shell("ip netns add B && ip link add v0 netns A type veth peer name v0 netns B");
    made |= shell("ip -n A addr add 10.99.7.1/24 dev v0 && ip -n A link set v0 up && "
                  "ip -n A link set lo up");
    made |= shell("ip -n B addr add 10.99.7.2/24 dev v0 && ip -n B link set v0 up");
    cr_assert(made == 0, "a pair of veth");
    begin();
    const char *head_args[] = {
        "run",    graph_path, "--run",       run_path, "--quiet",
        "--head", "--listen", "10.99.7.1:0", "--set",  "tally.sleep_us=60000",
        NULL};
    pid_t head = start_in(space[0], head_args);
    wait_steps(2);
    const char *join_args[] = {"run",    "--join", run_path, "--workers", "echo=2,jitter=2",
                               "--wait", "60",     NULL};
    pid_t joiner = start_in(space[1], join_args);
    wait_steps(40);
    shell("ip -n B link set v0 down");
    usleep(process_full() ? 30000000 : 5000000);
    shell("ip -n B link set v0 up");
    int code = process_wait(head, 60), joined = process_wait(joiner, 30);
    shell("ip netns del A; ip netns del B");
    cr_assert(code == 0 && joined == 0, "head %d, engine %d: %s", code, joined, out_tail());
    cr_assert(strstr(process_read("out").data, "first sample"), "it worked: %s", out_tail());
    audit();
    process_end();
}
