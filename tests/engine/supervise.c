/* Children: exact ends, blame only for what a process did itself, restarts, limits, drain. */
#include "engine/supervise.h"

#include "engine/base/clock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct supervisor *supervisor;
static struct death deaths[64];
static char tails[64][256];
static int death_count, line_count;
static char last_line[256];

static void on_death(void *user, const struct death *death)
{
    (void)user;
    if (death_count == 64)
        return;
    deaths[death_count] = *death;
    snprintf(tails[death_count++], sizeof tails[0], "%s", death->tail);
}

static void on_line(void *user, const char *child, struct span line)
{
    (void)user, (void)child;
    line_count++;
    snprintf(last_line, sizeof last_line, "%.*s", (int)line.size, line.data);
}

static void begin(void)
{
    struct error err;
    struct supervise_events events = {NULL, on_death, NULL, on_line};
    cr_assert(supervise_open(&supervisor, events, &err) == STATUS_OK, "%s", err.text);
}

static void turn(int ms)
{
    struct link_wait waits[64];
    int count = 0;
    supervise_wait(supervisor, waits, &count, 64);
    link_poll(waits, count, ms);
    supervise_step(supervisor);
}

static void until_deaths(int wanted, int limit_ms)
{
    int64_t end = clock_ms() + limit_ms;
    while (death_count < wanted && clock_ms() < end)
        turn(20);
    cr_assert(death_count >= wanted, "%d deaths of %d", death_count, wanted);
}

static int start(const char *script, struct child_spec spec)
{
    int child;
    struct error err;
    spec.program = "/bin/sh";
    spec.args[0] = "-c";
    spec.args[1] = script;
    snprintf(spec.name, sizeof spec.name, "child");
    cr_assert(supervise_start(supervisor, &spec, &child, &err) == STATUS_OK, "%s", err.text);
    return child;
}

/* Pretends that the child has a sample in hand. */
static void set_busy(int child)
{
    black_box_enter(supervise_info(supervisor, child).page, 1, 2, 42, 3, 4, "key");
}

Test(supervise, ends_are_exact_and_blame_is_just)
{
    static const struct {
        const char *script;
        int exit_code, signal;
        bool blamed;
    } rows[] = {
        {"exit 0", 0, 0, false},
        {"exit 3", 3, 0, true},
        {"kill -SEGV $$", -1, SIGSEGV, true},
        {"kill -ABRT $$", -1, SIGABRT, true},
        {"kill -KILL $$", -1, SIGKILL, false},
        {"kill -HUP $$", -1, SIGHUP, false},
    };
    begin();
    for (int i = 0; i < 6; i++) {
        char script[64];
        snprintf(script, sizeof script, "echo hello >&2; sleep 0.05; %s", rows[i].script);
        set_busy(start(script, (struct child_spec){0}));
        until_deaths(i + 1, 5000);
        struct death *death = &deaths[i];
        cr_assert(death->exit_code == rows[i].exit_code && death->signal == rows[i].signal,
                  "%s: exit %d signal %d", rows[i].script, death->exit_code, death->signal);
        cr_assert(death->blamed == rows[i].blamed, "%s: blame", rows[i].script);
        cr_assert(death->executing && death->seq == 42 && death->gen == 3 && death->attempt == 4 &&
                      death->line == 1 && death->stage == 2 && strcmp(death->key, "key") == 0,
                  "%s: what was in hand", rows[i].script);
        cr_assert(strcmp(tails[i], "hello\n") == 0, "tail: %s", tails[i]);
    }
    cr_assert(line_count == 6 && strcmp(last_line, "hello") == 0, "%d lines", line_count);
    cr_assert(supervise_running(supervisor) == 0, "all gone");
    supervise_close(supervisor);
}

Test(supervise, nobody_is_blamed_without_a_sample_in_hand)
{
    begin();
    start("kill -SEGV $$", (struct child_spec){0});
    until_deaths(1, 5000);
    cr_assert(!deaths[0].executing && !deaths[0].blamed, "no sample, no blame");
    supervise_close(supervisor);
}

Test(supervise, restarts_wait_longer_and_longer_for_a_child_that_never_works)
{
    begin();
    int64_t from = clock_ms();
    int child = start("exit 1", (struct child_spec){.restart = RESTART_ALWAYS});
    until_deaths(4, 5000); /* 100 + 200 + 400 ms between them */
    cr_assert(clock_ms() - from >= 650, "%d ms", (int)(clock_ms() - from));
    cr_assert(supervise_info(supervisor, child).starts == 4, "four starts");
    uint64_t inc = deaths[0].inc;
    cr_assert(inc && deaths[1].inc && deaths[1].inc != inc, "each start has its own inc");
    supervise_close(supervisor);
}

Test(supervise, a_child_killed_from_outside_is_back_at_once)
{
    begin();
    int child =
        start("sleep 60", (struct child_spec){.restart = RESTART_ALWAYS, .pool_bytes = 1 << 16});
    int64_t from = clock_ms();
    for (int i = 0; i < 5; i++) {
        while (supervise_info(supervisor, child).starts == (uint64_t)i)
            turn(5);
        kill(supervise_info(supervisor, child).pid, SIGKILL);
        until_deaths(i + 1, 5000);
    }
    cr_assert(clock_ms() - from < 1500, "%d ms", (int)(clock_ms() - from));
    supervise_close(supervisor);
}

Test(supervise, setup_errors_are_final)
{
    begin();
    int child = start("exit 78", (struct child_spec){.restart = RESTART_ALWAYS});
    until_deaths(1, 5000);
    for (int i = 0; i < 10; i++)
        turn(30);
    cr_assert(deaths[0].setup && supervise_info(supervisor, child).starts == 1, "started once");
    supervise_close(supervisor);
}

Test(supervise, timeouts_are_written_down_before_the_kill)
{
    begin();
    set_busy(start("sleep 60", (struct child_spec){.timeout_ms = 300}));
    until_deaths(1, 5000);
    cr_assert(deaths[0].verdict == VERDICT_TIMEOUT && deaths[0].signal == SIGKILL, "verdict");
    cr_assert(deaths[0].blamed && deaths[0].seq == 42, "and the sample is to blame");
    supervise_close(supervisor);
}

Test(supervise, time_spent_stopped_does_not_count)
{
    begin();
    int child = start("sleep 60", (struct child_spec){.timeout_ms = 300});
    set_busy(child);
    kill(supervise_info(supervisor, child).pid, SIGSTOP);
    int64_t end = clock_ms() + 900;
    while (clock_ms() < end)
        turn(20);
    cr_assert(death_count == 0, "it was stopped, not slow");
    kill(supervise_info(supervisor, child).pid, SIGCONT);
    until_deaths(1, 5000);
    cr_assert(deaths[0].verdict == VERDICT_TIMEOUT, "now it was slow");
    supervise_close(supervisor);
}

Test(supervise, memory_beyond_the_limit_is_a_verdict)
{
    begin();
    set_busy(
        start("x=0123456789abcdef; while :; do x=$x$x; [ ${#x} -lt 100000000 ] || sleep 9; done",
              (struct child_spec){.memory_bytes = 64 << 20}));
    until_deaths(1, 20000);
    cr_assert(deaths[0].verdict == VERDICT_MEMORY && deaths[0].blamed, "verdict");
    supervise_close(supervisor);
}

Test(supervise, a_child_has_its_descriptors_and_no_others)
{
    begin();
    start("echo $(ls /proc/self/fd | grep -c '^[3-6]$') "
          "$(ls /proc/$$/fd | wc -l)",
          (struct child_spec){.pool_bytes = 4096});
    until_deaths(1, 5000);
    /* seven of ours, and the shell's own pipe */
    cr_assert(strcmp(tails[0], "4 8\n") == 0, "%s", tails[0]);
    supervise_close(supervisor);
}

Test(supervise, signals_to_the_agent_are_counted_and_children_hear_drain)
{
    begin();
    /* A shell cannot read the socket as a message, but it can wait until there is one. */
    int child = start("exec 0<&3; dd bs=16 count=1 of=/dev/null status=none; exit 0",
                      (struct child_spec){.restart = RESTART_ALWAYS});
    for (int i = 0; i < 5; i++)
        turn(20);
    kill(supervise_info(supervisor, child).pid, SIGTERM); /* ignored: the agent decides */
    kill(supervise_info(supervisor, child).pid, SIGINT);
    for (int i = 0; i < 5; i++)
        turn(20);
    cr_assert(death_count == 0, "children ignore SIGINT and SIGTERM");
    kill(getpid(), SIGTERM);
    turn(20);
    kill(getpid(), SIGINT);
    turn(20);
    cr_assert(supervise_interrupts(supervisor) == 2, "two signals");
    supervise_drain(supervisor, child);
    until_deaths(1, 5000);
    for (int i = 0; i < 5; i++)
        turn(20);
    cr_assert(deaths[0].exit_code == 0 && supervise_running(supervisor) == 0, "gone for good");
    supervise_close(supervisor);
}
