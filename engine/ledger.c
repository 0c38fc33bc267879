/* A coordinator over its journal; see ledger.h. */
#include "engine/ledger.h"

#include "engine/head.h"

#include <stdlib.h>

/* Records of the journal, kept until the coordinator can take them: it needs the journal's epoch.
 */
struct records {
    struct arena *arena;
    struct span *span;
    size_t count, room;
};

static enum status keep_record(void *user, struct span record, struct error *err)
{
    (void)err;
    struct records *records = user;
    if (records->count == records->room) {
        records->room = records->room ? 2 * records->room : 256;
        records->span = realloc(records->span, records->room * sizeof *records->span);
        ASSERT(records->span);
    }
    records->span[records->count++] =
        (struct span){arena_text(records->arena, record.data, record.size), record.size};
    return STATUS_OK;
}

static enum status append(void *user, struct span bytes, struct error *err)
{
    struct ledger *ledger = user;
    return journal_append(ledger->journal, bytes, err);
}

static enum status add_record(void *user, struct span bytes, struct error *err)
{
    struct ledger *ledger = user;
    return journal_add(ledger->journal, bytes, err);
}

static enum status dump(void *user, struct journal *journal, struct error *err)
{
    (void)journal;
    struct ledger *ledger = user;
    return coordinate_dump(ledger->coordinate, add_record, ledger, err);
}

static uint64_t max_bad_of(struct job *job, int line)
{
    struct head *head;
    if (head_open(&head, job, line, NULL) != STATUS_OK)
        return job_max_bad(job, 0);
    uint64_t max_bad = job_max_bad(job, list_count(head->list));
    head_close(head);
    return max_bad;
}

enum status ledger_open(struct ledger *ledger, struct job *job, uint64_t inc, struct arena *arena,
                        struct error *err)
{
    struct records records = {.arena = arena};
    *ledger = (struct ledger){0};
    enum status status = journal_open(&ledger->journal, job->run_dir, keep_record, &records, err);
    uint64_t *max_bad = arena_zero(arena, (size_t)job->graph->line_count, sizeof *max_bad);
    for (int i = 0; i < job->graph->line_count; i++)
        max_bad[i] = max_bad_of(job, i);
    if (status == STATUS_OK) {
        struct coordinate_config config = {.job = job->id,
                                           .inc = inc,
                                           .graph_hash = job->graph->hash,
                                           .epoch = journal_epoch(ledger->journal),
                                           .line_count = job->graph->line_count,
                                           .max_bad = max_bad};
        status = coordinate_open(&ledger->coordinate, &config, arena, err);
    }
    for (size_t i = 0; i < records.count && status == STATUS_OK; i++)
        status = coordinate_replay(ledger->coordinate, records.span[i], err);
    free(records.span);
    if (status == STATUS_OK)
        status = journal_compact(ledger->journal, dump, ledger, err);
    return status;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger->journal)
        journal_close(ledger->journal);
    *ledger = (struct ledger){0};
}

struct durable_log ledger_log(struct ledger *ledger)
{
    return (struct durable_log){ledger, append};
}
