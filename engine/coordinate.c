/* The coordinator: rules 7, 9, 10 and 11 of the delivery protocol over five kinds of facts a
 * line; see coordinate.h. Every change is a record first: applied only when it is durable,
 * answered only when it is applied. */
#include "engine/coordinate.h"

#include "engine/mutant.h"
#include "engine/order.h"
#include "engine/table.h"

#include <stdio.h>
#include <string.h>

struct row {
    uint64_t seq, index;
    enum cause cause;
    bool requeued; /* no more held against the sample */
    char *key, *text;
};

struct coordinate_line {
    bool known; /* start is of an earlier START */
    uint32_t gen;
    uint64_t step, digest; /* committed checkpoint */
    struct start start;
    struct row *rows; /* set aside, in the order of their commits */
    uint32_t row_count, row_max, sample_count;
    struct table by_seq, by_index;
};

struct coordinate {
    struct coordinate_config config;
    struct coordinate_line lines[COORDINATE_LINES_MAX];
    uint64_t max_bad[COORDINATE_LINES_MAX];
    struct arena *arena;
    unsigned char *started; /* a STARTED payload */
    struct error health;
};

enum status coordinate_open(struct coordinate **coordinate, const struct coordinate_config *config,
                            struct arena *arena, struct error *err)
{
    if (config->line_count < 1 || config->line_count > COORDINATE_LINES_MAX || !config->max_bad)
        return error_set(err, STATUS_INVALID, "coordinator: %d lines (1..%d)", config->line_count,
                         COORDINATE_LINES_MAX);
    struct coordinate *c = arena_zero(arena, 1, sizeof *c);
    c->config = *config;
    for (int i = 0; i < config->line_count; i++)
        c->max_bad[i] = config->max_bad[i];
    c->config.max_bad = c->max_bad;
    c->arena = arena;
    c->started = arena_alloc(arena, STARTED_BYTES_MAX);
    *coordinate = c;
    return STATUS_OK;
}

/* The tables over the rows, made anew; sample_count is of those that count against the run. */
static void rows_index(struct coordinate_line *line)
{
    table_clear(&line->by_seq);
    table_clear(&line->by_index);
    line->sample_count = 0;
    for (uint32_t i = 0; i < line->row_count; i++) {
        const struct row *row = &line->rows[i];
        table_put(&line->by_seq, row->seq, i);
        if (row->requeued)
            continue;
        line->sample_count += table_get(&line->by_index, row->index) == TABLE_NONE;
        table_put(&line->by_index, row->index, i);
    }
}

/* Room for the ledger is taken from the arena as it grows: most lines set nothing aside. */
static void rows_reserve(struct coordinate *c, struct coordinate_line *line)
{
    if (line->row_count < line->row_max)
        return;
    uint32_t room = line->row_max == 0 ? 16 : 4 * line->row_max;
    struct row *rows = arena_zero(c->arena, room, sizeof *rows);
    if (line->row_count)
        memcpy(rows, line->rows, line->row_count * sizeof *rows);
    line->rows = rows;
    line->row_max = room;
    line->by_seq = table_make(c->arena, room);
    line->by_index = table_make(c->arena, room);
    rows_index(line);
}

static bool aside_known(const struct coordinate_line *line, uint64_t seq)
{
    return line->row_max != 0 && table_get(&line->by_seq, seq) != TABLE_NONE;
}

static void bad_check(struct coordinate *c, int at)
{
    struct coordinate_line *line = &c->lines[at];
    if (line->sample_count <= c->max_bad[at] || c->health.status != STATUS_OK)
        return;
    char list[512] = "";
    size_t used = 0;
    for (uint32_t i = line->row_count; i-- > 0 && used < sizeof list - MESSAGE_KEY_MAX - 3;)
        if (!line->rows[i].requeued)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "",
                                     line->rows[i].key);
    error_set(&c->health, STATUS_LIMIT,
              "%u samples have been set aside, more than max_bad: %llu; mend the "
              "input or the stage, or raise max_bad; the last of them: %s",
              line->sample_count, (unsigned long long)c->max_bad[at], list);
}

static void aside_apply(struct coordinate *c, const struct durable_record *record)
{
    struct coordinate_line *line = &c->lines[record->line];
    rows_reserve(c, line);
    uint32_t at = line->row_count++;
    line->rows[at] =
        (struct row){record->seq,
                     record->aside.index,
                     record->cause,
                     false,
                     arena_text(c->arena, record->aside.key, strlen(record->aside.key)),
                     arena_text(c->arena, record->aside.text, strlen(record->aside.text))};
    if (table_get(&line->by_index, record->aside.index) == TABLE_NONE)
        line->sample_count++;
    table_put(&line->by_seq, record->seq, at);
    table_put(&line->by_index, record->aside.index, at);
    bad_check(c, record->line);
}

/* What stopped the run for too many bad samples may be over. */
static void requeue_apply(struct coordinate *c, const struct durable_record *record)
{
    struct coordinate_line *line = &c->lines[record->line];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < line->row_count; i++) {
        struct row row = line->rows[i];
        bool same = row.index == record->aside.index;
        row.requeued = row.requeued || same;
        if (!same || record->seq == 0)
            line->rows[kept++] = row;
    }
    line->row_count = kept;
    if (line->row_max)
        rows_index(line);
    if (c->health.status == STATUS_LIMIT)
        c->health = (struct error){0};
    for (int i = 0; i < c->config.line_count; i++)
        bad_check(c, i);
}

/* A record becomes true. STATUS_INVALID: it contradicts what is true already. */
static enum status apply(struct coordinate *c, const struct durable_record *record,
                         struct error *err)
{
    struct coordinate_line *line = &c->lines[record->line];
    switch (record->type) {
    case DURABLE_LINE:
        line->known = true;
        line->start = record->start;
        return STATUS_OK;
    case DURABLE_GEN:
        if (record->gen <= line->gen)
            break;
        line->gen = record->gen;
        return STATUS_OK;
    case DURABLE_CHECKPOINT:
        if (!MUTANT(MUTANT_NO_CKPT_GEN) && (record->gen != line->gen || record->seq <= line->step))
            break;
        line->step = record->seq;
        line->digest = record->digest;
        return STATUS_OK;
    case DURABLE_ASIDE:
        if (aside_known(line, record->seq) || line->row_count == MESSAGE_LEDGER_MAX)
            break;
        aside_apply(c, record);
        return STATUS_OK;
    case DURABLE_REQUEUE:
        requeue_apply(c, record);
        return STATUS_OK;
    case DURABLE_TYPES:
        break;
    }
    return error_set(err, STATUS_INVALID,
                     "record of type %d for line %u, generation %u, does not follow from those "
                     "before it",
                     (int)record->type, record->line, record->gen);
}

enum status coordinate_replay(struct coordinate *c, struct span bytes, struct error *err)
{
    struct durable_record record;
    enum status status = durable_decode(bytes, &record, err);
    if (status == STATUS_OK && record.line >= c->config.line_count)
        status = error_set(err, STATUS_INVALID,
                           "a record for line %u, but the graph has %d lines: it was changed "
                           "since this run was started",
                           record.line, c->config.line_count);
    return status == STATUS_OK ? apply(c, &record, err) : status;
}

static enum status dump_one(const struct durable_record *record,
                            enum status (*give)(void *, struct span, struct error *), void *user,
                            struct error *err)
{
    unsigned char bytes[COORDINATE_RECORD_MAX];
    size_t size = durable_encode(record, bytes);
    return give(user, (struct span){(const char *)bytes, size}, err);
}

static enum status dump_row(const struct coordinate_line *line, int at, uint32_t number,
                            enum durable_type type,
                            enum status (*give)(void *, struct span, struct error *), void *user,
                            struct error *err)
{
    const struct row *row = &line->rows[number];
    struct durable_record record = {.type = type,
                                    .line = (uint16_t)at,
                                    .gen = line->gen,
                                    .seq = type == DURABLE_ASIDE ? row->seq : 0,
                                    .cause = row->cause,
                                    .aside = {.index = row->index}};
    snprintf(record.aside.key, sizeof record.aside.key, "%s", row->key);
    snprintf(record.aside.text, sizeof record.aside.text, "%s", row->text);
    return dump_one(&record, give, user, err);
}

enum status coordinate_dump(const struct coordinate *c,
                            enum status (*give)(void *user, struct span bytes, struct error *err),
                            void *user, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < c->config.line_count && status == STATUS_OK; i++) {
        const struct coordinate_line *line = &c->lines[i];
        struct durable_record record = {.line = (uint16_t)i,
                                        .gen = line->gen,
                                        .seq = line->step,
                                        .digest = line->digest,
                                        .start = line->start};
        record.type = DURABLE_LINE;
        if (line->known)
            status = dump_one(&record, give, user, err);
        record.type = DURABLE_GEN;
        if (status == STATUS_OK && line->gen)
            status = dump_one(&record, give, user, err);
        record.type = DURABLE_CHECKPOINT;
        if (status == STATUS_OK && line->step)
            status = dump_one(&record, give, user, err);
        /* What was requeued goes first: what comes behind a REQUEUE counts. */
        for (uint32_t k = 0; k < line->row_count && status == STATUS_OK; k++)
            if (line->rows[k].requeued)
                status = dump_row(line, i, k, DURABLE_ASIDE, give, user, err);
        for (uint32_t k = 0; k < line->row_count && status == STATUS_OK; k++)
            if (line->rows[k].requeued)
                status = dump_row(line, i, k, DURABLE_REQUEUE, give, user, err);
        for (uint32_t k = 0; k < line->row_count && status == STATUS_OK; k++)
            if (!line->rows[k].requeued)
                status = dump_row(line, i, k, DURABLE_ASIDE, give, user, err);
    }
    return status;
}

/* Makes a record durable, then true. False: it is not, and nothing may be answered. */
static bool commit(struct coordinate *c, const struct durable_record *record,
                   const struct durable_log *log)
{
    unsigned char bytes[COORDINATE_RECORD_MAX];
    size_t size = durable_encode(record, bytes);
    if (c->health.status != STATUS_OK && c->health.status != STATUS_LIMIT)
        return false;
    struct error err;
    enum status status = log->append(log->user, (struct span){(const char *)bytes, size}, &err);
    if (status != STATUS_OK) {
        c->health = err;
        return false;
    }
    ASSERT(apply(c, record, &err) == STATUS_OK);
    return true;
}

static void reply(struct coordinate *c, const struct message *in, enum message_type type,
                  uint64_t seq, const void *payload, size_t size, const struct outbox *out)
{
    struct message message = {.type = type,
                              .peer = in->peer,
                              .job = c->config.job,
                              .inc = c->config.inc,
                              .line = in->line,
                              .gen = in->gen,
                              .attempt = in->attempt,
                              .seq = seq,
                              .arg = c->config.epoch,
                              .payload = payload,
                              .size = (uint32_t)size};
    out->put(out->user, &message);
}

static void refuse(struct coordinate *c, const struct message *in, const char *text,
                   const struct outbox *out)
{
    reply(c, in, MESSAGE_REFUSE, 0, text, strlen(text), out);
}

static void refuse_stale(struct coordinate *c, const struct message *in, const struct outbox *out)
{
    char text[160];
    snprintf(text, sizeof text,
             "generation %u of line %u has been replaced by %u: this process must end", in->gen,
             in->line, c->lines[in->line].gen);
    refuse(c, in, text, out);
}

static void started_send(struct coordinate *c, const struct message *in, const struct outbox *out)
{
    const struct coordinate_line *line = &c->lines[in->line];
    struct started started = {line->step, line->digest, line->row_count};
    started_encode(&started, c->started);
    for (uint32_t i = 0; i < line->row_count; i++)
        ledger_row_encode((struct ledger_row){line->rows[i].seq, line->rows[i].requeued
                                                                     ? ORDER_EMPTY
                                                                     : line->rows[i].index},
                          c->started + STARTED_BYTES + (size_t)i * LEDGER_ROW_BYTES);
    reply(c, in, MESSAGE_STARTED, 0, c->started,
          STARTED_BYTES + (size_t)line->row_count * LEDGER_ROW_BYTES, out);
}

static void take_start(struct coordinate *c, const struct message *in,
                       const struct durable_log *log, const struct outbox *out)
{
    struct coordinate_line *line = &c->lines[in->line];
    struct durable_record record = {.line = in->line, .gen = in->gen};
    if (start_decode((struct span){in->payload, in->size}, &record.start, NULL) != STATUS_OK)
        return;
    if (in->gen < line->gen) {
        refuse_stale(c, in, out);
        return;
    }
    if (line->known && (line->start.list_hash != record.start.list_hash ||
                        line->start.positions != record.start.positions)) {
        char text[400];
        snprintf(
            text, sizeof text,
            "this run was started on a list of samples with hash %016llx and %llu positions an "
            "epoch; now it is %016llx with %llu: restore the input, or start a new run",
            (unsigned long long)line->start.list_hash, (unsigned long long)line->start.positions,
            (unsigned long long)record.start.list_hash, (unsigned long long)record.start.positions);
        refuse(c, in, text, out);
        return;
    }
    record.type = DURABLE_LINE;
    if (!line->known || line->start.config_hash != record.start.config_hash)
        if (!commit(c, &record, log))
            return;
    record.type = DURABLE_GEN;
    if (in->gen > line->gen && !commit(c, &record, log))
        return;
    started_send(c, in, out);
}

static void take_proposal(struct coordinate *c, const struct message *in,
                          const struct durable_log *log, const struct outbox *out)
{
    struct coordinate_line *line = &c->lines[in->line];
    struct durable_record record = {.type = DURABLE_ASIDE,
                                    .line = in->line,
                                    .gen = in->gen,
                                    .seq = in->seq,
                                    .cause = (enum cause)in->arg};
    if (in->arg >= CAUSES ||
        aside_decode((struct span){in->payload, in->size}, &record.aside, NULL) != STATUS_OK)
        return;
    if (in->gen != line->gen) {
        refuse_stale(c, in, out);
        return;
    }
    if (!aside_known(line, in->seq)) {
        if (line->row_count == MESSAGE_LEDGER_MAX) {
            error_set(&c->health, STATUS_LIMIT, "more than %d positions of line %u set aside",
                      MESSAGE_LEDGER_MAX, in->line);
            return;
        }
        if (MUTANT(MUTANT_ANSWERS_EARLY))
            reply(c, in, MESSAGE_QOK, in->seq, NULL, 0, out);
        if (!commit(c, &record, log))
            return;
    }
    reply(c, in, MESSAGE_QOK, in->seq, NULL, 0, out);
}

static void take_checkpoint(struct coordinate *c, const struct message *in,
                            const struct durable_log *log, const struct outbox *out)
{
    struct coordinate_line *line = &c->lines[in->line];
    struct durable_record record = {
        .type = DURABLE_CHECKPOINT, .line = in->line, .gen = in->gen, .seq = in->seq};
    if (ckpt_decode((struct span){in->payload, in->size}, &record.digest, NULL) != STATUS_OK)
        return;
    if (in->gen != line->gen && !MUTANT(MUTANT_NO_CKPT_GEN)) {
        refuse_stale(c, in, out);
        return;
    }
    if (in->seq > line->step) {
        if (MUTANT(MUTANT_ANSWERS_EARLY))
            reply(c, in, MESSAGE_CKOK, in->seq, NULL, 0, out);
        if (!commit(c, &record, log))
            return;
    }
    reply(c, in, MESSAGE_CKOK, line->step, NULL, 0, out);
}

void coordinate_step(struct coordinate *c, const struct message *in, int64_t now_ms,
                     const struct durable_log *log, const struct outbox *out)
{
    (void)now_ms;
    if (!in || in->job != c->config.job || in->line >= c->config.line_count)
        return;
    if (in->type == MESSAGE_START)
        take_start(c, in, log, out);
    else if (in->type == MESSAGE_QPROP)
        take_proposal(c, in, log, out);
    else if (in->type == MESSAGE_CKPT)
        take_checkpoint(c, in, log, out);
}

enum status coordinate_requeue(struct coordinate *c, int at, struct span key, bool fills,
                               const struct durable_log *log, uint32_t *rows, struct error *err)
{
    struct coordinate_line *line = &c->lines[at];
    struct durable_record record = {
        .type = DURABLE_REQUEUE, .line = (uint16_t)at, .gen = line->gen, .seq = fills};
    ASSERT(at >= 0 && at < c->config.line_count);
    *rows = 0;
    for (uint32_t i = 0; i < line->row_count; i++)
        if (!line->rows[i].requeued && span_is(key, line->rows[i].key)) {
            record.aside.index = line->rows[i].index;
            snprintf(record.aside.key, sizeof record.aside.key, "%s", line->rows[i].key);
            *rows += 1;
        }
    if (*rows && !commit(c, &record, log)) {
        *err = c->health;
        return err->status;
    }
    return STATUS_OK;
}

uint32_t coordinate_gen(const struct coordinate *c, int line)
{
    ASSERT(line >= 0 && line < c->config.line_count);
    return c->lines[line].gen;
}

uint32_t coordinate_next_gen(const struct coordinate *c, int line)
{
    return coordinate_gen(c, line) + 1;
}

uint64_t coordinate_checkpoint(const struct coordinate *c, int line, uint64_t *digest)
{
    ASSERT(line >= 0 && line < c->config.line_count);
    if (digest)
        *digest = c->lines[line].digest;
    return c->lines[line].step;
}

uint32_t coordinate_aside_count(const struct coordinate *c, int line)
{
    ASSERT(line >= 0 && line < c->config.line_count);
    return c->lines[line].row_count;
}

struct coordinate_aside coordinate_aside(const struct coordinate *c, int line, uint32_t row)
{
    ASSERT_INT(row, <, coordinate_aside_count(c, line));
    const struct row *at = &c->lines[line].rows[row];
    return (struct coordinate_aside){at->seq,      at->index, at->cause,
                                     at->requeued, at->key,   at->text};
}

enum status coordinate_health(const struct coordinate *c, struct error *err)
{
    if (c->health.status != STATUS_OK && err)
        *err = c->health;
    return c->health.status;
}
