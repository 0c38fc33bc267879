/* Copies between views of any strides: the op `copy`, and packing for other ops. */
#ifndef KERNELS_CUDA_COPY_CUH
#define KERNELS_CUDA_COPY_CUH

#include "kernels/cuda/device.cuh"

/* to = from, or to += from where to->add is set; the same sizes, any strides, no overlap but
 * from = to element by element. */
void strided_copy(struct device *device, const struct tensor *from, const struct tensor *to);

#endif
