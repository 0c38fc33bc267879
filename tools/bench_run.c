/* Runs for benches; see bench_run.h. */
#include "tools/bench_run.h"

#include "engine/base/arena.h"
#include "engine/base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static char folder[] = "/tmp/foldmill-bench-XXXXXX", probe[PATH_MAX];

void bench_fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void remove_folder(const char *path)
{
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf %s", path);
    if (system(command) != 0)
        bench_fail(command);
}

void bench_begin(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    snprintf(probe, sizeof probe, "%.*s/../tests/foldmill_probe", slash ? (int)(slash - argv0) : 1,
             slash ? argv0 : ".");
    if (!mkdtemp(folder))
        bench_fail("no folder");
}

const char *bench_folder(void)
{
    return folder;
}

void bench_end(void)
{
    remove_folder(folder);
}

void bench_graph(const char *name, const char *const parts[])
{
    char path[PATH_MAX], text[4096];
    size_t size = 0;
    struct error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (int i = 0; parts[i]; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s", parts[i]);
    if (file_write_atomic(path, (struct span){text, size}, &err) != STATUS_OK)
        bench_fail(err.text);
}

pid_t bench_start(const char *graph, const char *run, const char *const args[])
{
    static char graph_path[PATH_MAX], run_path[PATH_MAX];
    const char *list[BENCH_ARGS_MAX + 1] = {probe, "run", "--quiet"};
    int count = 3;
    if (graph) {
        snprintf(graph_path, sizeof graph_path, "%s/%s", folder, graph);
        snprintf(run_path, sizeof run_path, "%s/%s", folder, run);
        remove_folder(run_path);
        list[count++] = graph_path;
        list[count++] = "--run";
        list[count++] = run_path;
    }
    for (int i = 0; args[i] && count < BENCH_ARGS_MAX; i++)
        list[count++] = args[i];
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char *copy[BENCH_ARGS_MAX + 1] = {NULL};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < count; i++)
            copy[i] = strdup(list[i]);
        execv(probe, copy);
        _exit(127);
    }
    return pid;
}

void bench_wait(pid_t pid)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        bench_fail("a run failed");
}

double bench_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}
