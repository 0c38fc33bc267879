/* What a worker sends for each piece of work: a result in the message, in a block of its pool, or
 * in parts to another engine; or the reason why there is none. See worker.h. */
#include "engine/spawn.h"
#include "engine/worker.h"

#include "engine/base/clock.h"
#include "engine/post.h"
#include "engine/wire.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(SHM_LARGE_BYTES >= WIRE_FRAME_MAX, "the largest sample fits a pool");

/* Sends with the lock held; a dispatcher that is away for long will ask again for what it wants. */
static bool send_result(struct worker *worker, const struct message *message)
{
    int64_t end = clock_ms() + WORKER_SEND_MS;
    while (post_send(worker->link, message) != STATUS_OK) {
        if (clock_ms() > end) {
            metric_add(worker->life.page, METRIC_DROPPED, 1);
            return false;
        }
        worker_wait(worker, WORKER_ROOM_MS);
        worker_turn(worker);
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
        worker_wait(worker, WORKER_ROOM_MS);
        worker_turn(worker);
    }
    metric_add(worker->life.page, METRIC_WAIT_ROOM_NS, (uint64_t)(clock_ns() - start));
    return status;
}

static void refuse_size(struct message *message, struct worker_outcome *outcome, size_t bytes)
{
    error_set(&outcome->err, STATUS_LIMIT,
              "a result of %zu bytes is too large, or this machine has no memory for it", bytes);
    message->type = MESSAGE_ERR;
    message->payload = outcome->err.text;
    message->size = (uint32_t)strlen(outcome->err.text);
}

/* A block whose bytes are on their way to another engine. */
struct far_block {
    struct worker *worker;
    struct shm_block block;
};

static void far_sent(void *user, bool all)
{
    struct far_block *far = user;
    if (!all)
        metric_add(far->worker->life.page, METRIC_DROPPED, 1);
    shm_pool_drop(far->worker->life.pool, &far->block);
    free(far);
}

void worker_pump(struct worker *worker)
{
    if (!worker->far)
        return;
    struct parcel_way way = post_way(worker->link);
    int64_t now = clock_ms();
    if (outgoing_count(worker->out))
        outgoing_send(worker->out, &way, now);
    parcels_tick(worker->in, now);
    atomic_store_explicit(&worker->sending,
                          outgoing_count(worker->out) || parcels_count(worker->in).begun,
                          memory_order_relaxed);
}

/* Queues the bytes of a block; the block comes back when they are sent. */
static void send_far(struct worker *worker, const struct message *message, struct shm_block block,
                     size_t size)
{
    struct far_block *far = malloc(sizeof *far);
    ASSERT(far);
    *far = (struct far_block){worker, block};
    struct parcel_source source = {block.data, size, far, far_sent};
    int64_t end = clock_ms() + PARCEL_SILENT_MS;
    while (outgoing_add(worker->out, message, source, clock_ms()) != STATUS_OK) {
        if (clock_ms() > end) {
            far_sent(far, false);
            return;
        }
        worker_wait(worker, WORKER_ROOM_MS);
        worker_turn(worker);
    }
    worker_pump(worker);
}

/* Puts a sample into the message or into a block, with the lock held on entry and exit. */
static void send_sample(struct worker *worker, struct message *message,
                        struct worker_outcome *outcome)
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
    uint64_t digest = 0;
    enum status status = wire_encode(&outcome->sample, in_block ? block.data : small, size, &size,
                                     &digest, &outcome->err);
    ASSERT_INT(status, ==, STATUS_OK);
    message->payload = small;
    message->size = (uint32_t)size;
    if (in_block && !worker->far) {
        struct shm_descriptor descriptor = {
            worker->life.inc, block.offset, size, digest, block.slot, block.use};
        shm_descriptor_encode(&descriptor, bytes);
        message->payload = bytes;
        message->size = sizeof bytes;
        message->flags |= MESSAGE_BLOCK;
    }
    if (in_block)
        pthread_mutex_lock(&worker->lock);
    metric_add(worker->life.page, METRIC_BYTES_OUT, size);
    if (in_block && worker->far)
        send_far(worker, message, block, size);
    else if (!send_result(worker, message) && in_block)
        shm_pool_drop(worker->life.pool, &block);
}

void worker_send(struct worker *worker, const struct message *work, struct worker_outcome *outcome)
{
    struct message message = worker_message(worker, outcome->type);
    message.line = work->line;
    message.stage = work->stage;
    message.seq = work->seq;
    message.gen = work->gen;
    message.attempt = work->attempt;
    message.arg = work->arg;
    message.flags = outcome->flags;
    if (outcome->type == MESSAGE_ERR)
        error_prefix(&outcome->err, "%s.%u on %s", worker->job->graph->stages[worker->stage].name,
                     worker->index, host_name());
    bool words = outcome->type == MESSAGE_ERR || outcome->type == MESSAGE_REFUSED;
    if (words) {
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
