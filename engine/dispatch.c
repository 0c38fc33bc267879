/* The dispatcher: what each message does. Rules 4 to 7 of the delivery protocol; see dispatch.h for
 * what it is for and dispatch_state.h for how it remembers. */
#include "engine/dispatch_state.h"

#include <stdio.h>
#include <string.h>

enum { TICK_MAX_MS = 500 }; /* a longer pause between ticks counts as this one */

static enum status config_check(const struct dispatch_config *config, struct error *err)
{
    if (config->line_count < 1 || config->line_count > DISPATCH_LINES_MAX ||
        config->pool_count < 0 || config->pool_count > DISPATCH_POOLS_MAX ||
        config->worker_max < 1 || config->worker_max > DISPATCH_WORKERS_MAX)
        return error_set(err, STATUS_INVALID, "dispatcher: %d lines, %d pools, %u workers",
                         config->line_count, config->pool_count, config->worker_max);
    for (int i = 0; i < config->line_count; i++) {
        const struct dispatch_line *line = &config->lines[i];
        if (line->stage_count < 1 || line->stage_count > DISPATCH_STAGES_MAX)
            return error_set(err, STATUS_INVALID, "dispatcher: line %d has %d work stages", i,
                             line->stage_count);
        if (line->rank_count < 1 || line->rank_count > DISPATCH_RANKS_MAX || line->group < 1 ||
            line->group % line->rank_count)
            return error_set(err, STATUS_INVALID,
                             "dispatcher: line %d: %llu samples a step on %u ranks", i,
                             (unsigned long long)line->group, line->rank_count);
        if (line->filled_by >= config->line_count || line->filled_by == i)
            return error_set(err, STATUS_INVALID, "dispatcher: line %d is filled by line %d", i,
                             line->filled_by);
        for (int k = 0; k < line->stage_count; k++)
            if (line->pool[k] >= config->pool_count)
                return error_set(err, STATUS_INVALID, "dispatcher: line %d stage %d: no pool %u", i,
                                 k, line->pool[k]);
    }
    return STATUS_OK;
}

static void lines_open(struct dispatch *d, const struct dispatch_line *lines, struct arena *arena)
{
    d->lines = arena_zero(arena, (size_t)d->config.line_count, sizeof *d->lines);
    for (int i = 0; i < d->config.line_count; i++) {
        struct line_row *line = &d->lines[i];
        line->config = lines[i];
        line->finished_ms = INT64_MAX;
        line->stages = arena_zero(arena, (size_t)lines[i].stage_count, sizeof *line->stages);
        line->sinks = arena_zero(arena, lines[i].rank_count, sizeof *line->sinks);
        for (int k = 0; k < lines[i].stage_count; k++)
            line->stages[k].queue[0] = line->stages[k].queue[1] = LIST_EMPTY;
        /* A waiting and a running copy of everything that a sink may ask for (I3). */
        d->item_max += 2 * lines[i].window * lines[i].rank_count;
    }
    d->parked = LIST_EMPTY;
    d->item_max += DISPATCH_CREDITS * d->config.worker_max;
}

enum status dispatch_open(struct dispatch **dispatch, const struct dispatch_config *config,
                          struct arena *arena, struct error *err)
{
    enum status status = config_check(config, err);
    if (status != STATUS_OK)
        return status;
    struct dispatch *d = arena_zero(arena, 1, sizeof *d);
    d->config = *config;
    d->config.lines = NULL;
    if (d->config.held_ms == 0)
        d->config.held_ms = DISPATCH_HELD_MS;
    if (d->config.silent_ms == 0)
        d->config.silent_ms = DISPATCH_SILENT_MS;
    if (d->config.absent_ms == 0)
        d->config.absent_ms = DISPATCH_ABSENT_MS;
    lines_open(d, config->lines, arena);
    pools_open(d, arena);
    d->items = arena_zero(arena, d->item_max, sizeof *d->items);
    d->payloads = arena_alloc(arena, (size_t)d->item_max * MESSAGE_INLINE_MAX);
    d->workers = arena_zero(arena, config->worker_max, sizeof *d->workers);
    d->by_item = table_make(arena, d->item_max);
    d->by_key = table_make(arena, d->item_max);
    d->by_inc = table_make(arena, config->worker_max);
    d->by_place = table_make(arena, config->worker_max);
    d->never = table_make(arena, NEVER_MAX);
    d->item_free = d->worker_free = NOBODY;
    for (uint32_t i = d->item_max; i-- > 0; d->item_free = i) {
        d->items[i].where = WHERE_FREE;
        d->items[i].copy = d->item_free;
    }
    for (uint32_t i = config->worker_max; i-- > 0; d->worker_free = i)
        d->workers[i].index = d->worker_free;
    d->totals.items_max = d->item_max;
    *dispatch = d;
    return STATUS_OK;
}

static void answer(struct dispatch *d, const struct message *in, enum message_type type,
                   uint32_t arg, const char *text)
{
    bool own = type == MESSAGE_WELCOME || type == MESSAGE_CHALLENGE;
    struct message message = {.type = type,
                              .peer = in->peer,
                              .job = d->config.job,
                              .inc = own ? d->config.inc : in->inc,
                              .line = in->line,
                              .arg = arg,
                              .payload = text,
                              .size = text ? (uint32_t)strlen(text) : 0};
    d->out->put(d->out->user, &message);
}

static void challenge(struct dispatch *d, const struct message *in)
{
    d->totals.challenged++;
    answer(d, in, MESSAGE_CHALLENGE, 0, NULL);
}

/* Somebody that speaks another protocol or runs another graph never half-works. */
static bool hello_fits(struct dispatch *d, const struct message *in, const struct hello *hello)
{
    char text[MESSAGE_TEXT_MAX];
    if (hello->version != MESSAGE_VERSION)
        snprintf(text, sizeof text,
                 "this run speaks protocol version %d, you speak %u: start the same foldmill",
                 MESSAGE_VERSION, hello->version);
    else if (hello->graph_hash != d->config.graph_hash)
        snprintf(text, sizeof text,
                 "this run's graph has the hash %016llx, yours %016llx: give every process the "
                 "same graph and settings",
                 (unsigned long long)d->config.graph_hash, (unsigned long long)hello->graph_hash);
    else
        return true;
    answer(d, in, MESSAGE_REFUSE, 0, text);
    return false;
}

static bool agent_known(const struct dispatch *d, uint64_t inc)
{
    for (int i = 0; i < AGENTS_MAX; i++)
        if (inc != 0 && d->agents[i] == inc)
            return true;
    return false;
}

static void line_heard(struct line_row *line)
{
    line->alone_ms = 0;
    line->finished_ms = INT64_MAX;
}

static void take_hello(struct dispatch *d, const struct message *in)
{
    struct hello hello;
    struct span bytes = {in->payload, in->size};
    if (hello_decode(bytes, &hello, NULL) != STATUS_OK || in->line >= d->config.line_count) {
        d->totals.dropped_unknown++;
        return;
    }
    if (!hello_fits(d, in, &hello))
        return;
    struct line_row *line = &d->lines[in->line];
    if (hello.role == PEER_SINK) {
        if (hello.index >= line->config.rank_count || in->gen < line->gen) {
            d->totals.dropped_gen++;
            return;
        }
        if (in->gen > line->gen)
            line_fence(d, in->line, in->gen);
        line->sinks[hello.index] = (struct sink_row){in->inc, in->peer, true};
        line_heard(line);
    } else if (hello.role == PEER_WORKER) {
        if (in->stage >= line->config.stage_count || worker_dead(d, in->inc) ||
            hello.index >= DISPATCH_WORKERS_MAX) {
            d->totals.dropped_unknown++;
            return;
        }
        uint16_t pool = line->config.pool[in->stage];
        uint32_t row = worker_find(d, in->inc);
        if (row == NOBODY && worker_add(d, in, &hello, pool) == NOBODY) {
            answer(d, in, MESSAGE_REFUSE, 0, "this engine knows as many workers as it can");
            return;
        }
        if (row != NOBODY) {
            d->workers[row].peer = in->peer;
            d->workers[row].seen_ms = d->now_ms;
        }
        answer(d, in, MESSAGE_WELCOME, DISPATCH_CREDITS, NULL);
        pool_assign(d, &d->pools[pool]);
        return;
    } else {
        if (!agent_known(d, in->inc))
            d->agents[d->agent_next++ % AGENTS_MAX] = in->inc;
    }
    answer(d, in, MESSAGE_WELCOME, DISPATCH_CREDITS, NULL);
}

/* A waiting copy takes over a newer attempt; what it has been through stays, unless the request
 * wants it made from the start: alone, or with another number of passes. */
static void request_renew(struct dispatch *d, uint32_t row, const struct message *in)
{
    struct item *item = &d->items[row];
    bool anew = item->recycles != in->arg || (in->flags & ~item->flags & MESSAGE_SOLO);
    bool parked = item->where == WHERE_PARKED;
    d->totals.replaced++;
    item->attempt = in->attempt;
    if (parked && !anew) {
        item->flags |= in->flags & MESSAGE_IMPATIENT;
        return;
    }
    if (!anew && (item->flags | (in->flags & MESSAGE_IMPATIENT)) == item->flags)
        return;
    item_unqueue(d, row);
    if (anew) {
        item_free_block(d, row);
        item->stage = 0;
        item->recycles = in->arg;
        item->producer = 0;
        item_store(d, row, in);
    }
    item->flags |= in->flags & (MESSAGE_IMPATIENT | MESSAGE_SOLO);
    item_queue(d, row);
}

static void request_new(struct dispatch *d, const struct message *in)
{
    uint32_t row = item_new(d, in->line, in->seq);
    if (row == NOBODY) {
        d->totals.dropped_full++;
        return;
    }
    struct item *item = &d->items[row];
    item->gen = in->gen;
    item->attempt = in->attempt;
    item->recycles = in->arg;
    item->start = (int64_t)in->seq - in->stage;
    item->flags = in->flags & (MESSAGE_IMPATIENT | MESSAGE_SOLO);
    item_store(d, row, in);
    item_queue(d, row);
}

static void take_request(struct dispatch *d, const struct message *in)
{
    struct line_row *line = in->line < d->config.line_count ? &d->lines[in->line] : NULL;
    if (!line || in->size == 0 || in->size > MESSAGE_KEY_MAX) {
        d->totals.dropped_unknown++;
        return;
    }
    struct sink_row *sink = sink_of(d, in->line, in->seq);
    if (in->gen < line->gen || !sink->known || sink->inc != in->inc) {
        d->totals.dropped_gen++;
        if (in->gen >= line->gen)
            challenge(d, in);
        return;
    }
    if (in->gen > line->gen)
        line_fence(d, in->line, in->gen);
    sink->peer = in->peer;
    line_heard(line);
    uint32_t waiting = NOBODY;
    int running = 0;
    for (uint32_t row = item_first(d, in->line, in->seq);
         row != NOBODY && !MUTANT(MUTANT_NO_QUEUE_DEDUP); row = d->items[row].copy) {
        struct item *item = &d->items[row];
        if (item->gen == in->gen && item->attempt >= in->attempt) {
            /* Known already: the same request may still have become urgent. */
            if (item->attempt == in->attempt && item->where != WHERE_RUNNING)
                request_renew(d, row, in);
            else if (item->attempt == in->attempt)
                item->flags |= in->flags & MESSAGE_IMPATIENT;
            return;
        }
        if (item->where == WHERE_RUNNING)
            running += item->gen == in->gen;
        else
            waiting = row;
    }
    if (waiting != NOBODY)
        request_renew(d, waiting, in);
    else if (running >= DISPATCH_COPIES_MAX)
        d->totals.declined++;
    else
        request_new(d, in);
    pool_assign(d, pool_of(d, in->line, 0));
}

/* A parked copy looks again; another waiting copy cannot be there. */
static void item_wake(struct dispatch *d, uint32_t row)
{
    struct item *item = &d->items[row];
    item_unqueue(d, row);
    item->flags |= MESSAGE_IMPATIENT;
    item_queue(d, row);
    pool_assign(d, pool_of(d, item->line, 0));
}

static void take_commit(struct dispatch *d, const struct message *in)
{
    if (in->line >= d->config.line_count || in->size == 0 || in->size > MESSAGE_KEY_MAX) {
        d->totals.dropped_unknown++;
        return;
    }
    uint64_t key = key_hash(in->line, in->payload, in->size);
    bool never = (in->flags & MESSAGE_FINAL) != 0;
    if (!never)
        table_drop(&d->never, key);
    else if (d->never.count < d->never.count_max || table_get(&d->never, key) != TABLE_NONE)
        table_put(&d->never, key, 0);
    for (uint32_t row = table_get(&d->by_key, key); row != NOBODY && !MUTANT(MUTANT_NEVER_WAKES);
         row = table_get(&d->by_key, key)) {
        if (never) {
            item_unqueue(d, row);
            item_refuse_key(d, row);
        } else {
            item_wake(d, row);
        }
    }
}

/* A sink that says nothing for long while others speak will not come back; time in which the
 * dispatcher itself was stopped or cut off does not count. */
static void lines_tick(struct dispatch *d)
{
    int64_t passed = d->now_ms - d->tick_ms;
    for (int i = 0; i < d->config.line_count && d->heard; i++) {
        struct line_row *line = &d->lines[i];
        line->alone_ms += passed < TICK_MAX_MS ? passed : TICK_MAX_MS;
        if (line->alone_ms > d->config.absent_ms && line->finished_ms == INT64_MAX)
            line->finished_ms = d->now_ms;
    }
    d->tick_ms = d->now_ms;
    d->heard = false;
}

/* Keys that are waited for are called again, in case a word was lost; after a longer while the item
 * looks for itself. */
static void parked_tick(struct dispatch *d)
{
    while (d->parked.count && !MUTANT(MUTANT_NEVER_WAKES)) {
        uint32_t row = d->parked.head;
        struct item *item = &d->items[row];
        if (item->due_ms > d->now_ms)
            return;
        if (d->now_ms - item->parked_ms >= DISPATCH_RETRY_MS ||
            d->lines[d->lines[item->line].config.filled_by].finished_ms != INT64_MAX) {
            item_wake(d, row);
            continue;
        }
        item->due_ms = d->now_ms + DISPATCH_PARK_MS;
        list_remove(&d->parked, d->items, row);
        list_append(&d->parked, d->items, row);
        urgent_send(d, row);
    }
}

static void take_heartbeat(struct dispatch *d, const struct message *in)
{
    uint32_t row = worker_find(d, in->inc);
    if (row != NOBODY) {
        struct held held[MESSAGE_HELD_MAX];
        uint32_t count;
        d->workers[row].seen_ms = d->now_ms;
        d->workers[row].peer = in->peer;
        if (held_decode((struct span){in->payload, in->size}, held, &count, NULL) != STATUS_OK)
            return;
        worker_compare(d, row, held, count);
        pool_assign(d, &d->pools[d->workers[row].pool]);
        return;
    }
    if (in->line < d->config.line_count)
        for (uint32_t rank = 0; rank < d->lines[in->line].config.rank_count; rank++) {
            struct sink_row *sink = &d->lines[in->line].sinks[rank];
            if (sink->known && sink->inc == in->inc) {
                sink->peer = in->peer;
                line_heard(&d->lines[in->line]);
                return;
            }
        }
    if (!agent_known(d, in->inc))
        challenge(d, in);
}

/* Rule 6: only the item that the agent names is to blame, and only for an end of its own making. */
static void take_died(struct dispatch *d, const struct message *in)
{
    struct died died;
    if (died_decode((struct span){in->payload, in->size}, &died, NULL) != STATUS_OK) {
        d->totals.dropped_unknown++;
        return;
    }
    worker_mark_dead(d, in->inc);
    uint32_t worker = worker_find(d, in->inc);
    bool blame = died.executing && died.cause != CAUSE_LOST && died.line < d->config.line_count &&
                 died.stage < d->lines[died.line].config.stage_count;
    uint32_t size = (uint32_t)strlen(died.text);
    struct message item = {.line = died.line,
                           .stage = died.stage,
                           .seq = died.item.seq,
                           .gen = died.item.gen,
                           .attempt = died.item.attempt};
    if (blame && item.gen == d->lines[died.line].gen) {
        if (worker != NOBODY)
            stage_of(d, died.line, died.stage)->counts.failed++;
        fail_send(d, &item, died.cause, in->inc, died.text, size);
    }
    if (worker != NOBODY) {
        struct pool *pool = &d->pools[d->workers[worker].pool];
        int entry = blame ? worker_entry(d, worker, &item) : -1;
        if (entry >= 0) {
            uint32_t row = worker_release(d, worker, entry);
            item_free_block(d, row);
            item_drop(d, row);
        }
        for (int i = 0; MUTANT(MUTANT_BLAMES_IN_FLIGHT) && i < DISPATCH_CREDITS; i++)
            if (d->workers[worker].entry[i] != NOBODY)
                item_fail(d, worker_release(d, worker, i), died.cause, in->inc, NULL, 0);
        worker_remove(d, worker);
        pool_assign(d, pool);
    }
    answer(d, in, MESSAGE_DIEDOK, 0, NULL);
}

static void take_bye(struct dispatch *d, const struct message *in)
{
    uint32_t worker = worker_find(d, in->inc);
    if (worker != NOBODY) {
        struct pool *pool = &d->pools[d->workers[worker].pool];
        worker_mark_dead(d, in->inc);
        worker_remove(d, worker);
        pool_assign(d, pool);
        return;
    }
    if (in->line >= d->config.line_count)
        return;
    struct line_row *line = &d->lines[in->line];
    for (uint32_t rank = 0; rank < line->config.rank_count; rank++)
        if (line->sinks[rank].known && line->sinks[rank].inc == in->inc && in->gen == line->gen) {
            line->sinks[rank].known = false;
            line->finished_ms = in->flags & MESSAGE_FINAL ? d->now_ms : INT64_MAX;
        }
}

void dispatch_step(struct dispatch *d, const struct message *in, int64_t now_ms,
                   const struct outbox *out)
{
    d->now_ms = now_ms;
    d->out = out;
    if (!in) {
        pools_tick(d);
        lines_tick(d);
        parked_tick(d);
        return;
    }
    d->heard = true;
    d->totals.messages++;
    if (in->job != d->config.job) {
        d->totals.dropped_job++;
        return;
    }
    if (in->type == MESSAGE_HELLO)
        take_hello(d, in);
    else if (in->type == MESSAGE_REQ)
        take_request(d, in);
    else if (in->type == MESSAGE_OUT || in->type == MESSAGE_ERR || in->type == MESSAGE_REFUSED ||
             in->type == MESSAGE_MISS || in->type == MESSAGE_LOST)
        take_result(d, in);
    else if (in->type == MESSAGE_HB)
        take_heartbeat(d, in);
    else if (in->type == MESSAGE_DIED)
        take_died(d, in);
    else if (in->type == MESSAGE_COMMIT)
        take_commit(d, in);
    else if (in->type == MESSAGE_BYE)
        take_bye(d, in);
    else if (in->type == MESSAGE_DRAIN)
        dispatch_drain(d, out);
    else
        d->totals.dropped_unknown++;
}

void dispatch_drain(struct dispatch *d, const struct outbox *out)
{
    if (d->draining)
        return;
    d->draining = true;
    for (int i = 0; i < d->config.line_count; i++)
        for (uint32_t rank = 0; rank < d->lines[i].config.rank_count; rank++) {
            struct sink_row *sink = &d->lines[i].sinks[rank];
            struct message drain = {.type = MESSAGE_DRAIN,
                                    .peer = sink->peer,
                                    .job = d->config.job,
                                    .inc = sink->inc,
                                    .line = (uint16_t)i};
            if (sink->known)
                out->put(out->user, &drain);
        }
}
