/* One batch again; see replay.h. */
#include "engine/replay.h"

#include "engine/base/file.h"
#include "engine/coordinate.h"
#include "engine/delivery.h"
#include "engine/head.h"
#include "engine/journal.h"
#include "engine/rundir.h"
#include "engine/sink.h"
#include "engine/step.h"

#include <string.h>
#include <unistd.h>

#define SKIPS_BYTES_MAX ((size_t)4 << 30)

struct replayer {
    struct job *job;
    int line;
    struct head *head;
    struct runner work[GRAPH_WORK_MAX], gather, sink;
    struct order order;
    uint64_t *aside; /* positions that were set aside, or had no data */
    size_t aside_count;
    struct arena *arena;
};

int replay_line(const struct job *job, const char *sink, struct error *err)
{
    int found = -1;
    for (int i = 0; i < job->graph->line_count; i++) {
        const char *name = job_line_name(job, i);
        bool store = job->graph->stages[job->graph->lines[i].sink].kind->flags & STAGE_STORE;
        if (store)
            continue;
        if (sink ? strcmp(name, sink) == 0 : found < 0 || strcmp(name, "train") == 0)
            found = i;
    }
    if (found < 0)
        error_set(err, STATUS_INVALID, "the graph has no line with steps%s%s",
                  sink ? " that ends in " : "", sink ? sink : "");
    return found;
}

static enum status take_record(void *user, struct span bytes, struct error *err)
{
    struct replayer *r = user;
    struct durable_record record;
    enum status status = durable_decode(bytes, &record, err);
    if (status != STATUS_OK || record.type != DURABLE_ASIDE || record.line != r->line ||
        r->aside_count == MESSAGE_LEDGER_MAX)
        return status;
    r->aside[r->aside_count++] = record.seq;
    return STATUS_OK;
}

/* The positions of the step that had no data when it was made, whatever the store holds now. */
static enum status read_skips(struct replayer *r, uint64_t step, struct error *err)
{
    char path[PATH_MAX], name[GRAPH_NAME_MAX + 16];
    struct span table, row, word;
    int64_t number, seq;
    snprintf(name, sizeof name, "%s.skips.tsv", job_line_name(r->job, r->line));
    if (access(rundir_file(r->job->run_dir, name, path), F_OK))
        return STATUS_OK; /* a run that never came to a step */
    enum status status = file_read(path, SKIPS_BYTES_MAX, r->arena, &table, err);
    while (status == STATUS_OK && span_line(&table, &row))
        if (span_word(&row, &word) && text_int(word, 0, INT64_MAX, &number) &&
            (uint64_t)number == step && span_word(&row, &word) &&
            text_int(word, 0, INT64_MAX, &seq) && r->aside_count < MESSAGE_LEDGER_MAX)
            r->aside[r->aside_count++] = (uint64_t)seq;
    return status;
}

static bool is_aside(const struct replayer *r, uint64_t seq)
{
    for (size_t i = 0; i < r->aside_count; i++)
        if (r->aside[i] == seq)
            return true;
    return false;
}

static enum status open_stages(struct replayer *r, struct error *err)
{
    const struct graph_line *plan = &r->job->graph->lines[r->line];
    struct job_facts facts = {.line = r->line,
                              .replay = true,
                              .list_count = list_count(r->head->list),
                              .list_hash = list_hash(r->head->list)};
    struct job_facts of_work = {.line = -1, .replay = true};
    enum status status = job_open_stage(r->job, plan->sink, &facts, NULL, &r->sink, err);
    if (status == STATUS_OK && plan->gather >= 0)
        status = job_open_stage(r->job, plan->gather, &facts, NULL, &r->gather, err);
    for (int i = 0; i < plan->work_count && status == STATUS_OK; i++)
        status = job_open_stage(r->job, plan->work[i], &of_work, NULL, &r->work[i], err);
    if (status == STATUS_OK)
        status = head_order(r->job, r->line, r->head->list, r->sink.context->terms.shuffled,
                            r->arena, &r->order, err);
    return status;
}

/* One position through the work stages; *sample NULL: it has weight 0. */
static enum status make_sample(struct replayer *r, uint64_t seq, uint32_t recycles,
                               const struct sample **sample, struct error *err)
{
    uint64_t index = order_index(&r->order, seq);
    *sample = NULL;
    if (index == ORDER_EMPTY || is_aside(r, seq))
        return STATUS_OK;
    struct work work = {.seed = r->job->graph->seed,
                        .epoch = order_epoch(&r->order, seq),
                        .position = order_position(&r->order, seq),
                        .recycles = recycles};
    struct span key = list_key(r->head->list, index);
    struct sample *in = arena_zero(r->arena, 1, sizeof *in);
    enum status status = head_read(r->head, key, NULL, r->arena, in, err);
    for (int i = 0; i < r->job->graph->lines[r->line].work_count && status == STATUS_OK; i++) {
        struct sample *out = arena_zero(r->arena, 1, sizeof *out);
        status = runner_feed(&r->work[i], &work, in, out, r->arena, err);
        in = out;
    }
    if (status == STATUS_OK)
        *sample = in;
    if (status == STATUS_REFUSED || status == STATUS_EMPTY)
        return STATUS_OK;
    if (status == STATUS_MISS)
        return error_set(err, STATUS_MISS, "%.*s is not in the store", (int)key.size, key.data);
    return status;
}

/* Which positions the step took: in strict order its own, else what the run's journals say. */
static enum status take_seqs(struct replayer *r, uint64_t step, uint64_t *seqs, uint64_t size,
                             struct error *err)
{
    struct deliveries all;
    for (uint64_t i = 0; i < size; i++)
        seqs[i] = step * size + i;
    if (!graph_line_overtake(r->job->graph, &r->job->graph->lines[r->line]))
        return STATUS_OK;
    const char *name = job_line_name(r->job, r->line);
    enum status status = deliveries_open(&all, r->job->run_dir, name, err);
    if (status != STATUS_OK)
        return status;
    uint64_t count = deliveries_read(&all, step, seqs, size);
    deliveries_close(&all);
    if (count == size)
        return STATUS_OK;
    return error_set(err, count ? STATUS_CORRUPT : STATUS_MISS,
                     "%s.order.*.tsv name %llu samples that step %llu took, not %llu: slow samples "
                     "may be overtaken in this run, so only steps that it has made can be made "
                     "again",
                     name, (unsigned long long)count, (unsigned long long)step,
                     (unsigned long long)size);
}

static enum status make_batch(struct replayer *r, uint64_t step, struct replay *replay,
                              struct error *err)
{
    uint64_t size = r->job->batch[r->line], first = step * size;
    const struct sample **samples = arena_zero(r->arena, size, sizeof *samples);
    uint64_t *seqs = arena_alloc(r->arena, size * sizeof *seqs);
    replay->epoch = order_epoch(&r->order, first);
    replay->position = order_position(&r->order, first);
    replay->recycles =
        order_recycles(r->job->graph->seed, step, r->sink.context->terms.recycles_max);
    enum status status = take_seqs(r, step, seqs, size, err);
    for (uint64_t i = 0; i < size && status == STATUS_OK; i++) {
        status = make_sample(r, seqs[i], replay->recycles, &samples[i], err);
        *(samples[i] ? &replay->samples : &replay->skipped) += 1;
    }
    struct work work = {r->job->graph->seed, replay->epoch, replay->position, replay->recycles,
                        step};
    return status == STATUS_OK
               ? step_make(r->gather.stage ? &r->gather : NULL, &work, samples, (uint32_t)size,
                           &replay->batch, &replay->digest, r->arena, err)
               : status;
}

/* What the gather stage gave lies in its memory, which goes with it. */
static void keep_batch(struct sample *batch, struct arena *arena)
{
    for (int i = 0; i < batch->field_count; i++) {
        struct field *field = &batch->fields[i];
        size_t bytes = field_bytes(field);
        void *copy = arena_alloc(arena, bytes + 1);
        if (bytes)
            memcpy(copy, field->data, bytes);
        field->data = copy;
    }
}

enum status replay_step(struct job *job, int line, uint64_t step, struct replay *replay,
                        struct arena *arena, struct error *err)
{
    static struct replayer replayer;
    struct replayer *r = &replayer;
    *r = (struct replayer){.job = job, .line = line, .arena = arena};
    *replay = (struct replay){0};
    r->aside = arena_zero(arena, MESSAGE_LEDGER_MAX, sizeof *r->aside);
    enum status status = head_open(&r->head, job, line, err);
    if (status == STATUS_OK)
        status = open_stages(r, err);
    if (status == STATUS_OK)
        status = read_skips(r, step, err);
    if (status == STATUS_OK)
        status = journal_read(job->run_dir, take_record, r, err);
    if (status == STATUS_OK)
        status = make_batch(r, step, replay, err);
    for (int i = 0; i < GRAPH_WORK_MAX; i++)
        runner_close(&r->work[i]);
    runner_close(&r->sink);
    if (status == STATUS_OK && r->gather.stage)
        keep_batch(&replay->batch, arena);
    runner_close(&r->gather);
    head_close(r->head);
    return status;
}
