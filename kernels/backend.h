/* A backend: memory, copies and the ops of one kind of device. The network is written once over
 * this struct. The cpu backend is linked in and is the reference; the CUDA backend is the shared
 * object libfoldmill_cuda.so, looked for beside the program and loaded only where there is a
 * device. Valid C++: CUDA reads it. */
#ifndef FOLDMILL_KERNELS_BACKEND_H
#define FOLDMILL_KERNELS_BACKEND_H

#include "engine/base/error.h"
#include "kernels/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { BACKEND_ABI = 2, BACKEND_DEVICE_MAX = 96 };

/* Which part of the network calls ("evoformer"), and which module in it; NULL: none. */
struct backend_scope {
    const char *part, *module;
};

struct profile;

struct backend {
    const char *name;               /* "cpu", "cuda" */
    char device[BACKEND_DEVICE_MAX]; /* for people: "NVIDIA H100, 80 GB", "SkylakeX x 2 threads" */
    enum tensor_kind real;          /* kind of all real tensors: TENSOR_F32; F64 when checking */
    void *state;                    /* the backend's own: stream, handles, scratch */

    /* bytes of zeroed memory, aligned to 256; NULL when there is none left. */
    void *(*alloc)(struct backend *backend, size_t bytes);
    void (*release)(struct backend *backend, void *memory); /* NULL: nothing happens */
    /* Between host memory and backend memory. Ordered after all ops called before; the host
     * memory may be reused (in) or read (out) on return. */
    void (*copy_in)(struct backend *backend, void *to, const void *host, size_t bytes);
    void (*copy_out)(struct backend *backend, void *host, const void *from, size_t bytes);
    /* Waits until every op called before has finished. */
    void (*sync)(struct backend *backend);
    /* Bytes that the ops use for themselves (scratch, workspaces). It grows during the first step
     * and stays the same in all later steps of the same shapes. */
    size_t (*scratch_bytes)(struct backend *backend);
    /* Of a backend that only counts, else NULL: adds what the op (gradients NULL) or its backward
     * would take to scratch_bytes; nothing is read or written at the tensors' places. OP_COUNT:
     * forgets what was counted. */
    void (*count)(struct backend *backend, enum op op, const void *args, const void *gradients);
    /* Bytes of the device that this process may still take; 0: not known (NULL: the host's). */
    size_t (*room_bytes)(struct backend *backend);
    /* Gives everything back, the struct too; memory from alloc must have been released. */
    void (*close)(struct backend *backend);

    struct backend_scope scope; /* for those who measure: set by who calls, texts are static */
    struct profile *profile;    /* kernels/profile.h; NULL: nothing is measured */

    struct ops ops; /* asynchronous, in order; called by one thread at a time */
};

/* The cpu backend in float, and in double for checks. Never fail. threads 0: as many as OpenMP
 * gives; results do not depend on it. They set OpenBLAS to one thread for the process (the ops
 * share the work among threads themselves, which keeps the order of sums fixed). */
struct backend *cpu_backend_open(int threads);
struct backend *cpu_backend_open_double(int threads);

/* Backends that only count what ops would take (count, scratch_bytes): for plans of memory. Nothing
 * else of them may be called but close. The second needs no device, but the shared object:
 * STATUS_MISS without it, STATUS_CORRUPT where it is of another build. */
struct backend *cpu_backend_open_counting(int threads);
enum status cuda_backend_open_counting(struct backend **backend, struct error *err);

/* Opens "cpu", "cuda" (number `device` of those visible), or "auto": cuda where there is a device
 * and the shared object, else cpu. Errors: STATUS_INVALID (unknown name), STATUS_MISS (no device
 * or no shared object; for "cuda" only), STATUS_CORRUPT (the shared object is of another build). */
enum status backend_open(const char *name, int device, struct backend **backend,
                         struct error *err);

/* True where a CUDA device is visible to this process (/dev/nvidiactl can be opened). */
bool backend_cuda_present(void);

/* What libfoldmill_cuda.so exports, under these names:
 *   const struct backend_abi foldmill_cuda_abi = BACKEND_ABI_HERE;
 *   enum status foldmill_cuda_open(int device, struct backend **backend, struct error *err);
 *   enum status foldmill_cuda_count(struct backend **backend, struct error *err);
 * The loader compares the former with its own BACKEND_ABI_HERE before it calls the latter. */
struct backend_abi {
    uint32_t abi;
    uint32_t tensor_bytes, ops_bytes, backend_bytes;
    const char *ops_text;
};

#define BACKEND_ABI_HERE                                                                           \
    {                                                                                              \
        BACKEND_ABI, (uint32_t)sizeof(struct tensor), (uint32_t)sizeof(struct ops),                \
            (uint32_t)sizeof(struct backend), OPS_TEXT                                             \
    }

#ifdef __cplusplus
}
#endif
#endif
