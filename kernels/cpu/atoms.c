/* Frames and torsions to atoms; the arithmetic is in kernels/each/atoms.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/atoms.h"

void CPU_NAME(atoms)(struct backend *backend, const struct op_atoms *a)
{
    struct atoms_call c = {.a = *a};
    EACH(backend, a->rot.dim[0], 1000, atoms_item, &c);
}

void CPU_NAME(atoms_back)(struct backend *backend, const struct op_atoms *a,
                          const struct op_atoms *g)
{
    struct atoms_call c = {.a = *a, .g = *g};
    EACH(backend, a->rot.dim[0], 1000, atoms_back_item, &c);
}
