/* Violations of stereochemistry; the arithmetic is in kernels/each/violation.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/violation.h"

EACH_KERNEL(struct violation_call, violation_item)
EACH_KERNEL(struct violation_call, violation_back_item)

void cuda_violation(struct backend *backend, const struct op_violation *a)
{
    struct device *device = device_begin(backend);
    struct violation_call c = {};
    c.a = *a;
    EACH(device, a->atom.dim[0], violation_item, c);
}

void cuda_violation_back(struct backend *backend, const struct op_violation *a,
                         const struct op_violation *g)
{
    struct device *device = device_begin(backend);
    struct violation_call c = {};
    c.a = *a, c.g = *g;
    EACH(device, a->atom.dim[0], violation_back_item, c);
}
