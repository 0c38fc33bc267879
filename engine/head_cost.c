/* How early work on each sample of a line is begun: what is dear goes first, as far as its cost is
 * worth and the window goes; see head.h. */
#include "engine/head.h"
#include "engine/wire.h"

#include <math.h>
#include <string.h>

/* What the list says that the sample costs, or 0. */
static enum status read_cost(const struct list *list, uint64_t index, struct arena *arena,
                             float *cost, struct error *err)
{
    static const char *const fields[] = {HEAD_COST_FIELD, NULL};
    struct wire_options options = {.fields = fields};
    struct arena_mark mark = arena_mark(arena);
    struct sample sample;
    *cost = 0;
    enum status status = wire_decode(list_frame(list, index), &options, arena, &sample, err);
    const struct field *field = status == STATUS_OK ? sample_find(&sample, HEAD_COST_FIELD) : NULL;
    if (field && field->kind == KIND_F32 && field->rank == 0)
        memcpy(cost, field->data, sizeof *cost);
    if (!isfinite(*cost) || *cost < 0)
        *cost = 0;
    arena_rewind(arena, mark);
    return status;
}

enum status head_leads(const struct head *head, const struct job *job, int number,
                       struct arena *arena, uint16_t **leads, struct error *err)
{
    const struct graph_line *line = &job->graph->lines[number];
    uint64_t count = list_count(head->list);
    float *cost = arena_alloc(arena, count * sizeof *cost);
    double sum = 0;
    int workers = 1;
    *leads = arena_alloc(arena, count * sizeof **leads);
    for (uint64_t i = 0; i < count; i++) {
        enum status status = read_cost(head->list, i, arena, &cost[i], err);
        if (status != STATUS_OK)
            return status;
        sum += (double)cost[i];
    }
    for (int i = 0; i < line->work_count; i++)
        if (job->graph->stages[line->work[i]].workers > workers)
            workers = job->graph->stages[line->work[i]].workers;
    for (uint64_t i = 0; i < count; i++) {
        double lead = sum > 0 ? (double)cost[i] * (double)count / sum * workers : 0;
        (*leads)[i] = lead < UINT16_MAX ? (uint16_t)lead : UINT16_MAX;
    }
    return STATUS_OK;
}
