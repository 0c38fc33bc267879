/* What the files of the cpu backend share. Each file is compiled twice, with real = float (the
 * backend that trains) and with real = double (CPU_DOUBLE; the backend whose gradients are checked
 * against finite differences).
 *
 * Work is cut into parts by shapes alone, never by the number of threads, and partial sums are
 * added in the order of the parts; so results are the same bits on 1 and on 64 threads. */
#ifndef FOLDMILL_KERNELS_CPU_CPU_H
#define FOLDMILL_KERNELS_CPU_CPU_H

#include "kernels/backend.h"

#include <math.h>
#include <string.h>

#ifdef CPU_DOUBLE
typedef double real;
#define CPU_NAME(name) cpu64_##name
#define CPU_KIND TENSOR_F64
#else
typedef float real;
#define CPU_NAME(name) cpu32_##name
#define CPU_KIND TENSOR_F32
#endif

/* Compiled for AVX-512, AVX2 and plain x86-64, chosen when the program loads. Goes on leaf loops.
 * Contraction is off (but in the files that CMakeLists.txt names) and sums are written in fixed
 * lanes, so all three give the same bits.
 * Resolvers run before sanitizers are set up, hence not there. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&      \
    !defined(__clang__)
#define CPU_LEAF __attribute__((target_clones("avx512f", "arch=haswell", "default"), noinline))
#else
#define CPU_LEAF __attribute__((noinline))
#endif

enum {
    CPU_LANES = 16,   /* partial sums of one row's reduction */
    CPU_GROUPS = 8,   /* partial sums of a reduction over rows */
    CPU_SMALL = 16384 /* elements below which one thread does the work */
};

struct cpu_state {
    int threads;
    bool counting; /* ops only say what scratch they would take */
    void *scratch;
    size_t scratch_bytes;
};

#define OP_PROTOTYPE_PLAIN(name, fields)                                                           \
    void CPU_NAME(name)(struct backend *, const struct op_##name *);
#define OP_PROTOTYPE_DIFF(name, fields)                                                            \
    OP_PROTOTYPE_PLAIN(name, fields)                                                               \
    void CPU_NAME(name##_back)(struct backend *, const struct op_##name *,                         \
                               const struct op_##name *);
OPS(OP_PROTOTYPE_DIFF, OP_PROTOTYPE_PLAIN, OP_NO_FIELD)

static inline int cpu_threads(const struct backend *backend)
{
    return ((const struct cpu_state *)backend->state)->threads;
}

static inline bool cpu_counts(const struct backend *backend)
{
    return ((const struct cpu_state *)backend->state)->counting;
}

/* Behind an op's last cpu_scratch, before it touches its tensors; a new op with scratch is also
 * named in cpu_count of backend.c. */
#define CPU_STOP_WHERE_COUNTED(backend)                                                            \
    do {                                                                                           \
        if (cpu_counts(backend))                                                                   \
            return;                                                                                \
    } while (0)

/* count reals of scratch, valid until the next call; aborts when there is no memory. NULL where the
 * backend only counts. */
real *CPU_NAME(scratch)(struct backend *backend, int64_t count);
#define cpu_scratch CPU_NAME(scratch)

/* The data of a real tensor; NULL when it is absent. */
static inline real *cpu_data(const struct tensor *t)
{
    ASSERT(!t->data || t->kind == CPU_KIND);
    return (real *)t->data;
}

/* A matrix inside a tensor, as BLAS sees it: element (i, j) at data[i * ld + j], or transposed at
 * data[j * ld + i]. */
struct cpu_matrix {
    real *data;
    int64_t ld;
    bool transposed;
};

/* Axes i (rows) and j of t, whose strides are (ld, 1) or (1, ld). */
struct cpu_matrix CPU_NAME(matrix)(const struct tensor *t, int i, int j);
#define cpu_matrix_of CPU_NAME(matrix)

static inline struct cpu_matrix cpu_dense(real *data, int64_t ld)
{
    return (struct cpu_matrix){data, ld, false};
}

static inline struct cpu_matrix cpu_transposed(struct cpu_matrix a)
{
    a.transposed = !a.transposed;
    return a;
}

/* c[m,n] = beta c + alpha a[m,k] b[k,n] on the calling thread. c may be transposed, too. */
void CPU_NAME(gemm)(int64_t m, int64_t n, int64_t k, real alpha, struct cpu_matrix a,
                    struct cpu_matrix b, real beta, struct cpu_matrix c);
#define cpu_gemm CPU_NAME(gemm)

/* How many of m rows make one part of a product [m,k] x [k,n] that the threads share. */
int64_t CPU_NAME(gemm_part)(int64_t m, int64_t n, int64_t k);
#define cpu_gemm_part CPU_NAME(gemm_part)

/* Rows first.. of a. */
static inline struct cpu_matrix cpu_rows_from(struct cpu_matrix a, int64_t first)
{
    a.data += a.transposed ? first : first * a.ld;
    return a;
}

/* cpu_gemm, m cut into parts that the threads share. */
void CPU_NAME(gemm_rows)(struct backend *backend, int64_t m, int64_t n, int64_t k, real alpha,
                         struct cpu_matrix a, struct cpu_matrix b, real beta,
                         struct cpu_matrix c);
#define cpu_gemm_rows CPU_NAME(gemm_rows)

/* dw[o,i] = (add ? dw : 0) + sum_n s[n] dy[n,o] x[n,i] and db[o] = ... sum_n s[n] dy[n,o]; dw.data
 * or db.data may be NULL, and scale. dy[N,O] and x[N,I] have contiguous last axes. relu: NULL, or
 * y[N,O], without scale: dy is first set to 0 where y is not positive, in place, even where neither
 * dw nor db is wanted. Uses scratch. */
void CPU_NAME(weight_gradient)(struct backend *backend, const struct tensor *dy,
                               const struct tensor *x, const real *scale,
                               const struct tensor *relu, const struct tensor *dw,
                               const struct tensor *db);
#define cpu_weight_gradient CPU_NAME(weight_gradient)

/* to[n] = (add ? to : 0) + from[0][n] + from[1][n] + ... in this order; parts are `step` apart. */
void CPU_NAME(sum_parts)(struct backend *backend, int64_t n, int parts, const real *from,
                         int64_t step, bool add, real *to);
#define cpu_sum_parts CPU_NAME(sum_parts)

/* to[n,i] = (add ? to : 0) + from[n,i]; last axes contiguous, rows to_ld and from_ld apart. Nothing
 * happens when both are the same memory. */
void CPU_NAME(copy_rows)(struct backend *backend, int64_t rows, int64_t columns, const real *from,
                         int64_t from_ld, bool add, real *to, int64_t to_ld);
#define cpu_copy_rows CPU_NAME(copy_rows)

/* to[n,i] = s[n] x[n,i], dense. */
void CPU_NAME(scale_rows)(int64_t rows, int64_t columns, const real *x, int64_t ld,
                          const real *scale, real *to);
#define cpu_scale_rows CPU_NAME(scale_rows)

/* First item of part p when count items are cut into parts. */
static inline int64_t cpu_part(int64_t count, int parts, int p)
{
    return count * p / parts;
}

/* e^x within 2 ulp, for loops that the compiler turns into vectors: x = n ln 2 + r, a Taylor sum
 * in r (|r| <= 0.35, remainder 5e-9), and n put into the exponent. Not a number stays so. */
static inline real cpu_exp(real x)
{
#ifdef CPU_DOUBLE
    return exp(x);
#else
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    union {
        float f;
        uint32_t u;
    } t = {x * 1.44269504f + magic}, power;
    float n = t.f - magic;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float sum = 1.0f / 5040;
    sum = sum * r + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * (r * r) + r;
    power.u = (t.u - 0x4B400000u + 127u) << 23;
    return (1.0f + sum) * power.f;
#endif
}

static inline real cpu_sigmoid(real x)
{
    return 1 / (1 + cpu_exp(-x));
}

/* Sum of the lanes in a fixed tree. */
static inline real cpu_lanes_sum(const real lane[CPU_LANES])
{
    real eight[8], four[4];
    for (int i = 0; i < 8; i++)
        eight[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++)
        four[i] = eight[i] + eight[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

#endif
