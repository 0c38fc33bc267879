/* The delivery journal of a sink's process: opened before its window is laid out, followed where
 * steps are made again, written before each step, synced with each checkpoint; see
 * sink_process.h. */
#include "engine/sink_process.h"

#include "engine/delivery.h"

#include <string.h>
#include <unistd.h>

/* A run with more workers looked further ahead: the window must hold what its steps took. */
static void window_widen(struct sink_process *process)
{
    static uint64_t seqs[DELIVERY_TAKEN_MAX];
    uint32_t group = process->batch, share = group / process->rank_count;
    uint64_t window = process->window;
    for (uint64_t step = 0; step < delivery_steps(process->journal); step++) {
        uint32_t count = delivery_read(process->journal, step, seqs);
        uint64_t n = seqs[count - 1] / group * share + seqs[count - 1] % share;
        uint64_t base = step * share > process->overtake ? step * share - process->overtake : 0;
        if (n >= base && n - base + 1 > window)
            window = n - base + 1;
    }
    window = (window + share - 1) / share * share;
    if (window <= SINK_WINDOW_MAX)
        process->window = (uint32_t)window;
}

enum status sink_journal_open(struct sink_process *process, struct error *err)
{
    char path[PATH_MAX];
    process->overtake = graph_line_overtake(process->job->graph, process->plan);
    if (!process->overtake)
        return STATUS_OK;
    enum status status = delivery_open(
        &process->journal, delivery_path(process->job->run_dir, process->name, process->rank, path),
        true, err);
    if (status == STATUS_OK)
        window_widen(process);
    return status;
}

bool sink_journal_planned(void *memory, uint64_t step, uint64_t *seqs, uint32_t count)
{
    static uint64_t row[DELIVERY_TAKEN_MAX];
    const struct sink_process *process = memory;
    if (delivery_read(process->journal, step, row) != count)
        return false; /* none, or of a run on another number of ranks */
    memcpy(seqs, row, count * sizeof *seqs);
    return true;
}

/* Ranks that this start does not have left rows of steps that will be made without them. */
static enum status cut_others(const struct sink_process *process, uint64_t steps, struct error *err)
{
    char path[PATH_MAX];
    enum status status = STATUS_OK;
    for (uint32_t i = process->rank_count; i < DELIVERY_RANKS_MAX && status == STATUS_OK; i++) {
        struct delivery *journal = NULL;
        delivery_path(process->job->run_dir, process->name, i, path);
        if (access(path, F_OK))
            continue;
        status = delivery_open(&journal, path, true, err);
        if (status == STATUS_OK)
            status = delivery_cut(journal, steps, err);
        delivery_close(journal);
    }
    return status;
}

/* Tells the sink what the steps have taken of this rank's positions. */
static enum status mark_steps(struct sink_process *process, const struct deliveries *all,
                              uint64_t steps, struct error *err)
{
    uint64_t own = 0, share = process->batch / process->rank_count;
    uint64_t *seqs = arena_alloc(&process->step_arena, process->batch * sizeof *seqs);
    bool fits = true;
    for (uint64_t step = 0; step < steps && fits; step++) {
        fits = deliveries_read(all, step, seqs, process->batch) == process->batch;
        for (uint64_t i = 0; i < process->batch && fits; i++)
            if (order_rank(seqs[i], process->batch, process->rank_count) == process->rank) {
                own++;
                fits = sink_mark_taken(process->sink, seqs[i]);
            }
    }
    if (fits && own == steps * share)
        return STATUS_OK;
    return error_set(err, STATUS_CORRUPT,
                     "%s.order.*.tsv do not say which %llu samples rank %u has taken in %llu "
                     "steps: with samples overtaken, a run goes on with its journals, and with as "
                     "many ranks as before or a divisor of them",
                     process->name, (unsigned long long)(steps * share), process->rank,
                     (unsigned long long)steps);
}

enum status sink_journal_resume(struct sink_process *process, const struct sink_position *position,
                                struct error *err)
{
    struct span note = {position->journal, position->journal_size};
    struct deliveries all;
    enum status status = STATUS_OK;
    if (!process->overtake)
        return STATUS_OK;
    if (process->rank == 0)
        status = cut_others(process, position->step, err);
    if (position->step == 0 || status != STATUS_OK)
        return status;
    status = deliveries_open(&all, process->job->run_dir, process->name, err);
    if (status != STATUS_OK)
        return status;
    if (all.of[0])
        status = delivery_check(all.of[0], note, err);
    if (status == STATUS_OK)
        status = mark_steps(process, &all, position->step, err);
    deliveries_close(&all);
    return status;
}

enum status sink_journal_step(struct sink_process *process, const struct sink_batch *batch,
                              struct error *err)
{
    static uint64_t seqs[DELIVERY_TAKEN_MAX];
    if (!process->overtake)
        return STATUS_OK;
    for (uint32_t i = 0; i < batch->count; i++)
        seqs[i] = batch->items[i].seq;
    enum status status = STATUS_FULL;
    for (bool more = true; status == STATUS_FULL && more;) {
        status = delivery_write(process->journal, batch->step, seqs, batch->count, err);
        more = status == STATUS_FULL && sink_wait_room(process, err->text);
    }
    if (status == STATUS_OK)
        sink_room_found(process);
    return status == STATUS_FULL ? STATUS_BUSY : status;
}

enum status sink_journal_sync(struct sink_process *process, struct sink_position *position,
                              struct error *err)
{
    static unsigned char note[DELIVERY_NOTE_BYTES];
    if (!process->overtake)
        return STATUS_OK;
    position->journal = note;
    position->journal_size = sizeof note;
    return delivery_sync(process->journal, position->step, note, err);
}
