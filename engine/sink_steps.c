/* Which positions a step takes: rule 3 of the delivery protocol. In strict order its own; in the
 * order overtake what is ready and made with the step's recycling passes, oldest first, as long as
 * nobody is overtaken by more than `overtake` positions of the rank; and what the journal says when
 * a step is made again. Part of the sink.
 *
 * A rank counts its positions n = 0, 1, ...; step b is the turn of n / per_rank == b. Every step
 * takes per_rank positions, so that by step b exactly b * per_rank were taken, and the oldest that
 * was not, base, has been overtaken by b * per_rank - base of them. */
#include "engine/sink_state.h"

enum {
    LATE_MS = 5, /* a position that has taken twice what nearly all take, and this, is late */
    AHEAD = 64,  /* steps among which a late position looks for one with its passes */
};

void steps_open(struct sink *sink, struct arena *arena)
{
    sink->picked = arena_zero(arena, sink->per_rank, sizeof *sink->picked);
    sink->plan = arena_zero(arena, sink->per_rank, sizeof *sink->plan);
}

uint32_t step_recycles(const struct sink *sink, uint64_t step)
{
    return sink->config.recycles_max == 0
               ? 0
               : order_recycles(sink->config.order.seed, step, sink->config.recycles_max);
}

static struct slot *slot_at(const struct sink *sink, uint64_t n)
{
    return &sink->slots[n % sink->config.window];
}

/* What comes before it must be taken by the step. */
static uint64_t must_end(const struct sink *sink, uint64_t step)
{
    uint64_t end = (step + 1) * sink->per_rank;
    return end > sink->config.overtake ? end - sink->config.overtake : 0;
}

/* The last step that may take position n. */
static uint64_t step_last(const struct sink *sink, uint64_t n)
{
    return (n + sink->config.overtake) / sink->per_rank;
}

static uint64_t position_of(const struct sink *sink, const struct slot *slot)
{
    return slot->seq / sink->config.order.group * sink->per_rank + slot->seq % sink->per_rank;
}

bool step_awaits(const struct sink *sink, const struct slot *slot)
{
    return sink->config.ordered && position_of(sink, slot) < must_end(sink, sink->step);
}

static bool is_ready(const struct slot *slot, uint32_t recycles)
{
    return slot->state == SLOT_SKIPPED ||
           (slot->state == SLOT_HAVE &&
            (slot->recycles == recycles || MUTANT(MUTANT_TAKES_OTHER_PASSES)));
}

/* It can still become ready with other passes. */
static bool is_changeable(const struct slot *slot)
{
    return slot->state == SLOT_NEED || slot->state == SLOT_ASKED || slot->state == SLOT_HAVE;
}

/* Asks for a position with other passes than those that it was asked for with: only the random
 * stages below the store are done again. */
static void slot_recount(struct sink *sink, struct slot *slot, uint32_t recycles)
{
    if (slot->recycles == recycles || !is_changeable(slot))
        return;
    sink->counts.recounted++;
    slot->recycles = recycles;
    slot->state = SLOT_NEED;
    if (slot->attempt > 0)
        slot->first_ms = sink->now_ms;
    slot_ask(sink, slot, true);
}

/* ---- steps that are made again ---- */

/* The journal's row of a step, as slots. False: there is none, or it does not fit; then there is
 * none for later steps either. */
static bool plan_read(struct sink *sink, uint64_t step, struct slot *slots[])
{
    const struct sink_config *config = &sink->config;
    if (sink->plan_over || !config->planned || config->overtake == 0 || MUTANT(MUTANT_PLANS_ANEW))
        return false;
    if (!config->planned(config->user, step, sink->plan, sink->per_rank))
        return false;
    for (uint32_t i = 0; i < sink->per_rank; i++) {
        slots[i] = window_find(sink, sink->plan[i]);
        if (!slots[i] || slots[i]->state == SLOT_TAKEN)
            return false;
    }
    return true;
}

/* ---- choosing ---- */

static bool choose_planned(struct sink *sink, struct slot *slots[], uint32_t recycles)
{
    bool ready = true;
    for (uint32_t i = 0; i < sink->per_rank; i++) {
        slot_recount(sink, slots[i], recycles);
        ready = ready && is_ready(slots[i], recycles);
        sink->picked[i] = (uint32_t)(slots[i] - sink->slots);
    }
    return ready;
}

/* The oldest that are ready; false: too few, or one that must be taken now is not. */
static bool choose(struct sink *sink, uint32_t recycles)
{
    uint32_t count = 0;
    uint64_t must = must_end(sink, sink->step);
    for (uint64_t n = sink->base; n < sink->next && count < sink->per_rank; n++) {
        struct slot *slot = slot_at(sink, n);
        if (slot->state == SLOT_TAKEN)
            continue;
        if (is_ready(slot, recycles))
            sink->picked[count++] = (uint32_t)(slot - sink->slots);
        else if (n < must && !MUTANT(MUTANT_OVERTAKES_FREELY))
            return false;
    }
    return count == sink->per_rank;
}

/* ---- passes ---- */

/* Positions that no step which may still take them has the passes of. */
static void recount_lost(struct sink *sink)
{
    uint64_t turn = sink->step * sink->per_rank;
    uint32_t own = 0; /* passes of the step whose turn n is */
    for (uint64_t n = sink->base; n < sink->next; n++) {
        struct slot *slot = slot_at(sink, n);
        uint64_t last = step_last(sink, n), step = sink->step;
        if (n == sink->base || n % sink->per_rank == 0)
            own = step_recycles(sink, n / sink->per_rank);
        if (!is_changeable(slot) || (n >= turn && slot->recycles == own))
            continue;
        if (last > sink->step + AHEAD)
            last = sink->step + AHEAD;
        while (step < last && step_recycles(sink, step) != slot->recycles)
            step++;
        if (step >= last)
            slot_recount(sink, slot, step_recycles(sink, step));
    }
}

/* Those that are late, or gone for good if all were awaited, when the step has to wait for them. */
static bool is_late(const struct sink *sink, const struct slot *slot)
{
    return slot->state == SLOT_PROPOSED ||
           (slot->attempt > 0 &&
            sink->now_ms - slot->first_ms > 2 * sink->latency_p95_ms + LATE_MS);
}

/* Makes others, the youngest first, what a step lacks: positions with its passes. waiting: what is
 * late counts as lacking, for the step is wanted now. */
static void recount_lacking(struct sink *sink, uint64_t step, bool waiting)
{
    uint32_t recycles = step_recycles(sink, step), supply = 0;
    uint64_t must = must_end(sink, step);
    for (uint64_t n = sink->base; n < sink->next; n++) {
        const struct slot *slot = slot_at(sink, n);
        if (slot->state == SLOT_TAKEN)
            continue;
        bool ready = is_ready(slot, recycles);
        bool comes = slot->recycles == recycles && is_changeable(slot);
        supply += ready || (comes && (n < must || !waiting || !is_late(sink, slot))) ||
                  (slot->state == SLOT_PROPOSED && (n < must || !waiting));
    }
    for (uint64_t n = sink->next; n-- > sink->base && supply < sink->per_rank;) {
        struct slot *slot = slot_at(sink, n);
        if (slot->recycles == recycles || !is_changeable(slot) ||
            (waiting && slot->state != SLOT_HAVE && is_late(sink, slot)))
            continue;
        slot_recount(sink, slot, recycles);
        supply++;
    }
}

/* ---- steps ---- */

static void pick(struct sink *sink)
{
    static struct slot *slots[SINK_BATCH_MAX];
    uint32_t recycles = step_recycles(sink, sink->step);
    bool follows = plan_read(sink, sink->step, slots), chosen;
    if (follows) {
        chosen = choose_planned(sink, slots, recycles);
    } else {
        sink->plan_over = true;
        if (sink->config.overtake && sink->config.recycles_max)
            recount_lost(sink);
        chosen = choose(sink, recycles);
        if (!chosen && sink->config.overtake && sink->config.recycles_max)
            recount_lacking(sink, sink->step, true);
    }
    if (!chosen)
        return;
    sink->picked_count = sink->per_rank;
    for (uint32_t i = 0; i < sink->per_rank; i++) {
        struct slot *slot = &sink->slots[sink->picked[i]];
        sink->counts.overtaken += position_of(sink, slot) < sink->step * sink->per_rank;
        slot->state = SLOT_TAKEN;
    }
    /* While this step is computed, the next one gets what it will need. */
    if (follows && plan_read(sink, sink->step + 1, slots))
        for (uint32_t i = 0; i < sink->per_rank; i++)
            slot_recount(sink, slots[i], step_recycles(sink, sink->step + 1));
    else if (sink->config.overtake && sink->config.recycles_max && !follows)
        recount_lacking(sink, sink->step + 1, false);
}

bool sink_batch(struct sink *sink, struct sink_batch *batch, int64_t now_ms,
                const struct outbox *out)
{
    const struct order *order = &sink->config.order;
    ASSERT(sink->config.ordered);
    sink->now_ms = now_ms;
    sink->out = out;
    if ((sink->mode != SINK_RUNNING && sink->mode != SINK_DRAINING) || sink_done(sink))
        return false;
    if (sink->picked_count == 0)
        pick(sink);
    if (sink->picked_count == 0)
        return false;
    batch->step = sink->step;
    batch->epoch = order_epoch(order, batch->step * order->group);
    batch->position = order_position(order, batch->step * order->group);
    batch->recycles = order_recycles(order->seed, batch->step, sink->config.recycles_max);
    batch->count = sink->per_rank;
    for (uint32_t i = 0; i < sink->per_rank; i++) {
        const struct slot *slot = &sink->slots[sink->picked[i]];
        batch->items[i] =
            (struct sink_item){slot->seq, slot->index, (int)sink->picked[i], slot->skip};
    }
    return true;
}

/* Positions that were taken leave the window at its old end. */
static void window_move(struct sink *sink)
{
    while (sink->base < sink->next && slot_at(sink, sink->base)->state == SLOT_TAKEN)
        slot_at(sink, sink->base++)->state = SLOT_IDLE;
}

void sink_batch_done(struct sink *sink, int64_t now_ms, const struct outbox *out)
{
    sink->now_ms = now_ms;
    sink->out = out;
    ASSERT(sink->config.ordered && sink->picked_count == sink->per_rank);
    sink->picked_count = 0;
    sink->step++;
    sink->counts.done += sink->per_rank;
    window_move(sink);
    window_fill(sink);
}

bool sink_mark_taken(struct sink *sink, uint64_t seq)
{
    const struct order *order = &sink->config.order;
    ASSERT(sink->config.ordered && sink->mode == SINK_STARTED);
    if (order_rank(seq, order->group, sink->config.rank_count) != sink->config.rank)
        return false;
    uint64_t n = seq / order->group * sink->per_rank + seq % sink->per_rank;
    if (n < sink->base || n >= sink->base + sink->config.window ||
        slot_at(sink, n)->state == SLOT_TAKEN)
        return false;
    *slot_at(sink, n) = (struct slot){.seq = seq, .state = SLOT_TAKEN};
    while (slot_at(sink, sink->base)->state == SLOT_TAKEN)
        slot_at(sink, sink->base++)->state = SLOT_IDLE;
    return true;
}
