/* The steps of an ordered sink, in its main thread: waits until the samples of one are there, makes
 * the batch, agrees with the other ranks, feeds the stage, writes the row, saves; see
 * sink_process.h. */
#include "engine/sink_process.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/ranks.h"
#include "engine/step.h"

/* What every rank has taken is durable before rank 0 saves. */
static enum status sync_journals(struct sink_process *process, struct sink_position *position,
                                 struct error *err)
{
    enum status status = STATUS_FULL;
    for (bool more = true; status == STATUS_FULL && more;) {
        status = sink_journal_sync(process, position, err);
        more = status == STATUS_FULL && sink_wait_room(process, err->text);
    }
    if (status == STATUS_FULL) /* the run ends */
        return error_set(err, STATUS_BUSY, "%s: the journal finds no room", process->name);
    return status == STATUS_OK ? ranks_meet(process, err) : status;
}

/* Saves, and tells the coordinator: rank 0 for all. */
static enum status save(struct sink_process *process, uint64_t step, uint64_t digest,
                        struct error *err)
{
    if (!process->runner.stage->save)
        return STATUS_OK;
    uint64_t seq = step * process->batch, positions = process->head->positions;
    struct sink_position position = {
        .step = step, .epoch = seq / positions, .position = seq % positions};
    if (process->overtake && process->rank_count > 1) {
        enum status synced = sync_journals(process, &position, err);
        if (synced != STATUS_OK)
            return synced;
    }
    if (process->rank > 0)
        return STATUS_OK;
    enum status status = STATUS_FULL;
    for (bool more = true; status == STATUS_FULL && more;) {
        status = sink_journal_sync(process, &position, err);
        if (status == STATUS_OK)
            status = process->runner.stage->save(process->runner.state, &position, err);
        more = status == STATUS_FULL && sink_wait_room(process, err->text);
    }
    if (status == STATUS_FULL) {
        log_warn("the checkpoint of step %llu is not saved; the run can go on from the one before",
                 (unsigned long long)step);
        return STATUS_OK;
    }
    sink_room_found(process);
    if (status != STATUS_OK)
        return error_prefix(err, "the checkpoint of step %llu", (unsigned long long)step), status;
    struct outbox out = sink_outbox(process);
    pthread_mutex_lock(&process->lock);
    sink_checkpoint_saved(process->sink, step, digest, clock_ms(), &out);
    pthread_mutex_unlock(&process->lock);
    return STATUS_OK;
}

/* Asks a stage that waits for something outside whether to begin a pass. False: there is none. */
static bool begin_pass(struct sink_process *process, uint64_t *end, struct error *err)
{
    enum status status =
        process->runner.stage->next(process->runner.state, process->finishing, err);
    if (status == STATUS_EMPTY)
        return false;
    if (status == STATUS_OK) {
        *end += process->head->positions;
        sink_extend(process->sink, *end);
    } else if (status != STATUS_BUSY) {
        log_warn("%s: %s", process->name, err->text);
    }
    return true;
}

/* Waits until the next step can be made; false: there is none to come. */
static bool wait_step(struct sink_process *process, struct sink_batch *batch, uint64_t *end)
{
    bool found = false, more = true;
    struct outbox out = sink_outbox(process);
    struct error err;
    pthread_mutex_lock(&process->lock);
    while (more && !sink_is_over(process) && !process->drain) {
        if (sink_is_paused(process)) {
            sink_wait_change(process);
            continue;
        }
        found = sink_batch(process->sink, batch, clock_ms(), &out);
        if (found)
            break;
        if (sink_done(process->sink))
            more = process->runner.stage->next && begin_pass(process, end, &err);
        if (more)
            sink_wait_change(process);
    }
    pthread_mutex_unlock(&process->lock);
    return found;
}

/* The samples of this rank's share through the gather stage. STATUS_EMPTY: it has none. */
static enum status make_batch(struct sink_process *process, const struct sink_batch *batch,
                              struct work *work, struct sample *out, uint64_t *digests,
                              struct error *err)
{
    static const struct sample *samples[SINK_BATCH_MAX];
    *work = (struct work){.seed = process->job->graph->seed,
                          .epoch = batch->epoch,
                          .position = batch->position,
                          .recycles = batch->recycles,
                          .step = batch->step};
    for (uint32_t i = 0; i < batch->count; i++)
        samples[i] =
            batch->items[i].skip == SKIP_NO ? &process->slots[batch->items[i].slot].sample : NULL;
    return step_share(process->gather.stage ? &process->gather : NULL, work, samples, batch->count,
                      out, digests, &process->step_arena, err);
}

/* One step, if all ranks have it: *all. A rank whose share is empty takes part without data. */
static enum status do_step(struct sink_process *process, bool found,
                           const struct sink_batch *batch, struct step_record *record, bool *all,
                           struct error *err)
{
    static uint64_t digests[SINK_BATCH_MAX];
    static struct sample out;
    struct work work;
    enum status status = STATUS_EMPTY;
    arena_reset(&process->step_arena);
    if (found) {
        enum status noted = sink_journal_step(process, batch, err);
        if (noted != STATUS_OK && noted != STATUS_BUSY)
            return noted;
        found = noted == STATUS_OK; /* else the run ends */
    }
    if (found) {
        record->last = sink_tables_last(process, batch);
        status = make_batch(process, batch, &work, &out, digests, err);
    }
    bool empty = status == STATUS_EMPTY;
    if (status == STATUS_OK || empty)
        status = ranks_agree(process, found, batch, digests, record, all, err);
    record->begun_ns = clock_ns();
    if (status == STATUS_OK && *all && (!empty || process->rank_count > 1))
        status = runner_feed(&process->runner, &work, empty ? NULL : &out, NULL,
                             &process->step_arena, err);
    if (status != STATUS_OK && found)
        error_prefix(err, "%s, step %llu", process->name, (unsigned long long)batch->step);
    return status;
}

static void show_step(struct sink_process *process, uint64_t steps)
{
    uint64_t seq = steps * process->batch, positions = process->head->positions;
    struct page *page = process->life.page;
    gauge_set(page, GAUGE_STEP, (int64_t)steps);
    gauge_set(page, GAUGE_EPOCH, (int64_t)(seq / positions));
    gauge_set(page, GAUGE_POSITION, (int64_t)(seq % positions));
}

/* The row of a step; false when the disk is full and the run ends. */
static bool write_row(struct sink_process *process, const struct step_record *record)
{
    sink_tables_step(process, record);
    while (!sink_tables_flush(process))
        if (!sink_wait_room(process, "the table of its steps cannot be written"))
            return false;
    sink_room_found(process);
    return true;
}

/* What a step that was made leaves: its times, its row. False: the run ends. */
static bool note_step(struct sink_process *process, const struct sink_batch *batch,
                      struct step_record *record, int64_t from_ns)
{
    struct page *page = process->life.page;
    int64_t done = clock_ns(), took = done - record->begun_ns;
    struct outbox out = sink_outbox(process);
    record->waited_s = (double)(record->begun_ns - from_ns) * 1e-9;
    record->computed_s = (double)took * 1e-9;
    if (took / 1000000 >= process->longest_ms)
        process->longest_ms = took / 1000000 + 1;
    metric_add(page, METRIC_WAIT_WORK_NS, (uint64_t)(record->begun_ns - from_ns));
    metric_add(page, METRIC_BUSY_NS, (uint64_t)took);
    metric_add(page, METRIC_DONE, batch->count);
    if (process->rank == 0 && !write_row(process, record))
        return false;
    show_step(process, batch->step + 1);
    pthread_mutex_lock(&process->lock);
    sink_batch_done(process->sink, clock_ms(), &out);
    pthread_mutex_unlock(&process->lock);
    return true;
}

enum status sink_work(struct sink_process *process, uint64_t step, struct error *err)
{
    static struct sink_batch batch;
    const uint64_t every = process->runner.context->terms.checkpoint_steps;
    struct page *page = process->life.page;
    uint64_t digest = 0, saved = step, end = 0;
    enum status status = STATUS_OK;
    bool all = true;
    show_step(process, step);
    int64_t from = clock_ns();
    while (status == STATUS_OK && all) {
        gauge_set(page, GAUGE_WAITS_SINCE_NS, from);
        bool found = wait_step(process, &batch, &end);
        gauge_set(page, GAUGE_WAITS_SINCE_NS, 0);
        struct step_record record = {0};
        status = do_step(process, found, &batch, &record, &all, err);
        if (status != STATUS_OK || !all)
            break;
        if (!note_step(process, &batch, &record, from)) /* what no checkpoint has is made again */
            return process->rank_count == 1
                       ? STATUS_OK
                       : error_set(err, STATUS_BUSY, "the run ends while its disk is full");
        from = clock_ns();
        digest = digest * 0x9e3779b97f4a7c15U ^ record.digest;
        step = batch.step + 1;
        if (every && step % every == 0) {
            status = save(process, step, digest, err);
            saved = step;
        }
    }
    if (status == STATUS_OK && step != saved)
        status = save(process, step, digest, err);
    return status;
}
