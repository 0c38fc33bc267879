/* extra_features: one of 23 classes, has_deletion, deletion. One thread an element. */
#include "kernels/cuda/index.cuh"

enum { CLASSES = 23 };

static __global__ void extra_features_elements(struct op_extra_features a)
{
    int64_t n = thread_row(), c = thread_column();
    if (n >= a.y.dim[0] || c >= a.y.dim[1])
        return;
    float value = index_at(a.msa, n) == c ? 1.0f : 0.0f;
    if (c == CLASSES)
        value = *at(a.has_deletion, n);
    if (c == CLASSES + 1)
        value = *at(a.deletion, n);
    *at(a.y, n, c) = value;
}

void cuda_extra_features(struct backend *backend, const struct op_extra_features *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, extra_features_elements, rows_grid(a->y.dim[0], a->y.dim[1]), rows_block(), *a);
}
