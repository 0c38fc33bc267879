/* What a sink writes for people: a row a step, what each step waited for, and what was refused; see
 * sink_process.h. Rows are written whole, so that a killed process leaves whole rows. */
#include "engine/sink_process.h"

#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/rundir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_BYTES_MAX ((size_t)4 << 30)

static const char waits_head[] = "step\twaited_s\tseq\tkey\tprocess\tattempt\tasked_to_came_ms\n";
static const char skips_head[] = "step\tseq\tkey\twhy\n";
static const char refused_head[] = "line\tkey\twhy\treason\n";

/* Keeps the head and the rows whose first column, a step, is below `step`. */
static enum status cut_table(const char *path, uint64_t step, struct error *err)
{
    struct arena arena;
    struct span content, rest, line, word;
    int64_t number;
    arena_open(&arena, 0);
    enum status status = file_read(path, TABLE_BYTES_MAX, &arena, &content, err);
    rest = content;
    size_t good = 0;
    if (status == STATUS_OK && span_line(&rest, &line))
        good = content.size - rest.size;
    while (status == STATUS_OK && span_line(&rest, &line)) {
        struct span columns = line;
        const char *end = line.data + line.size;
        if (!span_word(&columns, &word) || !text_int(word, 0, INT64_MAX, &number) ||
            (uint64_t)number >= step || end == content.data + content.size)
            break; /* of a step to come, or a row without its end */
        good = content.size - rest.size;
    }
    if (status == STATUS_OK && truncate(path, (off_t)good))
        status = error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    arena_close(&arena);
    return status;
}

/* Opens RUN/SINKkind.tsv, a table with a step in its first column, without the rows from `step` on.
 */
static enum status open_steps(struct sink_process *process, const char *kind, uint64_t step,
                              struct rows *rows, bool *headed, struct error *err)
{
    char path[PATH_MAX], name[128];
    snprintf(name, sizeof name, "%s%s.tsv", process->name, kind);
    rundir_file(process->job->run_dir, name, path);
    enum status status = access(path, F_OK) == 0 ? cut_table(path, step, err) : STATUS_OK;
    return status == STATUS_OK ? rows_open(rows, path, headed, err) : status;
}

enum status sink_tables_open(struct sink_process *process, uint64_t step, struct error *err)
{
    char path[PATH_MAX];
    bool headed = false;
    const char *run = process->job->run_dir;
    enum status status =
        rows_open(&process->refused, rundir_file(run, "refused.tsv", path), &headed, err);
    if (status == STATUS_OK && !headed) {
        rows_put(&process->refused, "%s", refused_head);
        rows_end(&process->refused);
    }
    if (status != STATUS_OK || !process->ordered || process->rank > 0)
        return status; /* rank 0 writes of the steps of all */
    status = open_steps(process, "", step, &process->table, &process->table_headed, err);
    if (status == STATUS_OK)
        status = open_steps(process, ".waits", step, &process->waits, &headed, err);
    if (status == STATUS_OK && !headed)
        rows_put(&process->waits, "%s", waits_head);
    if (status == STATUS_OK)
        status = open_steps(process, ".skips", step, &process->skips, &headed, err);
    if (status == STATUS_OK && !headed)
        rows_put(&process->skips, "%s", skips_head);
    return status;
}

void sink_tables_close(struct sink_process *process)
{
    struct rows *tables[] = {&process->table, &process->waits, &process->skips, &process->refused};
    for (int i = 0; i < 4; i++)
        rows_close(tables[i]);
}

bool sink_tables_flush(struct sink_process *process)
{
    struct rows *tables[] = {&process->skips, &process->table, &process->waits};
    pthread_mutex_lock(&process->lock); /* the protocol's step writes refusals */
    bool all = rows_flush(&process->refused);
    pthread_mutex_unlock(&process->lock);
    for (int i = 0; i < 3; i++) /* in this order: a step's row says that the others are there */
        all = all && rows_flush(tables[i]);
    return all;
}

static void write_head(struct sink_process *process)
{
    const struct page *page = process->life.page;
    uint32_t count = atomic_load(&page->report_count);
    rows_put(&process->table, "step\tepoch\tdigest\trecycles\twaited_s\tcomputed_s");
    for (uint32_t i = 0; i < count; i++)
        rows_put(&process->table, "\t%s", page->report[i].name);
    rows_put(&process->table, "\n");
    process->table_headed = true;
}

struct step_last sink_tables_last(const struct sink_process *process,
                                  const struct sink_batch *batch)
{
    struct step_last last = {0};
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct sink_item *item = &batch->items[i];
        if (item->skip != SKIP_NO || item->slot < 0)
            continue;
        const struct sink_slot *slot = &process->slots[item->slot];
        if (!last.known || slot->came_ms > last.came_ms)
            last = (struct step_last){true,      slot->attempt,  slot->seq,    item->index,
                                      slot->inc, slot->asked_ms, slot->came_ms};
    }
    return last;
}

static const char *const skip_names[] = {"", "padding", "empty", "refused", "set aside"};

/* Which positions of the step had no data, by no pure function: whether a sample was refused
 * depends on what was in the store then. What was set aside stands in the journal. */
static void write_skips(struct sink_process *process, const struct sink_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct sink_item *item = &batch->items[i];
        if (item->skip != SKIP_EMPTY && item->skip != SKIP_REFUSED)
            continue;
        struct span key = list_key(process->head->list, item->index);
        rows_put(&process->skips, "%llu\t%llu\t%.*s\t%s\n", (unsigned long long)batch->step,
                 (unsigned long long)item->seq, (int)key.size, key.data, skip_names[item->skip]);
    }
    rows_end(&process->skips);
}

void sink_tables_step(struct sink_process *process, const struct step_record *record)
{
    const struct sink_batch *batch = record->batch;
    const struct page *page = process->life.page;
    if (!process->table_headed)
        write_head(process);
    write_skips(process, batch); /* before the step's own row, which says that it was made */
    rows_put(&process->table, "%llu\t%llu\t%016llx\t%u\t%.6f\t%.6f",
             (unsigned long long)batch->step, (unsigned long long)batch->epoch,
             (unsigned long long)record->digest, batch->recycles, record->waited_s,
             record->computed_s);
    uint32_t count = atomic_load(&page->report_count);
    for (uint32_t i = 0; i < count; i++) {
        double value = 0;
        report_get(page, page->report[i].name, &value);
        rows_put(&process->table, "\t%.9g", value);
    }
    rows_put(&process->table, "\n");
    rows_end(&process->table);
    const struct step_last *last = &record->last;
    if (!last->known)
        return;
    struct span key = list_key(process->head->list, last->index);
    rows_put(&process->waits, "%llu\t%.6f\t%llu\t%.*s\t%016llx\t%u\t%lld\n",
             (unsigned long long)batch->step, record->waited_s, (unsigned long long)last->seq,
             (int)key.size, key.data, (unsigned long long)last->inc, last->attempt,
             (long long)(last->came_ms - last->asked_ms));
    rows_end(&process->waits);
}

/* Once for a sample, however many epochs it is refused in. */
void sink_tables_skipped(void *memory, uint64_t seq, uint64_t index, enum skip skip,
                         const char *text)
{
    struct sink_process *process = memory;
    (void)seq;
    if (index == ORDER_EMPTY || skip == SKIP_PADDING || skip == SKIP_NO ||
        (process->told[index / 8] & 1 << index % 8))
        return;
    process->told[index / 8] |= (unsigned char)(1 << index % 8);
    if (skip == SKIP_ASIDE && text && strcmp(text, "set aside before") == 0)
        return; /* it stands there since it was */
    struct span key = list_key(process->head->list, index);
    char clean[ERROR_TEXT_MAX];
    snprintf(clean, sizeof clean, "%s", text ? text : "");
    for (char *c = clean; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    rows_put(&process->refused, "%s\t%.*s\t%s\t%s\n", process->name, (int)key.size, key.data,
             skip_names[skip], clean);
    rows_end(&process->refused);
    if (skip == SKIP_ASIDE)
        log_warn("%.*s is set aside: %s", (int)key.size, key.data, clean);
    else
        log_info("%.*s is %s: %s", (int)key.size, key.data, skip_names[skip], clean);
}
