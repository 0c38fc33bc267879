/* Many large samples on their way into one store: its sink takes what it has room for, and leaves
 * the others where they are until then. The store's `memory:` is held by the agent, so a process
 * that held a window of them would be killed. */
#include "tests/engine/process.h"

#ifdef __SANITIZE_ADDRESS__
#define MEMORY "" /* the sanitizer keeps what was freed: a limit would say nothing */
#else
#define MEMORY "    memory: 380MiB\n"
#endif

static const char graph[] = "graph: giants\n"
                            "seed: 5\n"
                            "max_bad: 0\n"
                            "stages:\n"
                            "  count:\n"
                            "    with: {count: 24}\n"
                            "  echo:\n"
                            "    in: count\n"
                            "    workers: 3\n"
                            "    with: {bytes: 40000000}\n"
                            "  store:\n"
                            "    in: echo\n" MEMORY "    with: {path: \"{run}/store\"}\n";

/* Runs it with two settings; all samples are stored, and no process was killed. */
static void run_well(const char *count, const char *bytes, int samples)
{
    char run[PATH_MAX], told[64];
    process_begin();
    process_graph("g", graph);
    snprintf(run, sizeof run, "%s", process_path("run"));
    const char *args[] = {"run",     process_path("g"), "--run", run,   "--quiet",
                          "--set",   count,             "--set", bytes, NULL};
    int code = process_run(args, 150);
    cr_assert(code == 0, "%s", process_read("out").data);
    struct span log = process_read("run/log.txt");
    cr_assert(!memmem(log.data, log.size, "memory limit", 12), "%.*s", (int)log.size, log.data);
    const char *list[] = {"store", "verify", process_path("run/store"), NULL};
    cr_assert(process_run(list, 60) == 0);
    struct span out = process_read("out");
    snprintf(told, sizeof told, "%d records are good", samples);
    cr_assert(memmem(out.data, out.size, told, strlen(told)), "%s", out.data);
    process_end();
}

Test(giants, a_store_s_sink_holds_no_more_than_it_may, .timeout = 240)
{
    run_well("count.count=24", "echo.bytes=40000000", 24); /* its window has 16 places */
}

Test(giants, one_that_is_larger_than_all_room_comes_alone, .timeout = 240)
{
    run_well("count.count=5", "echo.bytes=100000000", 5); /* 95 MiB are held at most */
}
