/* The cpu backend: host memory, its own threads, and the table of ops. */
#include "kernels/cpu/cpu.h"

#include "kernels/blas.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGN = 256, HUGE_PAGE = 1 << 21, THREADS_MAX = 256 };

static void *memory_alloc(struct backend *backend, size_t bytes)
{
    (void)backend;
    size_t align = bytes < 4 * HUGE_PAGE ? ALIGN : HUGE_PAGE;
    if (bytes > SIZE_MAX - align)
        return NULL;
    size_t rounded = (bytes + align - 1) / align * align;
    void *memory = aligned_alloc(align, rounded ? rounded : align);
    if (memory && align == HUGE_PAGE) /* fewer faults and misses; where refused, nothing is lost */
        (void)madvise(memory, rounded, MADV_HUGEPAGE);
    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

static void memory_release(struct backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}

static void memory_copy(struct backend *backend, void *to, const void *from, size_t bytes)
{
    (void)backend;
    if (bytes)
        memcpy(to, from, bytes);
}

static void nothing_to_wait_for(struct backend *backend)
{
    (void)backend;
}

static size_t scratch_bytes(struct backend *backend)
{
    return ((const struct cpu_state *)backend->state)->scratch_bytes;
}

real *cpu_scratch(struct backend *backend, int64_t count)
{
    struct cpu_state *state = backend->state;
    ASSERT_INT(count, >=, 0);
    size_t bytes = (size_t)count * sizeof(real);
    if (state->counting) {
        state->scratch_bytes = bytes > state->scratch_bytes ? bytes : state->scratch_bytes;
        return NULL;
    }
    if (bytes > state->scratch_bytes) {
        free(state->scratch);
        state->scratch = memory_alloc(backend, bytes);
        if (!state->scratch)
            assert_fail(__FILE__, __LINE__, "no memory for %zu bytes of scratch", bytes);
        state->scratch_bytes = bytes;
    }
    return state->scratch;
}

/* Every op that takes scratch, OWN(name), and those of which only the backward takes some. */
#define OPS_WITH_SCRATCH(OWN, BACK)                                                                \
    OWN(attention)                                                                                 \
    OWN(embed_pair)                                                                                \
    OWN(fape)                                                                                      \
    OWN(gate)                                                                                      \
    OWN(ipa)                                                                                       \
    OWN(layer_norm)                                                                                \
    OWN(outer_mean)                                                                                \
    OWN(residual)                                                                                  \
    BACK(linear)                                                                                   \
    BACK(linear_relu)

static void cpu_count(struct backend *backend, enum op op, const void *args, const void *gradients)
{
    struct cpu_state *state = backend->state;
    if (op == OP_COUNT)
        state->scratch_bytes = 0;
#define COUNT_BACK(name)                                                                           \
    if (op == OP_##name && gradients)                                                              \
        CPU_NAME(name##_back)(backend, args, gradients);
#define COUNT_OWN(name)                                                                            \
    COUNT_BACK(name)                                                                               \
    if (op == OP_##name && !gradients)                                                             \
        CPU_NAME(name)(backend, args);
    OPS_WITH_SCRATCH(COUNT_OWN, COUNT_BACK)
    if (op == OP_distance_bins)
        CPU_NAME(distance_bins)(backend, args);
    if (op == OP_sum_squares)
        CPU_NAME(sum_squares)(backend, args);
}

static void backend_close(struct backend *backend)
{
    struct cpu_state *state = backend->state;
    free(state->scratch);
    free(state);
    free(backend);
}

#define TABLE_PLAIN(name, fields) .name = CPU_NAME(name),
#define TABLE_DIFF(name, fields) .name = CPU_NAME(name), .name##_back = CPU_NAME(name##_back),

static struct backend *open_for(int threads, bool counting)
{
    struct backend *backend = calloc(1, sizeof *backend);
    struct cpu_state *state = calloc(1, sizeof *state);
    ASSERT(backend && state);
    int given = threads > 0 ? threads : omp_get_max_threads();
    state->threads = given < THREADS_MAX ? given : THREADS_MAX;
    state->counting = counting;
    *backend = (struct backend){
        .name = "cpu",
        .real = CPU_KIND,
        .state = state,
        .alloc = memory_alloc,
        .release = memory_release,
        .copy_in = memory_copy,
        .copy_out = memory_copy,
        .sync = nothing_to_wait_for,
        .scratch_bytes = scratch_bytes,
        .count = counting ? cpu_count : NULL,
        .close = backend_close,
        .ops = {OPS(TABLE_DIFF, TABLE_PLAIN, OP_NO_FIELD)},
    };
    blas_set_single_thread();
    snprintf(backend->device, sizeof backend->device, "%s kernels x %d threads", blas_core(),
             state->threads);
    return backend;
}

#ifdef CPU_DOUBLE
struct backend *cpu_backend_open_double(int threads)
{
    return open_for(threads, false);
}
#else
struct backend *cpu_backend_open(int threads)
{
    return open_for(threads, false);
}

struct backend *cpu_backend_open_counting(int threads)
{
    return open_for(threads, true);
}
#endif
