/* The asking end of the control socket: finds a run's engine and speaks with it; see control.h. */
#include "engine/control.h"

#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOCK_BYTES_MAX = 2 * PATH_MAX, READ_BYTES = 65536 };

/* The run in runs/ whose lock was written last. */
static bool find_newest(char path[PATH_MAX])
{
    DIR *folder = opendir("runs");
    struct dirent *entry;
    struct timespec newest = {0};
    bool found = false;
    while (folder && (entry = readdir(folder))) {
        char lock[PATH_MAX], graph[PATH_MAX];
        struct stat stat_of;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(lock, sizeof lock, "runs/%s/lock", entry->d_name);
        snprintf(graph, sizeof graph, "runs/%s/graph.yaml", entry->d_name);
        if (access(graph, F_OK) || stat(lock, &stat_of))
            continue;
        struct timespec at = stat_of.st_mtim;
        if (found && (at.tv_sec < newest.tv_sec ||
                      (at.tv_sec == newest.tv_sec && at.tv_nsec < newest.tv_nsec)))
            continue;
        newest = at;
        found = true;
        snprintf(path, PATH_MAX, "runs/%s", entry->d_name);
    }
    if (folder)
        closedir(folder);
    return found;
}

enum status control_find_run(const char *given, char path[PATH_MAX], struct error *err)
{
    char name[PATH_MAX], file[PATH_MAX + 16];
    if (given)
        snprintf(name, sizeof name, "%s", given);
    else if (!find_newest(name))
        return error_set(err, STATUS_MISS, "there is no run in the folder runs; name its folder");
    if (!realpath(name, path))
        return error_set(err, STATUS_INVALID, "%s: %s", name, strerror(errno));
    snprintf(file, sizeof file, "%s/graph.yaml", path);
    if (access(file, F_OK))
        return error_set(err, STATUS_INVALID, "%s is not the folder of a run: it has no graph.yaml",
                         name);
    return STATUS_OK;
}

/* Where the engine that took the run's lock last listens, and on which host. */
static enum status read_lock(const char *run_path, struct arena *arena, struct span *sockets,
                             struct span *host)
{
    char path[PATH_MAX];
    struct span text, pid;
    if (file_read(rundir_file(run_path, "lock", path), LOCK_BYTES_MAX, arena, &text, NULL) !=
            STATUS_OK ||
        !span_line(&text, &pid) || !span_line(&text, sockets) || !span_line(&text, host))
        return STATUS_MISS;
    return STATUS_OK;
}

static enum status nobody(const char *run_path, struct span host, struct error *err)
{
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    if (host.size && !span_is(host, name))
        return error_set(err, STATUS_MISS,
                         "no engine runs in %s on this host; it was last started on %.*s", run_path,
                         (int)(host.size < 200 ? host.size : 200), host.data);
    return error_set(err, STATUS_MISS, "no engine runs in %s", run_path);
}

static enum status connect_to(const char *run_path, struct arena *arena, int *fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct span sockets = {"", 0}, host = {"", 0};
    if (read_lock(run_path, arena, &sockets, &host) != STATUS_OK || sockets.size == 0)
        return nobody(run_path, host, err);
    int size = snprintf(address.sun_path, sizeof address.sun_path, "%.*s/control",
                        (int)sockets.size, sockets.data);
    if (size < 0 || (size_t)size >= sizeof address.sun_path)
        return nobody(run_path, host, err);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return error_set(err, STATUS_IO, "no socket: %s", strerror(errno));
    /* A full backlog makes this wait: not for ever. */
    struct timeval limit = {.tv_sec = CONTROL_ASK_MS / 1000};
    setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(*fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return STATUS_OK;
    int why = errno;
    close(*fd);
    if (why == ENOENT || why == ECONNREFUSED)
        return nobody(run_path, host, err);
    return error_set(err, why == EAGAIN ? STATUS_BUSY : STATUS_IO,
                     "cannot speak with the engine of %s: %s", run_path, strerror(why));
}

/* Everything up to the end of the connection. */
static enum status read_answer(int fd, struct arena *arena, struct span *answer, struct error *err)
{
    char *text = NULL, buffer[READ_BYTES];
    size_t size = 0;
    enum status status = STATUS_OK;
    FILE *memory = open_memstream(&text, &size);
    ASSERT(memory);
    for (size_t all = 0; status == STATUS_OK;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got == 0)
            break;
        if (got < 0)
            status = error_set(err, STATUS_BUSY, "the engine does not answer: %s",
                               errno == EAGAIN ? "it is busy, or stopped" : strerror(errno));
        else if ((all += (size_t)got) > CONTROL_ANSWER_MAX + 64)
            status =
                error_set(err, STATUS_LIMIT, "an answer of more than %d bytes", CONTROL_ANSWER_MAX);
        else
            fwrite(buffer, 1, (size_t)got, memory);
    }
    fclose(memory);
    if (status == STATUS_OK)
        *answer = (struct span){arena_text(arena, text, size), size};
    free(text);
    return status;
}

enum status control_ask(const char *run_path, const char *const *words, int count,
                        struct arena *arena, struct span *answer, struct error *err)
{
    char request[CONTROL_REQUEST_MAX + 1];
    size_t used = 0;
    int fd = -1;
    for (int i = 0; i < count; i++) {
        if (words[i][strcspn(words[i], "\t\n")])
            return error_set(err, STATUS_INVALID, "'%s' holds a tab or a line end", words[i]);
        used += (size_t)snprintf(request + used, sizeof request - used, "%s%s", i ? "\t" : "",
                                 words[i]);
        if (used >= CONTROL_REQUEST_MAX)
            return error_set(err, STATUS_LIMIT, "a request of more than %d bytes",
                             CONTROL_REQUEST_MAX);
    }
    request[used++] = '\n';
    enum status status = connect_to(run_path, arena, &fd, err);
    if (status != STATUS_OK)
        return status;
    if (send(fd, request, used, MSG_NOSIGNAL) != (ssize_t)used && errno != EPIPE)
        status = error_set(err, STATUS_BUSY, "the engine does not listen: %s", strerror(errno));
    else
        status = read_answer(fd, arena, answer, err);
    close(fd);
    struct span line;
    int64_t code = 0;
    if (status != STATUS_OK)
        return status;
    if (!span_line(answer, &line))
        return error_set(err, STATUS_BUSY, "the engine ended before it answered");
    if (span_is(line, "ok"))
        return STATUS_OK;
    if (!text_int(line, STATUS_OK + 1, STATUS_COUNT - 1, &code))
        return error_set(err, STATUS_INVALID, "an answer of another form");
    return error_set(err, (enum status)code, "%.*s", (int)(answer->size < 900 ? answer->size : 900),
                     answer->data);
}
