/* The sink's window: which positions are in it, which step or item is ready, and what becomes of
 * positions without data. Part of the sink. */
#include "engine/sink_state.h"

#include <stdio.h>
#include <string.h>

bool bit_get(const uint8_t *bits, uint64_t at)
{
    return bits[at / 8] >> (at % 8) & 1;
}

void bit_set(uint8_t *bits, uint64_t at, bool value)
{
    uint8_t mask = (uint8_t)(1u << (at % 8));
    bits[at / 8] = (uint8_t)(value ? bits[at / 8] | mask : bits[at / 8] & ~mask);
}

bool fifo_push(struct list_fifo *fifo, uint32_t row)
{
    if (fifo->count == fifo->room)
        return false;
    fifo->rows[(fifo->head + fifo->count++) % fifo->room] = row;
    return true;
}

bool fifo_pop(struct list_fifo *fifo, uint32_t *row)
{
    if (fifo->count == 0)
        return false;
    *row = fifo->rows[fifo->head];
    fifo->head = (fifo->head + 1) % fifo->room;
    fifo->count--;
    return true;
}

static struct list_fifo fifo_make(struct arena *arena, uint32_t room)
{
    return (struct list_fifo){arena_alloc(arena, (room ? room : 1) * sizeof(uint32_t)), 0, 0, room};
}

static void store_open(struct sink *sink, struct arena *arena)
{
    uint64_t positions = sink->config.order.positions;
    const uint32_t *table = sink->config.order.table;
    sink->done = arena_zero(arena, positions / 8 + 1, 1);
    sink->final = arena_zero(arena, positions / 8 + 1, 1);
    sink->called = arena_zero(arena, positions / 8 + 1, 1);
    if (table) {
        sink->position = arena_alloc(arena, (positions + 1) * sizeof *sink->position);
        for (uint32_t i = 0; i < sink->config.order.count; i++) {
            ASSERT_INT(table[i], <, sink->config.order.count);
            sink->position[table[i]] = i;
        }
    }
    sink->by_seq = table_make(arena, sink->config.window);
    sink->idle = fifo_make(arena, sink->config.window);
    sink->ready = fifo_make(arena, sink->config.window);
    sink->urgent = fifo_make(arena, sink->config.window < 4096 ? 4096 : sink->config.window);
    for (uint32_t i = 0; i < sink->config.window; i++)
        fifo_push(&sink->idle, i);
}

enum status window_open(struct sink *sink, struct arena *arena, struct error *err)
{
    const struct sink_config *config = &sink->config;
    const struct order *order = &config->order;
    if (config->rank_count < 1 || order->group % config->rank_count ||
        config->rank >= config->rank_count)
        return error_set(err, STATUS_INVALID, "sink: rank %u of %u, %llu samples a step",
                         config->rank, config->rank_count, (unsigned long long)order->group);
    sink->per_rank = (uint32_t)(order->group / config->rank_count);
    if (config->window < 1 || config->window > SINK_WINDOW_MAX ||
        sink->per_rank > SINK_BATCH_MAX || config->overtake > config->window)
        return error_set(err, STATUS_INVALID, "sink: a window of %u (1..%d) for batches of %u",
                         config->window, SINK_WINDOW_MAX, sink->per_rank);
    if (config->ordered ? config->window % sink->per_rank || config->seq_end % order->group
                        : order->shuffled || config->rank_count != 1 || order->group != 1 ||
                              config->seq_end != order->positions || !config->find)
        return error_set(err, STATUS_INVALID,
                         "sink: a window of %u, an end of %llu do not fit the order of its line",
                         config->window, (unsigned long long)config->seq_end);
    sink->slots = arena_zero(arena, config->window, sizeof *sink->slots);
    for (uint32_t i = 0; i < config->window; i++)
        sink->slots[i].state = SLOT_IDLE;
    if (config->ordered)
        steps_open(sink, arena);
    else
        store_open(sink, arena);
    return STATUS_OK;
}

struct slot *window_find(const struct sink *sink, uint64_t seq)
{
    const struct sink_config *config = &sink->config;
    if (!config->ordered) {
        uint32_t at = seq < config->seq_end ? table_get(&sink->by_seq, seq) : TABLE_NONE;
        return at == TABLE_NONE ? NULL : &sink->slots[at];
    }
    uint64_t group = config->order.group;
    if (seq >= config->seq_end || order_rank(seq, group, config->rank_count) != config->rank)
        return NULL;
    uint64_t n = seq / group * sink->per_rank + seq % sink->per_rank;
    return n >= sink->base && n < sink->next ? &sink->slots[n % config->window] : NULL;
}

static void commit_send(struct sink *sink, uint64_t position)
{
    char key[MESSAGE_KEY_MAX + 1];
    uint64_t index = order_index(&sink->config.order, position);
    size_t size = sink->config.key(sink->config.user, index, key);
    ASSERT(size >= 1 && size <= MESSAGE_KEY_MAX);
    uint16_t flags = bit_get(sink->final, position) ? MESSAGE_FINAL : 0;
    sink_send(sink, SINK_TO_DISPATCH,
              (struct message){.type = MESSAGE_COMMIT,
                               .seq = position,
                               .flags = flags,
                               .size = (uint32_t)size,
                               .payload = key});
}

/* The slot's position is done: the slot serves another one. */
static void store_leave(struct sink *sink, struct slot *slot, bool final)
{
    uint64_t seq = slot->seq;
    table_drop(&sink->by_seq, seq);
    slot->state = SLOT_IDLE;
    ASSERT(fifo_push(&sink->idle, (uint32_t)(slot - sink->slots)));
    ASSERT(!bit_get(sink->done, seq));
    bit_set(sink->done, seq, true);
    bit_set(sink->final, seq, final);
    sink->counts.done++;
    commit_send(sink, seq);
}

void slot_skip(struct sink *sink, struct slot *slot, enum skip skip, const char *text)
{
    const struct sink_config *config = &sink->config;
    slot->state = SLOT_SKIPPED;
    slot->skip = skip;
    if (text != slot->text)
        snprintf(slot->text, sizeof slot->text, "%s", text);
    if (skip == SKIP_REFUSED)
        sink->counts.refused++;
    else if (skip == SKIP_EMPTY)
        sink->counts.empty++;
    if (skip != SKIP_PADDING && config->skipped)
        config->skipped(config->user, slot->seq, slot->index, skip, slot->text);
    if (!config->ordered && skip != SKIP_REFUSED)
        store_leave(sink, slot, true);
}

/* A position enters the window. */
static void slot_enter(struct sink *sink, struct slot *slot, uint64_t seq, bool urgent)
{
    *slot = (struct slot){.seq = seq,
                          .index = order_index(&sink->config.order, seq),
                          .state = SLOT_NEED,
                          .recycles = step_recycles(sink, seq / sink->config.order.group),
                          .urgent = urgent};
    if (slot->index == ORDER_EMPTY)
        slot_skip(sink, slot, SKIP_PADDING, "");
    else if (table_get(&sink->aside, seq) != TABLE_NONE)
        slot_skip(sink, slot, SKIP_ASIDE, "set aside before");
    else
        slot_ask(sink, slot, true);
}

/* A store's position needs a slot; false when none is free. */
static bool store_enter(struct sink *sink, uint64_t seq, bool urgent)
{
    uint32_t at;
    if (!fifo_pop(&sink->idle, &at))
        return false;
    table_put(&sink->by_seq, seq, at);
    slot_enter(sink, &sink->slots[at], seq, urgent);
    return true;
}

static void store_fill(struct sink *sink)
{
    uint32_t position, kept = sink->config.window / 4;
    while (sink->idle.count && fifo_pop(&sink->urgent, &position)) {
        bit_set(sink->called, position, false);
        if (!bit_get(sink->done, position) && !window_find(sink, position))
            store_enter(sink, position, true);
    }
    for (; sink->cursor < sink->config.seq_end && sink->idle.count > kept; sink->cursor++)
        if (!bit_get(sink->done, sink->cursor) && !window_find(sink, sink->cursor))
            store_enter(sink, sink->cursor, false);
}

void window_fill(struct sink *sink)
{
    if (sink->mode != SINK_RUNNING)
        return;
    if (!sink->config.ordered) {
        store_fill(sink);
        return;
    }
    for (; sink->next - sink->base < sink->config.window; sink->next++) {
        uint64_t seq = order_seq(sink->next, sink->config.order.group, sink->config.rank,
                                 sink->config.rank_count);
        struct slot *slot = &sink->slots[sink->next % sink->config.window];
        if (seq >= sink->config.seq_end)
            return;
        if (slot->state != SLOT_TAKEN) /* else by a step that the checkpoint covers */
            slot_enter(sink, slot, seq, false);
    }
}

void window_urgent(struct sink *sink, struct span key)
{
    uint64_t index = sink->config.find(sink->config.user, key);
    if (index == ORDER_EMPTY || index >= sink->config.order.count)
        return;
    uint64_t position = sink->position ? sink->position[index] : index;
    struct slot *slot = window_find(sink, position);
    if (bit_get(sink->done, position)) {
        commit_send(sink, position);
    } else if (slot && !slot->urgent) {
        slot->urgent = true;
        if (slot->state == SLOT_ASKED)
            slot_ask(sink, slot, false);
    } else if (!slot && !bit_get(sink->called, position) &&
               fifo_push(&sink->urgent, (uint32_t)position)) {
        bit_set(sink->called, position, true);
        window_fill(sink);
    }
}

void sink_mark_done(struct sink *sink, uint64_t seq)
{
    ASSERT(!sink->config.ordered && sink->mode == SINK_STARTED && seq < sink->config.seq_end);
    if (!bit_get(sink->done, seq))
        sink->counts.done++;
    bit_set(sink->done, seq, true);
}

bool sink_take(struct sink *sink, struct sink_item *item)
{
    uint32_t at;
    ASSERT(!sink->config.ordered);
    if (!fifo_pop(&sink->ready, &at))
        return false;
    struct slot *slot = &sink->slots[at];
    ASSERT(slot->state == SLOT_HAVE || (slot->state == SLOT_SKIPPED && slot->skip == SKIP_REFUSED));
    slot->state = SLOT_TAKEN;
    *item = (struct sink_item){slot->seq, slot->index, (int)at, slot->skip};
    return true;
}

void sink_committed(struct sink *sink, int slot, int64_t now_ms, const struct outbox *out)
{
    sink->now_ms = now_ms;
    sink->out = out;
    ASSERT(slot >= 0 && (uint32_t)slot < sink->config.window);
    ASSERT(sink->slots[slot].state == SLOT_TAKEN);
    store_leave(sink, &sink->slots[slot], false);
    window_fill(sink);
}
