/* A run's directory: made, locked, and cleaned of what others left. */
#include "engine/rundir.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/foldmill-rundir-XXXXXX";

static void begin(void)
{
    cr_assert(mkdtemp(folder), "folder");
    unsetenv("XDG_RUNTIME_DIR");
    setenv("TMPDIR", folder, 1);
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "cleaning up");
}

Test(rundir, one_run_at_a_time)
{
    struct rundir a, b, c;
    struct error err;
    char path[128], other[128];
    begin();
    snprintf(path, sizeof path, "%s/run", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    cr_assert(rundir_open(&a, "g", path, &err) == STATUS_OK, "%s", err.text);
    cr_assert(a.fresh, "it was made now");
    struct stat stat_buffer;
    cr_assert(stat(a.sockets, &stat_buffer) == 0 && (stat_buffer.st_mode & 0777) == 0700,
              "private");
    cr_assert(rundir_open(&b, "g", path, &err) == STATUS_BUSY && strstr(err.text, "in use"), "%s",
              err.text);
    cr_assert(access(a.sockets, F_OK) == 0, "the loser leaves the winner's sockets alone");
    cr_assert(rundir_open(&c, "g", other, &err) == STATUS_OK, "another run: %s", err.text);
    cr_assert(access(a.sockets, F_OK) == 0, "and sweeps only what nobody holds");
    char sockets[PATH_MAX];
    snprintf(sockets, sizeof sockets, "%s", a.sockets);
    rundir_close(&a);
    rundir_close(&c);
    cr_assert(access(sockets, F_OK) != 0, "removed at the end");
    cr_assert(rundir_open(&a, "g", path, &err) == STATUS_OK && a.fresh, "free again: %s", err.text);
    rundir_close(&a);
    end();
}

Test(rundir, waits_for_the_last_child_of_a_killed_engine)
{
    struct rundir a;
    struct error err;
    char path[128], file[160];
    begin();
    snprintf(path, sizeof path, "%s/run", folder);
    cr_assert(rundir_open(&a, "g", path, &err) == STATUS_OK, "%s", err.text);
    rundir_close(&a);
    snprintf(file, sizeof file, "%s/lock", path);
    int lock = open(file, O_RDWR);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0, "the killed engine's");
    pid_t child = fork();
    if (child == 0) { /* it was forked and is not another program yet */
        usleep(200000);
        _exit(0);
    }
    close(lock);
    cr_assert(rundir_open(&a, "g", path, &err) == STATUS_OK, "%s", err.text);
    cr_assert(waitpid(child, NULL, 0) == child, "it ended");
    rundir_close(&a);
    end();
}

Test(rundir, what_killed_runs_left_is_removed)
{
    struct rundir a;
    struct error err;
    char user[128], left[160], socket[200], path[128];
    begin();
    snprintf(user, sizeof user, "%s/foldmill-%u", folder, (unsigned)geteuid());
    snprintf(left, sizeof left, "%s/0123456789abcdef", user);
    snprintf(socket, sizeof socket, "%s/dispatch", left);
    snprintf(path, sizeof path, "%s/run", folder);
    cr_assert(mkdir(user, 0700) == 0 && mkdir(left, 0700) == 0, "folders");
    close(open(socket, O_CREAT | O_WRONLY, 0600));
    cr_assert(rundir_open(&a, "g", path, &err) == STATUS_OK, "%s", err.text);
    cr_assert(access(left, F_OK) != 0, "swept");
    rundir_close(&a);
    chmod(user, 0755);
    cr_assert(rundir_open(&a, "g", path, &err) == STATUS_INVALID && strstr(err.text, "0700"),
              "a folder that others may read is refused: %s", err.text);
    end();
}

Test(rundir, names)
{
    struct rundir a;
    struct error err;
    begin();
    cr_assert(chdir(folder) == 0, "there");
    cr_assert(rundir_open(&a, "demo", NULL, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strstr(a.path, "/runs/demo-2"), "%s", a.path);
    rundir_close(&a);
    cr_assert(rundir_open(&a, "demo", "/proc/none", &err) != STATUS_OK, "cannot be made");
    end();
}
