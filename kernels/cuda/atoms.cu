/* Frames and torsions to atoms; the arithmetic is in kernels/each/atoms.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/atoms.h"

EACH_KERNEL(struct atoms_call, atoms_item)
EACH_KERNEL(struct atoms_call, atoms_back_item)

void cuda_atoms(struct backend *backend, const struct op_atoms *a)
{
    struct device *device = device_begin(backend);
    struct atoms_call c = {};
    c.a = *a;
    EACH(device, a->rot.dim[0], atoms_item, c);
}

void cuda_atoms_back(struct backend *backend, const struct op_atoms *a, const struct op_atoms *g)
{
    struct device *device = device_begin(backend);
    struct atoms_call c = {};
    c.a = *a, c.g = *g;
    EACH(device, a->rot.dim[0], atoms_back_item, c);
}
