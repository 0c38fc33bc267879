/* Looking stages up by name; see stage.h. */
#include "engine/stage.h"

const struct stage *stage_find(struct span name)
{
    for (const struct stage *const *stage = stage_registry; *stage; stage++)
        if (span_is(name, (*stage)->name))
            return *stage;
    return NULL;
}
