/* CUDA's words for a computer without CUDA: with this folder first in the include path, g++ builds
 * the files of kernels/cuda as they are, and their kernels run on the host, block after block. The
 * threads of a block are fibers: each runs until it waits at a barrier or ends (block.cpp). Checks
 * the arithmetic, the indices (device memory is heap memory, poisoned with NaN: the address
 * sanitizer sees it) and, by running the threads in two orders, that no thread reads what another
 * writes without a barrier between. It says nothing about speed. */
#ifndef TESTS_CUDA_HOST_RUNTIME_H
#define TESTS_CUDA_HOST_RUNTIME_H

#include <functional>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __shared__ static /* one block runs at a time */
#define __launch_bounds__(threads)

struct dim3 {
    unsigned x, y, z;

    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern dim3 threadIdx, blockIdx;

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum { cudaStreamNonBlocking = 1 };

typedef struct host_stream *cudaStream_t; /* all work is done when its call returns */

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
};

struct cudaFuncAttributes {
    int numRegs;
};

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

const char *cudaGetErrorString(cudaError_t status);
cudaError_t cudaGetLastError(void);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaMemGetInfo(size_t *left, size_t *all);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);

template <class Kernel> cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, Kernel *)
{
    attributes->numRegs = 0;
    return cudaSuccess;
}

/* Runs body once for every thread of every block. */
cudaError_t host_grid(dim3 grid, dim3 block, const std::function<void()> &body);

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...), A &&...args)
{
    return host_grid(config->gridDim, config->blockDim, [&] { kernel(static_cast<P>(args)...); });
}

void __syncthreads(void);

/* The 8 bytes through which a lane passes a value. Slots alternate from one exchange to the next,
 * so that one barrier an exchange is enough: host_warp_exchange waits for every lane of the warp
 * and hands back the slot of the other lane. */
void *host_lane_slot(void);
const void *host_warp_exchange(int lane_xor);

template <class T> T __shfl_xor_sync(unsigned, T value, int lane_xor)
{
    memcpy(host_lane_slot(), &value, sizeof value);
    memcpy(&value, host_warp_exchange(lane_xor), sizeof value);
    return value;
}

#endif
