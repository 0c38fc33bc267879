/* One stage's process; see worker.h. */
#include "engine/worker.h"

#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/log.h"
#include "engine/post.h"
#include "engine/rundir.h"
#include "engine/supervise.h"
#include "engine/wire.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(SHM_LARGE_BYTES >= WIRE_FRAME_MAX, "the largest sample fits a pool");

enum {
    QUEUE_MESSAGES = 4 * MESSAGE_HELD_MAX,
    LINGER_MS = 500,
    ROOM_MS = 2,
    KEEP_BYTES = 256 << 20, /* of the arena, between samples */
};

static struct message header_of(const struct worker *worker, enum message_type type)
{
    return (struct message){.type = type,
                            .peer = LINK_HUB,
                            .job = worker->job->id,
                            .inc = worker->life.inc,
                            .line = worker->line,
                            .stage = worker->place};
}

/* What this process holds: the sample in hand and those that wait. */
static uint32_t list_held(const struct worker *worker, struct held held[MESSAGE_HELD_MAX])
{
    uint32_t count = 0;
    if (worker->busy)
        held[count++] = worker->current;
    for (int i = 0; i < worker->count && count < MESSAGE_HELD_MAX; i++) {
        const struct message *message =
            &worker->queue[(worker->first + i) % MESSAGE_HELD_MAX].message;
        held[count++] = (struct held){message->seq, message->gen, message->attempt};
    }
    return count;
}

static void send_hello(struct worker *worker)
{
    unsigned char bytes[HELLO_BYTES_MAX];
    struct hello hello = {.role = PEER_WORKER,
                          .version = MESSAGE_VERSION,
                          .index = worker->index,
                          .graph_hash = worker->job->graph->hash};
    hello.held_count = list_held(worker, hello.held);
    struct message message = header_of(worker, MESSAGE_HELLO);
    message.size = (uint32_t)hello_encode(&hello, bytes);
    message.arg = worker->begun;
    message.payload = bytes;
    post_send(worker->link, &message);
    worker->sent_ms = clock_ms();
}

static void send_heartbeat(struct worker *worker)
{
    struct held held[MESSAGE_HELD_MAX];
    unsigned char bytes[MESSAGE_HELD_MAX * HELD_BYTES];
    struct message message = header_of(worker, MESSAGE_HB);
    message.size = (uint32_t)held_encode(held, list_held(worker, held), bytes);
    message.payload = bytes;
    message.arg = worker->begun;
    post_send(worker->link, &message);
    worker->sent_ms = clock_ms();
}

static bool is_held(const struct worker *worker, const struct message *work)
{
    struct held held[MESSAGE_HELD_MAX];
    uint32_t count = list_held(worker, held);
    for (uint32_t i = 0; i < count; i++)
        if (held[i].seq == work->seq && held[i].gen == work->gen &&
            held[i].attempt == work->attempt)
            return true;
    return false;
}

static void take_work(struct worker *worker, const struct message *work)
{
    if (work->inc != worker->life.inc || work->size > MESSAGE_INLINE_MAX || worker->drain ||
        worker->count == MESSAGE_HELD_MAX - 1 || is_held(worker, work)) {
        metric_add(worker->life.page, METRIC_DROPPED, 1);
        return;
    }
    struct worker_item *item = &worker->queue[(worker->first + worker->count++) % MESSAGE_HELD_MAX];
    item->message = *work;
    if (work->size)
        memcpy(item->payload, work->payload, work->size);
    item->message.payload = item->payload;
}

/* A block that we once gave and that nobody will read. */
static void take_free(struct worker *worker, const struct message *message)
{
    if (message->size != SHM_DESCRIPTOR_BYTES || !worker->life.pool)
        return;
    struct shm_descriptor descriptor = shm_descriptor_decode(message->payload);
    struct shm_block block = {.slot = descriptor.slot, .use = descriptor.use};
    if (descriptor.inc == worker->life.inc)
        shm_pool_drop(worker->life.pool, &block);
}

static void take_message(struct worker *worker, const struct message *message)
{
    if (message->type == MESSAGE_WORK) {
        take_work(worker, message);
    } else if (message->type == MESSAGE_WELCOME) {
        if (message->inc != worker->hub_inc)
            worker->count = 0; /* a new dispatcher knows nothing of it, and the sinks ask again */
        worker->hub_inc = message->inc;
        worker->welcome = true;
    } else if (message->type == MESSAGE_CHALLENGE) {
        send_hello(worker);
    } else if (message->type == MESSAGE_FREE) {
        take_free(worker, message);
    } else if (message->type == MESSAGE_DRAIN) {
        worker->drain = true;
    } else if (message->type == MESSAGE_REFUSE) {
        log_error("refused: %.*s", (int)message->size, (const char *)message->payload);
        worker->refused = true;
    }
}

/* Hears everything that has come, and says what is due. With the lock held. */
static void turn(struct worker *worker)
{
    struct link_message raw;
    struct message message;
    uint64_t bad = 0;
    while (post_receive(worker->link, &raw, &message, &bad) == STATUS_OK) {
        take_message(worker, &message);
        link_message_close(&raw);
    }
    if (bad)
        metric_add(worker->life.page, METRIC_DROPPED, bad);
    int64_t now = clock_ms(), quiet = now - worker->sent_ms;
    if (now - worker->heard_ms >= WORKER_LISTEN_MS) {
        worker->heard_ms = now;
        if (lifeline_listen(&worker->life) != STATUS_OK || worker->life.drain)
            worker->drain = true;
    }
    if (!worker->welcome && quiet >= WORKER_HELLO_MS)
        send_hello(worker);
    else if (worker->welcome && quiet >= WORKER_HB_MS)
        send_heartbeat(worker);
}

/* Waits for messages, at most until the next heartbeat is due. With the lock held: the pulse thread
 * then has nothing to do. */
static void wait_messages(struct worker *worker, int64_t timeout_ms)
{
    int64_t due = worker->sent_ms + (worker->welcome ? WORKER_HB_MS : WORKER_HELLO_MS) - clock_ms();
    if (due < 0)
        due = 0;
    struct link_wait waits[2] = {{.link = worker->link}, {.fd = worker->life.socket}};
    link_poll(waits, 2, due < timeout_ms ? due : timeout_ms);
    if (waits[1].ready)
        worker->heard_ms = 0;
}

/* Speaks for the process while the main thread is inside stage code. */
static void *pulse(void *memory)
{
    struct worker *worker = memory;
    const struct timespec pause = {.tv_nsec = 250 * 1000000L};
    for (;;) {
        nanosleep(&pause, NULL);
        if (pthread_mutex_trylock(&worker->lock))
            continue; /* the main thread has it and speaks for itself */
        turn(worker);
        pthread_mutex_unlock(&worker->lock);
    }
    return NULL;
}

static enum status read_input(struct worker *worker, const struct worker_item *item,
                              struct sample *in, struct error *err)
{
    const struct message *work = &item->message;
    if (work->stage == 0)
        return head_read(worker->heads[work->line],
                         (struct span){(const char *)item->payload, work->size},
                         worker->runner.in.lazy, &worker->arena, in, err);
    void *payload;
    size_t bytes = work->size;
    if (work->flags & MESSAGE_BLOCK) {
        if (bytes != SHM_DESCRIPTOR_BYTES)
            return error_set(err, STATUS_CORRUPT, "a descriptor of %zu bytes", bytes);
        struct shm_descriptor descriptor = shm_descriptor_decode(item->payload);
        struct shm_view *view;
        pthread_mutex_lock(&worker->lock);
        enum status status = lifeline_view(&worker->life, descriptor.inc, &view, err);
        pthread_mutex_unlock(&worker->lock);
        if (status == STATUS_OK) /* without the lock: a large copy must not hold up heartbeats */
            status = lifeline_copy(view, &descriptor, &worker->arena, &payload, err);
        if (status != STATUS_OK)
            return STATUS_BUSY; /* no blame: the input is gone, not bad */
        bytes = (size_t)descriptor.bytes;
    } else {
        payload = arena_alloc(&worker->arena, bytes);
        memcpy(payload, item->payload, bytes);
    }
    metric_add(worker->life.page, METRIC_BYTES_IN, bytes);
    enum status status = wire_decode((struct span){payload, bytes}, NULL, &worker->arena, in, err);
    return status == STATUS_OK ? STATUS_OK : STATUS_BUSY;
}

/* A row for `why`, written whole. */
static void note_slow(struct worker *worker, const struct message *message, const char *key,
                      int64_t taken_ns)
{
    char row[SAMPLE_KEY_MAX + 256];
    if (worker->slow < 0 || ++worker->slow_rows > WORKER_SLOW_ROWS)
        return;
    const char *stage = worker->job->graph->stages[worker->stage].name;
    int size =
        snprintf(row, sizeof row, "%s\t%s\t%llu\t%s\t%u\t%s.%u\t%lld\n",
                 job_line_name(worker->job, message->line), stage, (unsigned long long)message->seq,
                 key, message->attempt, stage, worker->index, (long long)(taken_ns / 1000000));
    ssize_t wrote = write(worker->slow, row, (size_t)size);
    (void)wrote; /* a full disk is told by those who must write */
}

/* The result of one sample, ready to be sent. */
struct outcome {
    enum message_type type;
    uint16_t flags;
    struct sample sample;
    struct error err;
};

static void work_on(struct worker *worker, const struct worker_item *item, struct outcome *outcome)
{
    const struct message *message = &item->message;
    uint64_t positions = worker->heads[message->line]->positions;
    struct work work = {.seed = worker->job->graph->seed,
                        .epoch = message->seq / positions,
                        .position = message->seq % positions,
                        .recycles = message->arg};
    struct sample in;
    int64_t start = clock_ns();
    enum status status = read_input(worker, item, &in, &outcome->err);
    if (status == STATUS_OK) {
        memcpy(worker->life.page->box.key, in.key, sizeof in.key); /* now it is known by name */
        if (reuse_find(worker->reuse[message->line], &in, &outcome->sample, &worker->arena) &&
            runner_pass(&worker->runner, &in, &outcome->sample, NULL) == STATUS_OK)
            metric_add(worker->life.page, METRIC_REUSED, 1);
        else
            status = runner_feed(&worker->runner, &work, &in, &outcome->sample, &worker->arena,
                                 &outcome->err);
        if (in.source && in.source->failed != STATUS_OK) /* damaged, as head_read says; or lost */
            status = in.source->failed == STATUS_CORRUPT ? STATUS_REFUSED
                     : in.source->failed == STATUS_MISS ? STATUS_BUSY : STATUS_INVALID;
        else if (status == STATUS_MISS || status == STATUS_BUSY)
            status = STATUS_INVALID; /* those two are ours to say */
    }
    outcome->type = status == STATUS_OK || status == STATUS_EMPTY ? MESSAGE_OUT
                    : status == STATUS_REFUSED                    ? MESSAGE_REFUSED
                    : status == STATUS_MISS                       ? MESSAGE_MISS
                    : status == STATUS_BUSY                       ? MESSAGE_LOST
                                                                  : MESSAGE_ERR;
    outcome->flags = status == STATUS_EMPTY ? MESSAGE_EMPTY : 0;
    int64_t taken = clock_ns() - start;
    metric_add(worker->life.page, METRIC_BUSY_NS, (uint64_t)taken);
    if (taken >= WORKER_SLOW_MS * INT64_C(1000000))
        note_slow(worker, message, status == STATUS_OK ? outcome->sample.key : "-", taken);
}

/* Sends with the lock held; a dispatcher that is away for long will ask again for what it wants. */
static bool send_result(struct worker *worker, const struct message *message)
{
    int64_t end = clock_ms() + WORKER_SEND_MS;
    while (post_send(worker->link, message) != STATUS_OK) {
        if (clock_ms() > end) {
            metric_add(worker->life.page, METRIC_DROPPED, 1);
            return false;
        }
        wait_messages(worker, ROOM_MS);
        turn(worker);
    }
    return true;
}

/* Waits for room in the pool, with the lock held. */
static enum status take_block(struct worker *worker, size_t bytes, struct shm_block *block)
{
    if (!worker->life.pool)
        return STATUS_LIMIT;
    int64_t start = clock_ns();
    enum status status;
    while ((status = shm_pool_take(worker->life.pool, bytes, block)) == STATUS_FULL) {
        shm_pool_reclaim(worker->life.pool, WORKER_RECLAIM_MS);
        wait_messages(worker, ROOM_MS);
        turn(worker);
    }
    metric_add(worker->life.page, METRIC_WAIT_ROOM_NS, (uint64_t)(clock_ns() - start));
    return status;
}

static void refuse_size(struct message *message, struct outcome *outcome, size_t bytes)
{
    error_set(&outcome->err, STATUS_LIMIT,
              "a result of %zu bytes is too large, or this machine has no memory for it", bytes);
    message->type = MESSAGE_ERR;
    message->payload = outcome->err.text;
    message->size = (uint32_t)strlen(outcome->err.text);
}

/* Puts a sample into the message or into a block, with the lock held on entry and exit. */
static void send_sample(struct worker *worker, struct message *message, struct outcome *outcome)
{
    unsigned char small[MESSAGE_INLINE_MAX], bytes[SHM_DESCRIPTOR_BYTES];
    struct shm_block block = {0};
    size_t size = wire_size(&outcome->sample);
    bool in_block = size > sizeof small;
    if (size == 0 || (in_block && take_block(worker, size, &block) != STATUS_OK)) {
        refuse_size(message, outcome, size);
        send_result(worker, message);
        return;
    }
    if (in_block)
        pthread_mutex_unlock(&worker->lock);
    enum status status =
        wire_encode(&outcome->sample, in_block ? block.data : small, size, &size, &outcome->err);
    ASSERT_INT(status, ==, STATUS_OK);
    message->payload = small;
    message->size = (uint32_t)size;
    if (in_block) {
        struct shm_descriptor descriptor = {
            worker->life.inc, block.offset, size, digest_bytes(block.data, size),
            block.slot,       block.use};
        shm_descriptor_encode(&descriptor, bytes);
        message->payload = bytes;
        message->size = sizeof bytes;
        message->flags |= MESSAGE_BLOCK;
        pthread_mutex_lock(&worker->lock);
    }
    metric_add(worker->life.page, METRIC_BYTES_OUT, size);
    if (!send_result(worker, message) && in_block)
        shm_pool_drop(worker->life.pool, &block);
}

static void send_outcome(struct worker *worker, const struct worker_item *item,
                         struct outcome *outcome)
{
    struct message message = header_of(worker, outcome->type);
    message.line = item->message.line;
    message.stage = item->message.stage;
    message.seq = item->message.seq;
    message.gen = item->message.gen;
    message.attempt = item->message.attempt;
    message.arg = item->message.arg;
    message.flags = outcome->flags;
    if (outcome->type == MESSAGE_ERR || outcome->type == MESSAGE_REFUSED) {
        message.payload = outcome->err.text;
        message.size = (uint32_t)strnlen(outcome->err.text, MESSAGE_TEXT_MAX);
    }
    enum metric metric = outcome->type == MESSAGE_OUT       ? METRIC_DONE
                         : outcome->type == MESSAGE_REFUSED ? METRIC_REFUSED
                         : outcome->type == MESSAGE_MISS    ? METRIC_MISSED
                                                            : METRIC_FAILED;
    metric_add(worker->life.page, metric, 1);
    if (outcome->type == MESSAGE_OUT && !(outcome->flags & MESSAGE_EMPTY))
        send_sample(worker, &message, outcome);
    else
        send_result(worker, &message);
}

/* One sample, with the lock held on entry and exit. */
static void do_next(struct worker *worker)
{
    static struct worker_item item;
    static struct outcome outcome;
    item = worker->queue[worker->first];
    item.message.payload = item.payload;
    worker->first = (worker->first + 1) % MESSAGE_HELD_MAX;
    worker->count--;
    const struct message *message = &item.message;
    worker->busy = true;
    worker->begun++;
    worker->current = (struct held){message->seq, message->gen, message->attempt};
    struct page *page = worker->life.page;
    gauge_set(page, GAUGE_HELD, 1 + worker->count);
    pthread_mutex_unlock(&worker->lock);

    char key[METRICS_KEY_MAX + 1] = "";
    if (message->stage == 0)
        snprintf(key, sizeof key, "%.*s", (int)message->size, (const char *)item.payload);
    black_box_enter(page, message->line, message->stage, message->seq, message->gen,
                    message->attempt, key);
    work_on(worker, &item, &outcome);
    black_box_leave(page);

    pthread_mutex_lock(&worker->lock);
    send_outcome(worker, &item, &outcome);
    worker->busy = false;
    gauge_set(page, GAUGE_HELD, worker->count);
    arena_release(&worker->arena, KEEP_BYTES);
}

/* Gives back what has not been begun and says goodbye. */
static void leave(struct worker *worker)
{
    for (; worker->count; worker->count--) {
        struct message lost = worker->queue[worker->first].message;
        worker->first = (worker->first + 1) % MESSAGE_HELD_MAX;
        lost.type = MESSAGE_LOST;
        lost.inc = worker->life.inc;
        lost.peer = LINK_HUB;
        lost.flags = 0;
        lost.arg = lost.size = 0;
        lost.payload = NULL;
        post_send(worker->link, &lost);
    }
    struct message bye = header_of(worker, MESSAGE_BYE);
    post_send(worker->link, &bye);
}

static enum status worker_open(struct worker *worker, struct job *job, int stage, uint32_t index,
                               uint64_t inc, struct error *err)
{
    struct job_facts facts = {.line = -1, .worker = (int)index};
    worker->job = job;
    worker->stage = stage;
    worker->index = index;
    arena_open(&worker->arena, SAMPLE_BYTES_MAX * 4);
    pthread_mutex_init(&worker->lock, NULL);
    enum status status = lifeline_open(&worker->life, inc, err);
    for (int i = 0; i < job->graph->line_count && status == STATUS_OK; i++)
        for (int k = 0; k < job->graph->lines[i].work_count && status == STATUS_OK; k++)
            if (job->graph->lines[i].work[k] == stage) {
                worker->line = (uint16_t)i;
                worker->place = (uint16_t)k;
                status = head_open(&worker->heads[i], job, i, err);
                worker->reuse[i] = reuse_open(job->graph, i, stage, &job->arena);
            }
    if (status == STATUS_OK)
        status = job_open_stage(job, stage, &facts, worker->life.page, &worker->runner, err);
    char address[LINK_PATH_MAX + 8], path[PATH_MAX];
    worker->slow = open(rundir_file(job->run_dir, "slow.tsv", path),
                        O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (status == STATUS_OK)
        status = link_context_open(err);
    if (status == STATUS_OK)
        status = link_connect(&worker->link, job_address(job, "dispatch", address, sizeof address),
                              (struct link_options){.queue_max = QUEUE_MESSAGES}, err);
    return status;
}

static void worker_loop(struct worker *worker)
{
    struct page *page = worker->life.page;
    gauge_set(page, GAUGE_STATE, PROCESS_WORKING);
    pthread_mutex_lock(&worker->lock);
    while (!worker->refused) {
        turn(worker);
        if (worker->drain)
            break;
        if (worker->count) {
            do_next(worker);
            continue;
        }
        int64_t start = clock_ns();
        wait_messages(worker, WORKER_HB_MS);
        metric_add(page, METRIC_WAIT_WORK_NS, (uint64_t)(clock_ns() - start));
    }
    leave(worker);
    gauge_set(page, GAUGE_STATE, PROCESS_FINISHED);
}

int worker_run(struct job *job, int stage, uint32_t index, uint64_t inc)
{
    static struct worker worker;
    struct error err = {0};
    if (worker_open(&worker, job, stage, index, inc, &err) != STATUS_OK) {
        log_error("%s", err.text);
        return SUPERVISE_EXIT_SETUP;
    }
    /* The lock stays with the main thread to the end: the pulse thread is never joined, it ends
     * with the process. */
    if (pthread_create(&worker.pulse, NULL, pulse, &worker))
        return EXIT_FAILURE;
    worker_loop(&worker);
    runner_close(&worker.runner);
    link_close(worker.link, LINGER_MS);
    link_context_close();
    return worker.refused ? SUPERVISE_EXIT_SETUP : EXIT_SUCCESS;
}
