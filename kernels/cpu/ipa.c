/* Invariant point attention; the arithmetic is in kernels/each/ipa.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/ipa.h"

void CPU_NAME(ipa)(struct backend *backend, const struct op_ipa *a)
{
    struct ipa_call c = {.a = *a};
    int64_t count = a->q.dim[0], heads = a->q.dim[1];
    ipa_scratch(&c, cpu_scratch(backend, ipa_scratch(&c, NULL)));
    CPU_STOP_WHERE_COUNTED(backend);
    EACH(backend, count, 100, ipa_points_item, &c);
    EACH(backend, count * heads, count * a->z.dim[2], ipa_item, &c);
}

void CPU_NAME(ipa_back)(struct backend *backend, const struct op_ipa *a, const struct op_ipa *g)
{
    struct ipa_call c = {.a = *a, .g = *g};
    int64_t count = a->q.dim[0], heads = a->q.dim[1], cost = count * a->z.dim[2];
    ASSERT(g->o.data && g->point.data && g->pair.data);
    ipa_scratch(&c, cpu_scratch(backend, ipa_scratch(&c, NULL)));
    CPU_STOP_WHERE_COUNTED(backend);
    EACH(backend, count, 100, ipa_points_item, &c);
    EACH(backend, count * heads, cost, ipa_back_item, &c);
    EACH(backend, count * heads, cost, ipa_key_item, &c);
    EACH(backend, count * count, heads * a->z.dim[2], ipa_pair_item, &c);
    EACH(backend, count, 100 * heads, ipa_frame_item, &c);
    if (g->head.data)
        EACH(backend, heads, count, ipa_head_item, &c);
}
