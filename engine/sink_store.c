/* A sink that is a store: what it holds already needs no work; what comes is committed in groups;
 * what was refused gets a tombstone. See sink_process.h. */
#include "engine/sink_process.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/wire.h"

#include <string.h>

struct again {
    const struct head *head;
    bool *missing;
    size_t *count;
    uint64_t damaged;
};

/* A record that somebody found damaged is as good as missing. */
static void make_again(void *user, struct span key)
{
    struct again *again = user;
    uint64_t index = list_find(again->head->list, key);
    if (index == UINT64_MAX || again->missing[index])
        return;
    again->missing[index] = true;
    *again->count += 1;
    again->damaged++;
}

/* Positions whose record is in the store need no work. */
enum status sink_store_mark(struct sink_process *process, struct error *err)
{
    const struct head *head = process->head;
    uint64_t count = list_count(head->list);
    struct arena arena;
    size_t missing_count = 0;
    arena_open(&arena, 0);
    struct store_want *wants = arena_zero(&arena, count, sizeof *wants);
    bool *missing = arena_zero(&arena, count, sizeof *missing);
    enum status status = STATUS_OK;
    process->store = process->runner.stage->store(process->runner.state);
    uint64_t requeued = 0;
    status = store_take_requeued(process->store, &arena, &requeued, err);
    if (requeued)
        log_info("%llu refused samples are made again, as asked", (unsigned long long)requeued);
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        struct span key = list_key(head->list, i);
        wants[i].key = arena_text(&arena, key.data, key.size);
        status = head_made(head, process->runner.context->recipe, i, &arena, &wants[i].made, err);
    }
    if (status == STATUS_OK)
        status = store_missing(process->store, wants, count, missing, &missing_count, err);
    struct again again = {.head = head, .missing = missing, .count = &missing_count};
    if (status == STATUS_OK)
        status = store_damaged(process->store, &arena, make_again, &again, err);
    if (status == STATUS_OK && again.damaged)
        log_warn("%llu records are damaged and made again", (unsigned long long)again.damaged);
    for (uint64_t position = 0; position < count && status == STATUS_OK; position++)
        if (!missing[process->needs ? process->needs[position] : position])
            sink_mark_done(process->sink, position);
    if (status == STATUS_OK)
        log_info("%llu of %llu are stored already", (unsigned long long)(count - missing_count),
                 (unsigned long long)count);
    arena_close(&arena);
    return status;
}

/* A refusal is kept too: with what the sample would have been made from, so that a changed stage
 * looks at it again. */
static enum status bury(struct sink_process *process, const struct sink_item *item,
                        const char *reason, struct error *err)
{
    static const char *const fields[] = {"split", NULL};
    struct wire_options options = {.fields = fields};
    struct store_made made;
    struct sample sample;
    const struct head *head = process->head;
    enum status status = head_made(head, process->runner.context->recipe, item->index,
                                   &process->step_arena, &made, err);
    if (status == STATUS_OK)
        status = wire_decode(list_frame(head->list, item->index), &options, &process->step_arena,
                             &sample, err);
    if (status == STATUS_OK)
        status = store_refuse(process->store, list_key(head->list, item->index), made,
                              sample_text(&sample, "split"), reason, err);
    return status;
}

/* The slot's payload is stored or buried: there is room for another. */
static void let_go(struct sink_process *process, struct sink_slot *slot)
{
    arena_release(&slot->arena, process->keep_bytes); /* what waits for the commit is the store's */
    pthread_mutex_lock(&process->lock);
    process->held_bytes -= slot->held_bytes;
    slot->held_bytes = 0;
    pthread_mutex_unlock(&process->lock);
}

static enum status store_one(struct sink_process *process, const struct sink_item *item,
                             struct error *err)
{
    struct sink_slot *slot = &process->slots[item->slot];
    struct work work = {.seed = process->job->graph->seed, .position = item->seq};
    if (item->skip == SKIP_REFUSED)
        return bury(process, item, sink_item_text(process->sink, item->slot), err);
    if (item->skip != SKIP_NO)
        return STATUS_OK;
    enum status status =
        runner_feed(&process->runner, &work, &slot->sample, NULL, &process->step_arena, err);
    if (status == STATUS_REFUSED || status == STATUS_INVALID || status == STATUS_LIMIT) {
        log_warn("%s is not stored: %s", slot->sample.key, err->text);
        char reason[ERROR_TEXT_MAX];
        snprintf(reason, sizeof reason, "%s", err->text);
        status = bury(process, item, reason, err);
    }
    if (status != STATUS_FULL) /* then it is put again */
        let_go(process, slot);
    return status;
}

/* After a write that failed: true when the disk was full, and it is to be tried again now. */
static bool wait_disk(struct sink_process *process, enum status *status, const struct error *err)
{
    if (*status == STATUS_OK)
        sink_room_found(process);
    if (*status != STATUS_FULL || !store_disk_full(process->store))
        return false;
    if (sink_wait_room(process, err->text))
        return true;
    *status = STATUS_BUSY; /* the run ends: what was not stored is made again by the next */
    return false;
}

/* True while something that was asked for may still come. */
static bool is_in_flight(struct sink_process *process)
{
    struct sink_counts counts;
    sink_count(process->sink, &counts);
    return counts.slots[SLOT_ASKED] + counts.slots[SLOT_HAVE] + counts.slots[SLOT_TAKEN] > 0;
}

/* The next group, at most SINK_GROUP_MAX; 0: nothing more will come. */
static int wait_group(struct sink_process *process, struct sink_item *items)
{
    int count = 0;
    int64_t drain_end = 0;
    pthread_mutex_lock(&process->lock);
    while (!sink_is_over(process)) {
        while (!sink_is_paused(process) && count < SINK_GROUP_MAX &&
               sink_take(process->sink, &items[count]))
            count++;
        if (count || sink_done(process->sink))
            break;
        if (process->drain && !drain_end)
            drain_end = clock_ms() + SINK_DRAIN_MS;
        if (process->drain && (!is_in_flight(process) || clock_ms() > drain_end))
            break;
        sink_wait_change(process);
    }
    pthread_mutex_unlock(&process->lock);
    return count;
}

enum status sink_store_run(struct sink_process *process, struct error *err)
{
    static struct sink_item items[SINK_GROUP_MAX];
    struct outbox out = sink_outbox(process);
    const struct stage *stage = process->runner.stage;
    struct work work = {.seed = process->job->graph->seed};
    enum status status = STATUS_OK;
    int count;
    int64_t from = clock_ns();
    gauge_set(process->life.page, GAUGE_WAITS_SINCE_NS, from);
    while (status == STATUS_OK && (count = wait_group(process, items)) > 0) {
        int64_t begun = clock_ns();
        gauge_set(process->life.page, GAUGE_WAITS_SINCE_NS, 0);
        metric_add(process->life.page, METRIC_WAIT_WORK_NS, (uint64_t)(begun - from));
        arena_reset(&process->step_arena);
        for (int i = 0; i < count && status == STATUS_OK; i++)
            do
                status = store_one(process, &items[i], err);
            while (wait_disk(process, &status, err));
        if (status == STATUS_OK && stage->drain)
            do
                status =
                    stage->drain(process->runner.state, &work, NULL, &process->step_arena, err);
            while (wait_disk(process, &status, err));
        if (status != STATUS_OK)
            break;
        pthread_mutex_lock(&process->lock);
        for (int i = 0; i < count; i++)
            sink_committed(process->sink, items[i].slot, clock_ms(), &out);
        pthread_mutex_unlock(&process->lock);
        int64_t done = clock_ns();
        metric_add(process->life.page, METRIC_BUSY_NS, (uint64_t)(done - begun));
        metric_add(process->life.page, METRIC_DONE, (uint64_t)count);
        from = done;
        gauge_set(process->life.page, GAUGE_WAITS_SINCE_NS, from);
    }
    return status == STATUS_BUSY ? STATUS_OK : status;
}
