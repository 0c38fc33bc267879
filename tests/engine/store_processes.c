/* The store among processes that die, stop, or live in another namespace: what a killed writer had
 * acknowledged is there, and readers that are gone or stand still do not hold it up for ever. */
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/store_inside.h"

#include "tests/engine/store_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* Writes groups of 1 to 8 records, also over old ones, and says after each commit how far it is. */
static void write_until_killed(struct fixture *fixture, int first, unsigned seed, int acks)
{
    struct error err;
    struct store *store;
    struct store_options options = {.codec = STORE_LZ4, .map_bytes = 1 << 20};
    if (store_open_writer(fixture->path, &options, &store, &err) != STATUS_OK)
        _exit(1);
    for (int i = first;;) {
        int count = 1 + rand_r(&seed) % 8;
        for (int end = i + count; i < end; i++)
            if (fixture_put(store, i, &err) != STATUS_OK)
                _exit(2);
        if (i > 20 && fixture_put(store, rand_r(&seed) % i, &err) != STATUS_OK)
            _exit(3);
        if (store_refuse(store, SPAN("refused"), fixture_made(i), SPAN(""), "a reason", &err) !=
                STATUS_OK || store_commit(store, &err) != STATUS_OK)
            _exit(4);
        if (write(acks, &i, sizeof i) != sizeof i)
            _exit(5);
    }
}

Test(store_processes, keeps_every_acknowledged_record_when_killed, .timeout = 120)
{
    struct fixture fixture = fixture_open("kill");
    unsigned seed = (unsigned)clock_ns();
    int acked = 0, rounds = 120, useful = 0;
    fprintf(stderr, "kill: seed %u\n", seed);
    for (int round = 0; round < rounds; round++) {
        int acks[2], status, value, before = acked;
        cr_assert(pipe(acks) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(acks[0]);
            write_until_killed(&fixture, acked, seed + (unsigned)round, acks[1]);
        }
        close(acks[1]);
        usleep(2000u + (unsigned)rand_r(&seed) % 20000u);
        kill(pid, SIGKILL);
        cr_assert(waitpid(pid, &status, 0) == pid);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "round %d: writer ended %d",
                  round, status);
        while (read(acks[0], &value, sizeof value) == sizeof value)
            acked = value;
        close(acks[0]);
        useful += acked > before;
        if (acked > 1500) { /* begin anew, or the checks become long */
            fixture_expect(&fixture, acked);
            fixture_clear(fixture.path);
            acked = 0;
        } else {
            struct store *store = fixture_writer(&fixture);
            for (int i = before; i < acked; i++)
                fixture_check(store, i);
            store_close(store);
        }
    }
    fixture_expect(&fixture, acked);
    cr_assert(useful > rounds / 4, "most rounds wrote something: %d", useful);
    fixture_close(&fixture);
}

/* A reader that stops inside a read transaction; the child of a fork. */
static pid_t stopped_reader(struct fixture *fixture)
{
    int ready[2];
    char byte;
    cr_assert(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *store;
        struct error err;
        MDB_txn *txn;
        if (store_open_reader(fixture->path, &store, &err) != STATUS_OK ||
            store_read_begin(store, &txn, &err) != STATUS_OK || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    cr_assert(read(ready[0], &byte, 1) == 1);
    return pid;
}

static uint64_t overwrite(struct store *store, int rounds)
{
    struct error err;
    struct store_info info;
    for (int round = 0; round < rounds; round++) {
        fixture_fill(store, 0, 10);
        cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    }
    cr_assert(store_stat(store, &info, &err) == STATUS_OK);
    return info.file_bytes;
}

Test(store_processes, a_dead_reader_is_cleared_and_a_stopped_one_is_told, .timeout = 60)
{
    struct fixture fixture = fixture_open("reader");
    char text[2000] = "", log[300];
    struct store *store = fixture_writer(&fixture);
    overwrite(store, 5);
    store_close(store);
    pid_t pid = stopped_reader(&fixture);
    store = fixture_writer(&fixture);
    snprintf(log, sizeof log, "%s/log.txt", fixture.path);
    int fd = open(log, O_CREAT | O_RDWR, 0600);
    log_open("test", LOG_INFO, fd);
    uint64_t before = overwrite(store, 50);
    store->checked_ms -= 20000; /* time passes */
    overwrite(store, 1);
    store->checked_ms -= 20000;
    store->oldest_since_ms -= 40000;
    uint64_t stopped = overwrite(store, 50);
    cr_assert(pread(fd, text, sizeof text - 1, 0) >= 0);
    char expected[64];
    snprintf(expected, sizeof expected, "process %d has been reading for", (int)pid);
    cr_assert(strstr(text, expected), "%s", text);
    cr_assert(stopped > before, "an old snapshot keeps its pages");
    kill(pid, SIGKILL);
    cr_assert(waitpid(pid, NULL, 0) == pid);
    store->checked_ms -= 20000;
    uint64_t killed = overwrite(store, 5), later = overwrite(store, 200);
    cr_assert(later <= killed + killed / 10, "pages are used again: %llu, then %llu",
              (unsigned long long)killed, (unsigned long long)later);
    store_close(store);
    log_open("", LOG_INFO, 2);
    close(fd);
    fixture_close(&fixture);
}

Test(store_processes, reader_in_another_pid_namespace_is_refused)
{
    struct fixture fixture = fixture_open("pid");
    struct error err;
    struct store *store;
    int to_child[2], status;
    char byte;
    cr_assert(pipe(to_child) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWPID) != 0)
            _exit(77);
        pid_t inner = fork(); /* the first process of the new namespace */
        if (inner == 0) {
            unshare(CLONE_NEWNS);
            if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
                mount("proc", "/proc", "proc", 0, NULL) != 0)
                _exit(77);
            if (read(to_child[0], &byte, 1) != 1 ||
                store_open_reader(fixture.path, &store, &err) != STATUS_INVALID ||
                !strstr(err.text, "PID namespace"))
                _exit(1);
            _exit(0);
        }
        waitpid(inner, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    store = fixture_writer(&fixture);
    cr_assert(write(to_child[1], "w", 1) == 1);
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    store_close(store);
    fixture_close(&fixture);
    if (WEXITSTATUS(status) == 77)
        cr_skip("namespaces need root");
    cr_assert(WEXITSTATUS(status) == 0, "%d", WEXITSTATUS(status));
}
