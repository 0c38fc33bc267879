/* Starting processes; see spawn.h. */
#include "engine/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOVED_FD_MIN = 32 }; /* descriptors are moved above this before they get their numbers */

extern char **environ;

/* Closes everything but those: so that there is room for their copies, however few descriptors the
 * agent had left. */
static void close_others(const int source[CHILD_FD_END])
{
    int next = 0;
    for (;;) {
        int kept = -1; /* the lowest from next on */
        for (int i = 0; i < CHILD_FD_END; i++)
            if (source[i] >= next && (kept < 0 || source[i] < kept))
                kept = source[i];
        if (kept != next)
            close_range((unsigned)next, kept < 0 ? ~0U : (unsigned)kept - 1, 0);
        if (kept < 0)
            return;
        next = kept + 1;
    }
}

/* In the child, between fork and exec: only calls that are safe there. */
__attribute__((noreturn)) static void become(const char *program, char **argv, pid_t parent,
                                             const int source[CHILD_FD_END])
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); /* the agent died before the line above */
    int from[CHILD_FD_END];
    close_others(source);
    for (int i = 0; i < CHILD_FD_END; i++)
        from[i] = source[i] >= 0 ? fcntl(source[i], F_DUPFD, MOVED_FD_MIN) : -1;
    for (int i = 0; i < CHILD_FD_END; i++)
        if (from[i] >= 0)
            dup2(from[i], i);
        else
            close(i);
    close_range(CHILD_FD_END, ~0U, 0);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    execve(program ? program : "/proc/self/exe", argv, environ);
    _exit(127);
}

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
        pair[i] = -1;
    }
}

enum status spawn(const char *program, char **argv, int page, struct shm_fds pool,
                  struct spawned *spawned, struct error *err)
{
    int pair[2] = {-1, -1}, output[2] = {-1, -1};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool ready = null >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 &&
                 pipe2(output, O_CLOEXEC | O_NONBLOCK) == 0;
    pid_t parent = getpid(), pid = ready ? fork() : -1;
    if (pid == 0) {
        const int source[CHILD_FD_END] = {null, output[1], output[1],   pair[1],
                                          page, pool.pool, pool.returns};
        become(program, argv, parent, source);
    }
    int code = errno;
    if (null >= 0)
        close(null);
    if (pid < 0) {
        close_pair(pair);
        close_pair(output);
        return error_set(err, STATUS_IO, "cannot start a process: %s", strerror(code));
    }
    close(pair[1]);
    close(output[1]);
    *spawned = (struct spawned){pid, pair[0], output[0]};
    return STATUS_OK;
}

void file_limit_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

const char *host_name(void)
{
    static char name[64];
    if (!*name && gethostname(name, sizeof name - 1))
        snprintf(name, sizeof name, "this host");
    return name;
}

uint64_t kernel_oom_kills(void)
{
    FILE *file = fopen("/proc/vmstat", "re");
    unsigned long long count = 0;
    char line[128];
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "oom_kill %llu", &count) == 1)
            break;
    if (file)
        fclose(file);
    return count;
}

/* What stands behind the name in /proc/PID/stat; NULL when the process is no more. */
static const char *read_stat(pid_t pid, char text[512])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, 511);
    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return NULL;
    text[got] = '\0';
    const char *end = strrchr(text, ')');
    return end && end[1] ? end + 2 : NULL;
}

bool process_is_stopped(pid_t pid)
{
    char text[512];
    const char *stat = read_stat(pid, text);
    return !stat || *stat == 'T' || *stat == 't';
}

int64_t process_cpu_ns(pid_t pid)
{
    char text[512];
    const char *stat = read_stat(pid, text);
    unsigned long long user, system;
    if (!stat ||
        sscanf(stat, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return (int64_t)(user + system) * (1000000000 / sysconf(_SC_CLK_TCK));
}

uint64_t process_memory(pid_t pid)
{
    char path[64];
    unsigned long long resident = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*u %llu %llu", &resident, &shared) != 2)
        resident = shared = 0;
    if (file)
        fclose(file);
    return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
