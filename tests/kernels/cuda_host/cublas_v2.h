/* The calls of cuBLAS that kernels/cuda makes, as plain loops, with cuBLAS's own rules for sizes.
 */
#ifndef TESTS_CUDA_HOST_CUBLAS_H
#define TESTS_CUDA_HOST_CUBLAS_H

#include "cuda_runtime.h"

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_INVALID_VALUE = 7 };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasMath_t { CUBLAS_DEFAULT_MATH };
enum cublasAtomicsMode_t { CUBLAS_ATOMICS_NOT_ALLOWED };
typedef struct host_blas *cublasHandle_t;

const char *cublasGetStatusString(cublasStatus_t status);
cublasStatus_t cublasCreate(cublasHandle_t *handle);
cublasStatus_t cublasDestroy(cublasHandle_t handle);
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream);
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode);
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode);
cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *memory, size_t bytes);
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t as_a,
                                         cublasOperation_t as_b, int m, int n, int k,
                                         const float *alpha, const float *a, int lda,
                                         long long step_a, const float *b, int ldb,
                                         long long step_b, const float *beta, float *c, int ldc,
                                         long long step_c, int count);
cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t as_a, cublasOperation_t as_b,
                           int m, int n, int k, const float *alpha, const float *a, int lda,
                           const float *b, int ldb, const float *beta, float *c, int ldc);

#endif
