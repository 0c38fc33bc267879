/* Programs of others; see program.h. Input, output and errors are memory files: there is no pipe
 * that could fill up, so one wait is enough. */
#include "stages/bio/program.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST_WORDS = 300, STEP_MS = 50, EXEC_FAILED = 127 };

struct files {
    int in, out, errors;
    int failed[2]; /* a pipe that closes at exec, or brings errno */
};

static void files_close(struct files *files)
{
    const int all[] = {files->in, files->out, files->errors, files->failed[0], files->failed[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] >= 0)
            close(all[i]);
}

static enum status files_open(struct files *files, struct span input, struct error *err)
{
    *files = (struct files){memfd_create("in", MFD_CLOEXEC), memfd_create("out", MFD_CLOEXEC),
                            memfd_create("errors", MFD_CLOEXEC), {-1, -1}};
    bool good = files->in >= 0 && files->out >= 0 && files->errors >= 0 &&
                pipe2(files->failed, O_CLOEXEC) == 0;
    for (size_t at = 0; good && at < input.size;) {
        ssize_t wrote = write(files->in, input.data + at, input.size - at);
        good = wrote > 0;
        at += good ? (size_t)wrote : 0;
    }
    good = good && lseek(files->in, 0, SEEK_SET) == 0;
    return good ? STATUS_OK : error_set(err, STATUS_IO, "memory files: %s", strerror(errno));
}

static void limit(int resource, uint64_t value)
{
    struct rlimit both = {value, value};
    setrlimit((__rlimit_resource_t)resource, &both);
}

/* In the child: only calls that are safe behind fork. */
__attribute__((noreturn)) static void child(const char *const *argv, const struct files *files,
                                            const struct program_limits *limits, pid_t parent)
{
    static char path[] = "PATH=/usr/bin:/bin", language[] = "LC_ALL=C";
    static char *const environment[] = {path, language, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    limit(RLIMIT_CORE, 0);
    if (limits->memory_bytes)
        limit(RLIMIT_AS, limits->memory_bytes);
    limit(RLIMIT_FSIZE, limits->output_bytes + 1);
    signal(SIGXFSZ, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    bool ready = getppid() == parent && dup2(files->in, 0) == 0 && dup2(files->out, 1) == 1 &&
                 dup2(files->errors, 2) == 2;
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (ready) {
        char *const *arguments;
        memcpy(&arguments, &argv, sizeof arguments); /* exec does not change them */
        execve(argv[0], arguments, environment);
    }
    int why = errno;
    if (write(files->failed[1], &why, sizeof why) != sizeof why)
        _exit(EXEC_FAILED);
    _exit(EXEC_FAILED);
}

/* Waits for the end; false: the time is over, and all of its group are dead. */
static bool wait_for(pid_t pid, int64_t time_ms, int *how)
{
    int64_t end = clock_ms() + time_ms;
    int watch = (int)syscall(SYS_pidfd_open, pid, 0);
    bool ended = false;
    while (!ended && !(time_ms && clock_ms() >= end)) {
        struct pollfd ready = {watch, POLLIN, 0};
        int64_t left = time_ms ? end - clock_ms() : STEP_MS;
        poll(&ready, watch >= 0, (int)(left < STEP_MS ? (left > 0 ? left : 0) : STEP_MS));
        ended = waitpid(pid, how, WNOHANG) == pid;
    }
    if (watch >= 0)
        close(watch);
    kill(-pid, SIGKILL); /* what it left behind, too */
    if (!ended)
        waitpid(pid, how, 0);
    return ended;
}

/* The last words on standard error, on one line. */
static const char *last_words(const struct files *files, char words[LAST_WORDS])
{
    off_t size = lseek(files->errors, 0, SEEK_END);
    off_t from = size > LAST_WORDS - 1 ? size - (LAST_WORDS - 1) : 0;
    ssize_t got = pread(files->errors, words, LAST_WORDS - 1, from);
    words[got > 0 ? got : 0] = 0;
    for (char *c = words; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return *words ? words : "(it said nothing)";
}

static enum status take_output(const struct files *files, const char *name,
                               const struct program_limits *limits, struct arena *arena,
                               struct span *output, struct error *err)
{
    struct stat info;
    if (fstat(files->out, &info) != 0)
        return error_set(err, STATUS_IO, "%s: its output: %s", name, strerror(errno));
    size_t size = (size_t)info.st_size;
    char *text = size > limits->output_bytes ? NULL : arena_try(arena, size + 1, 1);
    if (!text)
        return error_set(err, STATUS_LIMIT, "%s: it wrote over %zu bytes", name,
                         limits->output_bytes);
    for (size_t at = 0; at < size;) {
        ssize_t got = pread(files->out, text + at, size - at, (off_t)at);
        if (got <= 0)
            return error_set(err, STATUS_IO, "%s: its output: %s", name, strerror(errno));
        at += (size_t)got;
    }
    text[size] = 0;
    *output = (struct span){text, size};
    return STATUS_OK;
}

enum status program_run(const char *const *argv, struct span input,
                        const struct program_limits *limits, struct arena *arena,
                        struct span *output, struct error *err)
{
    struct files files;
    char words[LAST_WORDS];
    int why = 0, how = 0;
    enum status status = files_open(&files, input, err);
    if (status != STATUS_OK) {
        files_close(&files);
        return status;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        child(argv, &files, limits, parent);
    if (pid < 0) {
        status = error_set(err, STATUS_IO, "%s: fork: %s", argv[0], strerror(errno));
        files_close(&files);
        return status;
    }
    setpgid(pid, pid);
    close(files.failed[1]);
    files.failed[1] = -1;
    if (read(files.failed[0], &why, sizeof why) != sizeof why)
        why = 0;
    bool ended = wait_for(pid, limits->time_ms, &how);
    if (why)
        status = error_set(err, why == ENOENT || why == EACCES ? STATUS_MISS : STATUS_IO, "%s: %s",
                           argv[0], strerror(why));
    else if (!ended)
        status = error_set(err, STATUS_LIMIT, "%s took more than %.1f s", argv[0],
                           (double)limits->time_ms * 1e-3);
    else if (WIFSIGNALED(how) && WTERMSIG(how) == SIGXFSZ)
        status = error_set(err, STATUS_LIMIT, "%s wrote over %zu bytes", argv[0],
                           limits->output_bytes);
    else if (WIFSIGNALED(how))
        status = error_set(err, STATUS_REFUSED, "%s was ended by signal %d: %s", argv[0],
                           WTERMSIG(how), last_words(&files, words));
    else if (WEXITSTATUS(how) != 0)
        status = error_set(err, STATUS_REFUSED, "%s ended with exit code %d: %s", argv[0],
                           WEXITSTATUS(how), last_words(&files, words));
    else
        status = take_output(&files, argv[0], limits, arena, output, err);
    files_close(&files);
    return status;
}
