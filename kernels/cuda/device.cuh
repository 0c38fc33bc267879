/* What every file of the CUDA backend shares: the device with its stream, cuBLAS handle and
 * scratch, how kernels are launched, and what happens when the device says no (it aborts, with
 * file and line: the supervisor restarts the process). All ops run in order on one stream. */
#ifndef KERNELS_CUDA_DEVICE_CUH
#define KERNELS_CUDA_DEVICE_CUH

#include "kernels/backend.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>

enum { SCRATCH_CHUNKS_MAX = 16, WARP = 32, BLOCK = 256 };

struct scratch_chunk {
    char *data;
    size_t bytes, used;
};

struct device {
    int number;
    bool counting; /* there is no device: ops only say what scratch they would take */
    cudaStream_t stream;
    cublasHandle_t blas;
    void *workspace; /* cuBLAS's own, of WORKSPACE_BYTES */
    struct scratch_chunk chunk[SCRATCH_CHUNKS_MAX];
    int chunk_count;
};

#define CUDA_OK(call)                                                                              \
    do {                                                                                           \
        cudaError_t cuda_status_ = (call);                                                         \
        if (cuda_status_ != cudaSuccess)                                                           \
            assert_fail(__FILE__, __LINE__, "%s: %s", #call, cudaGetErrorString(cuda_status_));    \
    } while (0)

#define BLAS_OK(call)                                                                              \
    do {                                                                                           \
        cublasStatus_t blas_status_ = (call);                                                      \
        if (blas_status_ != CUBLAS_STATUS_SUCCESS)                                                 \
            assert_fail(__FILE__, __LINE__, "%s: %s", #call, cublasGetStatusString(blas_status_)); \
    } while (0)

/* Every op begins with it: makes the device current for this thread and declares all scratch that
 * earlier ops took free (the stream orders its reuse). */
struct device *device_begin(struct backend *backend);

/* `count` floats (or doubles) of scratch until the next device_begin, aligned to 256 bytes; never
 * NULL: a device without memory left aborts. The contents are undefined. */
float *scratch_floats(struct device *device, int64_t count);
double *scratch_doubles(struct device *device, int64_t count);

/* A dense tensor in scratch. */
static inline struct tensor scratch_tensor(struct device *device, int rank, int64_t d0, int64_t d1,
                                           int64_t d2, int64_t d3)
{
    struct tensor t = tensor_make(NULL, TENSOR_F32, rank, d0, d1, d2, d3);
    t.data = scratch_floats(device, tensor_count(&t));
    return t;
}

/* ceil(count / per) as a number of blocks. */
static inline unsigned blocks_of(int64_t count, int64_t per)
{
    int64_t blocks = (count + per - 1) / per;
    ASSERT_INT(blocks, <=, INT32_MAX);
    return (unsigned)blocks;
}

template <class... P, class... A>
cudaError_t kernel_launch(struct device *device, void (*kernel)(P...), dim3 grid, dim3 block,
                          A... arguments)
{
    if (device->counting)
        return cudaSuccess;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = device->stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
}

/* LAUNCH(device, kernel, grid, block, arguments...): on the device's stream, without waiting. */
#define LAUNCH(device, kernel, grid, block, ...)                                                   \
    CUDA_OK(kernel_launch(device, kernel, grid, block, __VA_ARGS__))

/* cuda_NAME and cuda_NAME_back of every row of the op table; the files are NAME.cu. */
#define CUDA_PROTOTYPE_PLAIN(name, fields)                                                         \
    void cuda_##name(struct backend *backend, const struct op_##name *args);
#define CUDA_PROTOTYPE_DIFF(name, fields)                                                          \
    CUDA_PROTOTYPE_PLAIN(name, fields)                                                             \
    void cuda_##name##_back(struct backend *backend, const struct op_##name *args,                 \
                            const struct op_##name *gradients);
OPS(CUDA_PROTOTYPE_DIFF, CUDA_PROTOTYPE_PLAIN, OP_NO_FIELD)

#endif
