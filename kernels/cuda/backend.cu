/* The CUDA backend itself: opening a device, its memory, copies and scratch. The shared object
 * exports what kernels/backend.h names and nothing else. */
#include "kernels/cuda/device.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What NVIDIA recommends for Hopper; given to cuBLAS once so that it never allocates by itself. */
static const size_t workspace_bytes = (size_t)32 << 20;
static const size_t scratch_bytes_min = (size_t)1 << 20;

static struct device *device_of(struct backend *backend)
{
    struct device *device = (struct device *)backend->state;
    if (device->counting)
        return device;
    CUDA_OK(cudaSetDevice(device->number)); /* current devices belong to threads */
    return device;
}

static void chunk_add(struct device *device, size_t bytes)
{
    ASSERT_INT(device->chunk_count, <, SCRATCH_CHUNKS_MAX);
    struct scratch_chunk *chunk = &device->chunk[device->chunk_count++];
    chunk->bytes = bytes;
    chunk->used = 0;
    if (device->counting)
        chunk->data = (char *)(uintptr_t)workspace_bytes; /* an address that nobody looks at */
    else
        CUDA_OK(cudaMalloc((void **)&chunk->data, bytes));
}

static void chunks_free(struct device *device)
{
    if (!device->counting)
        CUDA_OK(cudaStreamSynchronize(device->stream));
    for (int i = 0; i < device->chunk_count && !device->counting; i++)
        CUDA_OK(cudaFree(device->chunk[i].data));
    device->chunk_count = 0;
}

static size_t chunks_bytes(const struct device *device)
{
    size_t bytes = 0;
    for (int i = 0; i < device->chunk_count; i++)
        bytes += device->chunk[i].bytes;
    return bytes;
}

struct device *device_begin(struct backend *backend)
{
    struct device *device = device_of(backend);
    if (device->chunk_count > 1) { /* the last op outgrew its chunk: one of the total from now on */
        size_t bytes = chunks_bytes(device);
        chunks_free(device);
        chunk_add(device, bytes);
    }
    if (device->chunk_count == 1)
        device->chunk[0].used = 0;
    return device;
}

static void *scratch_take(struct device *device, int64_t count, size_t element)
{
    ASSERT_INT(count, >=, 0);
    size_t bytes = ((size_t)count * element + 255) / 256 * 256;
    struct scratch_chunk *last = NULL;
    if (device->chunk_count > 0)
        last = &device->chunk[device->chunk_count - 1];
    if (!last || last->bytes - last->used < bytes) {
        chunk_add(device, bytes > scratch_bytes_min ? bytes : scratch_bytes_min);
        last = &device->chunk[device->chunk_count - 1];
    }
    void *memory = last->data + last->used;
    last->used += bytes;
    return memory;
}

float *scratch_floats(struct device *device, int64_t count)
{
    return (float *)scratch_take(device, count, sizeof(float));
}

double *scratch_doubles(struct device *device, int64_t count)
{
    return (double *)scratch_take(device, count, sizeof(double));
}

static void *cuda_alloc(struct backend *backend, size_t bytes)
{
    struct device *device = device_of(backend);
    void *memory = NULL;
    bytes = bytes ? bytes : 1;
    cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* it is told by the NULL */
        return NULL;
    }
    CUDA_OK(status);
    CUDA_OK(cudaMemsetAsync(memory, 0, bytes, device->stream));
    return memory;
}

static void cuda_release(struct backend *backend, void *memory)
{
    if (!memory)
        return;
    struct device *device = device_of(backend);
    CUDA_OK(cudaStreamSynchronize(device->stream));
    CUDA_OK(cudaFree(memory));
}

static void cuda_copy_in(struct backend *backend, void *to, const void *host, size_t bytes)
{
    struct device *device = device_of(backend);
    CUDA_OK(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, device->stream));
    CUDA_OK(cudaStreamSynchronize(device->stream));
}

static void cuda_copy_out(struct backend *backend, void *host, const void *from, size_t bytes)
{
    struct device *device = device_of(backend);
    CUDA_OK(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, device->stream));
    CUDA_OK(cudaStreamSynchronize(device->stream));
}

static void cuda_sync(struct backend *backend)
{
    CUDA_OK(cudaStreamSynchronize(device_of(backend)->stream));
}

static size_t cuda_scratch_bytes(struct backend *backend)
{
    return workspace_bytes + chunks_bytes((const struct device *)backend->state);
}

static size_t cuda_room_bytes(struct backend *backend)
{
    size_t left = 0, all = 0;
    device_of(backend);
    CUDA_OK(cudaMemGetInfo(&left, &all));
    return left;
}

/* What a backend that counts does instead of the ops: theirs, without launches. */
static void cuda_count(struct backend *backend, enum op op, const void *args, const void *gradients)
{
    const struct ops *ops = &backend->ops;
    switch (op) {
#define COUNT_RUN(name)                                                                            \
    else                                                                                           \
        ops->name(backend, (const struct op_##name *)args);                                        \
    break;
#define COUNT_PLAIN(name, fields)                                                                  \
    case OP_##name:                                                                                \
        if (gradients)                                                                             \
            break;                                                                                 \
        COUNT_RUN(name)
#define COUNT_DIFF(name, fields)                                                                   \
    case OP_##name:                                                                                \
        if (gradients)                                                                             \
            ops->name##_back(backend, (const struct op_##name *)args,                              \
                             (const struct op_##name *)gradients);                                 \
        COUNT_RUN(name)
        OPS(COUNT_DIFF, COUNT_PLAIN, OP_NO_FIELD)
    case OP_COUNT:
        ((struct device *)backend->state)->chunk_count = 0;
        break;
    }
}

/* Fails where the object holds no code for this device. */
static __global__ void probe(void) {}

static enum status device_check(int number, char text[BACKEND_DEVICE_MAX], struct error *err)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess)
        return error_set(err, STATUS_MISS, "no CUDA device: %s; use the cpu backend",
                         cudaGetErrorString(status));
    if (number < 0 || number >= count)
        return error_set(err, STATUS_MISS, "no CUDA device %d: %d visible, numbered from 0", number,
                         count);
    cudaDeviceProp found;
    status = cudaSetDevice(number);
    if (status == cudaSuccess)
        status = cudaGetDeviceProperties(&found, number);
    if (status != cudaSuccess)
        return error_set(err, STATUS_MISS, "CUDA device %d cannot be used: %s", number,
                         cudaGetErrorString(status));
    cudaFuncAttributes attributes;
    status = cudaFuncGetAttributes(&attributes, probe);
    if (status != cudaSuccess)
        return error_set(err, STATUS_MISS,
                         "CUDA device %d is %s, compute capability %d.%d: %s; build with "
                         "-DCMAKE_CUDA_ARCHITECTURES=%d%d",
                         number, found.name, found.major, found.minor, cudaGetErrorString(status),
                         found.major, found.minor);
    snprintf(text, BACKEND_DEVICE_MAX, "%.60s, %.0f GB", found.name,
             (double)found.totalGlobalMem * 1e-9);
    return STATUS_OK;
}

/* Stream, workspace and cuBLAS of the device; false, with the reason, where one cannot be had (the
 * memory is another program's, say). What was made is then left to device_drop. */
static bool device_open(struct device *device, const char **reason)
{
    cudaError_t status = cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking);
    if (status == cudaSuccess)
        status = cudaMalloc(&device->workspace, workspace_bytes);
    *reason = cudaGetErrorString(status);
    if (status != cudaSuccess)
        return false;
    cublasStatus_t blas = cublasCreate(&device->blas);
    *reason = cublasGetStatusString(blas);
    if (blas != CUBLAS_STATUS_SUCCESS)
        return false;
    BLAS_OK(cublasSetStream(device->blas, device->stream));
    BLAS_OK(cublasSetMathMode(device->blas, CUBLAS_DEFAULT_MATH)); /* float32 means float32 */
    BLAS_OK(cublasSetAtomicsMode(device->blas, CUBLAS_ATOMICS_NOT_ALLOWED));
    BLAS_OK(cublasSetWorkspace(device->blas, device->workspace, workspace_bytes));
    return true;
}

/* Gives back what device_open made, all of it or a part. */
static void device_drop(struct device *device)
{
    if (device->blas)
        BLAS_OK(cublasDestroy(device->blas));
    if (device->workspace)
        CUDA_OK(cudaFree(device->workspace));
    if (device->stream)
        CUDA_OK(cudaStreamDestroy(device->stream));
    free(device);
}

static void cuda_close(struct backend *backend)
{
    struct device *device = device_of(backend);
    chunks_free(device);
    device_drop(device); /* nothing of it is there where it only counts, but the struct */
    free(backend);
}

#define OP_SET_PLAIN(name, fields) backend->ops.name = cuda_##name;
#define OP_SET_DIFF(name, fields)                                                                  \
    OP_SET_PLAIN(name, fields)                                                                     \
    backend->ops.name##_back = cuda_##name##_back;

#define EXPORT extern "C" __attribute__((visibility("default")))

static struct backend *backend_make(struct device *device)
{
    struct backend *backend = (struct backend *)calloc(1, sizeof *backend);
    ASSERT(backend);
    backend->name = "cuda";
    backend->real = TENSOR_F32;
    backend->state = device;
    backend->alloc = cuda_alloc;
    backend->release = cuda_release;
    backend->copy_in = cuda_copy_in;
    backend->copy_out = cuda_copy_out;
    backend->sync = cuda_sync;
    backend->scratch_bytes = cuda_scratch_bytes;
    backend->room_bytes = cuda_room_bytes;
    backend->close = cuda_close;
    OPS(OP_SET_DIFF, OP_SET_PLAIN, OP_NO_FIELD)
    return backend;
}

EXPORT const struct backend_abi foldmill_cuda_abi;
const struct backend_abi foldmill_cuda_abi = BACKEND_ABI_HERE;

EXPORT enum status foldmill_cuda_open(int number, struct backend **opened, struct error *err)
{
    char text[BACKEND_DEVICE_MAX] = "";
    *opened = NULL;
    enum status status = device_check(number, text, err);
    if (status != STATUS_OK)
        return status;
    struct device *device = (struct device *)calloc(1, sizeof *device);
    const char *reason;
    ASSERT(device);
    device->number = number;
    if (!device_open(device, &reason)) {
        device_drop(device);
        return error_set(err, STATUS_MISS, "CUDA device %d, %s, cannot be used: %s", number, text,
                         reason);
    }
    *opened = backend_make(device);
    memcpy((*opened)->device, text, sizeof text);
    return STATUS_OK;
}

EXPORT enum status foldmill_cuda_count(struct backend **opened, struct error *err)
{
    (void)err;
    struct device *device = (struct device *)calloc(1, sizeof *device);
    ASSERT(device);
    device->counting = true;
    *opened = backend_make(device);
    (*opened)->count = cuda_count;
    return STATUS_OK;
}
