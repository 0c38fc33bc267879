/* What the machine does to a run: a wall clock that jumps, and no file descriptors left. */
#include "engine/control.h"
#include "engine/snapshot.h"
#include "tests/engine/process.h"

#include <sys/resource.h>
#include <sys/stat.h>

#ifdef __SANITIZE_ADDRESS__
#define MEMORY "512MiB"
#else
#define MEMORY "16MiB"
#endif

static const char graph_text[] = "graph: hostile\n"
                                 "seed: 3\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 1000}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    timeout: 5s\n"
                                 "    memory: " MEMORY "\n"
                                 "    with: {bytes: 9000, sleep_us: 4000}\n"
                                 "  bundle:\n"
                                 "    in: echo\n"
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
    arena_reset(&arena);
    return control_ask(path, words, count, &arena, answer, err);
}

static void wait_for(const char *run, int64_t workers, uint64_t more)
{
    const char *word = "status";
    struct span answer;
    struct error err = {0};
    uint64_t done = 0;
    bool first = true;
    for (int64_t end = clock_ms() + 20000; clock_ms() < end; usleep(20000)) {
        if (ask(run, &word, 1, &answer, &err) != STATUS_OK)
            continue;
        cr_assert(snapshot_read(answer, &snapshot, &err) == STATUS_OK, "%s", err.text);
        if (first)
            done = snapshot.stages[0].done;
        first = false;
        if (snapshot.stages[0].workers == workers && snapshot.stages[0].done >= done + more)
            return;
    }
    cr_assert(false, "%lld workers were awaited, there are %lld; %s", (long long)workers,
              (long long)snapshot.stages[0].workers, err.text);
}

/* The lowest number that is no descriptor of the process, but for `more` of them. */
static int first_free(pid_t pid, int more)
{
    struct stat stat_of;
    char path[64];
    for (int fd = 0;; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        if (lstat(path, &stat_of) && more-- == 0)
            return fd;
    }
}

static void limit_files(pid_t pid, int count)
{
    struct rlimit limit;
    cr_assert(prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0, "prlimit");
    limit.rlim_cur = (rlim_t)count;
    cr_assert(prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0, "prlimit");
}

static bool has_shim(pid_t pid)
{
    char path[64], line[4096];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    while (maps && !found && fgets(line, sizeof line, maps))
        found = strstr(line, "libclock_jump.so");
    if (maps)
        fclose(maps);
    return found;
}

Test(hostile, a_wall_clock_that_jumps_changes_nothing, .timeout = 200)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip("a sanitizer's runtime must be loaded before the shim");
#endif
    process_begin();
    process_graph("g", graph_text);
    int64_t start = clock_ms();
    cr_assert(process_wait(start_run("a"), 60) == 0, "undisturbed");
    int64_t usual = clock_ms() - start;
    start = clock_ms();
    setenv("LD_PRELOAD", FOLDMILL_SHIMS "/libclock_jump.so", 1);
    pid_t pid = start_run("b");
    unsetenv("LD_PRELOAD");
    wait_for("b", 2, 1);
    pid_t children[8];
    int count = process_children(pid, "work", children, 8);
    cr_assert(count == 4 && has_shim(pid), "four processes and the engine");
    for (int i = 0; i < count; i++)
        cr_assert(has_shim(children[i]), "a process reads the right time");
    cr_assert(process_wait(pid, 60) == 0, "under jumps");
    int64_t jumping = clock_ms() - start;
    cr_assert(jumping < 2 * usual + 3000, "%lld ms, else %lld ms", (long long)jumping,
              (long long)usual);
    cr_assert(strcmp(process_digests("a/tally.tsv"), process_digests("b/tally.tsv")) == 0,
              "other bytes");
    process_end();
}

Test(hostile, without_descriptors_new_workers_are_refused_and_the_others_work, .timeout = 200)
{
    const char *words[] = {"scale", "echo", "12", ""};
    struct span answer;
    struct error err = {0};
    process_begin();
    process_graph("g", graph_text);
    cr_assert(process_wait(start_run("a"), 60) == 0, "undisturbed");
    pid_t pid = start_run("b");
    wait_for("b", 2, 10);
    limit_files(pid, first_free(pid, 12));
    enum status status = ask("b", words, 4, &answer, &err);
    cr_assert(status != STATUS_OK && status != STATUS_MISS && strstr(err.text, "workers, not 12") &&
                  strstr(err.text, "Too many open files"),
              "it says why: %s", err.text);
    int64_t reached = 0;
    cr_assert(sscanf(strstr(err.text, "echo has "), "echo has %ld", &reached) == 1, "%s", err.text);
    cr_assert(reached >= 2 && reached < 12, "%lld workers", (long long)reached);
    wait_for("b", reached, 20);
    limit_files(pid, first_free(pid, 0));
    words[0] = "status";
    status = ask("b", words, 1, &answer, &err);
    cr_assert(status == STATUS_BUSY && strstr(err.text, "no file descriptor left"),
              "who asks is told: %d, %s", (int)status, err.text);
    usleep(300000);
    limit_files(pid, 4096);
    words[0] = "scale";
    words[2] = "6";
    cr_assert(ask("b", words, 4, &answer, &err) == STATUS_OK, "%s", err.text);
    wait_for("b", 6, 20);
    cr_assert(process_wait(pid, 100) == 0, "to the end");
    cr_assert(strcmp(process_digests("a/tally.tsv"), process_digests("b/tally.tsv")) == 0,
              "other bytes");
    process_end();
}

/* A store is filled and trained from, under syncs that fail. */
static const char store_text[] = "graph: synced\n"
                                 "seed: 5\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 200}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    memory: " MEMORY "\n"
                                 "    with: {bytes: 3000, sleep_us: 1000}\n"
                                 "  store:\n"
                                 "    in: echo\n"
                                 "    with: {path: \"{run}/store\"}\n"
                                 "  jitter:\n"
                                 "    in: store\n"
                                 "    memory: " MEMORY "\n"
                                 "  bundle:\n"
                                 "    in: jitter\n"
                                 "    with: {size: 8}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 2, recycles: 1, checkpoint_every: 10}\n";

Test(hostile, syncs_that_fail_end_a_run_with_the_reason_and_lose_nothing, .timeout = 400)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip("a sanitizer's runtime must be loaded before the shim");
#endif
    static const int quick[] = {1, 2, 3, 5, 8, 13, 0};
    static const int many[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 18, 22, 30, 50, 0};
    const int *every = process_full() ? many : quick;
    char path[256], table[64], name[16], number[16];
    int failed = 0, runs = 0;
    process_begin();
    process_graph("g", store_text);
    cr_assert(process_wait(start_run("quiet"), 60) == 0, "undisturbed");
    for (; *every; every++, runs++) {
        snprintf(name, sizeof name, "run%d", *every);
        snprintf(number, sizeof number, "%d", *every);
        setenv("FOLDMILL_SYNC_FAIL", number, 1);
        setenv("LD_PRELOAD", FOLDMILL_SHIMS "/libsync_fail.so", 1);
        pid_t pid = start_run(name);
        unsetenv("LD_PRELOAD");
        unsetenv("FOLDMILL_SYNC_FAIL");
        int code = process_wait(pid, 90);
        cr_assert(code == 0 || code == 1, "every %dth: exit code %d", *every, code);
        failed += code == 1;
        cr_assert(process_wait(start_run(name), 90) == 0, "it does not go on after every %dth",
                  *every);
        snprintf(table, sizeof table, "%s/tally.tsv", name);
        cr_assert(strcmp(process_digests("quiet/tally.tsv"), process_digests(table)) == 0,
                  "other bytes after every %dth", *every);
        snprintf(path, sizeof path, "%s", process_path(name));
        const char *audit[] = {"audit", path, NULL};
        cr_assert(process_run(audit, 60) == 0, "%s", process_read("out").data);
    }
    cr_assert(failed >= 2, "%d of %d runs ended", failed, runs);
    cr_assert(strstr(process_read("out").data, "Input/output error"), "the reason is told");
    process_end();
}
