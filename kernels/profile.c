/* The table of ops that measures, and the peaks it compares with; see profile.h. */
#include "kernels/profile.h"

#include "engine/base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { REPEATS = 9, REPEATS_MAX = 400, PRODUCT_SIDE = 512, PRODUCTS = 16, STREAM_COUNT = 1 << 24 };

static struct profile_sum *sum_of(struct profile *p, struct backend_scope scope, enum op op,
                                  bool back)
{
    int i = 0;
    while (i < p->count &&
           (p->row[i].scope.part != scope.part || p->row[i].scope.module != scope.module))
        i++;
    ASSERT_INT(i, <, PROFILE_SCOPES_MAX);
    if (i == p->count)
        p->row[p->count++].scope = scope;
    return &p->row[i].op[op][back];
}

static void note(struct backend *b, enum op op, const void *args, const void *gradients,
                 int64_t begin)
{
    b->sync(b);
    double seconds = (double)(clock_ns() - begin) * 1e-9;
    const struct profile_peaks *peaks = &b->profile->peaks;
    struct profile_sum one = {.calls = 1,
                              .seconds = seconds,
                              .flops = op_flops(op, args, gradients),
                              .bytes = op_bytes(op, args, gradients)};
    double compute = one.flops / peaks->flops, move = one.bytes / peaks->bytes;
    one.floor = compute > move ? compute : move;
    profile_add(sum_of(b->profile, b->scope, op, gradients != NULL), &one);
}

#define MEASURE_PLAIN(name, fields)                                                                \
    static void measure_##name(struct backend *b, const struct op_##name *a)                       \
    {                                                                                              \
        int64_t begin = clock_ns();                                                                \
        b->profile->plain.name(b, a);                                                              \
        note(b, OP_##name, a, NULL, begin);                                                        \
    }
#define MEASURE_DIFF(name, fields)                                                                 \
    MEASURE_PLAIN(name, fields)                                                                    \
    static void measure_##name##_back(struct backend *b, const struct op_##name *a,                \
                                      const struct op_##name *g)                                   \
    {                                                                                              \
        int64_t begin = clock_ns();                                                                \
        b->profile->plain.name##_back(b, a, g);                                                    \
        note(b, OP_##name, a, g, begin);                                                           \
    }
OPS(MEASURE_DIFF, MEASURE_PLAIN, OP_NO_FIELD)
#define TABLE_PLAIN(name, fields) .name = measure_##name,
#define TABLE_DIFF(name, fields)  .name = measure_##name, .name##_back = measure_##name##_back,
static const struct ops measuring = {OPS(TABLE_DIFF, TABLE_PLAIN, OP_NO_FIELD)};

#define MEASURE_NS 400000000 /* of each peak: long enough to find a quiet moment */

/* The rate of the best of many calls. */
static double best_rate(struct backend *b, enum op op, const void *args, double work)
{
    double best = 0;
    int64_t start = clock_ns();
    for (int i = 0; i < REPEATS || (i < REPEATS_MAX && clock_ns() - start < MEASURE_NS); i++) {
        b->sync(b);
        int64_t begin = clock_ns();
        op_describe(op)->run(b, args);
        b->sync(b);
        double rate = work / ((double)(clock_ns() - begin) * 1e-9);
        best = rate > best ? rate : best;
    }
    return best;
}

struct profile_peaks profile_measure(struct backend *b)
{
    int64_t side = PRODUCT_SIDE, items = PRODUCTS * side * side;
    struct tensor t[3];
    void *memory[3];
    for (int i = 0; i < 3; i++) {
        memory[i] = b->alloc(b, (size_t)STREAM_COUNT * tensor_kind_bytes(b->real));
        ASSERT(memory[i] && items <= STREAM_COUNT);
        t[i] = tensor_make(memory[i], b->real, 3, PRODUCTS, side, side, 1);
    }
    struct op_matmul product = {.a = t[0], .b = t[1], .y = t[2]};
    struct profile_peaks peaks;
    peaks.flops = best_rate(b, OP_matmul, &product, op_flops(OP_matmul, &product, NULL));
    for (int i = 0; i < 3; i++)
        t[i] = tensor_make(memory[i], b->real, 3, STREAM_COUNT / side / side, side, side, 1);
    struct op_residual stream = {.x = t[0], .u = t[1], .y = t[2], .shared = -1};
    peaks.bytes = best_rate(b, OP_residual, &stream, op_bytes(OP_residual, &stream, NULL));
    for (int i = 0; i < 3; i++)
        b->release(b, memory[i]);
    return peaks;
}

struct profile *profile_open(struct backend *backend, struct profile_peaks peaks)
{
    struct profile *p = calloc(1, sizeof *p);
    ASSERT(p && !backend->profile);
    p->peaks = peaks;
    p->plain = backend->ops;
    backend->ops = measuring;
    backend->profile = p;
    return p;
}

void profile_clear(struct profile *p)
{
    p->count = 0;
    memset(p->row, 0, sizeof p->row);
}

void profile_close(struct backend *backend)
{
    if (!backend->profile)
        return;
    backend->ops = backend->profile->plain;
    free(backend->profile);
    backend->profile = NULL;
}

void profile_add(struct profile_sum *to, const struct profile_sum *from)
{
    to->calls += from->calls;
    to->seconds += from->seconds;
    to->flops += from->flops;
    to->bytes += from->bytes;
    to->floor += from->floor;
}
