/* Where items are: the table of copies, their queues, the parking place for keys that a store
 * does not hold yet, and what becomes of payloads that nobody will read. Part of the dispatcher. */
#include "engine/dispatch_state.h"

#include <string.h>
#include <xxhash.h>

enum { SEQ_BITS = 48 };

void list_append(struct row_list *list, struct item *items, uint32_t row)
{
    items[row].queue = (struct link_row){list->tail, NOBODY};
    if (list->count++)
        items[list->tail].queue.next = row;
    else
        list->head = row;
    list->tail = row;
}

static bool item_before(const struct item *a, const struct item *b)
{
    return a->start != b->start ? a->start < b->start : a->seq < b->seq;
}

/* Puts the item behind all that are to be begun before it. Most come in turn, so that the walk from
 * the end is short. */
static void list_sort_in(struct row_list *list, struct item *items, uint32_t row)
{
    uint32_t before = list->tail;
    while (before != NOBODY && item_before(&items[row], &items[before]) &&
           !MUTANT(MUTANT_FORGETS_LEAD))
        before = items[before].queue.prev;
    if (before == list->tail) {
        list_append(list, items, row);
        return;
    }
    uint32_t after = before == NOBODY ? list->head : items[before].queue.next;
    items[row].queue = (struct link_row){before, after};
    items[after].queue.prev = row;
    if (before == NOBODY)
        list->head = row;
    else
        items[before].queue.next = row;
    list->count++;
}

void list_remove(struct row_list *list, struct item *items, uint32_t row)
{
    struct link_row link = items[row].queue;
    if (link.prev != NOBODY)
        items[link.prev].queue.next = link.next;
    else
        list->head = link.next;
    if (link.next != NOBODY)
        items[link.next].queue.prev = link.prev;
    else
        list->tail = link.prev;
    list->count--;
}

unsigned char *item_payload(const struct dispatch *d, uint32_t row)
{
    return d->payloads + (size_t)row * MESSAGE_INLINE_MAX;
}

static uint64_t item_name(uint16_t line, uint64_t seq)
{
    return (uint64_t)line << SEQ_BITS | seq;
}

uint32_t item_first(const struct dispatch *d, uint16_t line, uint64_t seq)
{
    return seq >> SEQ_BITS ? NOBODY : table_get(&d->by_item, item_name(line, seq));
}

uint32_t item_new(struct dispatch *d, uint16_t line, uint64_t seq)
{
    uint32_t row = d->item_free;
    if (row == NOBODY || seq >> SEQ_BITS)
        return NOBODY;
    struct item *item = &d->items[row];
    d->item_free = item->copy;
    *item = (struct item){.seq = seq,
                          .line = line,
                          .copy = item_first(d, line, seq),
                          .worker = NOBODY,
                          .where = WHERE_FREE};
    table_put(&d->by_item, item_name(line, seq), row);
    d->totals.items++;
    return row;
}

void item_drop(struct dispatch *d, uint32_t row)
{
    struct item *item = &d->items[row];
    ASSERT(item->where == WHERE_FREE && item->worker == NOBODY);
    uint64_t name = item_name(item->line, item->seq);
    uint32_t first = table_get(&d->by_item, name);
    if (first == row && item->copy == NOBODY) {
        table_drop(&d->by_item, name);
    } else if (first == row) {
        table_put(&d->by_item, name, item->copy);
    } else {
        while (d->items[first].copy != row)
            first = d->items[first].copy;
        d->items[first].copy = item->copy;
    }
    item->copy = d->item_free;
    d->item_free = row;
    d->totals.items--;
}

void item_store(struct dispatch *d, uint32_t row, const struct message *from)
{
    struct item *item = &d->items[row];
    ASSERT_INT(from->size, <=, MESSAGE_INLINE_MAX);
    item->size = from->size;
    item->flags = (uint16_t)((item->flags & ~MESSAGE_BLOCK) | (from->flags & MESSAGE_BLOCK));
    if (from->size)
        memcpy(item_payload(d, row), from->payload, from->size);
}

struct stage_row *stage_of(const struct dispatch *d, uint16_t line, uint16_t stage)
{
    return &d->lines[line].stages[stage];
}

static struct row_list *queue_of(struct dispatch *d, const struct item *item)
{
    if (item->flags & MESSAGE_SOLO)
        return &pool_of(d, item->line, item->stage)->solo;
    return &stage_of(d, item->line, item->stage)->queue[(item->flags & MESSAGE_IMPATIENT) != 0];
}

void item_queue(struct dispatch *d, uint32_t row)
{
    struct item *item = &d->items[row];
    ASSERT(item->where == WHERE_FREE);
    list_sort_in(queue_of(d, item), d->items, row);
    item->where = WHERE_QUEUED;
    item->since_ms = d->now_ms;
    stage_of(d, item->line, item->stage)->counts.queued++;
}

uint64_t key_hash(int filler, const void *key, size_t size)
{
    return XXH3_64bits_withSeed(key, size, (uint64_t)filler);
}

void item_park(struct dispatch *d, uint32_t row)
{
    struct item *item = &d->items[row];
    ASSERT(item->where == WHERE_FREE && item->stage == 0);
    item->key = key_hash(d->lines[item->line].config.filled_by, item_payload(d, row), item->size);
    item->where = WHERE_PARKED;
    item->since_ms = item->parked_ms = d->now_ms;
    item->due_ms = d->now_ms + DISPATCH_PARK_MS;
    list_append(&d->parked, d->items, row);
    uint32_t head = table_get(&d->by_key, item->key);
    item->same_key = (struct link_row){NOBODY, head};
    if (head != NOBODY)
        d->items[head].same_key.prev = row;
    table_put(&d->by_key, item->key, row);
    stage_of(d, item->line, 0)->counts.parked++;
}

void item_unqueue(struct dispatch *d, uint32_t row)
{
    struct item *item = &d->items[row];
    struct dispatch_counts *counts = &stage_of(d, item->line, item->stage)->counts;
    if (item->where == WHERE_QUEUED) {
        list_remove(queue_of(d, item), d->items, row);
        counts->queued--;
    } else {
        ASSERT(item->where == WHERE_PARKED);
        list_remove(&d->parked, d->items, row);
        struct link_row link = item->same_key;
        if (link.next != NOBODY)
            d->items[link.next].same_key.prev = link.prev;
        if (link.prev != NOBODY)
            d->items[link.prev].same_key.next = link.next;
        else if (link.next != NOBODY)
            table_put(&d->by_key, item->key, link.next);
        else
            table_drop(&d->by_key, item->key);
        counts->parked--;
    }
    item->where = WHERE_FREE;
}

void block_free(struct dispatch *d, uint64_t producer, uint32_t peer, const struct message *in)
{
    if (!(in->flags & MESSAGE_BLOCK))
        return;
    struct message message = {.type = MESSAGE_FREE,
                              .peer = peer,
                              .job = d->config.job,
                              .inc = producer,
                              .flags = MESSAGE_BLOCK,
                              .size = in->size,
                              .payload = in->payload};
    d->totals.freed++;
    d->out->put(d->out->user, &message);
}

void item_free_block(struct dispatch *d, uint32_t row)
{
    struct item *item = &d->items[row];
    uint32_t maker = worker_find(d, item->producer);
    struct message payload = {
        .flags = MESSAGE_BLOCK, .size = item->size, .payload = item_payload(d, row)};
    if (item->flags & MESSAGE_BLOCK)
        block_free(d, item->producer, maker == NOBODY ? 0 : d->workers[maker].peer, &payload);
}

struct sink_row *sink_of(struct dispatch *d, uint16_t line, uint64_t seq)
{
    struct dispatch_line *config = &d->lines[line].config;
    return &d->lines[line].sinks[seq % config->group / (config->group / config->rank_count)];
}

void fail_send(struct dispatch *d, const struct message *item, enum cause cause, uint64_t inc,
               const void *text, uint32_t size)
{
    struct sink_row *sink = sink_of(d, item->line, item->seq);
    if (!sink->known)
        return;
    struct message message = {.type = MESSAGE_FAIL,
                              .peer = sink->peer,
                              .job = d->config.job,
                              .inc = inc,
                              .line = item->line,
                              .stage = item->stage,
                              .gen = item->gen,
                              .attempt = item->attempt,
                              .seq = item->seq,
                              .arg = (uint32_t)cause,
                              .payload = text,
                              .size = size < MESSAGE_TEXT_MAX ? size : MESSAGE_TEXT_MAX};
    d->out->put(d->out->user, &message);
}

void item_fail(struct dispatch *d, uint32_t row, enum cause cause, uint64_t inc, const void *text,
               uint32_t size)
{
    struct item *item = &d->items[row];
    struct message what = {.line = item->line,
                           .stage = item->stage,
                           .seq = item->seq,
                           .gen = item->gen,
                           .attempt = item->attempt};
    if (item->gen == d->lines[item->line].gen)
        fail_send(d, &what, cause, inc, text, size);
    item_drop(d, row);
}

void line_fence(struct dispatch *d, uint16_t line, uint32_t gen)
{
    d->lines[line].gen = gen;
    for (uint32_t row = 0; row < d->item_max; row++) {
        struct item *item = &d->items[row];
        if (item->line != line || item->gen == gen || item->where == WHERE_FREE ||
            item->where == WHERE_RUNNING)
            continue;
        item_unqueue(d, row);
        item_free_block(d, row);
        item_drop(d, row);
    }
}
