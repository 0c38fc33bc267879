/* Frame aligned point error; the arithmetic is in kernels/each/fape.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/fape.h"

void CPU_NAME(fape)(struct backend *backend, const struct op_fape *a)
{
    struct fape_call c = {.a = *a, .scale = cpu_scratch(backend, 1)};
    CPU_STOP_WHERE_COUNTED(backend);
    EACH(backend, 1, 1, fape_scale_item, &c);
    EACH(backend, a->rot.dim[0] * a->rot.dim[1], 40 * a->point.dim[1], fape_item, &c);
    EACH(backend, 1, 1, fape_total_item, &c);
}

void CPU_NAME(fape_back)(struct backend *backend, const struct op_fape *a, const struct op_fape *g)
{
    struct fape_call c = {.a = *a, .g = *g, .scale = cpu_scratch(backend, 1)};
    CPU_STOP_WHERE_COUNTED(backend);
    EACH(backend, 1, 1, fape_scale_item, &c);
    if (g->rot.data || g->trans.data)
        EACH(backend, a->rot.dim[0] * a->rot.dim[1], 40 * a->point.dim[1], fape_frame_item, &c);
    if (g->point.data)
        EACH(backend, a->rot.dim[0] * a->point.dim[1], 40 * a->rot.dim[1], fape_point_item, &c);
}
