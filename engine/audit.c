/* Counts fates; see audit.h. */
#include "engine/audit.h"

#include "engine/base/file.h"
#include "engine/coordinate.h"
#include "engine/delivery.h"
#include "engine/head.h"
#include "engine/journal.h"
#include "engine/replay.h"
#include "engine/rundir.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_BYTES_MAX ((size_t)4 << 30)

struct skipped {
    uint64_t seq;
    bool empty; /* a filter dropped it; else it was refused */
};

/* What the audit of one line works with. Arrays over the list are indexed by its positions. */
struct auditor {
    struct job *job;
    int line;
    struct head *head;
    struct arena arena;
    struct order order;
    unsigned char *refused; /* [count] 1 refused, 2 empty: as refused.tsv says */
    unsigned char *aside;   /* [count] 1: the sample was set aside at some position */
    uint64_t *aside_seq, aside_count;
    struct skipped *skip;     /* positions of steps that had no data, ascending */
    size_t skip_count;
    uint64_t *digest, *epoch; /* [steps] as logged */
    bool *there;              /* [steps] the table has a row for it */
    uint64_t steps;           /* one past the last row's step */
    struct audit_line *audit;
};

static enum status take_record(void *user, struct span bytes, struct error *err)
{
    struct auditor *a = user;
    struct durable_record record;
    enum status status = durable_decode(bytes, &record, err);
    if (status != STATUS_OK || record.line != a->line)
        return status;
    if (record.type == DURABLE_CHECKPOINT)
        a->audit->committed = record.seq;
    if (record.type == DURABLE_ASIDE && a->aside_count < MESSAGE_LEDGER_MAX) {
        a->aside_seq[a->aside_count++] = record.seq;
        if (record.aside.index < list_count(a->head->list))
            a->aside[record.aside.index] = 1;
    }
    if (record.type == DURABLE_REQUEUE && record.seq &&
        record.aside.index < list_count(a->head->list))
        a->aside[record.aside.index] = 0;
    return STATUS_OK;
}

/* The column at the front of a row. */
static struct span take_column(struct span *row)
{
    size_t size = 0;
    while (size < row->size && row->data[size] != '\t')
        size++;
    struct span column = {row->data, size};
    size += size < row->size;
    *row = (struct span){row->data + size, row->size - size};
    return column;
}

/* Which samples of the line refused.tsv names, and how. The table may be missing: nothing was. */
static void read_refused(struct auditor *a)
{
    char path[PATH_MAX];
    struct span table, row;
    const char *name = job_line_name(a->job, a->line);
    if (file_read(rundir_file(a->job->run_dir, "refused.tsv", path), TABLE_BYTES_MAX, &a->arena,
                  &table, NULL) != STATUS_OK)
        return;
    while (span_line(&table, &row)) {
        struct span line = take_column(&row), key = take_column(&row), why = take_column(&row);
        uint64_t index = span_is(line, name) ? list_find(a->head->list, key) : UINT64_MAX;
        if (index != UINT64_MAX)
            a->refused[index] = span_is(why, "empty") ? 2 : span_is(why, "refused") ? 1 : 0;
    }
}

static enum status auditor_open(struct auditor *a, struct job *job, int line,
                                struct audit_line *audit, struct error *err)
{
    *a = (struct auditor){.job = job, .line = line, .audit = audit};
    arena_open(&a->arena, 0);
    enum status status = head_open(&a->head, job, line, err);
    if (status != STATUS_OK)
        return status;
    size_t count = (size_t)list_count(a->head->list);
    a->refused = arena_zero(&a->arena, count + 1, 1);
    a->aside = arena_zero(&a->arena, count + 1, 1);
    a->aside_seq = arena_zero(&a->arena, MESSAGE_LEDGER_MAX, sizeof *a->aside_seq);
    read_refused(a);
    return journal_read(job->run_dir, take_record, a, err);
}

static void auditor_close(struct auditor *a)
{
    head_close(a->head);
    arena_close(&a->arena);
}

/* ---- lines that fill a store ---- */

static enum status count_store(struct auditor *a, struct error *err)
{
    struct audit_line *audit = a->audit;
    const struct graph_stage *sink = &a->job->graph->stages[a->job->graph->lines[a->line].sink];
    struct store *store = NULL;
    uint64_t count = list_count(a->head->list);
    audit->fills = true;
    audit->positions = count;
    enum status status = store_open_reader(graph_store_path(sink), &store, err);
    if (status == STATUS_MISS) /* nothing was stored yet */
        status = STATUS_OK;
    if (status != STATUS_OK)
        return status;
    for (uint64_t i = 0; i < count; i++) {
        struct arena_mark mark = arena_mark(&a->arena);
        struct span key = list_key(a->head->list, i);
        struct store_entry *entry = arena_zero(&a->arena, 1, sizeof *entry);
        struct store_made made;
        struct error ignored;
        enum status found =
            store ? store_find(store, arena_text(&a->arena, key.data, key.size), entry, &ignored)
                  : STATUS_MISS;
        if (found == STATUS_OK) { /* (A reader of the store: the stage's recipe has its sink's.) */
            status = head_made(a->head, sink->recipe, i, &a->arena, &made, err);
            if (status != STATUS_OK)
                break;
            if (!store_made_equal(made, entry->made))
                found = STATUS_MISS;
        }
        if (found == STATUS_OK)
            *(entry->refused ? &audit->refused : &audit->delivered) += 1;
        else if (found == STATUS_CORRUPT)
            audit->damaged++;
        else if (a->aside[i])
            audit->aside++;
        else if (a->refused[i])
            *(a->refused[i] == 2 ? &audit->empty : &audit->refused) += 1;
        else
            audit->missing++;
        arena_rewind(&a->arena, mark);
    }
    if (store)
        store_close(store);
    return status;
}

/* ---- lines with steps ---- */

/* Reads the step table: each step from 0 on must have one row. */
static enum status read_steps(struct auditor *a, struct error *err)
{
    char path[PATH_MAX], name[GRAPH_NAME_MAX + 8], hex[32];
    struct span table, row;
    uint64_t capacity = 0;
    snprintf(name, sizeof name, "%s.tsv", job_line_name(a->job, a->line));
    enum status status = file_read(rundir_file(a->job->run_dir, name, path), TABLE_BYTES_MAX,
                                   &a->arena, &table, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < table.size; i++)
        capacity += table.data[i] == '\n';
    capacity = 2 * capacity + 1; /* a row that jumps further is damaged */
    a->digest = arena_zero(&a->arena, capacity, sizeof *a->digest);
    a->epoch = arena_zero(&a->arena, capacity, sizeof *a->epoch);
    a->there = arena_zero(&a->arena, capacity, sizeof *a->there);
    span_line(&table, &row); /* the names of the columns */
    while (span_line(&table, &row)) {
        struct span step = take_column(&row), epoch = take_column(&row), text = take_column(&row);
        int64_t number, of;
        if (!text_int(step, 0, INT64_MAX, &number) || !text_int(epoch, 0, INT64_MAX, &of) ||
            text.size != 16 || (uint64_t)number >= capacity) {
            a->audit->damaged++;
            continue;
        }
        if (a->there[number]) {
            a->audit->doubles++;
            continue;
        }
        snprintf(hex, sizeof hex, "%.*s", (int)text.size, text.data);
        a->digest[number] = strtoull(hex, NULL, 16);
        a->epoch[number] = (uint64_t)of;
        a->there[number] = true;
        a->audit->steps++;
        a->steps = (uint64_t)number + 1 > a->steps ? (uint64_t)number + 1 : a->steps;
    }
    a->audit->holes = a->steps - a->audit->steps;
    if (a->audit->committed > a->steps) /* a checkpoint of steps that no row tells of */
        a->audit->holes += a->audit->committed - a->steps;
    return STATUS_OK;
}

static bool is_aside(const struct auditor *a, uint64_t seq)
{
    for (uint64_t i = 0; i < a->aside_count; i++)
        if (a->aside_seq[i] == seq)
            return true;
    return false;
}

static int by_seq(const void *a, const void *b)
{
    const struct skipped *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* The positions of steps that had no data: refused or empty when they were asked for. */
static enum status read_skips(struct auditor *a, struct error *err)
{
    char path[PATH_MAX], name[GRAPH_NAME_MAX + 16];
    struct span table, row;
    size_t rows = 0;
    snprintf(name, sizeof name, "%s.skips.tsv", job_line_name(a->job, a->line));
    enum status status = file_read(rundir_file(a->job->run_dir, name, path), TABLE_BYTES_MAX,
                                   &a->arena, &table, err);
    for (size_t i = 0; status == STATUS_OK && i < table.size; i++)
        rows += table.data[i] == '\n';
    a->skip = arena_zero(&a->arena, rows + 1, sizeof *a->skip);
    if (status == STATUS_OK)
        span_line(&table, &row); /* the names of the columns */
    while (status == STATUS_OK && span_line(&table, &row)) {
        int64_t seq;
        take_column(&row);
        if (!text_int(take_column(&row), 0, INT64_MAX, &seq)) {
            a->audit->damaged++;
            continue;
        }
        take_column(&row);
        a->skip[a->skip_count++] =
            (struct skipped){(uint64_t)seq, span_is(take_column(&row), "empty")};
    }
    qsort(a->skip, a->skip_count, sizeof *a->skip, by_seq);
    for (size_t i = 1; i < a->skip_count; i++)
        a->audit->damaged += a->skip[i].seq == a->skip[i - 1].seq;
    return status;
}

static void count_position(struct auditor *a, uint64_t seq)
{
    struct audit_line *audit = a->audit;
    uint64_t index = order_index(&a->order, seq);
    const struct skipped *skip = bsearch(&(struct skipped){.seq = seq}, a->skip, a->skip_count,
                                         sizeof *a->skip, by_seq);
    if (index == ORDER_EMPTY)
        audit->padding++;
    else if (is_aside(a, seq))
        audit->aside++;
    else if (skip)
        *(skip->empty ? &audit->empty : &audit->refused) += 1;
    else
        audit->delivered++;
}

/* What each step took, out of the journals: every position at most once, none overtaken by more
 * than the graph allows. */
static enum status count_journals(struct auditor *a, struct error *err)
{
    struct audit_line *audit = a->audit;
    uint64_t group = a->job->batch[a->line], base = 0, ranks = 0, *seqs;
    uint64_t most = (a->steps + 3) * group + (PLAN_WINDOW_MAX + audit->overtake) * UINT64_C(64);
    struct deliveries all;
    enum status status =
        deliveries_open(&all, a->job->run_dir, job_line_name(a->job, a->line), err);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < DELIVERY_RANKS_MAX; i++)
        ranks += all.of[i] != NULL;
    unsigned char *taken = arena_zero(&a->arena, most / 8 + 1, 1);
    seqs = arena_alloc(&a->arena, group * sizeof *seqs);
    for (uint64_t step = 0; step < a->steps; step++) {
        uint64_t count = deliveries_read(&all, step, seqs, group);
        if (count != group)
            audit->damaged++;
        for (uint64_t i = 0; i < count && count == group; i++) {
            uint64_t seq = seqs[i];
            if (seq >= most || (taken[seq / 8] & 1 << seq % 8)) {
                *(seq >= most ? &audit->damaged : &audit->doubles) += 1;
                continue;
            }
            taken[seq / 8] |= (unsigned char)(1 << seq % 8);
            if (a->there[step])
                count_position(a, seq);
            audit->overtaken += seq / group < step;
        }
        while (base < most && (taken[base / 8] & 1 << base % 8))
            base++;
        uint64_t behind = (step + 1) * group - base;
        audit->overtaken_by = behind > audit->overtaken_by ? behind : audit->overtaken_by;
    }
    deliveries_close(&all);
    /* Positions of all ranks are counted: a rank's bound allows as many for each, and a step. */
    if (audit->overtaken_by > ranks * audit->overtake + (ranks > 1 ? group : 0))
        audit->damaged++;
    return STATUS_OK;
}

/* Every position of the steps that were made, and whether the step's epoch is the order's. */
static enum status count_steps(struct auditor *a, struct error *err)
{
    struct audit_line *audit = a->audit;
    uint64_t group = a->job->batch[a->line];
    audit->positions = a->steps * group;
    audit->overtake = graph_line_overtake(a->job->graph, &a->job->graph->lines[a->line]);
    for (uint64_t seq = 0; seq < audit->positions; seq++) {
        if (!a->there[seq / group])
            continue;
        if (seq % group == 0 && a->epoch[seq / group] != order_epoch(&a->order, seq))
            audit->damaged++;
        if (!audit->overtake)
            count_position(a, seq);
    }
    return audit->overtake ? count_journals(a, err) : STATUS_OK;
}

/* The order of the line's positions, which its sink fixes when it is opened. */
static enum status make_order(struct auditor *a, struct error *err)
{
    struct runner sink;
    struct job_facts facts = {.line = a->line,
                              .replay = true,
                              .list_count = list_count(a->head->list),
                              .list_hash = list_hash(a->head->list)};
    enum status status =
        job_open_stage(a->job, a->job->graph->lines[a->line].sink, &facts, NULL, &sink, err);
    if (status != STATUS_OK)
        return status;
    status = head_order(a->job, a->line, a->head->list, sink.context->terms.shuffled, &a->arena,
                        &a->order, err);
    runner_close(&sink);
    return status;
}

enum status audit_line(struct job *job, int line, struct audit_line *audit, struct error *err)
{
    struct auditor a;
    *audit = (struct audit_line){.name = job_line_name(job, line)};
    bool fills = job->graph->stages[job->graph->lines[line].sink].kind->flags & STAGE_STORE;
    enum status status = auditor_open(&a, job, line, audit, err);
    if (status == STATUS_OK && fills)
        status = count_store(&a, err);
    else if (status == STATUS_OK)
        status = read_steps(&a, err);
    if (status == STATUS_OK && !fills)
        status = read_skips(&a, err);
    if (status == STATUS_OK && !fills)
        status = make_order(&a, err);
    if (status == STATUS_OK && !fills)
        status = count_steps(&a, err);
    auditor_close(&a);
    return status;
}

enum status audit_replay(struct job *job, int line, uint64_t count, struct audit_line *audit,
                         struct error *err)
{
    static struct replay replay;
    struct audit_line again = {0};
    struct auditor a;
    enum status status = auditor_open(&a, job, line, &again, err);
    if (status == STATUS_OK)
        status = read_steps(&a, err);
    count = count < a.steps ? count : a.steps;
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        struct arena_mark mark = arena_mark(&a.arena);
        uint64_t step = a.steps * i / count;
        if (!a.there[step])
            continue;
        enum status made = replay_step(job, line, step, &replay, &a.arena, err);
        if (made != STATUS_OK && made != STATUS_EMPTY)
            status = made;
        audit->checked++;
        audit->different += replay.digest != a.digest[step];
        arena_rewind(&a.arena, mark);
    }
    auditor_close(&a);
    return status;
}

bool audit_good(const struct audit_line *audit)
{
    return !audit->holes && !audit->doubles && !audit->damaged && !audit->different;
}

static void row(FILE *out, const char *name, uint64_t count, const char *note)
{
    if (count)
        fprintf(out, "  %-12s %10llu  %s\n", name, (unsigned long long)count, note);
}

void audit_print(const struct audit_line *audit, FILE *out)
{
    if (audit->fills)
        fprintf(out, "line %s: %llu keys\n", audit->name, (unsigned long long)audit->positions);
    else
        fprintf(out, "line %s: %llu positions in %llu steps, checkpoint at %llu\n", audit->name,
                (unsigned long long)audit->positions, (unsigned long long)audit->steps,
                (unsigned long long)audit->committed);
    row(out, audit->fills ? "stored" : "delivered", audit->delivered, "");
    row(out, "refused", audit->refused, "by a stage, with its reason (refused.tsv)");
    row(out, "set aside", audit->aside, "after three strikes (below)");
    row(out, "empty", audit->empty, "dropped by a filter");
    row(out, "padding", audit->padding, "places that only fill the last batch of an epoch");
    row(out, "missing", audit->missing, "not made yet: the same run, started again, makes them");
    row(out, "damaged", audit->damaged, "cannot be read: foldmill store verify --forget, and fill");
    if (audit->overtake)
        fprintf(out, "  %-12s %10llu  by at most %llu positions; the graph allows %u in a rank\n",
                "overtaken", (unsigned long long)audit->overtaken,
                (unsigned long long)audit->overtaken_by, audit->overtake);
    fprintf(out, "  %-12s %10llu\n  %-12s %10llu\n", "holes", (unsigned long long)audit->holes,
            "doubles", (unsigned long long)audit->doubles);
    if (audit->checked)
        fprintf(out, "  %-12s %10llu  of %llu steps that were made again\n", "different",
                (unsigned long long)audit->different, (unsigned long long)audit->checked);
}

/* What was set aside and not taken back, or was and stays as it happened. */
struct aside_row {
    struct durable_record record;
    struct aside_row *next;
    bool gone, requeued;
};

struct aside_user {
    const struct job *job;
    struct arena arena;
    struct aside_row *first, **end;
};

static enum status take_aside(void *memory, struct span bytes, struct error *err)
{
    struct aside_user *user = memory;
    struct durable_record record;
    enum status status = durable_decode(bytes, &record, err);
    if (status != STATUS_OK || record.line >= user->job->graph->line_count)
        return status;
    if (record.type == DURABLE_REQUEUE)
        for (struct aside_row *row = user->first; row; row = row->next)
            if (row->record.line == record.line && row->record.aside.index == record.aside.index) {
                row->gone = row->gone || record.seq;
                row->requeued = true;
            }
    if (record.type != DURABLE_ASIDE)
        return STATUS_OK;
    struct aside_row *row = arena_zero(&user->arena, 1, sizeof *row);
    row->record = record;
    *user->end = row;
    user->end = &row->next;
    return STATUS_OK;
}

enum status audit_print_aside(const struct job *job, FILE *out, struct error *err)
{
    struct aside_user user = {.job = job, .end = &user.first};
    bool headed = false;
    arena_open(&user.arena, 0);
    enum status status = journal_read(job->run_dir, take_aside, &user, err);
    for (const struct aside_row *row = user.first; row && status == STATUS_OK; row = row->next) {
        if (row->gone)
            continue;
        if (!headed)
            fputs("set aside (line, position, key, why; foldmill requeue KEY takes one back):\n",
                  out);
        headed = true;
        fprintf(out, "  %s\t%llu\t%s\t%s: %s%s\n", job_line_name(job, row->record.line),
                (unsigned long long)row->record.seq, row->record.aside.key,
                cause_name(row->record.cause), row->record.aside.text,
                row->requeued ? " (requeued since: tried again at its next position)" : "");
    }
    arena_close(&user.arena);
    return status;
}
