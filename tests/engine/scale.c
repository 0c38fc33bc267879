/* Workers that are added and taken away while a run works: nothing is lost, nothing doubled, the
 * same bytes. */
#include "engine/control.h"
#include "engine/snapshot.h"
#include "tests/engine/process.h"

#ifdef __SANITIZE_ADDRESS__
#define MEMORY "512MiB"
#else
#define MEMORY "16MiB"
#endif

static const char graph_text[] = "graph: scale\n"
                                 "seed: 3\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 600}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    memory: " MEMORY "\n"
                                 "    with: {bytes: 9000, sleep_us: 5000}\n"
                                 "  jitter:\n"
                                 "    in: echo\n"
                                 "    workers: 1\n"
                                 "    memory: " MEMORY "\n"
                                 "  bundle:\n"
                                 "    in: jitter\n"
                                 "    with: {size: 8}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 2, recycles: 1, checkpoint_every: 50}\n";

static struct arena arena;
static struct snapshot snapshot;

static pid_t start_run(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(name));
    const char *args[] = {"run", process_path("g"), "--run", path, "--quiet", NULL};
    return process_start(args);
}

static enum status ask(const char *run, const char *const *words, int count, struct span *answer,
                       struct error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    return control_ask(path, words, count, &arena, answer, err);
}

static enum status ask_scale(const char *run, const char *stage, int workers, const char *node,
                             struct error *err)
{
    char number[16];
    struct span answer;
    snprintf(number, sizeof number, "%d", workers);
    const char *words[] = {"scale", stage, number, node};
    return ask(run, words, 4, &answer, err);
}

static bool look(const char *run)
{
    const char *word = "status";
    struct span answer;
    struct error err = {0};
    arena_reset(&arena);
    enum status status = ask(run, &word, 1, &answer, &err);
    if (status == STATUS_OK)
        cr_assert(snapshot_read(answer, &snapshot, &err) == STATUS_OK, "%s", err.text);
    return status == STATUS_OK;
}

static void wait_for(const char *run, int64_t workers, uint64_t done)
{
    int64_t end = clock_ms() + 20000;
    for (; clock_ms() < end; usleep(20000))
        if (look(run) && snapshot.stages[0].workers == workers && snapshot.stages[0].done >= done)
            return;
    cr_assert(false, "%lld workers after %llu samples were awaited, there are %lld after %llu",
              (long long)workers, (unsigned long long)done, (long long)snapshot.stages[0].workers,
              (unsigned long long)snapshot.stages[0].done);
}

Test(scale, a_worker_comes_and_one_goes_all_the_time, .timeout = 300)
{
    const int pause_ms = process_full() ? 1000 : 150;
    struct error err = {0};
    int changes = 0, status;
    process_begin();
    process_graph("g", graph_text);
    cr_assert(process_wait(start_run("a"), 120) == 0, "undisturbed");
    pid_t pid = start_run("b");
    wait_for("b", 2, 10);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        enum status said =
            ask_scale("b", changes % 4 < 2 ? "echo" : "jitter", changes % 2 ? 1 : 3, "", &err);
        cr_assert(said == STATUS_OK || said == STATUS_MISS || said == STATUS_BUSY, "%s", err.text);
        changes++;
        usleep((useconds_t)pause_ms * 1000);
    }
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended badly");
    cr_assert(changes >= 8, "%d changes", changes);
    cr_assert(strcmp(process_digests("a/tally.tsv"), process_digests("b/tally.tsv")) == 0,
              "other bytes");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path("b"));
    const char *args[] = {"audit", path, NULL};
    cr_assert(process_run(args, 60) == 0, "audit");
    struct span out = process_read("out");
    cr_assert(strstr(out.data, "nothing lost, nothing doubled"), "%s", out.data);
    process_end();
}

Test(scale, to_none_and_back_while_workers_are_killed, .timeout = 300)
{
    struct error err = {0};
    process_begin();
    process_graph("g", graph_text);
    pid_t pid = start_run("a"), prey[8];
    wait_for("a", 2, 20);
    cr_assert(ask_scale("a", "echo", 0, "", &err) == STATUS_OK, "%s", err.text);
    wait_for("a", 0, 20);
    uint64_t done = snapshot.stages[0].done;
    usleep(300000);
    cr_assert(look("a") && snapshot.stages[0].done == done && snapshot.stages[0].wanted == 0,
              "a stage without workers works");
    cr_assert(ask_scale("a", "echo", 5, "", &err) == STATUS_OK, "%s", err.text);
    wait_for("a", 5, done + 10);
    int count = process_children(pid, "worker:", prey, 8);
    for (int i = 0; i < count; i++)
        kill(prey[i], SIGKILL);
    cr_assert(ask_scale("a", "echo", 2, "", &err) == STATUS_OK, "%s", err.text);
    cr_assert(ask_scale("a", "echo", 4, snapshot.nodes[0].node, &err) == STATUS_OK, "%s", err.text);
    wait_for("a", 4, done + 20);
    cr_assert(process_wait(pid, 120) == 0, "it ended badly");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path("a"));
    const char *args[] = {"audit", path, NULL};
    cr_assert(process_run(args, 60) == 0, "audit");
    process_end();
}

Test(scale, what_is_wrong_is_said_and_changes_nothing, .timeout = 120)
{
    struct error err = {0};
    process_begin();
    process_graph("g", graph_text);
    cr_assert(ask_scale("a", "echo", 1, "", &err) == STATUS_MISS, "%s", err.text);
    pid_t pid = start_run("a");
    wait_for("a", 2, 1);
    cr_assert(ask_scale("a", "ecco", 1, "", &err) == STATUS_INVALID && strstr(err.text, "'echo'?"),
              "%s", err.text);
    cr_assert(ask_scale("a", "tally", 1, "", &err) == STATUS_INVALID &&
                  strstr(err.text, "no workers"),
              "%s", err.text);
    cr_assert(ask_scale("a", "echo", -1, "", &err) == STATUS_INVALID && strstr(err.text, "'-1'"),
              "%s", err.text);
    cr_assert(ask_scale("a", "echo", 1, "elsewhere", &err) == STATUS_INVALID &&
                  strstr(err.text, snapshot.nodes[0].node),
              "%s", err.text);
    cr_assert(look("a") && snapshot.stages[0].workers == 2 && snapshot.stages[0].wanted == 2,
              "it was changed");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path("a"));
    const char *wrong[] = {"scale", "echo", path, NULL};
    cr_assert(process_run(wrong, 20) == 2, "no number");
    const char *right[] = {"scale", "echo=3", path, NULL};
    cr_assert(process_run(right, 20) == 0, "the command");
    wait_for("a", 3, 1);
    cr_assert(kill(pid, SIGTERM) == 0 && process_wait(pid, 60) == 0, "drained");
    process_end();
}

Test(scale, a_drained_node_saves_and_ends_and_the_run_goes_on, .timeout = 300)
{
    struct span answer;
    struct error err = {0};
    process_begin();
    process_graph("g", graph_text);
    cr_assert(process_wait(start_run("a"), 120) == 0, "undisturbed");
    pid_t pid = start_run("b");
    wait_for("b", 2, 100);
    const char *elsewhere[] = {"drain", "elsewhere"};
    cr_assert(ask("b", elsewhere, 2, &answer, &err) == STATUS_INVALID, "%s", err.text);
    char path[PATH_MAX], node[SNAPSHOT_NAME_MAX + 1];
    snprintf(path, sizeof path, "%s", process_path("b"));
    snprintf(node, sizeof node, "%s", snapshot.nodes[0].node);
    const char *args[] = {"drain", node, path, NULL};
    cr_assert(process_run(args, 60) == 0, "drain");
    cr_assert(process_wait(pid, 20) == 0, "the engine's exit code");
    cr_assert(process_lines(process_read("b/tally.tsv")) < 151, "it was not done");
    cr_assert(process_run(args, 20) == 1, "no engine to drain");
    cr_assert(process_wait(start_run("b"), 120) == 0, "it goes on");
    cr_assert(strcmp(process_digests("a/tally.tsv"), process_digests("b/tally.tsv")) == 0,
              "other bytes");
    process_end();
}

/* A run whose head lets others join, and one that joins, by the run's folder. */
static pid_t start_head(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(name));
    const char *args[] = {"run",   process_path("g"), "--run",  path,       "--quiet",
                          "--set", "echo.sleep_us=40000",  "--head", "--listen", "127.0.0.1:0",
                          NULL};
    return process_start(args);
}

static pid_t start_guest(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(name));
    const char *args[] = {"run",   "--join",    path,     "--quiet", "--name",
                          "guest", "--workers", "echo=1", NULL};
    return process_start(args);
}

/* Workers of echo on a node; -1: the node is not there. */
static int64_t workers_on(const char *node)
{
    int64_t workers = -1;
    for (int i = 0; i < snapshot.node_count; i++)
        if (strcmp(snapshot.nodes[i].node, node) == 0)
            workers = 0;
    for (int i = 0; i < snapshot.stage_count && workers >= 0; i++)
        if (strcmp(snapshot.stages[i].node, node) == 0 &&
            strcmp(snapshot.stages[i].stage, "echo") == 0)
            workers = snapshot.stages[i].workers;
    return workers;
}

static void wait_node(const char *run, const char *node, int64_t workers)
{
    int64_t end = clock_ms() + 30000;
    while (!look(run) || workers_on(node) != workers) {
        cr_assert(clock_ms() < end, "%s has %lld workers, not %lld", node,
                  (long long)workers_on(node), (long long)workers);
        usleep(50000);
    }
}

Test(scale, an_engine_that_joined_is_scaled_and_drained_by_name, .timeout = 300)
{
    struct error err = {0};
    process_begin();
    process_graph("g", graph_text);
    cr_assert(process_wait(start_run("a"), 120) == 0, "undisturbed");
    pid_t head = start_head("b"), guest = start_guest("b");
    wait_node("b", "guest", 1);
    cr_assert(ask_scale("b", "echo", 3, "guest", &err) == STATUS_OK, "%s", err.text);
    wait_node("b", "guest", 3);
    cr_assert(ask_scale("b", "echo", 1, "guest", &err) == STATUS_OK, "%s", err.text);
    wait_node("b", "guest", 1);
    cr_assert(ask_scale("b", "echo", 2, "nobody", &err) == STATUS_INVALID &&
                  strstr(err.text, "guest"),
              "%s", err.text);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path("b"));
    const char *args[] = {"drain", "guest", path, NULL};
    cr_assert(process_run(args, 60) == 0, "drain: %s", process_read("out").data);
    cr_assert(process_wait(guest, 20) == 0, "the guest's exit code");
    wait_node("b", "guest", -1); /* it has left, the run goes on */
    cr_assert(ask_scale("b", "echo", 12, "", &err) == STATUS_OK, "%s", err.text);
    cr_assert(process_wait(head, 120) == 0, "to the end");
    cr_assert(strcmp(process_digests("a/tally.tsv"), process_digests("b/tally.tsv")) == 0,
              "other bytes");
    process_end();
}
