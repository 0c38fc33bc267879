/* The frozen lists of a run, made when it starts: what a source lists, or the keys of the stores
 * that are only read; see run_state.h. */
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/list.h"
#include "engine/run_state.h"
#include "engine/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct list_user {
    const char *stage;
    FILE *refused;
    uint64_t count;
};

static void on_refused(void *memory, const char *name, const char *reason)
{
    struct list_user *user = memory;
    fprintf(user->refused, "%s\t%s\trefused\t%s\n", user->stage, name, reason);
    user->count++;
}

static enum status list_from_source(struct run *run, int line, struct list_maker *maker,
                                    struct error *err)
{
    struct job_facts facts = {.line = line};
    struct runner runner;
    enum status status = job_open_stage(&run->job, run->job.graph->lines[line].head, &facts, NULL,
                                        &runner, err);
    if (status == STATUS_OK) {
        status = runner.stage->list(runner.state, list_source(maker), err);
        runner_close(&runner);
    }
    return status;
}

/* Which records of a store are listed, and what is said of them. */
struct wanted {
    const char *path;
    const char *split; /* "": all */
    int number;        /* of the store in a mixture; -1: none */
    bool weighed;      /* with cluster_size and length, as far as the record has them */
};

/* Copies what weighing needs from the record into its entry in the list, so that the order of a run
 * never depends on what is done to the store later. */
static enum status add_weight(struct store *store, struct sample *sample, struct arena *arena,
                              struct error *err)
{
    static const char *const fields[] = {"cluster_size", "length", NULL};
    struct sample record;
    enum status status = store_get(store, sample->key, fields, NULL, arena, &record, err);
    for (int i = 0; fields[i] && status == STATUS_OK; i++) {
        const struct field *field = sample_find(&record, fields[i]);
        if (field)
            status = sample_put(sample, field, err);
    }
    return status;
}

static enum status list_record(const struct wanted *wanted, struct store *store,
                               const struct store_entry *entry, struct list_maker *maker,
                               struct arena *arena, struct error *err)
{
    struct sample sample;
    if (entry->refused || (*wanted->split && strcmp(entry->split, wanted->split) != 0))
        return STATUS_OK;
    enum status status = sample_open(&sample, span_of(entry->key), err);
    if (status != STATUS_OK)
        return status;
    sample_add_text(&sample, arena, "split", span_of(entry->split));
    sample_add_f32(&sample, arena, HEAD_COST_FIELD, (float)entry->raw_bytes);
    if (wanted->number >= 0)
        sample_add_i32(&sample, arena, HEAD_STORE_FIELD, wanted->number);
    if (wanted->weighed)
        status = add_weight(store, &sample, arena, err);
    if (status == STATUS_CORRUPT) { /* it would be skipped by name at every turn */
        list_source(maker)->refuse(list_source(maker), entry->key, err->text);
        return STATUS_OK;
    }
    return status == STATUS_OK ? list_source(maker)->emit(list_source(maker), &sample, err)
                               : status;
}

/* The records of a store that nothing fills. */
static enum status list_from_store(const struct wanted *wanted, struct list_maker *maker,
                                   struct error *err)
{
    const struct store_entry *entry;
    struct store_walk walk;
    struct store *store;
    struct arena arena;
    enum status status = store_open_reader(wanted->path, &store, err);
    if (status == STATUS_MISS)
        return error_set(err, STATUS_MISS, "%s: there is no store; fill one first", wanted->path);
    if (status != STATUS_OK)
        return status;
    arena_open(&arena, 0);
    status = store_walk_open(&walk, store, &arena, err);
    struct arena_mark mark = arena_mark(&arena);
    while (status == STATUS_OK) {
        status = store_next(&walk, &entry, err);
        arena_rewind(&arena, mark);
        if (status == STATUS_CORRUPT && entry) {
            list_source(maker)->refuse(list_source(maker), entry->key, err->text);
            status = STATUS_OK;
        } else if (status == STATUS_OK) {
            status = list_record(wanted, store, entry, maker, &arena, err);
        }
    }
    store_close(store);
    arena_close(&arena);
    return status == STATUS_EMPTY ? STATUS_OK : status;
}

static enum status list_from_mixture(const struct run *run, int line, struct list_maker *maker,
                                     struct error *err)
{
    const struct graph *graph = run->job.graph;
    const struct graph_line *plan = &graph->lines[line];
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->mix_count && status == STATUS_OK; i++) {
        const struct graph_stage *store = &graph->stages[plan->mix[i].store];
        struct wanted wanted = {graph_store_path(store), plan->mix[i].split, i,
                                head_weighs(&run->job, line)};
        status = list_from_store(&wanted, maker, err);
        if (status == STATUS_INVALID) /* a key twice, most likely */
            error_prefix(err, "mixing in %s", store->name);
    }
    return status;
}

/* True when a line that reads the same store as this one weighs its samples. */
static bool store_weighed(const struct job *job, int line)
{
    bool weighed = false;
    for (int i = 0; i < job->graph->line_count; i++)
        weighed |= job->graph->lines[i].head == job->graph->lines[line].head &&
                   job->graph->lines[i].mix_count == 0 && head_weighs(job, i);
    return weighed;
}

/* Freezes one list; a run that goes on keeps the list that it began with. */
static enum status make_list(struct run *run, int line, FILE *refused, struct error *err)
{
    char path[PATH_MAX];
    const struct graph_line *plan = &run->job.graph->lines[line];
    const struct graph_stage *head = &run->job.graph->stages[plan->head];
    if (plan->filled_by >= 0 || access(job_list_path(&run->job, line, path), F_OK) == 0)
        return STATUS_OK;
    struct list_user user = {head->name, refused, 0};
    struct list_maker *maker = list_make(&user, on_refused);
    int64_t start = clock_ns();
    enum status status;
    if (plan->mix_count)
        status = list_from_mixture(run, line, maker, err);
    else if (head->kind->flags & STAGE_STORE)
        status = list_from_store(
            &(struct wanted){graph_store_path(head), "", -1, store_weighed(&run->job, line)}, maker,
            err);
    else
        status = list_from_source(run, line, maker, err);
    if (status == STATUS_OK)
        status = list_write(maker, path, err);
    list_maker_close(maker);
    if (status != STATUS_OK) {
        error_prefix(err, "%s", head->name);
        return status;
    }
    log_info("%s: listed in %.2f s, %llu inputs refused", head->name,
             (double)(clock_ns() - start) * 1e-9, (unsigned long long)user.count);
    return STATUS_OK;
}

/* A list must give the line something to work on, and what its order needs. */
static enum status check_line(struct run *run, int line, struct error *err)
{
    const struct graph_line *plan = &run->job.graph->lines[line];
    struct head *head;
    enum status status = head_open(&head, &run->job, line, err);
    if (status != STATUS_OK)
        return status;
    if (list_count(head->list) == 0)
        status = error_set(err, STATUS_EMPTY, "%s: no sample of split \"%s\" is in the list",
                           job_line_name(&run->job, line), plan->split);
    struct order order;
    struct arena arena;
    arena_open(&arena, 0);
    if (status == STATUS_OK && (head_weighs(&run->job, line) || plan->mix_count))
        status = head_order(&run->job, line, head->list, true, &arena, &order, err);
    arena_close(&arena);
    head_close(head);
    return status;
}

enum status run_lists_make(struct run *run, struct error *err)
{
    char path[PATH_MAX];
    FILE *refused = fopen(rundir_file(run->dir.path, "refused.tsv", path), "ae");
    if (!refused)
        return error_set(err, errno == ENOSPC ? STATUS_FULL : STATUS_IO, "%s: %s", path,
                         strerror(errno));
    fseek(refused, 0, SEEK_END);
    if (ftell(refused) == 0)
        fputs("line\tkey\twhy\treason\n", refused);
    enum status status = STATUS_OK;
    for (int i = 0; i < run->job.graph->line_count && status == STATUS_OK; i++)
        status = make_list(run, i, refused, err);
    fclose(refused);
    for (int i = 0; i < run->job.graph->line_count && status == STATUS_OK; i++)
        status = check_line(run, i, err);
    return status;
}
