/* A residue's frame moved by a quaternion and a shift;
 * the arithmetic is in kernels/each/frame.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/frame.h"

void CPU_NAME(frame_update)(struct backend *backend, const struct op_frame_update *a)
{
    struct frame_call c = {.a = *a};
    EACH(backend, a->quat.dim[0], 100, frame_item, &c);
}

void CPU_NAME(frame_update_back)(struct backend *backend, const struct op_frame_update *a,
                          const struct op_frame_update *g)
{
    struct frame_call c = {.a = *a, .g = *g};
    EACH(backend, a->quat.dim[0], 100, frame_back_item, &c);
}
