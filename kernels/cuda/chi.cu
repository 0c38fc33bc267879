/* Torsions against the true ones; the arithmetic is in kernels/each/chi.h. */
#include "kernels/cuda/each.cuh"
#include "kernels/each/chi.h"

EACH_KERNEL(struct chi_call, chi_item)
EACH_KERNEL(struct chi_call, chi_back_item)

void cuda_chi(struct backend *backend, const struct op_chi *a)
{
    struct device *device = device_begin(backend);
    struct chi_call c = {};
    c.a = *a;
    EACH(device, a->truth.dim[0], chi_item, c);
}

void cuda_chi_back(struct backend *backend, const struct op_chi *a,
                      const struct op_chi *g)
{
    struct device *device = device_begin(backend);
    struct chi_call c = {};
    c.a = *a, c.g = *g;
    EACH(device, a->truth.dim[0], chi_back_item, c);
}
