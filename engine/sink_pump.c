/* The thread of a sink's process that speaks the protocol; see sink_process.h. */
#include "engine/sink_process.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/supervise.h"
#include "engine/wire.h"

#include <string.h>
#include <unistd.h>

/* Under the lock. The pump sends after every turn; the main thread wakes it for that. */
static void put(void *user, const struct message *message)
{
    struct sink_process *process = user;
    bool hub = message->peer == SINK_TO_DISPATCH;
    backlog_add(hub ? &process->to_hub : &process->to_coordinator, message);
    if (!pthread_equal(pthread_self(), process->pump_self)) {
        uint64_t one = 1;
        ssize_t wrote = write(process->wake, &one, sizeof one);
        (void)wrote; /* a full counter wakes the pump as well */
    }
}

struct outbox sink_outbox(struct sink_process *process)
{
    return (struct outbox){process, put};
}

/* Copies a payload and checks it: nothing of the sender's memory is used afterwards. */
static enum status keep(struct sink_process *process, struct sink_slot *slot,
                        const struct message *data, struct error *err)
{
    arena_reset(&slot->arena);
    void *payload;
    size_t bytes = data->size;
    if (data->flags & MESSAGE_BLOCK) {
        struct shm_view *view;
        if (bytes != SHM_DESCRIPTOR_BYTES)
            return error_set(err, STATUS_CORRUPT, "a descriptor of %zu bytes", bytes);
        struct shm_descriptor descriptor = shm_descriptor_decode(data->payload);
        enum status status = lifeline_view(&process->life, descriptor.inc, &view, err);
        if (status == STATUS_OK)
            status = lifeline_copy(view, &descriptor, &slot->arena, &payload, err);
        if (status != STATUS_OK)
            return status;
        bytes = (size_t)descriptor.bytes;
    } else {
        payload = arena_alloc(&slot->arena, bytes);
        memcpy(payload, data->payload, bytes);
    }
    metric_add(process->life.page, METRIC_BYTES_IN, bytes);
    enum status status =
        wire_decode((struct span){payload, bytes}, &wire_on_link, &slot->arena, &slot->sample, err);
    if (status == STATUS_OK) {
        slot->held_bytes = bytes;
        pthread_mutex_lock(&process->lock);
        process->held_bytes += bytes;
        pthread_mutex_unlock(&process->lock);
    }
    return status;
}

static void give_back(struct sink_process *process, const struct message *data)
{
    if (!(data->flags & MESSAGE_BLOCK) || data->size != SHM_DESCRIPTOR_BYTES)
        return;
    struct shm_descriptor descriptor = shm_descriptor_decode(data->payload);
    lifeline_return(&process->life, &descriptor);
}

static bool is_block(const struct message *data)
{
    return data->type == MESSAGE_DATA && data->flags & MESSAGE_BLOCK &&
           data->size == SHM_DESCRIPTOR_BYTES;
}

/* Whether the payload fits beside what is held. Nothing may be held for ever, so that one that is
 * larger than all room comes alone. */
static bool has_room(struct sink_process *process, const struct message *data)
{
    uint64_t bytes = shm_descriptor_decode(data->payload).bytes;
    pthread_mutex_lock(&process->lock);
    size_t held = process->held_bytes;
    pthread_mutex_unlock(&process->lock);
    return held == 0 || (held < process->held_max && bytes <= process->held_max - held);
}

static bool is_wanted(struct sink_process *process, const struct message *data)
{
    pthread_mutex_lock(&process->lock);
    bool wanted = sink_slot(process->sink, data) >= 0;
    pthread_mutex_unlock(&process->lock);
    return wanted;
}

/* Leaves a payload where it is until there is room. To the protocol it has not come yet: if that
 * takes too long, the position is asked for again, and the newer payload takes the older one's
 * place. False: it need not wait. */
static bool park(struct sink_process *process, const struct message *data)
{
    if (process->ordered || !is_block(data) || !is_wanted(process, data) ||
        (process->parked_count == 0 && has_room(process, data)))
        return false;
    uint32_t at = 0;
    while (at < process->parked_count && process->parked[at].message.seq != data->seq)
        at++;
    struct sink_parked *parked = &process->parked[at];
    if (at < process->parked_count)
        give_back(process, &parked->message);
    else
        process->parked_count++; /* wanted positions are those of the window */
    ASSERT_INT(process->parked_count, <=, process->window);
    parked->message = *data;
    memcpy(parked->payload, data->payload, sizeof parked->payload);
    parked->message.payload = parked->payload;
    return true;
}

/* The payload is copied without the lock: the slot is asked for, so nobody else looks at it. */
static void take_data(struct sink_process *process, struct message *data)
{
    pthread_mutex_lock(&process->lock);
    int number = sink_slot(process->sink, data);
    struct sink_wait wait = {0};
    if (number >= 0)
        sink_why(process->sink, number, &wait);
    pthread_mutex_unlock(&process->lock);
    if (number < 0) {
        give_back(process, data);
        metric_add(process->life.page, METRIC_DROPPED, 1);
        return;
    }
    struct sink_slot *slot = &process->slots[number];
    slot->seq = data->seq;
    slot->inc = data->inc;
    slot->attempt = data->attempt;
    slot->asked_ms = wait.asked_ms;
    slot->came_ms = clock_ms();
    struct error err;
    if (data->flags & MESSAGE_EMPTY)
        return;
    if (keep(process, slot, data, &err) != STATUS_OK) {
        log_debug("position %llu comes again: %s", (unsigned long long)data->seq, err.text);
        data->type = MESSAGE_LOST;
    }
}

static void take(struct sink_process *process, struct message *message, uint32_t from)
{
    struct outbox out = sink_outbox(process);
    if (message->type == MESSAGE_DATA)
        take_data(process, message);
    message->peer = from;
    pthread_mutex_lock(&process->lock);
    sink_step(process->sink, message, clock_ms(), &out);
    pthread_mutex_unlock(&process->lock);
}

/* What has waited, as long as there is room. */
static void unpark(struct sink_process *process)
{
    uint32_t taken = 0;
    for (; taken < process->parked_count; taken++) {
        struct message *data = &process->parked[taken].message;
        if (is_wanted(process, data) && !has_room(process, data))
            break;
        take(process, data, SINK_TO_DISPATCH);
    }
    if (taken == 0)
        return;
    process->parked_count -= taken;
    memmove(process->parked, process->parked + taken,
            process->parked_count * sizeof *process->parked);
    for (uint32_t i = 0; i < process->parked_count; i++)
        process->parked[i].message.payload = process->parked[i].payload;
}

/* At another node than the head, where payloads come in parts. */
static void receive_parcels(struct sink_process *process, int64_t now)
{
    struct link_message raw;
    struct message message;
    struct parcel whole;
    uint64_t bad = 0;
    while (post_receive_parcel(process->hub, process->parcels, now, &raw, &message, &whole, &bad) ==
           STATUS_OK) {
        bool block = message.flags & MESSAGE_BLOCK; /* it would name memory of another node */
        if (whole.block.data) {
            message.payload = whole.block.data;
            message.size = (uint32_t)whole.block.bytes;
        }
        if (!(message.flags & MESSAGE_PART) && !block)
            take(process, &message, SINK_TO_DISPATCH);
        bad += block;
        parcel_free(process->parcels, &whole);
        link_message_close(&raw);
    }
    parcels_tick(process->parcels, now);
    if (bad)
        metric_add(process->life.page, METRIC_DROPPED, bad);
}

static void receive(struct sink_process *process, struct link *link, uint32_t from)
{
    struct link_message raw;
    struct message message;
    uint64_t bad = 0;
    while (post_receive(link, &raw, &message, &bad) == STATUS_OK) {
        if (!park(process, &message))
            take(process, &message, from);
        link_message_close(&raw);
    }
    if (bad)
        metric_add(process->life.page, METRIC_DROPPED, bad);
}

static void show(struct sink_process *process)
{
    struct sink_counts counts;
    struct page *page = process->life.page;
    sink_count(process->sink, &counts);
    gauge_set(page, GAUGE_QUEUE, counts.slots[SLOT_HAVE] + counts.slots[SLOT_TAKEN]);
    gauge_set(page, GAUGE_WANTED, counts.slots[SLOT_ASKED] + counts.slots[SLOT_NEED]);
    gauge_set(page, GAUGE_QUARANTINED, (int64_t)counts.aside);
    gauge_set(page, GAUGE_DONE, (int64_t)counts.done);
    atomic_store_explicit(&page->counter[METRIC_REFUSED], counts.refused, memory_order_relaxed);
    atomic_store_explicit(&page->counter[METRIC_RESENT], counts.asked_again, memory_order_relaxed);
}

/* The agent's words: drain, or (evaluate) that all other lines have ended. */
static void hear_agent(struct sink_process *process)
{
    struct outbox out = sink_outbox(process);
    if (lifeline_listen(&process->life) != STATUS_OK)
        process->lost_agent = true;
    pthread_mutex_lock(&process->lock);
    process->finishing = process->finishing || process->life.finish;
    if (process->life.drain && !process->drain) {
        struct message drain = {
            .type = MESSAGE_DRAIN, .peer = SINK_TO_DISPATCH, .job = process->job->id};
        process->drain = true;
        sink_step(process->sink, &drain, clock_ms(), &out);
    }
    pthread_mutex_unlock(&process->lock);
}

void *sink_pump(void *memory)
{
    struct sink_process *process = memory;
    struct outbox out = sink_outbox(process);
    int64_t tick_ms = 0;
    bool ending = false, sent = true;
    pthread_mutex_lock(&process->lock);
    process->pump_self = pthread_self();
    pthread_mutex_unlock(&process->lock);
    while (!ending) {
        struct link_wait waits[] = {{.link = process->hub},
                                    {.link = process->coordinator},
                                    {.fd = process->wake},
                                    {.fd = process->life.socket}};
        link_poll(waits, 4, sent ? SINK_TICK_MS : 2);
        if (waits[2].ready) {
            uint64_t count;
            ssize_t got = read(process->wake, &count, sizeof count);
            (void)got; /* it does not block, and what it says is only "look" */
        }
        if (waits[3].ready)
            hear_agent(process);
        unpark(process);
        if (process->parcels)
            receive_parcels(process, clock_ms());
        else
            receive(process, process->hub, SINK_TO_DISPATCH);
        receive(process, process->coordinator, SINK_TO_COORDINATE);
        pthread_mutex_lock(&process->lock);
        int64_t now = clock_ms();
        if (now - tick_ms >= SINK_TICK_MS) {
            tick_ms = now;
            if (process->meet)
                meet_beat(process->meet);
            sink_step(process->sink, NULL, now, &out);
            show(process);
        }
        sent = backlog_flush(&process->to_hub, process->hub);
        sent = backlog_flush(&process->to_coordinator, process->coordinator) && sent;
        ending = process->lost_agent || (process->ending && sent);
        if (ending)
            show(process);
        pthread_cond_broadcast(&process->change);
        pthread_mutex_unlock(&process->lock);
    }
    return NULL;
}
