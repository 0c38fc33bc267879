/* Frame aligned point error; the arithmetic is in kernels/each/fape.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/fape.h"

EACH_KERNEL(struct fape_call, fape_scale_item)
EACH_KERNEL(struct fape_call, fape_total_item)
EACH_KERNEL(struct fape_call, fape_frame_item)
EACH_KERNEL(struct fape_call, fape_point_item)
EACH_KERNEL(struct fape_call, fape_item)

void cuda_fape(struct backend *backend, const struct op_fape *a)
{
    struct device *device = device_begin(backend);
    struct fape_call c = {};
    c.a = *a;
    c.scale = scratch_floats(device, 1);
    EACH(device, 1, fape_scale_item, c);
    EACH(device, a->rot.dim[0] * a->rot.dim[1], fape_item, c);
    EACH(device, 1, fape_total_item, c);
}

void cuda_fape_back(struct backend *backend, const struct op_fape *a, const struct op_fape *g)
{
    struct device *device = device_begin(backend);
    struct fape_call c = {};
    c.a = *a, c.g = *g;
    c.scale = scratch_floats(device, 1);
    EACH(device, 1, fape_scale_item, c);
    if (g->rot.data || g->trans.data)
        EACH(device, a->rot.dim[0] * a->rot.dim[1], fape_frame_item, c);
    if (g->point.data)
        EACH(device, a->rot.dim[0] * a->point.dim[1], fape_point_item, c);
}
