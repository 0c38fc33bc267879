/* Programs of others: what they are given and inherit, and every way in which they can fail. */
#include "stages/bio/program.h"

#include "engine/base/clock.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct arena arena;
static struct error err;
static struct span output;
static struct program_limits limits;

static void begin(void)
{
    arena_open(&arena, 0);
    limits = (struct program_limits){.time_ms = 20000, .output_bytes = 1 << 20};
}

static void end(void)
{
    arena_close(&arena);
}

TestSuite(program, .init = begin, .fini = end);

static enum status shell(const char *script, const char *input)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    return program_run(argv, span_of(input), &limits, &arena, &output, &err);
}

Test(program, gets_its_input_and_gives_its_output)
{
    cr_assert(shell("tr a-z A-Z", "some text\n") == STATUS_OK, "%s", err.text);
    cr_assert(span_is(output, "SOME TEXT\n"));
    char *large = arena_alloc(&arena, 500001);
    memset(large, 'x', 500000);
    large[500000] = 0;
    cr_assert(shell("cat", large) == STATUS_OK && output.size == 500000, "no pipe to fill up");
    cr_assert(shell("true", large) == STATUS_OK && output.size == 0, "it need not read");
}

Test(program, inherits_nothing)
{
    cr_assert(setenv("SECRET", "yes", 1) == 0 && dup2(1, 77) == 77);
    cr_assert(shell("echo $SECRET; ls /proc/self/fd | wc -l; test -e /proc/self/fd/77 && echo open",
                    "") == STATUS_REFUSED,
              "the last test fails: %s", err.text);
    cr_assert(shell("echo $SECRET; test ! -e /proc/self/fd/77", "") == STATUS_OK, "%s", err.text);
    cr_assert(span_is(output, "\n"), "%.*s", (int)output.size, output.data);
}

Test(program, that_fails_is_told_with_its_last_words)
{
    cr_assert(shell("echo it hurts >&2; exit 3", "") == STATUS_REFUSED);
    cr_assert(strstr(err.text, "exit code 3: it hurts"), "%s", err.text);
    cr_assert(shell("kill -SEGV $$", "") == STATUS_REFUSED && strstr(err.text, "signal 11"), "%s",
              err.text);
    const char *const missing[] = {"/nowhere/program", NULL};
    cr_assert(program_run(missing, SPAN(""), &limits, &arena, &output, &err) == STATUS_MISS &&
                  strstr(err.text, "/nowhere/program"),
              "%s", err.text);
}

Test(program, that_takes_too_long_dies_with_its_children)
{
    char file[] = "/tmp/foldmill_program_XXXXXX";
    char script[200];
    int pid = 0;
    int fd = mkstemp(file);
    cr_assert(fd >= 0);
    close(fd);
    limits.time_ms = 300;
    snprintf(script, sizeof script, "sleep 100 & echo $! > %s; wait", file);
    int64_t from = clock_ms();
    cr_assert(shell(script, "") == STATUS_LIMIT && strstr(err.text, "more than 0.3 s"), "%s",
              err.text);
    cr_assert(clock_ms() - from < 10000);
    FILE *text = fopen(file, "r");
    cr_assert(text && fscanf(text, "%d", &pid) == 1 && pid > 1);
    fclose(text);
    unlink(file);
    for (int i = 0; i < 100 && kill(pid, 0) == 0; i++)
        usleep(20000);
    cr_assert(kill(pid, 0) != 0, "its child %d still runs", pid);
}

Test(program, that_writes_or_takes_too_much_is_stopped)
{
    limits.output_bytes = 1000;
    cr_assert(shell("head -c 900 /dev/zero", "") == STATUS_OK && output.size == 900, "%s",
              err.text);
    enum status status = shell("exec head -c 5000 /dev/zero", "");
    cr_assert(status == STATUS_LIMIT || status == STATUS_REFUSED, "%s", err.text);
    limits = (struct program_limits){
        .time_ms = 20000, .output_bytes = 1 << 20, .memory_bytes = (uint64_t)64 << 20};
    cr_assert(shell("exec head -c 300000000 /dev/zero | tail -c 1000", "") == STATUS_OK, "%s",
              err.text);
    cr_assert(shell("tail -c 300000000 /dev/zero", "") == STATUS_REFUSED, "%s", err.text);
}
