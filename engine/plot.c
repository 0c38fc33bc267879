/* Runs gnuplot; see plot.h. */
#include "engine/plot.h"

#include "engine/base/arena.h"
#include "engine/base/clock.h"
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLOT_TIME_MAX_MS = 60000, POLL_MS = 20 };

extern char **environ;

/* Starts gnuplot with its output in the file log; -1 and errno when it is not there. */
static pid_t gnuplot_start(const char *script, const char *log)
{
    char name[] = "gnuplot", file[PATH_MAX];
    char *argv[] = {name, file, NULL};
    snprintf(file, sizeof file, "%s", script);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid = -1;
    int code = posix_spawnp(&pid, name, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = code;
    return code == 0 ? pid : -1;
}

/* Waits for the child, ending it when it takes too long; its wait status, or -1. */
static int child_wait(pid_t pid)
{
    int64_t deadline = clock_ms() + PLOT_TIME_MAX_MS;
    int status;
    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        if (got < 0 && errno != EINTR)
            return -1;
        if (clock_ms() > deadline) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        usleep(POLL_MS * 1000);
    }
}

enum status plot_make(const char *folder, const char *name, const char *script, struct error *err)
{
    char path[PATH_MAX], log[PATH_MAX];
    struct arena arena;
    enum status status = file_make_dirs(folder, err);
    if (status != STATUS_OK)
        return status;
    if (snprintf(path, sizeof path, "%s/%s.gnuplot", folder, name) >= (int)sizeof path ||
        snprintf(log, sizeof log, "%s/%s.log", folder, name) >= (int)sizeof log)
        return error_set(err, STATUS_LIMIT, "%s: path too long", folder);
    arena_open(&arena, 0);
    char *text = arena_printf(&arena,
                              "# Run again with: gnuplot %s\n"
                              "set terminal pngcairo size 1000,700 font 'DejaVu Sans,11'\n"
                              "set output '%s/%s.png'\n"
                              "set datafile separator tab\n"
                              "set grid lc rgb '#dddddd'\n%s",
                              path, folder, name, script);
    status = file_write_atomic(path, span_of(text), err);
    arena_close(&arena);
    if (status != STATUS_OK)
        return status;
    pid_t pid = gnuplot_start(path, log);
    if (pid < 0)
        return error_set(err, errno == ENOENT ? STATUS_MISS : STATUS_IO,
                         "gnuplot: %s (no pictures; Debian package gnuplot-nox)", strerror(errno));
    int code = child_wait(pid);
    if (code == 0) {
        unlink(log);
        return STATUS_OK;
    }
    return error_set(err, STATUS_IO, "gnuplot could not draw %s; its words are in %s", path, log);
}

enum status plot_steps(const char *run_dir, const char *sink, struct error *err)
{
    char folder[PATH_MAX], script[2 * PATH_MAX + 1024];
    snprintf(folder, sizeof folder, "%s/plots", run_dir);
    /* Columns 1 to 6 are the engine's own; what the stage reports follows. Each reported number has
     * an axis range of its own, so each gets a panel. */
    snprintf(script, sizeof script,
             "table = '%s/%s.tsv'\n"
             "columns = int(system(\"head -n 1 '\".table.\"' | tr '\\t' '\\n' | wc -l\"))\n"
             "name(n) = system(sprintf(\"head -n 1 '%%s' | cut -f %%d\", table, n))\n"
             "reported = columns - 6\n"
             "set multiplot layout (reported + 2) / 2,2 title '%s: by step' noenhanced\n"
             "unset key\nset xlabel 'step'\n"
             "do for [n = 7:columns] {\n"
             "    set title name(n) noenhanced\n"
             "    plot table using 1:n skip 1 with lines lc rgb '#1f5fa8'\n"
             "}\n"
             "set title 'seconds waited (red) and computed (blue)'\nset logscale y\n"
             "plot table using 1:($5 < 1e-6 ? 1e-6 : $5) skip 1 with lines lc rgb '#b03030', "
             "'' using 1:6 skip 1 with lines lc rgb '#1f5fa8'\n"
             "unset multiplot\n",
             run_dir, sink, sink);
    return plot_make(folder, sink, script, err);
}

enum status plot_utilisation(const char *run_dir, const char *sink, struct error *err)
{
    char folder[PATH_MAX], script[PATH_MAX + 1024];
    snprintf(folder, sizeof folder, "%s/plots", run_dir);
    snprintf(
        script, sizeof script,
        "set title 'utilisation over the run'\nset xlabel 'seconds'\n"
        "set ylabel 'percent'\nset yrange [0:105]\nset key bottom right noenhanced\n"
        "plot '%s/metrics.tsv' using 1:(column('%s.busy') > 1 ? 100 : 100 * column('%s.busy')) "
        "with lines lw 2 "
        "lc rgb '#1f5fa8' title '%s computes', "
        "'' using 1:(100 * column('cpu')) with lines lw 2 lc rgb '#c07020' title 'CPUs busy'\n",
        run_dir, sink, sink, sink);
    return plot_make(folder, "utilisation", script, err);
}
