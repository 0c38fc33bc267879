/* Names of ambiguous atoms; the arithmetic is in kernels/each/rename.h. */
#include "kernels/cpu/each.h"
#include "kernels/each/rename.h"

void CPU_NAME(rename)(struct backend *backend, const struct op_rename *a)
{
    struct rename_call c = {.a = *a};
    EACH(backend, a->atom.dim[0], 400 * a->atom.dim[0], rename_item, &c);
}
