/* The child's side of supervision; see lifeline.h. */
#include "engine/lifeline.h"

#include "engine/sample.h"
#include "engine/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_MS = 2000 }; /* the agent answers at once unless it was stopped */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

enum status lifeline_open(struct lifeline *lifeline, uint64_t inc, struct error *err)
{
    *lifeline = (struct lifeline){.socket = CHILD_FD_AGENT, .inc = inc};
    struct stat stat;
    if (fstat(CHILD_FD_AGENT, &stat) || !S_ISSOCK(stat.st_mode) || !is_open(CHILD_FD_PAGE))
        return error_set(err, STATUS_INVALID,
                         "this command is for the engine's own use: start \"foldmill run GRAPH\"");
    for (int fd = CHILD_FD_AGENT; fd < CHILD_FD_END; fd++)
        if (is_open(fd))
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    enum status status = page_map(CHILD_FD_PAGE, &lifeline->page, err);
    if (status != STATUS_OK || !is_open(CHILD_FD_POOL))
        return status;
    return shm_pool_open(&lifeline->pool, (struct shm_fds){CHILD_FD_POOL, CHILD_FD_RETURNS}, err);
}

void lifeline_close(struct lifeline *lifeline)
{
    for (int i = 0; i < LIFELINE_VIEWS_MAX; i++)
        shm_view_close(lifeline->views[i].view);
    shm_pool_close(lifeline->pool);
    page_unmap(lifeline->page);
    *lifeline = (struct lifeline){.socket = -1};
}

/* Receives one message, waiting up to timeout_ms; what the agent said among them is kept. */
static enum status hear(struct lifeline *lifeline, struct agent_message *message,
                        struct shm_fds *fds, int timeout_ms, struct error *err)
{
    enum status status =
        shm_receive_fds(lifeline->socket, message, sizeof *message, fds, timeout_ms, err);
    if (status == STATUS_OK && message->type == TALK_DRAIN)
        lifeline->drain = true;
    else if (status == STATUS_OK &&
             (message->type == TALK_PAUSE || message->type == TALK_RESUME))
        lifeline->paused = message->type == TALK_PAUSE;
    else if (status == STATUS_OK && message->type == TALK_FINISH)
        lifeline->finish = true;
    return status;
}

enum status lifeline_listen(struct lifeline *lifeline)
{
    for (;;) {
        struct agent_message message;
        struct shm_fds fds;
        enum status status = hear(lifeline, &message, &fds, 0, NULL);
        shm_close(&fds); /* a late answer to a question that was given up */
        if (status != STATUS_OK)
            return status == STATUS_BUSY ? STATUS_OK : STATUS_EMPTY;
    }
}

/* Asks the agent for the pool of inc and maps it. */
static enum status ask(struct lifeline *lifeline, uint64_t inc, struct shm_view **view,
                       struct error *err)
{
    struct agent_message question = {.type = TALK_POOL, .inc = inc}, answer;
    enum status status = shm_send_fds(lifeline->socket, &question, sizeof question, NULL, err);
    struct shm_fds fds = {-1, -1};
    while (status == STATUS_OK) {
        status = hear(lifeline, &answer, &fds, ANSWER_MS, err);
        if (status == STATUS_OK && answer.type == TALK_POOL && answer.inc == inc)
            break;
        shm_close(&fds);
    }
    if (status != STATUS_OK)
        return status;
    if (fds.pool < 0 || answer.index >= LIFELINE_VIEWS_MAX) {
        shm_close(&fds);
        return error_set(err, STATUS_MISS, "the process that made this payload is no more");
    }
    shm_view_close(lifeline->views[answer.index].view);
    lifeline->views[answer.index].view = NULL;
    status = shm_view_open(&lifeline->views[answer.index].view, fds, err);
    lifeline->views[answer.index].inc = status == STATUS_OK ? inc : 0;
    *view = lifeline->views[answer.index].view;
    shm_close(&fds);
    return status;
}

enum status lifeline_view(struct lifeline *lifeline, uint64_t inc, struct shm_view **view,
                          struct error *err)
{
    for (int i = 0; i < LIFELINE_VIEWS_MAX; i++)
        if (lifeline->views[i].view && lifeline->views[i].inc == inc) {
            *view = lifeline->views[i].view;
            return STATUS_OK;
        }
    return ask(lifeline, inc, view, err);
}

enum status lifeline_copy(struct shm_view *view, const struct shm_descriptor *descriptor,
                          struct arena *arena, void **payload, struct error *err)
{
    *payload = descriptor->bytes <= SAMPLE_BYTES_MAX
                   ? arena_try(arena, (size_t)descriptor->bytes, 1)
                   : NULL;
    if (!*payload) {
        shm_view_return(view, descriptor);
        return error_set(err, STATUS_LIMIT, "no memory for a payload of %llu bytes",
                         (unsigned long long)descriptor->bytes);
    }
    return shm_view_copy(view, descriptor, *payload, err);
}

void lifeline_return(struct lifeline *lifeline, const struct shm_descriptor *descriptor)
{
    struct shm_view *view;
    if (lifeline_view(lifeline, descriptor->inc, &view, NULL) == STATUS_OK)
        shm_view_return(view, descriptor);
}
