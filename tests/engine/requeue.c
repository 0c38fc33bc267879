/* Samples that are taken out of quarantine after a fix, in a running engine and in a stopped one;
 * and max_bad, which stops a run with the list. */
#include "engine/control.h"
#include "engine/snapshot.h"
#include "tests/engine/process.h"

#ifdef __SANITIZE_ADDRESS__
#define MEMORY "512MiB"
#else
#define MEMORY "32MiB"
#endif

/* Numbers 3 and 63 are poison (a fault, an abort), 1, 51 and 101 are refused. */
static const char graph_text[] = "graph: requeue\n"
                                 "seed: 11\n"
                                 "max_bad: 4\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 120}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    memory: " MEMORY "\n"
                                 "    with: {bytes: 600, poison_every: 60, refuse_every: 50, "
                                 "cure: CURE}\n"
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
                                 "    with: {epochs: 3, recycles: 1, checkpoint_every: 5}\n";

static struct arena arena;
static struct snapshot snapshot;

static pid_t start_run(const char *name, const char *set)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(name));
    const char *args[] = {"run",     process_path("g"),    "--run", path,
                          "--quiet", set ? "--set" : NULL, set,     NULL};
    return process_start(args);
}

/* Also makes all steps again: the store holds more now than when some of them were made. */
static int audit(const char *run)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    const char *args[] = {"audit", path, "--replay", "1000", NULL};
    return process_run(args, 60);
}

static int command(const char *first, const char *second, const char *run)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    const char *args[] = {first, second ? second : path, second ? path : NULL, NULL};
    return process_run(args, 60);
}

/* What was printed since the last call. */
static const char *words(void)
{
    static size_t from;
    struct span out = process_read("out");
    const char *text = out.data + (from < out.size ? from : 0);
    from = out.size;
    return text;
}

static bool look(const char *run)
{
    const char *word = "status";
    struct span answer;
    struct error err = {0};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    arena_reset(&arena);
    enum status status = control_ask(path, &word, 1, &arena, &answer, &err);
    if (status == STATUS_OK)
        cr_assert(snapshot_read(answer, &snapshot, &err) == STATUS_OK, "%s", err.text);
    return status == STATUS_OK;
}

static const struct snapshot_sink *sink_of(const char *line)
{
    for (int i = 0; i < snapshot.sink_count; i++)
        if (strcmp(snapshot.sinks[i].line, line) == 0)
            return &snapshot.sinks[i];
    cr_assert(false, "no sink %s", line);
    return NULL;
}

/* The key of a number: as the stage that counts names it. */
static const char *key_of(int number)
{
    static char keys[4][32];
    static int turn;
    char *key = keys[turn++ % 4];
    snprintf(key, sizeof *keys, "n%07d", number);
    return key;
}

/* How often the sink used the number. */
static int used(const char *run, int number)
{
    char name[64], word[16];
    struct span rest, line, cell;
    int count = 0;
    snprintf(name, sizeof name, "%s/tally", run);
    snprintf(word, sizeof word, "%d", number);
    rest = process_read(name);
    span_line(&rest, &line);
    while (span_line(&rest, &line)) {
        span_word(&line, &cell);
        span_word(&line, &cell);
        while (span_word(&line, &cell))
            count += span_is(cell, word);
    }
    return count;
}

Test(requeue, a_stopped_run_makes_what_was_taken_back, .timeout = 200)
{
    process_begin();
    process_graph("g", graph_text);
    cr_assert(process_wait(start_run("a", NULL), 100) == 0, "the first run");
    words();
    cr_assert(audit("a") == 0, "audit");
    const char *text = words();
    cr_assert(strstr(text, key_of(3)) && strstr(text, key_of(63)) && strstr(text, "echo.") &&
                  strstr(text, " on "),
              "audit names what was set aside, and where:\n%s", text);
    cr_assert(strstr(text, "signal 11") && strstr(text, "signal 6"), "and why:\n%s", text);
    cr_assert(used("a", 3) == 0 && used("a", 4) == 3, "3 was never used");
    process_graph("CURE", "");
    cr_assert(command("requeue", "nobody", "a") == 2, "no such sample");
    cr_assert(command("requeue", key_of(4), "a") == 1, "nothing holds it back");
    cr_assert(command("requeue", key_of(3), "a") == 0 && command("requeue", key_of(1), "a") == 0,
              "%s", words());
    cr_assert(strstr(words(), "its refusal is taken back"), "of the refused one");
    cr_assert(command("requeue", key_of(3), "a") == 1, "it was taken back already");
    cr_assert(process_wait(start_run("a", NULL), 100) == 0, "the second run");
    words();
    cr_assert(audit("a") == 0, "audit");
    text = words();
    cr_assert(strstr(text, key_of(63)) && !strstr(text, key_of(3)), "%s", text);
    cr_assert(strstr(text, "stored              117") && strstr(text, "45 steps that were made"),
              "%s", text);
    cr_assert(command("status", NULL, "a") == 1, "stopped");
    text = words();
    cr_assert(strstr(text, "119"), "119 records and refusals:\n%s", text);
    cr_assert(access(process_path("a/store/AGAIN"), F_OK) != 0, "the list was done");
    process_end();
}

Test(requeue, a_running_engine_makes_it_at_once, .timeout = 200)
{
    const char *slow = "tally.sleep_us=150000", *key = key_of(3);
    process_begin();
    process_graph("g", graph_text);
    pid_t pid = start_run("a", slow);
    int64_t end = clock_ms() + 60000;
    while (!look("a") || sink_of("store")->quarantined < 2 || sink_of("tally")->step < 1) {
        cr_assert(clock_ms() < end, "nothing is set aside");
        usleep(20000);
    }
    /* The trainer stands still meanwhile, so that epochs are left on a busy machine too. */
    pid_t sink;
    cr_assert(process_children(pid, "sink:1", &sink, 1) == 1, "the trainer");
    kill(sink, SIGSTOP);
    process_graph("CURE", "");
    words();
    cr_assert(command("requeue", key, "a") == 0, "%s", words());
    cr_assert(strstr(words(), "store: no longer set aside"), "it says so");
    bool held = true;
    while (held) {
        cr_assert(clock_ms() < end && look("a"), "it was not made");
        held = strcmp(sink_of("store")->state, "finished") != 0;
        for (int i = 0; i < snapshot.aside_count; i++)
            held = held || (strcmp(snapshot.asides[i].line, "store") == 0 &&
                            strcmp(snapshot.asides[i].key, key) == 0);
        usleep(20000);
    }
    kill(sink, SIGCONT);
    cr_assert(process_wait(pid, 100) == 0, "it ended badly");
    cr_assert(audit("a") == 0 && strstr(words(), "nothing lost"), "audit");
    cr_assert(used("a", 3) >= 1, "it was used in a later epoch: %d", used("a", 3));
    cr_assert(used("a", 63) == 0, "the other is set aside still");
    process_end();
}

Test(requeue, max_bad_stops_the_run_with_the_list_until_it_is_mended, .timeout = 200)
{
    process_begin();
    char text[sizeof graph_text];
    strcpy(text, graph_text);
    strstr(text, "max_bad: 4")[9] = '1';
    process_graph("g", text);
    cr_assert(process_wait(start_run("a", NULL), 100) == 1, "it stops");
    const char *said = words();
    cr_assert(strstr(said, "more than max_bad: 1") && strstr(said, key_of(3)) &&
                  strstr(said, key_of(63)),
              "with the list:\n%s", said);
    cr_assert(process_wait(start_run("a", NULL), 100) == 1, "and again");
    process_graph("CURE", "");
    cr_assert(command("requeue", key_of(3), "a") == 0, "3");
    cr_assert(command("requeue", key_of(63), "a") == 0, "63");
    cr_assert(process_wait(start_run("a", NULL), 100) == 0, "mended");
    cr_assert(audit("a") == 0, "audit");
    process_end();
}
