/* The main thread of a sink's process; see sink_process.h. An ordered sink makes steps; a store
 * commits groups of what has come. */
#include "engine/sink_process.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/delivery.h"
#include "engine/ranks.h"
#include "engine/step.h"
#include "engine/supervise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

void sink_wait_change(struct sink_process *process)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&process->change, &process->lock, &until);
}

bool sink_is_over(const struct sink_process *process)
{
    return process->lost_agent || sink_mode(process->sink) == SINK_FENCED;
}

static size_t key_of(void *memory, uint64_t index, char *key)
{
    const struct sink_process *process = memory;
    struct span span = list_key(process->head->list, index);
    memcpy(key, span.data, span.size);
    return span.size;
}

static uint64_t find_key(void *memory, struct span key)
{
    const struct sink_process *process = memory;
    uint64_t index = list_find(process->head->list, key);
    return index == UINT64_MAX ? ORDER_EMPTY : index;
}

/* ---- opening ---- */

/* A store may still be in the hands of a process that is being killed: it is asked again for a
 * while. */
static enum status open_sink_stage(struct sink_process *process, const struct job_facts *facts,
                                   struct error *err)
{
    int64_t end = clock_ms() + SINK_OPEN_MS;
    for (;;) {
        enum status status = job_open_stage(process->job, process->plan->sink, facts,
                                            process->life.page, &process->runner, err);
        if (status != STATUS_BUSY || clock_ms() > end)
            return status;
        usleep(100000);
    }
}

static enum status open_stages(struct sink_process *process, struct error *err)
{
    struct job *job = process->job;
    const struct graph_line *plan = process->plan;
    struct job_facts facts = {.line = process->line,
                              .rank = (int)process->rank,
                              .list_count = list_count(process->head->list),
                              .list_hash = list_hash(process->head->list)};
    enum status status = STATUS_OK;
    if (plan->gather >= 0)
        status =
            job_open_stage(job, plan->gather, &facts, process->life.page, &process->gather, err);
    if (status == STATUS_OK)
        status = open_sink_stage(process, &facts, err);
    return status;
}

/* Memory for what comes. A step needs all of its samples at once, so only a store's sink can be
 * told to take one after another. */
static void open_slots(struct sink_process *process)
{
    uint64_t memory = process->job->graph->stages[process->plan->sink].memory_bytes;
    process->held_max = SINK_HELD_BYTES_MAX;
    if (memory && memory / 4 < process->held_max)
        process->held_max = (size_t)memory / 4;
    process->keep_bytes = process->held_max / process->window;
    if (!process->ordered)
        process->parked =
            arena_zero(&process->arena, process->window, sizeof *process->parked);
    process->slots = arena_zero(&process->arena, process->window, sizeof *process->slots);
    for (uint32_t i = 0; i < process->window; i++)
        arena_open(&process->slots[i].arena, 2 * SAMPLE_BYTES_MAX);
}

static enum status open_sink(struct sink_process *process, uint32_t gen, uint64_t inc,
                             struct error *err)
{
    const struct job *job = process->job;
    const struct head *head = process->head;
    const struct sink_terms *terms = &process->runner.context->terms;
    uint64_t count = list_count(head->list);
    if (!process->ordered)
        process->needs = head_needs(head, job, process->line, &process->arena);
    struct order order = order_make(job->graph->seed, count, process->batch, false, process->needs);
    enum status status = STATUS_OK;
    if (process->ordered)
        status = head_order(job, process->line, head->list, terms->shuffled, &process->arena,
                            &order, err);
    if (status != STATUS_OK)
        return status;
    uint64_t epochs = terms->epochs ? terms->epochs : 1;
    uint64_t end = process->ordered ? epochs * order.positions : order.positions;
    if (process->ordered && terms->steps_max && terms->steps_max * process->batch < end)
        end = terms->steps_max * process->batch;
    if (process->runner.stage->next)
        end = 0; /* each pass is begun when the stage says so */
    uint16_t *leads;
    status = head_leads(head, job, process->line, &process->arena, &leads, err);
    if (status != STATUS_OK)
        return status;
    struct sink_config config = {
        .job = job->id,
        .inc = inc,
        .node = job->net.kind == NETWORK_JOINED ? job->net.node : 0,
        .line = (uint16_t)process->line,
        .gen = gen,
        .start = {job->graph->hash, list_hash(head->list), order.positions},
        .graph_hash = job->graph->hash,
        .order = order,
        .rank = process->rank,
        .rank_count = process->rank_count,
        .window = process->window,
        .overtake = process->overtake,
        .planned = sink_journal_planned,
        .ordered = process->ordered,
        .retries_first = process->ordered,
        .seq_end = end,
        .recycles_max = terms->recycles_max,
        .lead = leads,
        .user = process,
        .key = key_of,
        .find = find_key,
        .skipped = sink_tables_skipped,
    };
    gauge_set(process->life.page, GAUGE_TOTAL, (int64_t)order.positions);
    gauge_set(process->life.page, GAUGE_STEPS_TOTAL, (int64_t)(end / process->batch));
    process->told = arena_zero(&process->arena, count / 8 + 1, 1);
    open_slots(process);
    return sink_open(&process->sink, &config, &process->arena, err);
}

static enum status open_links(struct sink_process *process, struct error *err)
{
    const struct network *net = &process->job->net;
    struct link_options options = {.queue_max = (int)(2 * process->window + 64)};
    char address[LINK_ADDRESS_MAX];
    enum status status = link_context_open(err);
    if (net->kind == NETWORK_JOINED) {
        options = network_options(net, options.queue_max);
        process->parcels = parcels_open(SINK_PARCELS_BYTES_MAX, NULL);
    }
    if (status == STATUS_OK && (net->kind == NETWORK_JOINED || process->place))
        status = network_secure(net, err);
    if (status == STATUS_OK)
        status = link_connect(&process->hub,
                              job_address(process->job, "dispatch", address, sizeof address),
                              options, err);
    if (status == STATUS_OK)
        status = link_connect(&process->coordinator,
                              job_address(process->job, "coordinate", address, sizeof address),
                              options, err);
    process->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (status == STATUS_OK && process->wake < 0)
        status = error_set(err, STATUS_IO, "no eventfd: %s", strerror(errno));
    return status;
}

static enum status process_open(struct sink_process *process, struct job *job, int line,
                                int rank, uint32_t gen, uint64_t inc, struct error *err)
{
    process->job = job;
    process->line = line;
    process->rank = (uint32_t)rank;
    process->rank_count = (uint32_t)job->ranks[line];
    process->plan = &job->graph->lines[line];
    process->name = job_line_name(job, line);
    process->batch = (uint32_t)job->batch[line];
    process->share = process->batch / process->rank_count;
    process->window = (uint32_t)job->plan.lines[line].window;
    process->ordered = !(job->graph->stages[process->plan->sink].kind->flags & STAGE_STORE);
    arena_open(&process->arena, 0);
    arena_open(&process->step_arena, 0);
    pthread_mutex_init(&process->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&process->change, &attributes);
    enum status status = lifeline_open(&process->life, inc, err);
    if (status == STATUS_OK)
        status = head_open(&process->head, job, line, err);
    if (status == STATUS_OK)
        status = open_stages(process, err);
    if (status == STATUS_OK)
        status = sink_journal_open(process, err);
    if (status == STATUS_OK)
        status = open_sink(process, gen, inc, err);
    if (status == STATUS_OK)
        status = open_links(process, err);
    return status;
}

/* ---- beginning ---- */

/* Loads the newest good checkpoint; *step is where the steps go on. */
static enum status load_position(struct sink_process *process, uint64_t *step, struct error *err)
{
    const struct stage *stage = process->runner.stage;
    struct sink_position position = {0};
    uint64_t digest, committed = sink_checkpoint(process->sink, &digest);
    *step = 0;
    if (!process->ordered || !stage->load)
        return STATUS_OK;
    enum status status = stage->load(process->runner.state, &position, err);
    if (status == STATUS_OK)
        *step = position.step;
    else if (status != STATUS_MISS)
        return status;
    if (*step < committed)
        log_warn("the newest checkpoint that can be read is of step %llu, though step %llu was "
                 "saved: the steps between are made again",
                 (unsigned long long)*step, (unsigned long long)committed);
    else if (*step)
        log_info("going on from the checkpoint of step %llu", (unsigned long long)*step);
    pthread_mutex_lock(&process->lock);
    status = sink_journal_resume(process, &position, err);
    pthread_mutex_unlock(&process->lock);
    return status;
}

/* Waits for the generation, then begins at *step. STATUS_EMPTY: the run ended meanwhile. */
static enum status begin(struct sink_process *process, uint64_t *step, struct error *err)
{
    pthread_mutex_lock(&process->lock);
    while (sink_mode(process->sink) == SINK_STARTING && !sink_is_over(process) && !process->drain)
        sink_wait_change(process);
    bool started = sink_mode(process->sink) == SINK_STARTED;
    pthread_mutex_unlock(&process->lock);
    if (!started)
        return STATUS_EMPTY;
    enum status status = load_position(process, step, err);
    if (status == STATUS_OK && !process->ordered)
        status = sink_store_mark(process, err);
    if (status == STATUS_OK && process->ordered)
        status = ranks_begin(process, *step, err);
    if (status == STATUS_OK)
        status = sink_tables_open(process, *step, err);
    if (status != STATUS_OK)
        return status;
    struct outbox out = sink_outbox(process);
    pthread_mutex_lock(&process->lock);
    sink_begin(process->sink, *step, clock_ms(), &out);
    /* Saved by one that was killed before the coordinator had heard of it. */
    if (process->ordered && process->rank == 0 && *step > sink_checkpoint(process->sink, NULL))
        sink_checkpoint_saved(process->sink, *step, 0, clock_ms(), &out);
    pthread_mutex_unlock(&process->lock);
    gauge_set(process->life.page, GAUGE_STATE, PROCESS_WORKING);
    return STATUS_OK;
}

/* ---- ending ---- */

/* Waits until the coordinator has the last checkpoint, says goodbye and stops the pump. True: all
 * that was wanted is done. */
static bool finish(struct sink_process *process, uint64_t step)
{
    struct outbox out = sink_outbox(process);
    int64_t end = clock_ms() + SINK_COMMIT_MS;
    pthread_mutex_lock(&process->lock);
    bool saves = process->ordered && process->runner.stage->save && step > 0 && process->rank == 0;
    while (saves && sink_committed_step(process->sink) < step && clock_ms() < end &&
           !sink_is_over(process))
        sink_wait_change(process);
    bool done = sink_done(process->sink) && !process->drain;
    bool over = sink_is_over(process);
    if (!over && process->rank_count > 1) {
        struct error err; /* nobody leaves before rank 0 has saved for all */
        pthread_mutex_unlock(&process->lock);
        over = ranks_meet(process, &err) != STATUS_OK;
        pthread_mutex_lock(&process->lock);
        done = done && !over;
    }
    if (!over)
        sink_bye(process->sink, &out);
    process->ending = true;
    pthread_mutex_unlock(&process->lock);
    pthread_join(process->pump, NULL);
    return done || !over;
}

int sink_run(struct job *job, int line, int rank, uint32_t gen, const char *place, uint64_t inc)
{
    static struct sink_process process;
    struct error err = {0};
    uint64_t step = 0;
    process.place = place;
    if (process_open(&process, job, line, rank, gen, inc, &err) != STATUS_OK) {
        log_error("%s", err.text);
        return SUPERVISE_EXIT_SETUP;
    }
    if (pthread_create(&process.pump, NULL, sink_pump, &process))
        return EXIT_FAILURE;
    enum status status = process.ordered ? ranks_open(&process, gen, &err) : STATUS_OK;
    if (status == STATUS_OK)
        status = begin(&process, &step, &err);
    if (status == STATUS_OK)
        status = process.ordered ? sink_work(&process, step, &err) : sink_store_run(&process, &err);
    else if (status == STATUS_EMPTY)
        status = STATUS_OK;
    if (status != STATUS_OK) {
        log_error("%s", err.text);
        if (process.rank_count == 1 || status != STATUS_BUSY)
            return SUPERVISE_EXIT_SETUP;
        return process.meet && meet_is_finder(process.meet) ? EXIT_FAILURE : SUPERVISE_EXIT_PEER;
    }
    gauge_set(process.life.page, GAUGE_STATE, PROCESS_DRAINING);
    step = (uint64_t)gauge_get(process.life.page, GAUGE_STEP);
    bool good = finish(&process, step);
    if (sink_mode(process.sink) == SINK_FENCED)
        log_error("%s: %s", process.name, sink_reason(process.sink));
    runner_close(&process.gather);
    runner_close(&process.runner);
    meet_close(process.meet);
    sink_tables_close(&process);
    delivery_close(process.journal);
    link_close(process.hub, 200);
    link_close(process.coordinator, 200);
    parcels_close(process.parcels);
    link_context_close();
    gauge_set(process.life.page, GAUGE_STATE, PROCESS_FINISHED);
    return good && sink_mode(process.sink) != SINK_FENCED ? EXIT_SUCCESS : EXIT_FAILURE;
}
