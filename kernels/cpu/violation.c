/* Violations of stereochemistry; the arithmetic is in kernels/each/violation.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/violation.h"

void CPU_NAME(violation)(struct backend *backend, const struct op_violation *a)
{
    struct violation_call c = {.a = *a};
    EACH(backend, a->atom.dim[0], 1500 * a->atom.dim[0], violation_item, &c);
}

void CPU_NAME(violation_back)(struct backend *backend, const struct op_violation *a,
                              const struct op_violation *g)
{
    struct violation_call c = {.a = *a, .g = *g};
    EACH(backend, a->atom.dim[0], 1500 * a->atom.dim[0], violation_back_item, &c);
}
