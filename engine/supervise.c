/* The agent's care for its children; see supervise.h. */
#include "engine/supervise.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/shm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WATCH_MS = 100,   /* between two looks at limits */
    BACKOFF_MS = 100, /* before the first restart of a child that did nothing; doubles */
    BACKOFF_MS_MAX = 10000,
    TAIL_ROOM = 2 * SUPERVISE_TAIL_BYTES,
};

struct child {
    struct child_spec spec;
    char inc_text[32];
    uint64_t inc, starts;
    pid_t pid;                   /* 0: not running */
    int page_fd, socket, output; /* our ends */
    struct page *page;
    struct shm_fds pool,
        old_pool; /* of this and of the last incarnation: messages may still name it */
    uint64_t old_inc;
    bool stopping;
    uint64_t done_at_start;
    int idle_deaths;    /* in a row, without having touched a sample */
    int64_t restart_ms; /* when it is due; 0: not */
    int64_t watched_since_ns, spent_ms;
    char tail[TAIL_ROOM + 1], partial[SUPERVISE_TAIL_BYTES];
    size_t tail_size, partial_size;
};

struct supervisor {
    struct supervise_events events;
    int signals, interrupts, count;
    int64_t watched_ms;
    uint64_t oom_kills;
    sigset_t old_mask;
    struct child *child[SUPERVISE_CHILDREN_MAX];
};

enum status supervise_open(struct supervisor **supervisor, struct supervise_events events,
                           struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    struct supervisor *made = calloc(1, sizeof *made);
    ASSERT(made);
    made->events = events;
    sigprocmask(SIG_BLOCK, &set, &made->old_mask);
    made->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (made->signals < 0) {
        free(made);
        return error_set(err, STATUS_IO, "no signalfd: %s", strerror(errno));
    }
    made->oom_kills = kernel_oom_kills();
    *supervisor = made;
    return STATUS_OK;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void supervise_close(struct supervisor *supervisor)
{
    if (!supervisor)
        return;
    for (int i = 0; i < supervisor->count; i++) {
        struct child *child = supervisor->child[i];
        if (child->pid) {
            kill(child->pid, SIGKILL);
            waitpid(child->pid, NULL, 0);
        }
        close_fd(&child->socket);
        close_fd(&child->output);
        close_fd(&child->page_fd);
        shm_close(&child->pool);
        shm_close(&child->old_pool);
        page_unmap(child->page);
        free(child);
    }
    close(supervisor->signals);
    sigprocmask(SIG_SETMASK, &supervisor->old_mask, NULL);
    free(supervisor);
}

static enum status launch(struct child *child, struct error *err)
{
    char name[] = "foldmill", *argv[SUPERVISE_ARGS_MAX + 3] = {name};
    int count = 1;
    if (getrandom(&child->inc, sizeof child->inc, 0) != sizeof child->inc || child->inc == 0)
        child->inc = (uint64_t)clock_ns() | 1;
    snprintf(child->inc_text, sizeof child->inc_text, "--inc=%016llx",
             (unsigned long long)child->inc);
    for (; child->spec.args[count - 1]; count++)
        memcpy(&argv[count], &child->spec.args[count - 1], sizeof *argv);
    argv[count] = child->inc_text;
    if (child->spec.pool_bytes) {
        enum status status = shm_make(&child->pool, child->spec.pool_bytes, err);
        if (status != STATUS_OK)
            return status;
    }
    atomic_store(&child->page->box.executing, 0);
    atomic_store(&child->page->box.verdict, VERDICT_NONE);
    child->done_at_start = metric_get(child->page, METRIC_DONE);
    struct spawned spawned;
    if (spawn(child->spec.program, argv, child->page_fd, child->pool, &spawned, err)) {
        shm_close(&child->pool);
        return error_prefix(err, "%s", child->spec.name);
    }
    child->pid = spawned.pid;
    child->socket = spawned.socket;
    child->output = spawned.output;
    child->starts++;
    child->restart_ms = 0;
    child->tail_size = child->partial_size = 0;
    child->watched_since_ns = child->spent_ms = 0;
    return STATUS_OK;
}

enum status supervise_start(struct supervisor *supervisor, const struct child_spec *spec,
                            int *number, struct error *err)
{
    if (supervisor->count == SUPERVISE_CHILDREN_MAX)
        return error_set(err, STATUS_LIMIT, "a node may have %d processes: use fewer workers",
                         SUPERVISE_CHILDREN_MAX);
    struct child *child = calloc(1, sizeof *child);
    ASSERT(child);
    child->spec = *spec;
    child->socket = child->output = child->page_fd = -1;
    child->pool = child->old_pool = (struct shm_fds){-1, -1};
    enum status status = page_make(&child->page_fd, &child->page, err);
    if (status == STATUS_OK && !spec->held)
        status = launch(child, err);
    if (status != STATUS_OK) {
        close_fd(&child->page_fd);
        page_unmap(child->page);
        free(child);
        return status;
    }
    *number = supervisor->count;
    supervisor->child[supervisor->count++] = child;
    return STATUS_OK;
}

void supervise_wait(struct supervisor *supervisor, struct link_wait *waits, int *count, int room)
{
    if (*count < room)
        waits[(*count)++] = (struct link_wait){.fd = supervisor->signals};
    for (int i = 0; i < supervisor->count && *count + 2 <= room; i++) {
        const struct child *child = supervisor->child[i];
        if (child->socket >= 0)
            waits[(*count)++] = (struct link_wait){.fd = child->socket};
        if (child->output >= 0)
            waits[(*count)++] = (struct link_wait){.fd = child->output};
    }
}

/* Keeps the last bytes and hands on whole lines. */
static void take_output(struct supervisor *supervisor, struct child *child, const char *data,
                        size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '\n' && child->partial_size < sizeof child->partial)
            child->partial[child->partial_size++] = data[i];
        if (data[i] == '\n' && child->partial_size) {
            supervisor->events.line(supervisor->events.user, child->spec.name,
                                    (struct span){child->partial, child->partial_size});
            child->partial_size = 0;
        }
        if (child->tail_size == TAIL_ROOM) {
            memmove(child->tail, child->tail + SUPERVISE_TAIL_BYTES,
                    TAIL_ROOM - SUPERVISE_TAIL_BYTES);
            child->tail_size = TAIL_ROOM - SUPERVISE_TAIL_BYTES;
        }
        child->tail[child->tail_size++] = data[i];
    }
    child->tail[child->tail_size] = '\0';
}

static void read_output(struct supervisor *supervisor, struct child *child)
{
    char buffer[4096];
    for (int i = 0; i < 64 && child->output >= 0;
         i++) { /* a chatterbox must not hold up the rest */
        ssize_t got = read(child->output, buffer, sizeof buffer);
        if (got == 0)
            close_fd(&child->output);
        if (got <= 0)
            return;
        take_output(supervisor, child, buffer, (size_t)got);
    }
}

static void answer_pool(struct supervisor *supervisor, const struct child *child, uint64_t inc)
{
    struct agent_message answer = {.type = TALK_POOL, .inc = inc};
    const struct shm_fds *fds = NULL;
    for (int i = 0; i < supervisor->count && !fds; i++) {
        const struct child *producer = supervisor->child[i];
        answer.index = (uint32_t)i;
        if (producer->inc == inc && producer->pool.pool >= 0)
            fds = &producer->pool;
        else if (producer->old_inc == inc && producer->old_pool.pool >= 0)
            fds = &producer->old_pool;
    }
    struct error err;
    if (shm_send_fds(child->socket, &answer, sizeof answer, fds, &err) != STATUS_OK)
        log_warn("%s: %s", child->spec.name, err.text);
}

static void answer_child(struct supervisor *supervisor, struct child *child)
{
    struct agent_message message;
    struct shm_fds none;
    while (child->socket >= 0) {
        enum status status =
            shm_receive_fds(child->socket, &message, sizeof message, &none, 0, NULL);
        shm_close(&none);
        if (status == STATUS_BUSY)
            return;
        if (status != STATUS_OK)
            close_fd(&child->socket);
        else if (message.type == TALK_POOL)
            answer_pool(supervisor, child, message.inc);
    }
}

/* The verdict stands in the black box before the kill, so nobody has to guess later. */
static void condemn(struct child *child, enum verdict verdict)
{
    atomic_store(&child->page->box.verdict, verdict);
    kill(child->pid, SIGKILL);
}

static void watch(struct child *child, int64_t passed_ms)
{
    struct black_box *box = &child->page->box;
    if (!child->pid || atomic_load(&box->verdict) != VERDICT_NONE)
        return;
    bool executing = atomic_load_explicit(&box->executing, memory_order_acquire);
    if (child->spec.memory_bytes && process_memory(child->pid) > child->spec.memory_bytes)
        condemn(child, VERDICT_MEMORY);
    if (!child->spec.timeout_ms || !executing)
        return;
    if (child->watched_since_ns != box->since_ns) {
        child->watched_since_ns = box->since_ns;
        child->spent_ms = 0;
    } else if (!process_is_stopped(child->pid)) {
        child->spent_ms += passed_ms;
    }
    if (child->spent_ms >= child->spec.timeout_ms)
        condemn(child, VERDICT_TIMEOUT);
}

/* Ends by which a process does itself in; anything else came from outside. */
static bool is_own_end(const struct death *death)
{
    switch (death->signal) {
    case 0:
        return death->exit_code != 0;
    case SIGSEGV:
    case SIGBUS:
    case SIGABRT:
    case SIGFPE:
    case SIGILL:
    case SIGSYS:
    case SIGTRAP:
    case SIGXCPU:
    case SIGXFSZ:
        return true;
    default:
        return death->verdict != VERDICT_NONE || death->out_of_memory;
    }
}

static struct death describe(struct supervisor *supervisor, int number, const siginfo_t *info)
{
    struct child *child = supervisor->child[number];
    const struct black_box *box = &child->page->box;
    bool exited = info->si_code == CLD_EXITED;
    struct death death = {.child = number,
                          .name = child->spec.name,
                          .inc = child->inc,
                          .exit_code = exited ? info->si_status : -1,
                          .signal = exited ? 0 : info->si_status,
                          .verdict = (enum verdict)atomic_load(&box->verdict),
                          .executing = atomic_load(&box->executing) != 0,
                          .line = box->line,
                          .stage = box->stage,
                          .gen = box->gen,
                          .attempt = box->attempt,
                          .seq = box->seq};
    memcpy(death.key, box->key, sizeof death.key);
    death.key[METRICS_KEY_MAX] = '\0';
    uint64_t kills = kernel_oom_kills();
    death.out_of_memory =
        death.signal == SIGKILL && death.verdict == VERDICT_NONE && kills > supervisor->oom_kills;
    supervisor->oom_kills = kills;
    death.setup = death.exit_code == SUPERVISE_EXIT_SETUP;
    death.blamed = death.executing && is_own_end(&death);
    size_t start =
        child->tail_size > SUPERVISE_TAIL_BYTES ? child->tail_size - SUPERVISE_TAIL_BYTES : 0;
    death.tail = child->tail + start;
    return death;
}

static void plan_restart(struct child *child, struct death *death)
{
    bool finished = death->exit_code == 0 && child->spec.restart == RESTART_FAILED;
    if (child->stopping || child->spec.restart == RESTART_NEVER || finished || death->setup)
        return;
    bool worked =
        death->executing || death->exit_code == 0 ||
        metric_get(child->page, METRIC_DONE) != child->done_at_start ||
        (death->signal == SIGKILL && !death->out_of_memory && death->verdict == VERDICT_NONE);
    int64_t delay = 0;
    if (!worked) {
        delay = (int64_t)BACKOFF_MS << (child->idle_deaths < 10 ? child->idle_deaths : 10);
        child->idle_deaths++;
    } else {
        child->idle_deaths = 0;
    }
    death->idle_deaths = child->idle_deaths;
    child->restart_ms = clock_ms() + (delay < BACKOFF_MS_MAX ? delay : BACKOFF_MS_MAX);
}

static void reap(struct supervisor *supervisor, int number)
{
    struct child *child = supervisor->child[number];
    siginfo_t info = {0};
    if (!child->pid || waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG) || !info.si_pid)
        return;
    read_output(supervisor, child);
    close_fd(&child->output);
    if (child->partial_size)
        take_output(supervisor, child, "\n", 1);
    close_fd(&child->socket);
    child->tail[child->tail_size] = '\0';
    shm_close(&child->old_pool);
    child->old_pool = child->pool;
    child->old_inc = child->inc;
    child->pool = (struct shm_fds){-1, -1};
    child->pid = 0;
    struct death death = describe(supervisor, number, &info);
    child->inc = 0;
    plan_restart(child, &death);
    supervisor->events.died(supervisor->events.user, &death);
}

static void take_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM)
            supervisor->interrupts++;
}

static void relaunch(struct supervisor *supervisor, int number)
{
    struct child *child = supervisor->child[number];
    struct error err;
    if (supervisor->events.launching)
        supervisor->events.launching(supervisor->events.user, number);
    if (launch(child, &err) != STATUS_OK) {
        log_error("%s", err.text);
        child->restart_ms = clock_ms() + BACKOFF_MS_MAX;
    }
}

void supervise_step(struct supervisor *supervisor)
{
    take_signals(supervisor);
    int64_t now = clock_ms(), passed = now - supervisor->watched_ms;
    bool look = passed >= WATCH_MS;
    if (look)
        supervisor->watched_ms = now;
    if (passed > 2 * WATCH_MS)
        passed = 2 * WATCH_MS; /* the agent itself was held up: not the child's time */
    for (int i = 0; i < supervisor->count; i++) {
        struct child *child = supervisor->child[i];
        answer_child(supervisor, child);
        read_output(supervisor, child);
        if (look)
            watch(child, passed);
        reap(supervisor, i);
        if (!child->pid && child->restart_ms && child->restart_ms <= now)
            relaunch(supervisor, i);
    }
}

int supervise_interrupts(const struct supervisor *supervisor)
{
    return supervisor->interrupts;
}

static void say(const struct child *child, enum agent_talk what)
{
    struct agent_message message = {.type = what};
    if (child->socket >= 0)
        shm_send_fds(child->socket, &message, sizeof message, NULL, NULL);
}

void supervise_drain(struct supervisor *supervisor, int number)
{
    struct child *child = supervisor->child[number];
    child->stopping = true;
    child->restart_ms = 0;
    say(child, TALK_DRAIN);
}

void supervise_resume(struct supervisor *supervisor, int number)
{
    struct child *child = supervisor->child[number];
    child->stopping = false;
    if (!child->pid && !child->restart_ms)
        child->restart_ms = clock_ms();
}

void supervise_pause(struct supervisor *supervisor, int number, bool pause)
{
    say(supervisor->child[number], pause ? TALK_PAUSE : TALK_RESUME);
}

void supervise_finish(struct supervisor *supervisor, int number)
{
    say(supervisor->child[number], TALK_FINISH);
}

void supervise_kill(struct supervisor *supervisor, int number)
{
    struct child *child = supervisor->child[number];
    child->stopping = true;
    child->restart_ms = 0;
    if (child->pid)
        kill(child->pid, SIGKILL);
}

bool supervise_restart(struct supervisor *supervisor, int number)
{
    struct child *child = supervisor->child[number];
    siginfo_t info = {0};
    if (!child->pid ||
        waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid)
        return false;
    kill(child->pid, SIGKILL);
    return true;
}

struct child_info supervise_info(const struct supervisor *supervisor, int number)
{
    const struct child *child = supervisor->child[number];
    return (struct child_info){child->spec.name, child->pid, child->inc, child->starts,
                               child->page};
}

int supervise_count(const struct supervisor *supervisor)
{
    return supervisor->count;
}

int supervise_running(const struct supervisor *supervisor)
{
    int running = 0;
    for (int i = 0; i < supervisor->count; i++)
        running += supervisor->child[i]->pid != 0;
    return running;
}
