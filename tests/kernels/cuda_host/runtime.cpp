/* Memory, copies and cuBLAS of the host's stand-in for a device. */
#include "cublas_v2.h"

#include <stdio.h>
#include <stdlib.h>

static const size_t device_bytes = (size_t)16 << 30;

const char *cudaGetErrorString(cudaError_t status)
{
    return status == cudaSuccess                     ? "no error"
           : status == cudaErrorMemoryAllocation     ? "out of memory"
           : status == cudaErrorInvalidConfiguration ? "invalid launch configuration"
                                                     : "invalid value";
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    *left = (size_t)3 << 30;
    *all = (size_t)4 << 30;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int)
{
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "host emulation");
    properties->totalGlobalMem = device_bytes;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = NULL;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t)
{
    return cudaSuccess;
}

/* All bits set: as floats, NaN. */
cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    if (bytes > device_bytes || posix_memalign(memory, 256, bytes) != 0)
        return cudaErrorMemoryAllocation;
    memset(*memory, 0xff, bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t)
{
    memset(memory, byte, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t)
{
    memcpy(to, from, bytes);
    return cudaSuccess;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "invalid value";
}

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    *handle = NULL;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t, void *, size_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

/* c = alpha op(a) op(b) + beta c, column-major; c is not read where beta is 0. */
cublasStatus_t cublasSgemm(cublasHandle_t, cublasOperation_t as_a, cublasOperation_t as_b, int m,
                           int n, int k, const float *alpha, const float *a, int lda,
                           const float *b, int ldb, const float *beta, float *c, int ldc)
{
    int rows_a = as_a == CUBLAS_OP_N ? m : k, rows_b = as_b == CUBLAS_OP_N ? k : n;
    if (m < 0 || n < 0 || k < 0 || lda < 1 || lda < rows_a || ldb < 1 || ldb < rows_b || ldc < 1 ||
        ldc < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    int64_t down_a = as_a == CUBLAS_OP_N ? 1 : lda, right_a = as_a == CUBLAS_OP_N ? lda : 1;
    int64_t down_b = as_b == CUBLAS_OP_N ? 1 : ldb, right_b = as_b == CUBLAS_OP_N ? ldb : 1;
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += (double)a[i * down_a + l * right_a] * (double)b[l * down_b + j * right_b];
            float *to = &c[i + j * ldc];
            *to = *alpha * (float)sum + (*beta != 0 ? *beta * *to : 0.0f);
        }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t as_a,
                                         cublasOperation_t as_b, int m, int n, int k,
                                         const float *alpha, const float *a, int lda,
                                         long long step_a, const float *b, int ldb,
                                         long long step_b, const float *beta, float *c, int ldc,
                                         long long step_c, int count)
{
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    for (int i = 0; i < count && status == CUBLAS_STATUS_SUCCESS; i++)
        status = cublasSgemm(handle, as_a, as_b, m, n, k, alpha, a + i * step_a, lda,
                             b + i * step_b, ldb, beta, c + i * step_c, ldc);
    return status;
}
