/* What workers answer: results go on to the next stage or to the sink, failures to the sink,
 * keys that a store does not hold yet to the line that fills it. Part of the dispatcher. */
#include "engine/dispatch_state.h"

/* Forwards a result to the sink; true when there is one. */
static bool data_send(struct dispatch *d, const struct message *in)
{
    struct sink_row *sink = sink_of(d, in->line, in->seq);
    if (!sink->known || in->gen != d->lines[in->line].gen)
        return false;
    struct message data = *in;
    data.type = MESSAGE_DATA;
    data.peer = sink->peer;
    d->out->put(d->out->user, &data);
    /* What else waits for this position waits in vain, unless it is to have other passes. */
    for (uint32_t row = item_first(d, in->line, in->seq), next; row != NOBODY; row = next) {
        next = d->items[row].copy;
        if (d->items[row].where == WHERE_FREE || d->items[row].where == WHERE_RUNNING ||
            d->items[row].recycles != in->arg || MUTANT(MUTANT_NO_QUEUE_DEDUP))
            continue;
        item_unqueue(d, row);
        item_free_block(d, row);
        item_drop(d, row);
    }
    return true;
}

/* The item goes on to its next stage. Of two copies that wait, the one that has come further
 * stays and takes the newer attempt. */
static void item_advance(struct dispatch *d, uint32_t row, const struct message *in)
{
    struct item *item = &d->items[row];
    for (uint32_t other = item_first(d, item->line, item->seq); other != NOBODY;
         other = d->items[other].copy) {
        struct item *copy = &d->items[other];
        if (other == row || copy->where == WHERE_RUNNING)
            continue;
        item_unqueue(d, other);
        if (copy->recycles != item->recycles || copy->stage > item->stage) {
            /* The other one is to be preferred. */
            item_queue(d, other);
            block_free(d, in->inc, in->peer, in);
            item_drop(d, row);
            return;
        }
        item_free_block(d, other);
        item->attempt = copy->attempt > item->attempt ? copy->attempt : item->attempt;
        item->flags |= copy->flags & (MESSAGE_IMPATIENT | MESSAGE_SOLO);
        item_drop(d, other);
        break;
    }
    item->stage++;
    item->producer = in->inc;
    item_store(d, row, in);
    item_queue(d, row);
    pool_assign(d, pool_of(d, item->line, item->stage));
}

void urgent_send(struct dispatch *d, uint32_t row)
{
    struct item *item = &d->items[row];
    int filler = d->lines[item->line].config.filled_by;
    struct sink_row *sink = &d->lines[filler].sinks[0];
    if (!sink->known)
        return;
    struct message urgent = {.type = MESSAGE_URGENT,
                             .peer = sink->peer,
                             .job = d->config.job,
                             .line = (uint16_t)filler,
                             .gen = d->lines[filler].gen,
                             .size = item->size,
                             .payload = item_payload(d, row)};
    d->out->put(d->out->user, &urgent);
}

void item_refuse_key(struct dispatch *d, uint32_t row)
{
    static const char aside[] = "its record cannot be made: the line that fills the store has "
                                "set the sample aside";
    stage_of(d, d->items[row].line, 0)->counts.refused++;
    item_fail(d, row, CAUSE_REFUSED, 0, aside, sizeof aside - 1);
}

/* Not in the store yet: waits for the line that fills it, or fails where none will. */
static void item_missed(struct dispatch *d, uint32_t row, const struct message *in)
{
    static const char absent[] = "the record is not in the store, and no line of this run "
                                 "will make it";
    struct item *item = &d->items[row];
    int filler = d->lines[item->line].config.filled_by;
    stage_of(d, item->line, item->stage)->counts.missed++;
    uint64_t key = key_hash(filler, item_payload(d, row), item->size);
    if (item->stage == 0 && filler >= 0 && table_get(&d->never, key) != TABLE_NONE) {
        item_refuse_key(d, row);
        return;
    }
    /* What was looked for before the filling line ended may have come since: one more look. */
    if (item->stage != 0 || filler < 0 || item->since_ms > d->lines[filler].finished_ms) {
        item_fail(d, row, CAUSE_ERR, in->inc, absent, sizeof absent - 1);
        return;
    }
    for (uint32_t other = item_first(d, item->line, item->seq); other != NOBODY;
         other = d->items[other].copy)
        if (other != row && d->items[other].where != WHERE_RUNNING) {
            item_drop(d, row); /* a newer copy waits already, and will find out itself */
            return;
        }
    item_park(d, row);
    urgent_send(d, row);
}

/* OUT of work that this dispatcher did not give: harmless, and of use when it is the last
 * stage's. */
static void take_stray(struct dispatch *d, const struct message *in)
{
    struct line_row *line = &d->lines[in->line];
    bool last = in->stage + 1 == line->config.stage_count;
    d->totals.dropped_unknown++;
    if (in->type != MESSAGE_OUT)
        return;
    if (!(last || (in->flags & MESSAGE_EMPTY)) || !data_send(d, in))
        block_free(d, in->inc, in->peer, in);
}

static void take_out(struct dispatch *d, uint32_t row, const struct message *in)
{
    struct item *item = &d->items[row];
    struct line_row *line = &d->lines[item->line];
    stage_of(d, item->line, item->stage)->counts.done++;
    if (item->gen != line->gen) {
        block_free(d, in->inc, in->peer, in);
        item_drop(d, row);
    } else if (item->stage + 1 == line->config.stage_count || (in->flags & MESSAGE_EMPTY)) {
        if (!data_send(d, in))
            block_free(d, in->inc, in->peer, in);
        item_drop(d, row);
    } else {
        item_advance(d, row, in);
    }
}

/* OUT, ERR, REFUSED, MISS, LOST: what became of one piece of work. */
void take_result(struct dispatch *d, const struct message *in)
{
    uint32_t worker = worker_find(d, in->inc);
    if (worker == NOBODY || in->line >= d->config.line_count ||
        in->stage >= d->lines[in->line].config.stage_count || in->size > MESSAGE_INLINE_MAX) {
        d->totals.dropped_unknown++;
        block_free(d, in->inc, in->peer, in);
        return;
    }
    d->workers[worker].seen_ms = d->now_ms;
    d->workers[worker].peer = in->peer;
    int entry = worker_entry(d, worker, in);
    if (entry < 0) {
        take_stray(d, in);
        return;
    }
    uint32_t row = worker_release(d, worker, entry);
    struct item *item = &d->items[row];
    struct dispatch_counts *counts = &stage_of(d, item->line, item->stage)->counts;
    struct pool *pool = &d->pools[d->workers[worker].pool];
    if (in->type == MESSAGE_OUT) {
        take_out(d, row, in);
    } else if (in->type == MESSAGE_MISS && item->gen == d->lines[item->line].gen) {
        item_missed(d, row, in);
    } else if (in->type == MESSAGE_ERR) {
        counts->failed++;
        item_fail(d, row, CAUSE_ERR, in->inc, in->payload, in->size);
    } else if (in->type == MESSAGE_REFUSED) {
        counts->refused++;
        item_fail(d, row, CAUSE_REFUSED, in->inc, in->payload, in->size);
    } else {
        item_free_block(d, row);
        item_fail(d, row, CAUSE_LOST, in->inc, in->payload, in->size);
    }
    pool_assign(d, pool);
}
