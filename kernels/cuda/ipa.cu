/* Invariant point attention; the arithmetic is in kernels/each/ipa.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/ipa.h"

EACH_KERNEL(struct ipa_call, ipa_points_item)
EACH_KERNEL(struct ipa_call, ipa_item)
EACH_KERNEL(struct ipa_call, ipa_back_item)
EACH_KERNEL(struct ipa_call, ipa_key_item)
EACH_KERNEL(struct ipa_call, ipa_pair_item)
EACH_KERNEL(struct ipa_call, ipa_frame_item)
EACH_KERNEL(struct ipa_call, ipa_head_item)

void cuda_ipa(struct backend *backend, const struct op_ipa *a)
{
    struct device *device = device_begin(backend);
    struct ipa_call c = {};
    c.a = *a;
    ipa_scratch(&c, scratch_floats(device, ipa_scratch(&c, NULL)));
    EACH(device, a->q.dim[0], ipa_points_item, c);
    EACH(device, a->q.dim[0] * a->q.dim[1], ipa_item, c);
}

void cuda_ipa_back(struct backend *backend, const struct op_ipa *a, const struct op_ipa *g)
{
    struct device *device = device_begin(backend);
    struct ipa_call c = {};
    c.a = *a, c.g = *g;
    int64_t count = a->q.dim[0], heads = a->q.dim[1];
    ASSERT(g->o.data && g->point.data && g->pair.data);
    ipa_scratch(&c, scratch_floats(device, ipa_scratch(&c, NULL)));
    EACH(device, count, ipa_points_item, c);
    EACH(device, count * heads, ipa_back_item, c);
    EACH(device, count * heads, ipa_key_item, c);
    EACH(device, count * count, ipa_pair_item, c);
    EACH(device, count, ipa_frame_item, c);
    if (g->head.data)
        EACH(device, heads, ipa_head_item, c);
}
