/* Torsions against the true ones; the arithmetic is in kernels/each/chi.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/chi.h"

void CPU_NAME(chi)(struct backend *backend, const struct op_chi *a)
{
    struct chi_call c = {.a = *a};
    EACH(backend, a->truth.dim[0], 100 * a->angle.dim[0], chi_item, &c);
}

void CPU_NAME(chi_back)(struct backend *backend, const struct op_chi *a,
                           const struct op_chi *g)
{
    struct chi_call c = {.a = *a, .g = *g};
    EACH(backend, a->truth.dim[0], 100 * a->angle.dim[0], chi_back_item, &c);
}
