/* Who works: the processes of each pool, their credits (always what the held lists say), who is
 * given what, and fresh processes for items that were struck. Part of the dispatcher. */
#include "engine/dispatch_state.h"

enum { RETIRE_AGAIN_MS = 10000 };

static void workers_append(struct dispatch *d, struct row_list *list, uint32_t row, bool all)
{
    struct link_row *link = all ? &d->workers[row].all : &d->workers[row].free;
    *link = (struct link_row){list->tail, NOBODY};
    if (list->count++ == 0)
        list->head = row;
    else if (all)
        d->workers[list->tail].all.next = row;
    else
        d->workers[list->tail].free.next = row;
    list->tail = row;
}

static void workers_remove(struct dispatch *d, struct row_list *list, uint32_t row, bool all)
{
    struct link_row link = all ? d->workers[row].all : d->workers[row].free;
    if (link.prev == NOBODY)
        list->head = link.next;
    else if (all)
        d->workers[link.prev].all.next = link.next;
    else
        d->workers[link.prev].free.next = link.next;
    if (link.next == NOBODY)
        list->tail = link.prev;
    else if (all)
        d->workers[link.next].all.prev = link.prev;
    else
        d->workers[link.next].free.prev = link.prev;
    list->count--;
}

void pools_open(struct dispatch *d, struct arena *arena)
{
    d->pools = arena_zero(arena, (size_t)d->config.pool_count, sizeof *d->pools);
    for (int line = 0; line < d->config.line_count; line++)
        for (int stage = 0; stage < d->lines[line].config.stage_count; stage++)
            d->pools[d->lines[line].config.pool[stage]].serve_count++;
    for (int i = 0; i < d->config.pool_count; i++) {
        struct pool *pool = &d->pools[i];
        pool->serves = arena_zero(arena, (size_t)pool->serve_count, sizeof *pool->serves);
        pool->serve_count = 0;
        pool->all = pool->solo = LIST_EMPTY;
        for (int credits = 0; credits <= DISPATCH_CREDITS; credits++)
            pool->free[credits] = LIST_EMPTY;
    }
    for (int line = 0; line < d->config.line_count; line++)
        for (int stage = 0; stage < d->lines[line].config.stage_count; stage++) {
            struct pool *pool = &d->pools[d->lines[line].config.pool[stage]];
            pool->serves[pool->serve_count++] = (struct served){(uint16_t)line, (uint16_t)stage};
        }
}

struct pool *pool_of(struct dispatch *d, uint16_t line, uint16_t stage)
{
    return &d->pools[d->lines[line].config.pool[stage]];
}

uint32_t worker_find(const struct dispatch *d, uint64_t inc)
{
    return table_get(&d->by_inc, inc);
}

/* Two engines have workers of the same stage and number: the engine's random number tells them
 * apart. */
static uint64_t place_of(uint16_t pool, uint64_t node, uint32_t index)
{
    return node * UINT64_C(0x9e3779b97f4a7c15) ^ ((uint64_t)pool << 32 | index);
}

/* It has a dear item in hand or next: what is given to it now would wait for that. */
static bool worker_long(const struct dispatch *d, const struct worker *worker)
{
    int64_t usual = d->pools[worker->pool].all.count;
    for (int i = 0; i < DISPATCH_CREDITS; i++) {
        const struct item *item = worker->entry[i] == NOBODY ? NULL : &d->items[worker->entry[i]];
        if (item && (int64_t)item->seq - item->start >= DISPATCH_DEAR * usual)
            return true;
    }
    return false;
}

/* Puts the worker into the list of its free credits, if it may be given work. */
static void worker_list(struct dispatch *d, uint32_t row)
{
    struct worker *worker = &d->workers[row];
    ASSERT(worker->credits >= 0 && worker->credits <= DISPATCH_CREDITS);
    if (worker->listed || worker->credits == 0 || worker->solo || worker->retiring_ms >= 0 ||
        worker_long(d, worker))
        return;
    workers_append(d, &d->pools[worker->pool].free[worker->credits], row, false);
    worker->listed = true;
}

static void worker_unlist(struct dispatch *d, uint32_t row)
{
    struct worker *worker = &d->workers[row];
    if (worker->listed)
        workers_remove(d, &d->pools[worker->pool].free[worker->credits], row, false);
    worker->listed = false;
}

uint32_t worker_add(struct dispatch *d, const struct message *in, const struct hello *hello,
                    uint16_t pool)
{
    uint64_t place = place_of(pool, hello->node, hello->index);
    uint32_t old = table_get(&d->by_place, place);
    int credits = DISPATCH_CREDITS;
    if (MUTANT(MUTANT_KEEPS_CREDITS) && old != NOBODY)
        credits = d->workers[old].credits;
    if (old != NOBODY && d->workers[old].known)
        worker_remove(d, old);
    uint32_t row = d->worker_free;
    if (row == NOBODY)
        return NOBODY;
    struct worker *worker = &d->workers[row];
    d->worker_free = worker->index;
    *worker = (struct worker){.inc = in->inc,
                              .node = hello->node,
                              .seen_ms = d->now_ms,
                              .retiring_ms = -1,
                              .peer = in->peer,
                              .index = hello->index,
                              .credits = credits,
                              .pool = pool,
                              .known = true,
                              .fresh = in->arg == 0};
    for (int i = 0; i < DISPATCH_CREDITS; i++)
        worker->entry[i] = NOBODY;
    table_put(&d->by_inc, in->inc, row);
    table_put(&d->by_place, place, row);
    workers_append(d, &d->pools[pool].all, row, true);
    worker_list(d, row);
    return row;
}

void worker_remove(struct dispatch *d, uint32_t row)
{
    struct worker *worker = &d->workers[row];
    for (int i = 0; i < DISPATCH_CREDITS; i++) {
        if (worker->entry[i] == NOBODY)
            continue;
        int credits = worker->credits;
        uint32_t item = worker_release(d, row, i);
        if (MUTANT(MUTANT_KEEPS_CREDITS)) {
            worker_unlist(d, row);
            worker->credits = credits;
        }
        item_free_block(d, item);
        item_fail(d, item, CAUSE_LOST, worker->inc, NULL, 0);
    }
    worker_unlist(d, row);
    workers_remove(d, &d->pools[worker->pool].all, row, true);
    table_drop(&d->by_inc, worker->inc);
    if (!MUTANT(MUTANT_KEEPS_CREDITS))
        table_drop(&d->by_place, place_of(worker->pool, worker->node, worker->index));
    worker->known = false;
    worker->index = d->worker_free;
    d->worker_free = row;
    d->totals.workers_lost++;
}

bool worker_dead(const struct dispatch *d, uint64_t inc)
{
    for (int i = 0; i < DEAD_MAX; i++)
        if (d->dead[i] == inc)
            return true;
    return false;
}

void worker_mark_dead(struct dispatch *d, uint64_t inc)
{
    if (!worker_dead(d, inc))
        d->dead[d->dead_next++ % DEAD_MAX] = inc;
}

int worker_entry(const struct dispatch *d, uint32_t row, const struct message *in)
{
    for (int i = 0; i < DISPATCH_CREDITS; i++) {
        uint32_t at = d->workers[row].entry[i];
        const struct item *item = at == NOBODY ? NULL : &d->items[at];
        if (item && item->seq == in->seq && item->line == in->line && item->stage == in->stage &&
            item->gen == in->gen && item->attempt == in->attempt)
            return i;
    }
    return -1;
}

uint32_t worker_release(struct dispatch *d, uint32_t row, int entry)
{
    struct worker *worker = &d->workers[row];
    uint32_t at = worker->entry[entry];
    struct item *item = &d->items[at];
    ASSERT(item->where == WHERE_RUNNING && item->worker == row);
    worker_unlist(d, row);
    worker->entry[entry] = NOBODY;
    worker->credits++;
    ASSERT_INT(worker->credits, <=, DISPATCH_CREDITS);
    if (item->flags & MESSAGE_SOLO)
        worker->solo = false;
    worker_list(d, row);
    item->where = WHERE_FREE;
    item->worker = NOBODY;
    stage_of(d, item->line, item->stage)->counts.running--;
    d->running--;
    return at;
}

void worker_compare(struct dispatch *d, uint32_t row, const struct held *held, uint32_t count)
{
    int64_t held_ms = d->config.held_ms;
    for (int i = 0; i < DISPATCH_CREDITS && !MUTANT(MUTANT_COUNTS_CREDITS); i++) {
        uint32_t at = d->workers[row].entry[i];
        if (at == NOBODY || d->now_ms - d->items[at].since_ms <= held_ms)
            continue;
        const struct item *item = &d->items[at];
        bool there = false;
        for (uint32_t k = 0; k < count && !there; k++)
            there = held[k].seq == item->seq && held[k].gen == item->gen &&
                    held[k].attempt == item->attempt;
        if (there)
            continue;
        worker_release(d, row, i);
        d->totals.credits_recovered++;
        item_free_block(d, at);
        item_fail(d, at, CAUSE_LOST, d->workers[row].inc, NULL, 0);
    }
}

static void worker_give(struct dispatch *d, uint32_t row, uint32_t at)
{
    struct worker *worker = &d->workers[row];
    struct item *item = &d->items[at];
    int entry = 0;
    while (worker->entry[entry] != NOBODY) {
        entry++;
        ASSERT_INT(entry, <, DISPATCH_CREDITS);
    }
    item_unqueue(d, at);
    worker_unlist(d, row);
    worker->entry[entry] = at;
    worker->credits--;
    worker->fresh = false;
    worker->solo = (item->flags & MESSAGE_SOLO) != 0;
    worker_list(d, row);
    item->where = WHERE_RUNNING;
    item->worker = row;
    item->since_ms = d->now_ms;
    stage_of(d, item->line, item->stage)->counts.running++;
    d->running++;
    struct message work = {.type = MESSAGE_WORK,
                           .peer = worker->peer,
                           .job = d->config.job,
                           .inc = worker->inc,
                           .line = item->line,
                           .stage = item->stage,
                           .gen = item->gen,
                           .attempt = item->attempt,
                           .seq = item->seq,
                           .flags = item->flags & (MESSAGE_BLOCK | MESSAGE_SOLO),
                           .arg = item->recycles,
                           .size = item->size,
                           .payload = item_payload(d, at)};
    d->out->put(d->out->user, &work);
}

/* The next item that this pool should work on, or NOBODY. */
static uint32_t pool_pick(struct dispatch *d, struct pool *pool)
{
    uint32_t best = NOBODY, best_rank = UINT32_MAX;
    int best_at = 0;
    for (int i = 0; i < pool->serve_count; i++) {
        int at = (pool->turn + i) % pool->serve_count;
        struct served served = pool->serves[at];
        struct stage_row *stage = stage_of(d, served.line, served.stage);
        int urgent = stage->queue[1].count != 0;
        if (stage->queue[urgent].count == 0)
            continue;
        uint32_t rank = urgent ? 0 : 1 + d->lines[served.line].config.rank;
        if (rank < best_rank) {
            best = stage->queue[urgent].head;
            best_rank = rank;
            best_at = at;
        }
    }
    if (best != NOBODY)
        pool->turn = (best_at + 1) % pool->serve_count;
    return best;
}

/* Struck items go to processes that have done nothing yet, one at a time. */
static void pool_assign_solo(struct dispatch *d, struct pool *pool)
{
    uint32_t row = pool->all.head;
    while (pool->solo.count && row != NOBODY) {
        struct worker *worker = &d->workers[row];
        if (worker->fresh && worker->retiring_ms < 0 && worker->credits == DISPATCH_CREDITS)
            worker_give(d, row, pool->solo.head);
        row = worker->all.next;
    }
}

void pool_assign(struct dispatch *d, struct pool *pool)
{
    if (d->draining)
        return;
    if (pool->solo.count)
        pool_assign_solo(d, pool);
    for (int credits = DISPATCH_CREDITS; credits > 0;) {
        if (pool->free[credits].count == 0) {
            credits--;
            continue;
        }
        uint32_t item = pool_pick(d, pool);
        if (item == NOBODY)
            return;
        worker_give(d, pool->free[credits].head, item);
    }
}

/* Asks one process of the pool to make room for a fresh one, because a struck item waits. */
static void pool_refresh(struct dispatch *d, struct pool *pool)
{
    uint32_t chosen = NOBODY;
    for (uint32_t row = pool->all.head; row != NOBODY; row = d->workers[row].all.next) {
        struct worker *worker = &d->workers[row];
        if (worker->retiring_ms >= 0 && d->now_ms - worker->retiring_ms < RETIRE_AGAIN_MS)
            return;
        if (!worker->solo && (chosen == NOBODY || worker->credits > d->workers[chosen].credits))
            chosen = row;
    }
    if (chosen == NOBODY)
        return;
    worker_unlist(d, chosen);
    d->workers[chosen].retiring_ms = d->now_ms;
    struct message drain = {.type = MESSAGE_DRAIN,
                            .peer = d->workers[chosen].peer,
                            .job = d->config.job,
                            .inc = d->workers[chosen].inc};
    d->out->put(d->out->user, &drain);
}

void pools_tick(struct dispatch *d)
{
    for (int i = 0; i < d->config.pool_count; i++) {
        struct pool *pool = &d->pools[i];
        for (uint32_t row = pool->all.head, next; row != NOBODY; row = next) {
            next = d->workers[row].all.next;
            if (d->now_ms - d->workers[row].seen_ms > d->config.silent_ms)
                worker_remove(d, row);
        }
        pool_assign(d, pool);
        if (pool->solo.count && !d->draining)
            pool_refresh(d, pool);
    }
}
