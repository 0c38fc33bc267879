/* Several ranks of one sink: the same steps as one alone, also when ranks are killed or stopped at
 * random, or a run goes on with another number of them. */
#include "tests/engine/process.h"

#ifdef __SANITIZE_ADDRESS__
#define SMALL "512MiB"
#else
#define SMALL "16MiB"
#endif

static const char ranks_graph[] = "graph: ranks\n"
                                  "seed: 5\n"
                                  "max_bad: 1000\n"
                                  "stages:\n"
                                  "  count:\n"
                                  "    with: {count: 1002}\n"
                                  "  echo:\n"
                                  "    in: count\n"
                                  "    workers: 3\n"
                                  "    memory: " SMALL "\n"
                                  "    with: {bytes: 5000}\n"
                                  "  bundle:\n"
                                  "    in: echo\n"
                                  "    with: {size: 8}\n"
                                  "  tally:\n"
                                  "    in: bundle\n"
                                  "    with: {epochs: 2, recycles: 1, checkpoint_every: 20}\n";

/* Starts the graph in FOLDER/run on so many ranks, with one more setting or NULL. */
static pid_t start(const char *run, int ranks, const char *set)
{
    char path[PATH_MAX], many[32];
    snprintf(path, sizeof path, "%s", process_path(run));
    snprintf(many, sizeof many, "tally.ranks=%d", ranks);
    const char *args[] = {"run",   process_path("g"), "--run",           path, "--quiet",
                          "--set", many,              set ? "--set" : NULL, set,  NULL};
    return process_start(args);
}

static int run(const char *name, int ranks, const char *set)
{
    return process_wait(start(name, ranks, set), 60);
}

static void audit(const char *run)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    const char *args[] = {"audit", path, "--replay", "3", NULL};
    int code = process_run(args, 60);
    cr_assert(code == 0, "audit of %s ended with %d: %s", run, code, process_read("out").data);
}

static void same_steps(const char *a, const char *b)
{
    char name_a[64], name_b[64];
    snprintf(name_a, sizeof name_a, "%s/tally.tsv", a);
    snprintf(name_b, sizeof name_b, "%s/tally.tsv", b);
    char *text_a = process_digests(name_a), *text_b = process_digests(name_b);
    cr_assert(process_lines(span_of(text_a)) == 253, "all steps of %s were logged", a);
    cr_assert(strcmp(text_a, text_b) == 0, "%s and %s made other steps", a, b);
}

Test(ranks, one_two_and_eight_make_the_same_steps, .timeout = 120)
{
    process_begin();
    process_graph("g", ranks_graph);
    cr_assert(run("one", 1, NULL) == 0, "one rank");
    cr_assert(run("two", 2, NULL) == 0, "two ranks");
    cr_assert(run("eight", 8, NULL) == 0, "eight ranks");
    same_steps("one", "two");
    same_steps("one", "eight");
    process_audit_tally("eight/tally", 1002, 2, 0);
    audit("eight");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path("eight"));
    const char *why[] = {"why", "7", "--run", path, NULL};
    cr_assert(process_run(why, 20) == 0, "why");
    const char *out = process_read("out").data;
    cr_assert(strstr(out, "step 7 of tally waited") && strstr(out, " of 8)"), "%s", out);
    process_end();
}

/* Every rank has one sample a step, every third of which is refused: often a rank has none. */
Test(ranks, a_rank_whose_share_is_empty_takes_part, .timeout = 120)
{
    process_begin();
    process_graph("g", ranks_graph);
    cr_assert(run("one", 1, "echo.refuse_every=3") == 0, "one rank");
    cr_assert(run("eight", 8, "echo.refuse_every=3") == 0, "eight ranks");
    same_steps("one", "eight");
    struct span a = process_read("one/tally.skips.tsv"), b = process_read("eight/tally.skips.tsv");
    cr_assert(a.size == b.size && memcmp(a.data, b.data, a.size) == 0, "positions without data");
    cr_assert(process_lines(a) > 600, "%d rows", process_lines(a));
    audit("eight");
    process_end();
}

/* One rank's death is the end of all, and all go on from the checkpoint. */
Test(ranks, killed_at_random_they_make_the_same_steps, .timeout = 300)
{
    static const char *const prey[] = {"sink:", "sink:", "worker:", "dispatch", NULL};
    process_begin();
    process_graph("g", ranks_graph);
    cr_assert(run("one", 1, NULL) == 0, "one rank");
    int kills;
    pid_t pid = start("fire", 4, "tally.sleep_us=20000");
    int code = process_torment(pid, prey, 100, 900, 3, 200, &kills);
    cr_assert(code == 0, "under fire: %d: %s", code, process_read("out").data);
    cr_assert(kills >= 5, "%d kills", kills);
    same_steps("one", "fire");
    process_audit_tally("fire/tally", 1002, 2, 0);
    audit("fire");
    process_end();
}

/* What each rank has taken stands in its own journal. */
Test(ranks, killed_at_random_they_follow_their_journals, .timeout = 300)
{
    static const char *const prey[] = {"sink:", "worker:", NULL};
    char text[2048];
    process_begin();
    snprintf(text, sizeof text, "%s", ranks_graph);
    char *at = strstr(text, "stages:");
    size_t used = (size_t)(at - text);
    snprintf(at, sizeof text - used, "order: {overtake: 12}\n%s", strstr(ranks_graph, "stages:"));
    process_graph("g", text);
    int kills;
    pid_t pid = start("fire", 4, "tally.sleep_us=20000");
    int code = process_torment(pid, prey, 200, 900, 3, 200, &kills);
    cr_assert(code == 0, "under fire: %d: %s", code, process_read("out").data);
    cr_assert(kills >= 5, "%d kills", kills);
    audit("fire");
    process_end();
}

Test(ranks, a_stopped_rank_holds_up_all_and_costs_nothing, .timeout = 120)
{
    process_begin();
    process_graph("g", ranks_graph);
    cr_assert(run("one", 1, NULL) == 0, "one rank");
    pid_t pid = start("stop", 3 + 1, "tally.sleep_us=10000"), rank[8];
    for (int i = 0; i < 4; i++) {
        usleep(400000);
        int count = process_children(pid, "sink:", rank, 8);
        if (count == 0)
            break;
        kill(rank[i % count], SIGSTOP);
        usleep(300000);
        kill(rank[i % count], SIGCONT);
    }
    cr_assert(process_wait(pid, 60) == 0, "it ends well");
    same_steps("one", "stop");
    audit("stop");
    process_end();
}

/* A rank that is stopped for ever is given up after 30 s and started again. */
Test(ranks, a_rank_that_never_comes_back_is_replaced, .timeout = 240)
{
    pid_t rank[8];
    if (!process_full())
        cr_skip("takes 40 s: FOLDMILL_FULL=1");
    process_begin();
    process_graph("g", ranks_graph);
    cr_assert(run("one", 1, NULL) == 0, "one rank");
    pid_t pid = start("stop", 4, "tally.sleep_us=20000");
    while (process_children(pid, "sink:", rank, 8) < 4)
        usleep(10000);
    usleep(1000000);
    kill(rank[2], SIGSTOP);
    cr_assert(process_wait(pid, 120) == 0, "it ends well");
    const char *log = process_read("stop/log.txt").data;
    cr_assert(strstr(log, "rank 2 (process") && strstr(log, "no sign of life"), "%s", log);
    same_steps("one", "stop");
    audit("stop");
    process_end();
}

/* From the start of the program to the first new step. */
Test(ranks, resume_takes_less_than_five_seconds, .timeout = 120)
{
    process_begin();
    process_graph("g", ranks_graph);
    pid_t pid = start("run", 4, "tally.sleep_us=20000");
    while (process_lines(process_read("run/tally.tsv")) < 60)
        usleep(20000);
    kill(pid, SIGKILL);
    cr_assert(process_wait(pid, 10) == -SIGKILL, "killed");
    int rows = process_lines(process_read("run/tally.tsv"));
    int64_t begin = clock_ms(), took = 0;
    pid = start("run", 2, "tally.sleep_us=20000");
    while (process_lines(process_read("run/tally.tsv")) <= rows && took < 60000) {
        usleep(20000);
        took = clock_ms() - begin;
    }
    kill(pid, SIGTERM);
    cr_assert(process_wait(pid, 60) == 0, "stopped");
    fprintf(stderr, "resumed %d steps in %lld ms\n", rows - 1, (long long)took);
    cr_assert(took < 5000, "the first new step after %lld ms", (long long)took);
    process_end();
}

/* The run is killed whole, and goes on with other numbers of ranks. */
Test(ranks, a_run_goes_on_with_another_number_of_ranks, .timeout = 120)
{
    static const int numbers[] = {4, 2, 1, 8};
    process_begin();
    process_graph("g", ranks_graph);
    cr_assert(run("one", 1, NULL) == 0, "one rank");
    for (int i = 0; i < 4; i++) {
        pid_t pid = start("many", numbers[i], "tally.sleep_us=5000");
        pid_t found[8];
        if (i < 3) {
            while (process_children(pid, "sink:", found, 8) < numbers[i])
                usleep(10000);
            usleep(500000);
            kill(pid, i == 1 ? SIGTERM : SIGKILL);
        }
        int code = process_wait(pid, 60);
        cr_assert(i == 3 || i == 1 ? code == 0 : code == -SIGKILL, "start %d ended with %d", i,
                  code);
    }
    same_steps("one", "many");
    process_audit_tally("many/tally", 1002, 2, 0);
    audit("many");
    process_end();
}

Test(ranks, resume_wants_a_run_of_the_same_graph, .timeout = 120)
{
    char path[PATH_MAX];
    process_begin();
    process_graph("g", ranks_graph);
    snprintf(path, sizeof path, "%s", process_path("run"));
    const char *args[16] = {"run", process_path("g"), "--resume", path, "--quiet", NULL};
    cr_assert(process_run(args, 60) == 1, "there is no run");
    cr_assert(strstr(process_read("out").data, "holds no run that could go on"), "says so");
    cr_assert(access(path, F_OK) != 0, "and makes none");
    cr_assert(run("run", 2, NULL) == 0, "two ranks");
    args[5] = "--set", args[6] = "bundle.size=4", args[7] = "--set", args[8] = "seed=6";
    cr_assert(process_run(args, 60) == 1, "another graph");
    const char *out = process_read("out").data;
    cr_assert(strstr(out, "seed was 5, is 6; bundle.size was 8, is 4"), "%s", out);
    args[6] = "echo.workers=1", args[8] = "tally.ranks=1";
    cr_assert(process_run(args, 60) == 0, "other numbers of workers and ranks");
    args[8] = NULL;
    args[7] = "--run=elsewhere";
    cr_assert(process_run(args, 60) == 2, "both --run and --resume");
    process_end();
}

Test(ranks, what_cannot_be_shared_is_a_mistake_of_the_graph, .timeout = 60)
{
    process_begin();
    process_graph("g", ranks_graph);
    cr_assert(run("none", 3, NULL) == 2, "8 samples, 3 ranks");
    const char *out = process_read("out").data;
    cr_assert(strstr(out, "give bundle a size of 9, or a number of ranks that divides 8"), "%s",
              out);
    process_end();
}
