/* A residue's frame moved by a quaternion and a shift;
 * the arithmetic is in kernels/each/frame.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/frame.h"

EACH_KERNEL(struct frame_call, frame_item)
EACH_KERNEL(struct frame_call, frame_back_item)

void cuda_frame_update(struct backend *backend, const struct op_frame_update *a)
{
    struct device *device = device_begin(backend);
    struct frame_call c = {};
    c.a = *a;
    EACH(device, a->quat.dim[0], frame_item, c);
}

void cuda_frame_update_back(struct backend *backend, const struct op_frame_update *a,
                            const struct op_frame_update *g)
{
    struct device *device = device_begin(backend);
    struct frame_call c = {};
    c.a = *a, c.g = *g;
    EACH(device, a->quat.dim[0], frame_back_item, c);
}
