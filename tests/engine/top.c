/* foldmill top on a terminal, on a dumb one and into a file; it leaves the terminal as it was. */
#include "tests/engine/process.h"

#include <poll.h>
#include <pty.h>
#include <termios.h>
#include <utmp.h>

static const char graph_text[] = "graph: watched\n"
                                 "seed: 3\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 400}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    memory: 512MiB\n"
                                 "    with: {bytes: 5000, sleep_us: 5000}\n"
                                 "  bundle:\n"
                                 "    in: echo\n"
                                 "    with: {size: 4}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 100, recycles: 1}\n";

static char output[1 << 20];
static size_t output_size;

static pid_t start_run(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(name));
    const char *args[] = {"run", process_path("g"), "--run", path, "--quiet", NULL};
    pid_t pid = process_start(args);
    const char *status[] = {"status", path, NULL};
    int64_t end = clock_ms() + 20000;
    while (process_run(status, 20) != 0)
        cr_assert(clock_ms() < end, "the engine does not answer");
    return pid;
}

static pid_t start_top(const char *run, const char *kind, int *master)
{
    struct winsize size = {.ws_row = 8, .ws_col = 50};
    char path[PATH_MAX];
    int slave;
    snprintf(path, sizeof path, "%s", process_path(run));
    cr_assert(openpty(master, &slave, NULL, NULL, &size) == 0, "a terminal");
    pid_t pid = fork();
    if (pid == 0) {
        login_tty(slave);
        setenv("TERM", kind, 1);
        execl(FOLDMILL_PROBE, "foldmill", "top", path, "--every", "200ms", NULL);
        _exit(127);
    }
    close(slave);
    return pid;
}

/* Reads until the text was seen `times` times, or the other end is closed. */
static int read_until(int fd, const char *text, int times)
{
    int64_t end = clock_ms() + 20000;
    int seen = 0;
    output_size = 0;
    while (seen < times && clock_ms() < end) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 100) <= 0)
            continue;
        ssize_t got = read(fd, output + output_size, sizeof output - 1 - output_size);
        if (got <= 0)
            break;
        output_size += (size_t)got;
        output[output_size] = 0;
        seen = 0;
        for (const char *at = output; (at = strstr(at, text)) != NULL; at++)
            seen++;
    }
    return seen;
}

Test(top, draws_on_a_terminal_and_q_leaves, .timeout = 120)
{
    struct termios before, after;
    int master;
    process_begin();
    process_graph("g", graph_text);
    pid_t run = start_run("a"), top = start_top("a", "xterm", &master);
    cr_assert(tcgetattr(master, &before) == 0 && (before.c_lflag & ECHO), "it echoes");
    cr_assert(read_until(master, "\033[H", 3) == 3, "three pictures: %s", output);
    cr_assert(strstr(output, "\033[?25l") && strstr(output, "watched: running"), "%s", output);
    struct span rest = {output, output_size}, line;
    while (span_line(&rest, &line))
        if (line.size > 3 && memcmp(line.data + line.size - 3, "\033[K", 3) == 0)
            cr_assert(line.size <= 50 + 20, "%zu columns", line.size);
    cr_assert(!strstr(output, "tally"), "8 rows do not reach the sinks: %s", output);
    cr_assert(write(master, "q", 1) == 1 && read_until(master, "\033[?25h", 1) == 1,
              "the cursor comes back");
    cr_assert(process_wait(top, 20) == 0, "left");
    cr_assert(tcgetattr(master, &after) == 0 && after.c_lflag == before.c_lflag, "as it was");
    close(master);
    top = start_top("a", "xterm", &master);
    cr_assert(read_until(master, "\033[H", 1) == 1, "a picture");
    cr_assert(write(master, "\003", 1) == 1 && read_until(master, "\033[?25h", 1) == 1, "Ctrl-C");
    cr_assert(process_wait(top, 20) == 0, "left");
    close(master);
    cr_assert(kill(run, SIGTERM) == 0 && process_wait(run, 60) == 0, "drained");
    process_end();
}

Test(top, prints_tables_elsewhere_until_the_engine_ends, .timeout = 120)
{
    int master;
    process_begin();
    process_graph("g", graph_text);
    pid_t run = start_run("a"), top = start_top("a", "dumb", &master);
    cr_assert(read_until(master, "watched: running", 2) == 2, "two tables: %s", output);
    cr_assert(!strchr(output, '\033') && strstr(output, "tally"), "plain lines: %s", output);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path("a"));
    const char *args[] = {"top", path, "--times", "2", "--every", "100ms", NULL};
    cr_assert(process_run(args, 20) == 0, "into a file");
    cr_assert(kill(run, SIGTERM) == 0 && process_wait(run, 60) == 0, "drained");
    cr_assert(read_until(master, "the engine has ended", 1) == 1, "%s", output);
    cr_assert(process_wait(top, 20) == 0, "the engine ended");
    close(master);
    cr_assert(process_run(args, 20) == 1, "no engine");
    const char *wrong[] = {"top", path, "--every", "soon", NULL};
    cr_assert(process_run(wrong, 20) == 2, "no time");
    process_end();
}
