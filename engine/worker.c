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

enum {
    QUEUE_MESSAGES = 4 * MESSAGE_HELD_MAX,
    LINGER_MS = 500,
    FAR_LINGER_MS = 5000,
    KEEP_BYTES = 256 << 20, /* of the arena, between samples */
};

struct message worker_message(const struct worker *worker, enum message_type type)
{
    return (struct message){.type = type,
                            .peer = LINK_HUB,
                            .job = worker->job->id,
                            .inc = worker->life.inc,
                            .line = worker->line,
                            .stage = worker->place};
}

/* What this process holds: the sample in hand, those that wait, and what is on its way from or to
 * another engine. */
static uint32_t list_held(const struct worker *worker, struct held held[MESSAGE_HELD_MAX])
{
    uint32_t count = 0;
    if (worker->busy)
        held[count++] = worker->current;
    if (worker->far) {
        count += outgoing_held(worker->out, held + count, WORKER_PARCELS_MAX);
        count += parcels_held(worker->in, held + count, WORKER_PARCELS_MAX);
    }
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
                          .node = worker->job->net.node,
                          .graph_hash = worker->job->graph->hash};
    hello.held_count = list_held(worker, hello.held);
    struct message message = worker_message(worker, MESSAGE_HELLO);
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
    struct message message = worker_message(worker, MESSAGE_HB);
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

/* whole: a payload that came in parts; it is taken over, or given back. */
static void take_work(struct worker *worker, const struct message *work, struct parcel *whole)
{
    if (work->inc != worker->life.inc || (work->size > MESSAGE_INLINE_MAX && !whole->block.data) ||
        worker->drain || worker->count == MESSAGE_HELD_MAX - 1 || is_held(worker, work)) {
        metric_add(worker->life.page, METRIC_DROPPED, 1);
        return;
    }
    struct worker_item *item = &worker->queue[(worker->first + worker->count++) % MESSAGE_HELD_MAX];
    item->message = *work;
    item->block = whole->block;
    *whole = (struct parcel){0};
    if (item->block.data)
        return;
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

/* Takes the oldest item that waits out of the queue; its block goes with it. */
static struct worker_item *next_item(struct worker *worker)
{
    struct worker_item *item = &worker->queue[worker->first];
    worker->first = (worker->first + 1) % MESSAGE_HELD_MAX;
    worker->count--;
    return item;
}

static void free_block(struct worker_item *item)
{
    free(item->block.data);
    item->block = (struct parcel_block){0};
}

static void take_message(struct worker *worker, const struct message *message, struct parcel *whole)
{
    if (message->type == MESSAGE_WORK) {
        take_work(worker, message, whole);
    } else if (message->type == MESSAGE_WELCOME) {
        if (message->inc != worker->hub_inc)
            while (worker->count) /* a new dispatcher knows nothing of it; the sinks ask again */
                free_block(next_item(worker));
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

static enum status receive(struct worker *worker, struct link_message *raw, struct message *message,
                           struct parcel *whole, uint64_t *bad)
{
    return worker->far
               ? post_receive_parcel(worker->link, worker->in, clock_ms(), raw, message, whole, bad)
               : post_receive(worker->link, raw, message, bad);
}

void worker_turn(struct worker *worker)
{
    struct link_message raw;
    struct message message;
    struct parcel whole = {0};
    uint64_t bad = 0;
    while (receive(worker, &raw, &message, &whole, &bad) == STATUS_OK) {
        if (!(message.flags & MESSAGE_PART))
            take_message(worker, &message, &whole);
        free(whole.block.data);
        link_message_close(&raw);
    }
    worker_pump(worker);
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
void worker_wait(struct worker *worker, int64_t timeout_ms)
{
    int64_t due = worker->sent_ms + (worker->welcome ? WORKER_HB_MS : WORKER_HELLO_MS) - clock_ms();
    if (worker->sending && due > WORKER_ROOM_MS)
        due = WORKER_ROOM_MS; /* parts wait for the link to take more */
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
    for (;;) {
        /* A guess is enough: what waits to be sent to another engine should not wait for long. */
        bool soon = atomic_load_explicit(&worker->sending, memory_order_relaxed);
        const struct timespec pause = {.tv_nsec = (soon ? 2 : worker->far ? 20 : 250) * 1000000L};
        nanosleep(&pause, NULL);
        if (pthread_mutex_trylock(&worker->lock))
            continue; /* the main thread has it and speaks for itself */
        worker_turn(worker);
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
    if (item->block.data) {
        payload = item->block.data;
    } else if (work->flags & MESSAGE_BLOCK) {
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
    enum status status =
        wire_decode((struct span){payload, bytes}, &wire_on_link, &worker->arena, in, err);
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

static void work_on(struct worker *worker, const struct worker_item *item,
                    struct worker_outcome *outcome)
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
                     : in.source->failed == STATUS_MISS  ? STATUS_BUSY
                                                         : STATUS_INVALID;
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

/* One sample, with the lock held on entry and exit. */
static void do_next(struct worker *worker)
{
    static struct worker_item item;
    static struct worker_outcome outcome;
    item = *next_item(worker);
    item.message.payload = item.payload;
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
    worker_send(worker, &item.message, &outcome);
    free_block(&item);
    worker->busy = false;
    gauge_set(page, GAUGE_HELD, worker->count);
    arena_release(&worker->arena, KEEP_BYTES);
}

/* Gives back what has not been begun and says goodbye. */
static void leave(struct worker *worker)
{
    while (worker->count) {
        struct worker_item *item = next_item(worker);
        struct message lost = item->message;
        free_block(item);
        lost.type = MESSAGE_LOST;
        lost.inc = worker->life.inc;
        lost.peer = LINK_HUB;
        lost.flags = 0;
        lost.arg = lost.size = 0;
        lost.payload = NULL;
        post_send(worker->link, &lost);
    }
    for (int64_t end = clock_ms() + WORKER_SEND_MS;
         worker->far && outgoing_count(worker->out) && clock_ms() < end;) {
        worker_wait(worker, WORKER_ROOM_MS);
        worker_pump(worker);
    }
    struct message bye = worker_message(worker, MESSAGE_BYE);
    post_send(worker->link, &bye);
}

static enum status worker_open(struct worker *worker, struct job *job, int stage, uint32_t index,
                               uint64_t inc, struct error *err)
{
    struct job_facts facts = {.line = -1, .worker = (int)index};
    worker->job = job;
    worker->stage = stage;
    worker->index = index;
    worker->far = job->net.kind == NETWORK_JOINED;
    if (worker->far) {
        worker->in = parcels_open(WORKER_FAR_BYTES_MAX, NULL);
        worker->out = outgoing_open(WORKER_FAR_BYTES_MAX);
    }
    arena_open(&worker->arena, SAMPLE_BYTES_MAX * 4);
    pthread_mutex_init(&worker->lock, NULL);
    enum status status = lifeline_open(&worker->life, inc, err);
    for (int i = 0; i < job->graph->line_count && status == STATUS_OK; i++)
        for (int k = 0; k < job->graph->lines[i].work_count && status == STATUS_OK; k++)
            if (job->graph->lines[i].work[k] == stage) {
                worker->line = (uint16_t)i;
                worker->place = (uint16_t)k;
                status = head_open(&worker->heads[i], job, i, err);
                if (!worker->far) /* what the store holds is known where the store is */
                    worker->reuse[i] = reuse_open(job->graph, i, stage, &job->arena);
            }
    if (status == STATUS_OK)
        status = job_open_stage(job, stage, &facts, worker->life.page, &worker->runner, err);
    char address[LINK_ADDRESS_MAX], path[PATH_MAX];
    worker->slow = open(rundir_file(job->run_dir, "slow.tsv", path),
                        O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (status == STATUS_OK)
        status = link_context_open(err);
    if (status == STATUS_OK)
        status = network_secure(&job->net, err);
    if (status == STATUS_OK)
        status = link_connect(&worker->link, job_address(job, "dispatch", address, sizeof address),
                              network_options(&job->net, QUEUE_MESSAGES), err);
    return status;
}

static void worker_loop(struct worker *worker)
{
    struct page *page = worker->life.page;
    gauge_set(page, GAUGE_STATE, PROCESS_WORKING);
    pthread_mutex_lock(&worker->lock);
    while (!worker->refused) {
        worker_turn(worker);
        if (worker->drain)
            break;
        if (worker->count) {
            do_next(worker);
            continue;
        }
        int64_t start = clock_ns();
        worker_wait(worker, WORKER_HB_MS);
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
    link_close(worker.link, worker.far ? FAR_LINGER_MS : LINGER_MS);
    link_context_close();
    return worker.refused ? SUPERVISE_EXIT_SETUP : EXIT_SUCCESS;
}
