/* A tensor is a view of backend memory: a pointer, sizes and strides in elements. It owns nothing
 * and is passed by value inside the argument structs of ops (kernels/ops.h). The header is valid
 * C++ because the CUDA backend reads it. */
#ifndef FOLDMILL_KERNELS_TENSOR_H
#define FOLDMILL_KERNELS_TENSOR_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TENSOR_RANK_MAX = 4 };

enum tensor_kind { TENSOR_F32, TENSOR_F64, TENSOR_I32 };

struct tensor {
    void *data; /* backend memory; NULL: the tensor is absent */
    int64_t dim[TENSOR_RANK_MAX], stride[TENSOR_RANK_MAX]; /* elements; entries past rank are 1 */
    int32_t rank;
    enum tensor_kind kind;
    bool add;     /* in a gradient that is written: add to what is there instead of replacing it */
    int32_t slot; /* kernels/net/tape.h: whose gradient this is; 0 = none. Backends ignore it */
};

static inline size_t tensor_kind_bytes(enum tensor_kind kind)
{
    return kind == TENSOR_F64 ? 8 : 4;
}

/* Number of elements; 1 for rank 0. */
static inline int64_t tensor_count(const struct tensor *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->dim[i];
    return count;
}

/* The elements lie one after another in row-major order. */
static inline bool tensor_dense(const struct tensor *t)
{
    int64_t step = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != step)
            return false;
        step *= t->dim[i];
    }
    return true;
}

/* A dense tensor of the first rank of four sizes over data. */
static inline struct tensor tensor_make(void *data, enum tensor_kind kind, int rank, int64_t d0,
                                        int64_t d1, int64_t d2, int64_t d3)
{
    struct tensor t;
    int64_t dim[TENSOR_RANK_MAX] = {d0, d1, d2, d3}, step = 1;
    ASSERT(rank >= 0 && rank <= TENSOR_RANK_MAX);
    t.data = data;
    t.rank = rank;
    t.kind = kind;
    t.add = false;
    t.slot = 0;
    for (int i = TENSOR_RANK_MAX - 1; i >= 0; i--) {
        t.dim[i] = i < rank ? dim[i] : 1;
        t.stride[i] = i < rank ? step : 1;
        step *= t.dim[i];
    }
    return t;
}

/* The same memory as one axis of count elements; t is dense. */
static inline struct tensor tensor_flat(struct tensor t)
{
    ASSERT(tensor_dense(&t));
    struct tensor f = tensor_make(t.data, t.kind, 1, tensor_count(&t), 1, 1, 1);
    f.add = t.add;
    f.slot = t.slot;
    return f;
}

/* The same memory as rows[product of all axes but the last, last axis]; the leading axes must
 * be mergeable, as those of a dense tensor or of a range of columns of one are. */
static inline struct tensor tensor_rows(struct tensor t)
{
    ASSERT(t.rank >= 1);
    int last = t.rank - 1;
    int64_t rows = 1, row_stride = last > 0 ? t.stride[last - 1] : t.dim[last];
    for (int i = last - 1; i >= 0; i--) {
        ASSERT(t.dim[i] == 1 || t.stride[i] == rows * row_stride);
        rows *= t.dim[i];
    }
    struct tensor r = t;
    for (int i = 0; i < TENSOR_RANK_MAX; i++)
        r.dim[i] = r.stride[i] = 1;
    r.rank = 2;
    r.dim[0] = rows, r.dim[1] = t.dim[last];
    r.stride[0] = row_stride, r.stride[1] = t.stride[last];
    return r;
}

/* Item i of the first axis. */
static inline struct tensor tensor_at(struct tensor t, int64_t i)
{
    ASSERT(t.rank >= 2 && i >= 0 && i < t.dim[0]);
    t.data = (char *)t.data + (size_t)(i * t.stride[0]) * tensor_kind_bytes(t.kind);
    for (int axis = 0; axis + 1 < TENSOR_RANK_MAX; axis++) {
        t.dim[axis] = t.dim[axis + 1];
        t.stride[axis] = t.stride[axis + 1];
    }
    t.dim[TENSOR_RANK_MAX - 1] = t.stride[TENSOR_RANK_MAX - 1] = 1;
    t.rank--;
    return t;
}

/* Items [first, first + count) of the first axis. */
static inline struct tensor tensor_range(struct tensor t, int64_t first, int64_t count)
{
    ASSERT(t.rank >= 1 && first >= 0 && count >= 0 && first + count <= t.dim[0]);
    t.data = (char *)t.data + (size_t)(first * t.stride[0]) * tensor_kind_bytes(t.kind);
    t.dim[0] = count;
    return t;
}

/* Columns [first, first + count) of the last axis. */
static inline struct tensor tensor_columns(struct tensor t, int64_t first, int64_t count)
{
    ASSERT(t.rank >= 1 && first >= 0 && count >= 0 && first + count <= t.dim[t.rank - 1]);
    t.data = (char *)t.data + (size_t)(first * t.stride[t.rank - 1]) * tensor_kind_bytes(t.kind);
    t.dim[t.rank - 1] = count;
    return t;
}

/* The last axis of size a * b as two axes [a, b]. */
static inline struct tensor tensor_split(struct tensor t, int64_t a, int64_t b)
{
    ASSERT(t.rank >= 1 && t.rank < TENSOR_RANK_MAX && t.dim[t.rank - 1] == a * b);
    t.dim[t.rank] = b;
    t.stride[t.rank] = t.stride[t.rank - 1];
    t.dim[t.rank - 1] = a;
    t.stride[t.rank - 1] *= b;
    t.rank++;
    return t;
}

/* Axes i and j exchanged. */
static inline struct tensor tensor_swap(struct tensor t, int i, int j)
{
    ASSERT(i >= 0 && i < t.rank && j >= 0 && j < t.rank);
    int64_t dim = t.dim[i], stride = t.stride[i];
    t.dim[i] = t.dim[j], t.stride[i] = t.stride[j];
    t.dim[j] = dim, t.stride[j] = stride;
    return t;
}

#ifdef __cplusplus
}
#endif
#endif
