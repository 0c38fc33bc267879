/* What the sink tells its process and people about itself. Part of the sink. */
#include "engine/sink_state.h"

enum sink_mode sink_mode(const struct sink *sink)
{
    return sink->mode;
}

const char *sink_reason(const struct sink *sink)
{
    return sink->reason;
}

uint64_t sink_checkpoint(const struct sink *sink, uint64_t *digest)
{
    if (digest)
        *digest = sink->checkpoint_digest;
    return sink->checkpoint;
}

uint64_t sink_committed_step(const struct sink *sink)
{
    return sink->checkpoint;
}

bool sink_done(const struct sink *sink)
{
    if (sink->mode != SINK_RUNNING && sink->mode != SINK_DRAINING)
        return false;
    if (!sink->config.ordered)
        return sink->counts.done == sink->config.seq_end;
    return sink->step * sink->config.order.group >= sink->config.seq_end;
}

const char *sink_item_text(const struct sink *sink, int slot)
{
    ASSERT(slot >= 0 && (uint32_t)slot < sink->config.window);
    return sink->slots[slot].text;
}

void sink_count(const struct sink *sink, struct sink_counts *counts)
{
    *counts = sink->counts;
    for (uint32_t i = 0; i < sink->config.window; i++)
        counts->slots[sink->slots[i].state]++;
}

bool sink_why(const struct sink *sink, int slot, struct sink_wait *wait)
{
    if (slot < 0 || (uint32_t)slot >= sink->config.window || sink->slots[slot].state == SLOT_IDLE)
        return false;
    const struct slot *row = &sink->slots[slot];
    *wait = (struct sink_wait){row->seq,     row->index,   row->state,
                               row->attempt, row->strikes, row->asked_ms};
    return true;
}
