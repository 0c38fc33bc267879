/* A running engine and those who speak with it: status, bad requests, who is slow. */
#include "engine/control.h"

#include "engine/rundir.h"
#include "engine/snapshot.h"
#include "tests/engine/process.h"

#include <sys/socket.h>
#include <sys/un.h>

static const char graph_text[] = "graph: talk\n"
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
                                 "    with: {epochs: 2, recycles: 1, checkpoint_every: 20}\n";

static struct arena arena;

static pid_t start_run(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(name));
    const char *args[] = {"run", process_path("g"), "--run", path, "--quiet", NULL};
    return process_start(args);
}

/* Asks until the engine answers. */
static struct span ask(const char *run, const char *word)
{
    struct span answer = {"", 0};
    struct error err = {0};
    char path[PATH_MAX];
    enum status status = STATUS_MISS;
    snprintf(path, sizeof path, "%s", process_path(run));
    for (int64_t end = clock_ms() + 20000; status == STATUS_MISS && clock_ms() < end; usleep(20000))
        status = control_ask(path, &word, 1, &arena, &answer, &err);
    cr_assert(status == STATUS_OK, "%s", err.text);
    return answer;
}

static int connect_raw(const char *run)
{
    char path[PATH_MAX];
    struct span text, line;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct error err;
    cr_assert(file_read(rundir_file(process_path(run), "lock", path), 10000, &arena, &text, &err) ==
                  STATUS_OK,
              "%s", err.text);
    cr_assert(span_line(&text, &line) && span_line(&text, &line), "two lines in lock");
    snprintf(address.sun_path, sizeof address.sun_path, "%.*s/control", (int)line.size, line.data);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0, "%s",
              address.sun_path);
    return fd;
}

static size_t read_all(int fd, char *buffer, size_t room)
{
    size_t size = 0;
    for (ssize_t got; (got = recv(fd, buffer + size, room - 1 - size, 0)) > 0;)
        size += (size_t)got;
    buffer[size] = 0;
    close(fd);
    return size;
}

Test(control, status_tells_what_a_run_does_and_what_is_left_of_it, .timeout = 120)
{
    static struct snapshot snapshot;
    struct error err;
    process_begin();
    process_graph("g", graph_text);
    pid_t pid = start_run("a");
    do {
        struct span answer = ask("a", "status");
        cr_assert(snapshot_read(answer, &snapshot, &err) == STATUS_OK, "%s", err.text);
        cr_assert(snapshot.sink_count == 1 && snapshot.stage_count == 1, "rows");
        usleep(20000);
    } while (snapshot.sinks[0].step < 10);
    cr_assert(strcmp(snapshot.run.state, "running") == 0 && snapshot.run.pid == pid, "the run");
    cr_assert(snapshot.stages[0].workers == 2 && snapshot.stages[0].wanted == 2, "two workers");
    cr_assert(snapshot.stages[0].done >= 40 && snapshot.stages[0].busy_seconds > 0.1, "work");
    cr_assert(snapshot.sinks[0].steps == 200 && snapshot.sinks[0].wait_seconds > 0.05, "sink");
    cr_assert(snapshot.edge_count == 2 && strcmp(snapshot.edges[0].to, "echo") == 0 &&
                  strcmp(snapshot.edges[1].to, "tally") == 0,
              "edges");
    cr_assert(snapshot.node_count == 1 && snapshot.nodes[0].processes == 5 &&
                  snapshot.nodes[0].memory_bytes > 1 << 20 && snapshot.nodes[0].messages > 40,
              "node");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path("a"));
    const char *args[] = {"status", path, NULL};
    cr_assert(process_run(args, 20) == 0, "an engine runs");
    cr_assert(process_wait(pid, 60) == 0, "the run ends well");
    cr_assert(process_run(args, 20) == 1, "no engine runs");
    struct span out = process_read("out");
    cr_assert(strstr(out.data, "no engine runs in") && strstr(out.data, "stopped"), "%s", out.data);
    cr_assert(strstr(out.data, " 200 "), "steps on disk: %s", out.data);
    const char *nowhere[] = {"status", "/nowhere", NULL};
    cr_assert(process_run(nowhere, 20) == 2, "no such run");
    process_end();
}

Test(control, bad_and_slow_peers_hold_up_nobody, .timeout = 120)
{
    static char buffer[1 << 16];
    int slow[CONTROL_PEERS_MAX - 1];
    process_begin();
    process_graph("g", graph_text);
    pid_t pid = start_run("a");
    ask("a", "status");
    int fd = connect_raw("a");
    cr_assert(send(fd, "frobnicate\n", 11, MSG_NOSIGNAL) == 11, "send");
    read_all(fd, buffer, sizeof buffer);
    cr_assert(strstr(buffer, "does not know the request 'frobnicate'"), "%s", buffer);
    fd = connect_raw("a");
    memset(buffer, 'x', sizeof buffer);
    ssize_t sent = send(fd, buffer, CONTROL_REQUEST_MAX + 100, MSG_NOSIGNAL);
    cr_assert(sent > 0 && read_all(fd, buffer, sizeof buffer) == 0, "an endless request");
    for (int i = 0; i < CONTROL_PEERS_MAX - 1; i++) {
        slow[i] = connect_raw("a");
        cr_assert(send(slow[i], "sta", 3, MSG_NOSIGNAL) == 3, "send");
    }
    int64_t start = clock_ms();
    ask("a", "status");
    cr_assert(clock_ms() - start < 2000, "%lld ms with slow peers",
              (long long)(clock_ms() - start));
    for (int i = 0; i < CONTROL_PEERS_MAX - 1; i++)
        close(slow[i]);
    cr_assert(kill(pid, SIGTERM) == 0 && process_wait(pid, 60) == 0, "drained");
    process_end();
}

Test(control, requests_are_checked_before_they_are_sent)
{
    struct span answer;
    struct error err;
    const char *tab = "a\tb";
    cr_assert(control_ask("/nowhere", &tab, 1, &arena, &answer, &err) == STATUS_INVALID, "a tab");
    const char *word = "status";
    cr_assert(control_ask("/nowhere", &word, 1, &arena, &answer, &err) == STATUS_MISS &&
                  strstr(err.text, "no engine runs"),
              "%s", err.text);
    static char large[CONTROL_REQUEST_MAX + 2];
    memset(large, 'x', sizeof large - 1);
    word = large;
    cr_assert(control_ask("/nowhere", &word, 1, &arena, &answer, &err) == STATUS_LIMIT, "large");
}

Test(control, a_control_socket_needs_a_path_that_fits)
{
    char folder[200];
    struct control *control;
    struct error err;
    memset(folder, 'x', sizeof folder - 1);
    folder[0] = '/';
    folder[sizeof folder - 1] = 0;
    cr_assert(control_open(&control, folder, NULL, NULL, &err) == STATUS_LIMIT, "too long");
    cr_assert(control_open(&control, "/nowhere", NULL, NULL, &err) == STATUS_IO, "%s", err.text);
}
