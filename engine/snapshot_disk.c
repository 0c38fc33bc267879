/* What stands on disk of a run that nobody runs now, in the form of a snapshot: checkpoints and
 * what was set aside from the journal, sizes of the stores. */
#include "engine/snapshot_disk.h"

#include "engine/coordinate.h"
#include "engine/journal.h"
#include "engine/rundir.h"
#include "engine/store.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct user {
    const struct job *job;
    struct snapshot *snapshot;
    uint64_t step[GRAPH_LINES_MAX], aside[GRAPH_LINES_MAX];
};

/* Takes the rows of that sample away. (Of more than SNAPSHOT_ASIDES_MAX, the oldest are not
 * known by now, and stay counted.) */
static void requeue(struct user *user, const struct durable_record *record)
{
    struct snapshot *s = user->snapshot;
    int kept = 0;
    for (int i = 0; i < s->aside_count; i++) {
        bool same = strcmp(s->asides[i].line, job_line_name(user->job, record->line)) == 0 &&
                    strcmp(s->asides[i].key, record->aside.key) == 0;
        if (same) {
            s->run.quarantined--;
            s->run.requeued++;
            user->aside[record->line]--;
        } else {
            s->asides[kept++] = s->asides[i];
        }
    }
    s->aside_count = kept;
}

static enum status take(void *memory, struct span bytes, struct error *err)
{
    struct user *user = memory;
    struct snapshot *s = user->snapshot;
    struct durable_record record;
    enum status status = durable_decode(bytes, &record, err);
    if (status != STATUS_OK || record.line >= user->job->graph->line_count)
        return status;
    if (record.type == DURABLE_CHECKPOINT)
        user->step[record.line] = record.seq;
    if (record.type == DURABLE_REQUEUE)
        requeue(user, &record);
    if (record.type != DURABLE_ASIDE)
        return STATUS_OK;
    s->run.quarantined++;
    user->aside[record.line]++;
    if (s->aside_count == SNAPSHOT_ASIDES_MAX) /* the last ones count */
        memmove(s->asides, s->asides + 1, (size_t)--s->aside_count * sizeof *s->asides);
    struct snapshot_aside *row = &s->asides[s->aside_count++];
    SNAPSHOT_COPY(row->line, job_line_name(user->job, record.line));
    SNAPSHOT_COPY(row->key, record.aside.key);
    SNAPSHOT_COPY(row->cause, cause_name(record.cause));
    SNAPSHOT_COPY(row->text, record.aside.text);
    row->position = (int64_t)record.seq;
    return STATUS_OK;
}

static void add_store(const struct graph_stage *stage, struct snapshot *s)
{
    struct snapshot_store *row = &s->stores[s->store_count++];
    char path[PATH_MAX];
    struct statvfs disk;
    struct stat file;
    SNAPSHOT_COPY(row->store, stage->name);
    SNAPSHOT_COPY(row->path, graph_store_path(stage));
    if (stat(rundir_file(graph_store_path(stage), "data.mdb", path), &file) == 0)
        row->bytes = (uint64_t)file.st_blocks * 512;
    if (statvfs(graph_store_path(stage), &disk) == 0) {
        row->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
        row->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
    }
}

/* Records of a store and its refusals, from its index. */
static uint64_t count_records(const struct graph_stage *stage)
{
    const struct store_entry *entry;
    struct store_walk walk;
    struct store *store;
    struct arena arena;
    struct error err;
    uint64_t count = 0;
    if (store_open_reader(graph_store_path(stage), &store, &err) != STATUS_OK)
        return 0;
    arena_open(&arena, 0);
    enum status status = store_walk_open(&walk, store, &arena, &err);
    while (status == STATUS_OK || status == STATUS_CORRUPT) {
        status = store_next(&walk, &entry, &err);
        count += status == STATUS_OK;
    }
    store_close(store);
    arena_close(&arena);
    return count;
}

enum status snapshot_from_disk(const struct job *job, struct snapshot *s, struct error *err)
{
    static struct user user;
    const struct graph *graph = job->graph;
    memset(s, 0, sizeof *s);
    user = (struct user){.job = job, .snapshot = s};
    SNAPSHOT_COPY(s->run.graph, graph->name);
    SNAPSHOT_COPY(s->run.path, job->run_dir);
    SNAPSHOT_COPY(s->run.state, "no engine runs; this stands on disk");
    s->run.max_bad = graph->max_bad;
    s->run_count = 1;
    enum status status = journal_read(job->run_dir, take, &user, err);
    if (status != STATUS_OK && status != STATUS_MISS)
        return status;
    for (int l = 0; l < graph->line_count && s->sink_count < SNAPSHOT_SINKS_MAX; l++) {
        struct snapshot_sink *row = &s->sinks[s->sink_count++];
        const struct graph_stage *sink = &graph->stages[graph->lines[l].sink];
        bool store = sink->kind->flags & STAGE_STORE;
        SNAPSHOT_COPY(row->line, job_line_name(job, l));
        SNAPSHOT_COPY(row->kind, store ? "store" : "steps");
        SNAPSHOT_COPY(row->state, "stopped");
        row->step = row->checkpoint = (int64_t)user.step[l];
        row->quarantined = (int64_t)user.aside[l];
        row->done = store ? count_records(sink) : user.step[l] * job->batch[l];
    }
    for (int i = 0; i < graph->stage_count && s->store_count < SNAPSHOT_STORES_MAX; i++)
        if (graph->stages[i].kind->flags & STAGE_STORE)
            add_store(&graph->stages[i], s);
    return STATUS_OK;
}
