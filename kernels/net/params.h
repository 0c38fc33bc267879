/* The parameters of a network: names as in the reference (torch) implementation, shapes, how each
 * starts, and its place in one flat buffer. Gradients, moments and the moving average have the
 * same places in buffers of their own. Parameters that one GEMM reads together are declared one
 * after another and lie together. */
#ifndef FOLDMILL_KERNELS_NET_PARAMS_H
#define FOLDMILL_KERNELS_NET_PARAMS_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PARAM_NAME_MAX = 96, PARAM_RANK_MAX = 2, PARAMS_MAX = 16384 };

/* As AF2 suppl. 1.11.4 and the reference do. */
enum param_init {
    INIT_ZERO,    /* biases; the last linear of a module or head */
    INIT_ONE,     /* biases of gates; weights of layer norms */
    INIT_LECUN,   /* normal cut at 2 sigma, variance 1 / fan in */
    INIT_RELU,    /* the same, variance 2 / fan in */
    INIT_GLOROT,  /* uniform, variance 2 / (fan in + fan out): queries, keys, values */
    INIT_POINT,   /* weights of point attention's heads: softplus of them is 1 */
    INIT_NORMAL   /* normal, variance 1 / fan in: pair biases */
};

struct parameter {
    char name[PARAM_NAME_MAX];
    int64_t offset, count; /* elements */
    int rank;
    int64_t dim[PARAM_RANK_MAX];
    enum param_init init;
};

struct params {
    struct parameter *item;
    int count, room;
    int64_t size; /* elements of the flat buffer */
};

/* Where a parameter, or several that lie together, are found. */
struct weight {
    int64_t offset;
    int rank;
    int64_t dim[PARAM_RANK_MAX];
};

void params_open(struct params *p);
void params_close(struct params *p);

/* Declares "prefix.name" of sizes [rows, columns]; columns 0: a vector [rows]. `joined`: directly
 * after the one before, else on the next multiple of 64 bytes (of floats). */
struct weight params_add(struct params *p, const char *prefix, const char *name, int64_t rows,
                         int64_t columns, enum param_init init, bool joined);

/* The parameter of this name; NULL when there is none. */
const struct parameter *params_find(const struct params *p, const char *name);

/* values[p->size] = the start: a pure function of seed and of each name. */
void params_init(const struct params *p, uint64_t seed, float *values);

/* first, seen as [rows, columns] (columns 0: [rows]) over those joined to it. */
struct weight weight_join(struct weight first, int64_t rows, int64_t columns);

#endif
