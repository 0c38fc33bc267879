/* What the dispatcher tells its process and people about itself. Part of the dispatcher. */
#include "engine/dispatch_state.h"

bool dispatch_idle(const struct dispatch *d)
{
    return d->running == 0;
}

void dispatch_count(const struct dispatch *d, int line, int stage, struct dispatch_counts *counts)
{
    ASSERT(line >= 0 && line < d->config.line_count);
    ASSERT(stage >= 0 && stage < d->lines[line].config.stage_count);
    *counts = stage_of(d, (uint16_t)line, (uint16_t)stage)->counts;
    counts->workers = d->pools[d->lines[line].config.pool[stage]].all.count;
}

void dispatch_total(const struct dispatch *d, struct dispatch_totals *totals)
{
    *totals = d->totals;
}

int dispatch_why(const struct dispatch *d, uint16_t line, uint64_t seq,
                 struct dispatch_place *places, int max)
{
    int count = 0;
    if (line >= d->config.line_count)
        return 0;
    for (uint32_t row = item_first(d, line, seq); row != NOBODY && count < max;
         row = d->items[row].copy) {
        const struct item *item = &d->items[row];
        const struct worker *worker = item->worker == NOBODY ? NULL : &d->workers[item->worker];
        places[count++] = (struct dispatch_place){.line = item->line,
                                                  .stage = item->stage,
                                                  .seq = item->seq,
                                                  .gen = item->gen,
                                                  .attempt = item->attempt,
                                                  .where = (enum where)item->where,
                                                  .worker_inc = worker ? worker->inc : 0,
                                                  .worker_index = worker ? worker->index : 0,
                                                  .since_ms = item->since_ms,
                                                  .urgent = item->flags & MESSAGE_IMPATIENT,
                                                  .solo = item->flags & MESSAGE_SOLO};
    }
    return count;
}
