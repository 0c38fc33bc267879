/* Names of ambiguous atoms; the arithmetic is in kernels/each/rename.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/rename.h"

EACH_KERNEL(struct rename_call, rename_item)

void cuda_rename(struct backend *backend, const struct op_rename *a)
{
    struct device *device = device_begin(backend);
    struct rename_call c = {};
    c.a = *a;
    EACH(device, a->atom.dim[0], rename_item, c);
}
