/* What the tests of whole runs share: they start foldmill_probe on a small graph, kill its
 * processes, and audit what it left. */
#ifndef FOLDMILL_TEST_PROCESS_H
#define FOLDMILL_TEST_PROCESS_H

#include "engine/base/arena.h"
#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/rng.h"
#include "engine/base/text.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char process_folder[64];

/* FOLDMILL_FULL=1: the long versions. */
static inline bool process_full(void)
{
    const char *full = getenv("FOLDMILL_FULL");
    return full && strcmp(full, "1") == 0;
}

static inline void process_begin(void)
{
    strcpy(process_folder, "/tmp/foldmill-process-XXXXXX");
    cr_assert(mkdtemp(process_folder), "no folder");
}

static inline void process_end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", process_folder);
    cr_assert(system(command) == 0, "cleaning up");
}

/* FOLDER/name; four results are good at a time. */
static inline const char *process_path(const char *name)
{
    static char paths[4][PATH_MAX];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", process_folder, name);
    return path;
}

static inline void process_graph(const char *name, const char *text)
{
    struct error err;
    cr_assert(file_write_atomic(process_path(name), span_of(text), &err) == STATUS_OK, "%s",
              err.text);
}

/* Starts the probe with these arguments (ended by NULL); output goes to FOLDER/out. */
static inline pid_t process_start(const char *const *args)
{
    pid_t pid = fork();
    cr_assert(pid >= 0, "fork");
    if (pid == 0) {
        int out = open(process_path("out"), O_WRONLY | O_CREAT | O_APPEND, 0666);
        dup2(out, 1);
        dup2(out, 2);
        char *argv[32] = {NULL};
        int count = 0;
        argv[count++] = strdup(FOLDMILL_PROBE);
        while (args[count - 1] && count < 31) {
            argv[count] = strdup(args[count - 1]);
            count++;
        }
        execv(FOLDMILL_PROBE, argv);
        _exit(127);
    }
    return pid;
}

/* The file's text; lives until the test ends. */
static inline struct span process_read(const char *name)
{
    static struct arena arena;
    struct span content = {"", 0};
    struct error err;
    if (access(process_path(name), F_OK) == 0)
        cr_assert(file_read(process_path(name), (size_t)1 << 30, &arena, &content, &err) ==
                      STATUS_OK,
                  "%s", err.text);
    return content;
}

/* Waits for the end; the exit code, or -signal. Kills it when it takes too long. */
static inline int process_wait(pid_t pid, int limit_s)
{
    int status;
    for (int64_t end = clock_ms() + limit_s * INT64_C(1000); clock_ms() < end; usleep(5000))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    struct span out = process_read("out");
    size_t from = out.size > 2000 ? out.size - 2000 : 0;
    cr_assert(false, "it did not end within %d s; its last words: %s", limit_s, out.data + from);
    return -1;
}

static inline int process_run(const char *const *args, int limit_s)
{
    return process_wait(process_start(args), limit_s);
}

/* Children of pid whose command line holds the text; returns how many. */
static inline int process_children(pid_t pid, const char *text, pid_t *found, int max)
{
    char path[64], line[4096];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "re");
    int child;
    while (file && count < max && fscanf(file, "%d", &child) == 1) {
        snprintf(path, sizeof path, "/proc/%d/cmdline", child);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
        if (fd >= 0)
            close(fd);
        if (size <= 0)
            continue;
        line[size] = 0;
        for (ssize_t i = 0; i < size; i++)
            if (line[i] == 0)
                line[i] = ' ';
        if (strstr(line, text))
            found[count++] = child;
    }
    if (file)
        fclose(file);
    return count;
}

/* Kills a random child that matches one of the texts every min..max ms until the run ends; *kills
 * counts. Returns the exit code. */
static inline int process_torment(pid_t pid, const char *const *texts, int min_ms, int max_ms,
                                  uint64_t seed, int limit_s, int *kills)
{
    struct rng rng = rng_open(seed, 0, 0, "killer", 0);
    int status, kinds = 0;
    while (texts[kinds])
        kinds++;
    *kills = 0;
    for (int64_t end = clock_ms() + limit_s * INT64_C(1000); clock_ms() < end;) {
        usleep((useconds_t)(min_ms + (int)rng_below(&rng, (uint32_t)(max_ms - min_ms))) * 1000);
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        pid_t found[64];
        int count = process_children(pid, texts[rng_below(&rng, (uint32_t)kinds)], found, 64);
        if (count && kill(found[rng_below(&rng, (uint32_t)count)], SIGKILL) == 0)
            ++*kills;
    }
    return process_wait(pid, 1);
}

/* Number of lines. */
static inline int process_lines(struct span text)
{
    struct span line;
    int count = 0;
    while (span_line(&text, &line))
        count++;
    return count;
}

/* The first three columns (step, epoch, digest) of a table of steps, one text; lives until the test
 * ends. */
static inline char *process_digests(const char *name)
{
    static struct arena arena;
    struct span table = process_read(name), line;
    char *text = arena_alloc(&arena, table.size + 1), *end = text;
    while (span_line(&table, &line)) {
        size_t size = 0;
        for (int tabs = 0; size < line.size && (line.data[size] != '\t' || ++tabs < 3); size++)
            ;
        memcpy(end, line.data, size);
        end += size;
        *end++ = '\n';
    }
    *end = 0;
    return text;
}

/* Of a table that the stage tally saves: every number of every epoch once, but those that may be
 * missing (taken % every == 3). */
static inline void process_audit_tally(const char *name, int count, int epochs,
                                       int poison_every)
{
    struct span table = process_read(name), line, word;
    struct arena arena;
    arena_open(&arena, 0);
    unsigned char *seen = arena_zero(&arena, (size_t)count * (size_t)epochs, 1);
    int64_t step, epoch, number, expected = 0;
    cr_assert(span_line(&table, &line), "%s is empty", name); /* position and journal */
    while (span_line(&table, &line)) {
        cr_assert(span_word(&line, &word) && text_int(word, 0, INT64_MAX, &step), "step");
        cr_assert(step == expected, "step %lld where %lld should be", (long long)step,
                  (long long)expected);
        expected++;
        cr_assert(span_word(&line, &word) && text_int(word, 0, epochs - 1, &epoch), "epoch");
        while (span_word(&line, &word)) {
            cr_assert(text_int(word, 0, count - 1, &number), "number");
            cr_assert(!seen[epoch * count + number]++, "%lld twice in epoch %lld",
                      (long long)number, (long long)epoch);
        }
    }
    for (int e = 0; e < epochs; e++)
        for (int i = 0; i < count; i++) {
            bool poison = poison_every && i % poison_every == 3;
            cr_assert(seen[e * count + i] == !poison, "%d in epoch %d: %s", i, e,
                      poison ? "poison was used" : "an innocent is missing");
        }
    arena_close(&arena);
}

#endif
