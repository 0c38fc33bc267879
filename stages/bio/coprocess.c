/* Frames to and from a program; see coprocess.h. Both directions are polled together, so a program
 * that writes before it has read cannot lock us up. */
#include "stages/bio/coprocess.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXEC_FAILED = 127, TICK_MS = 100 };

/* In the child: only calls that are safe behind fork. */
__attribute__((noreturn)) static void child(const char *const *argv, int in, int out, int failed,
                                            uint64_t memory_bytes, pid_t parent)
{
    static char path[] = "PATH=/usr/bin:/bin", language[] = "LC_ALL=C.UTF-8";
    static char *const environment[] = {path, language, NULL};
    struct rlimit core = {0, 0}, memory = {memory_bytes, memory_bytes};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &core);
    if (memory_bytes)
        setrlimit(RLIMIT_AS, &memory);
    bool ready = getppid() == parent && dup2(in, 0) == 0 && dup2(out, 1) == 1;
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (ready) {
        char *const *arguments;
        memcpy(&arguments, &argv, sizeof arguments); /* exec does not change them */
        execve(argv[0], arguments, environment);
    }
    int why = errno;
    if (write(failed, &why, sizeof why) != sizeof why)
        _exit(EXEC_FAILED);
    _exit(EXEC_FAILED);
}

static void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

enum status coprocess_open(struct coprocess *coprocess, const char *const *argv,
                           uint64_t memory_bytes, struct error *err)
{
    int fds[6] = {-1, -1, -1, -1, -1, -1}; /* its input, its output, and what exec says */
    int why = 0;
    signal(SIGPIPE, SIG_IGN); /* a program that is gone is told by write, here and for good */
    *coprocess = (struct coprocess){0, -1, -1};
    for (int i = 0; i < 6; i += 2)
        if (pipe2(fds + i, O_CLOEXEC) != 0) {
            close_all(fds, 6);
            return error_set(err, STATUS_IO, "%s: pipes: %s", argv[0], strerror(errno));
        }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        child(argv, fds[0], fds[3], fds[5], memory_bytes, parent);
    close_all((int[]){fds[0], fds[3], fds[5]}, 3);
    if (pid > 0)
        setpgid(pid, pid);
    if (pid > 0 && read(fds[4], &why, sizeof why) != sizeof why)
        why = 0;
    close(fds[4]);
    if (pid < 0 || why) {
        close_all((int[]){fds[1], fds[2]}, 2);
        if (pid > 0)
            waitpid(pid, NULL, 0);
        int reason = pid < 0 ? errno : why;
        return error_set(err, reason == ENOENT || reason == EACCES ? STATUS_MISS : STATUS_IO,
                         "%s: %s", argv[0], strerror(reason));
    }
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    fcntl(fds[2], F_SETFL, O_NONBLOCK);
    *coprocess = (struct coprocess){pid, fds[1], fds[2]};
    return STATUS_OK;
}

/* How it ended, in words. */
static void finish(struct coprocess *coprocess, bool waited, int how, struct error *err)
{
    if (!waited) {
        kill(-coprocess->pid, SIGKILL);
        waitpid(coprocess->pid, &how, 0);
    }
    kill(-coprocess->pid, SIGKILL); /* what it left behind */
    close_all((int[]){coprocess->to, coprocess->from}, 2);
    *coprocess = (struct coprocess){0, -1, -1};
    if (!err || !waited)
        return;
    if (WIFSIGNALED(how))
        error_prefix(err, "signal %d", WTERMSIG(how));
    else
        error_prefix(err, "exit code %d", WEXITSTATUS(how));
}

/* The program is gone, or has closed its output: waits a moment to say how it ended. */
static void how_it_ended(struct coprocess *coprocess, struct error *err)
{
    int how = 0;
    bool waited = false;
    for (int64_t end = clock_ms() + 1000; !waited && clock_ms() < end;) {
        waited = waitpid(coprocess->pid, &how, WNOHANG) == coprocess->pid;
        if (!waited)
            usleep(2000);
    }
    finish(coprocess, waited, how, err);
}

/* One direction of an exchange. */
struct stream {
    char *data;
    size_t size, done;
};

static uint64_t get_size(const char *head)
{
    uint64_t size = 0;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | (unsigned char)head[FRAME_TAG + i];
    return size;
}

/* Moves what can be moved; false: the other end is closed. */
static bool move(int fd, struct stream *stream, bool writing)
{
    size_t left = stream->size - stream->done;
    ssize_t moved = writing ? write(fd, stream->data + stream->done, left)
                            : read(fd, stream->data + stream->done, left);
    if (moved > 0)
        stream->done += (size_t)moved;
    return moved > 0 || (moved < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The frame's head is there: makes room for its content. */
static enum status head_done(struct stream *in, size_t content_max, struct arena *arena,
                             struct frame *answer, struct error *err)
{
    uint64_t size = get_size(in->data);
    for (int i = 0; i < FRAME_TAG; i++)
        if (in->data[i] < 'A' || in->data[i] > 'Z')
            return error_set(err, STATUS_INVALID,
                             "the program wrote something that is no frame: "
                             "it must write nothing else on standard output");
    if (size > content_max)
        return error_set(err, STATUS_LIMIT, "the program's answer has %llu bytes, %zu are the most",
                         (unsigned long long)size, content_max);
    memcpy(answer->tag, in->data, FRAME_TAG);
    answer->tag[FRAME_TAG] = 0;
    char *content = arena_try(arena, (size_t)size + 1, 1);
    if (!content)
        return error_set(err, STATUS_LIMIT, "no memory for an answer of %llu bytes",
                         (unsigned long long)size);
    content[size] = 0;
    answer->content = (struct span){content, (size_t)size};
    *in = (struct stream){content, (size_t)size, 0};
    return STATUS_OK;
}

enum status frame_exchange(int to, int from, const struct frame *question, int64_t time_ms,
                           size_t content_max, struct arena *arena, struct frame *answer,
                           struct error *err)
{
    char head[FRAME_HEAD];
    struct stream in = {head, FRAME_HEAD, 0};
    struct stream out = {arena_alloc(arena, FRAME_HEAD + question->content.size),
                         FRAME_HEAD + question->content.size, 0};
    memcpy(out.data, question->tag, FRAME_TAG);
    for (int i = 0; i < 8; i++)
        out.data[FRAME_TAG + i] = (char)(question->content.size >> 8 * i);
    if (question->content.size)
        memcpy(out.data + FRAME_HEAD, question->content.data, question->content.size);
    bool headed = false;
    int64_t end = clock_ms() + time_ms;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !(headed && in.done == in.size && out.done == out.size)) {
        bool writing = out.done < out.size, reading = !headed || in.done < in.size;
        struct pollfd wait[2] = {{reading ? from : -1, POLLIN, 0}, {writing ? to : -1, POLLOUT, 0}};
        int ready = poll(wait, 2, TICK_MS);
        if (time_ms && clock_ms() >= end)
            return error_set(err, STATUS_LIMIT, "the program took more than %.1f s",
                             (double)time_ms * 1e-3);
        if (ready <= 0)
            continue;
        if ((wait[1].revents && !move(to, &out, true)) ||
            (wait[0].revents && !move(from, &in, false)))
            return error_set(err, STATUS_IO,
                             "the program ended without an answer; its last words "
                             "stand in the log");
        if (!headed && in.done == FRAME_HEAD) {
            headed = true;
            status = head_done(&in, content_max, arena, answer, err);
        }
    }
    return status;
}

enum status coprocess_ask(struct coprocess *coprocess, const struct frame *question,
                          int64_t time_ms, size_t content_max, struct arena *arena,
                          struct frame *answer, struct error *err)
{
    enum status status = frame_exchange(coprocess->to, coprocess->from, question, time_ms,
                                        content_max, arena, answer, err);
    if (status == STATUS_IO)
        how_it_ended(coprocess, err);
    else if (status != STATUS_OK)
        finish(coprocess, false, 0, NULL);
    return status;
}

void coprocess_close(struct coprocess *coprocess, int64_t grace_ms)
{
    int how;
    bool waited = false;
    if (coprocess->pid == 0)
        return;
    close(coprocess->to);
    coprocess->to = -1;
    for (int64_t end = clock_ms() + grace_ms; !waited && clock_ms() < end;) {
        waited = waitpid(coprocess->pid, &how, WNOHANG) == coprocess->pid;
        if (!waited)
            usleep(2000);
    }
    finish(coprocess, waited, 0, NULL);
}
