/* What a plan asks of the machine; see doctor.h. */
#include "engine/doctor.h"
#include "engine/plan.h"

#include <string.h>

void doctor_add_path(struct doctor_facts *facts, const char *path, bool store)
{
    if (facts->path_count < DOCTOR_PATHS_MAX)
        facts->paths[facts->path_count++] = (struct doctor_path){.path = path, .store = store};
}

void doctor_need(struct doctor_facts *facts, const struct plan *plan)
{
    struct doctor_needs *needs = &facts->needs;
    for (int i = 0; i < plan->graph->stage_count; i++) {
        const struct graph_stage *stage = &plan->graph->stages[i];
        if (!plan->here[i])
            continue;
        if (!(stage->kind->flags & (STAGE_SOURCE | STAGE_STORE)))
            needs->workers += stage->workers;
        needs->memory_bytes += stage->memory_bytes * (uint64_t)stage->workers;
        needs->gpu |= (stage->kind->flags & STAGE_GPU) != 0;
        if (stage->kind->flags & STAGE_STORE)
            doctor_add_path(facts, graph_store_path(stage), true);
    }
    needs->memory_bytes += plan->pool_bytes;
}
