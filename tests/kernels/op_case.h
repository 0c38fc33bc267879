/* A random call of any op, made from its row in kernels/ops.h: sizes, which optional fields are
 * given, values and strides. The same case can be bound to several backends. For the generic
 * tests: gradients against differences, backend against backend, one thread against many. */
#ifndef FOLDMILL_TESTS_KERNELS_OP_CASE_H
#define FOLDMILL_TESTS_KERNELS_OP_CASE_H

#include "engine/base/rng.h"
#include "kernels/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OP_ARGS_MAX = 2048, OP_CASE_ELEMENTS_MAX = 150000 };

struct op_case {
    const struct op_info *info;
    int64_t size[128];                /* by letter */
    bool present[OP_FIELDS_MAX];
    bool wide[OP_FIELDS_MAX];         /* a range of columns of a wider tensor */
    int axis[OP_FIELDS_MAX][2];       /* two axes that stand exchanged in memory; equal: none */
    int rank[OP_FIELDS_MAX];
    int64_t dim[OP_FIELDS_MAX][TENSOR_RANK_MAX];
    double *value[OP_FIELDS_MAX];     /* dense; of OUT fields the upstream gradient */
    double number[OP_FIELDS_MAX];
    uint64_t key[OP_FIELDS_MAX];
};

/* A case's arguments in one backend's memory. */
struct op_bound {
    _Alignas(16) char args[OP_ARGS_MAX];
    void *memory[OP_FIELDS_MAX];
};

static inline int64_t op_case_count(const struct op_case *c, int f)
{
    int64_t count = 1;
    for (int i = 0; i < c->rank[f]; i++)
        count *= c->dim[f][i];
    return count;
}

/* Reads the sizes of field f out of its text: "N,I*", "L < 90", "H,D with gate", "C,65". */
static inline void op_case_sizes(struct op_case *c, int f)
{
    const char *at = c->info->field[f].spec;
    c->rank[f] = 0;
    while (*at && *at != ' ' && *at != '*') {
        int64_t size;
        if (*at >= '0' && *at <= '9') {
            char *end;
            size = strtol(at, &end, 10);
            at = end;
        } else {
            size = c->size[(unsigned char)*at++];
        }
        ASSERT(c->rank[f] < TENSOR_RANK_MAX && size > 0);
        c->dim[f][c->rank[f]++] = size;
        if (*at == ',')
            at++;
    }
}

static inline double op_case_draw(struct rng *rng, enum op_field_kind kind)
{
    if (kind == OP_FIELD_MASK) {
        const double masks[4] = {0, 1, 1, 0.5};
        return masks[rng_below(rng, 4)];
    }
    if (kind == OP_FIELD_VAL || kind == OP_FIELD_IO)
        return rng_below(rng, 4) ? 0.2 + 0.8 * rng_uniform_double(rng) : 0;
    return (double)rng_normal(rng);
}

/* Sizes are up to `largest`, but for those of the letters that `given` names, "L=90 C=30"; then all
 * are halved until no field is larger than OP_CASE_ELEMENTS_MAX. */
static inline struct op_case op_case_make_sized(enum op op, uint64_t seed, uint32_t largest,
                                                const char *given)
{
    struct op_case c = {.info = op_describe(op)};
    struct rng rng = rng_open(seed, 0, 0, c.info->name, 0);
    int64_t biggest;
    for (int letter = 'A'; letter <= 'Z'; letter++)
        c.size[letter] = 1 + rng_below(&rng, largest);
    for (const char *at = given; (at = strchr(at, '=')); at++)
        c.size[(unsigned char)at[-1]] = strtol(at + 1, NULL, 10);
    do {
        biggest = 0;
        for (int f = 0; f < c.info->field_count; f++) {
            if (!op_field_is_tensor(c.info->field[f].kind))
                continue;
            op_case_sizes(&c, f);
            int64_t count = op_case_count(&c, f);
            biggest = count > biggest ? count : biggest;
        }
        for (int letter = 'A'; biggest > OP_CASE_ELEMENTS_MAX && letter <= 'Z'; letter++)
            c.size[letter] = (c.size[letter] + 1) / 2;
    } while (biggest > OP_CASE_ELEMENTS_MAX);
    for (int f = 0; f < c.info->field_count; f++) {
        const struct op_field *field = &c.info->field[f];
        if (!op_field_is_tensor(field->kind)) {
            double low = 0, high = 0;
            if (sscanf(field->spec, "%lf,%lf", &low, &high) == 2)
                c.number[f] = field->kind == OP_FIELD_INT
                                  ? low + rng_below(&rng, (uint32_t)(high - low) + 1)
                                  : low + (high - low) * rng_uniform_double(&rng);
            c.key[f] = rng_u64(&rng);
            continue;
        }
        bool optional = field->kind == OP_FIELD_OPT || field->kind == OP_FIELD_MASK;
        c.present[f] = !optional || rng_below(&rng, 3) > 0;
        const char *with = strstr(field->spec, " with ");
        for (int other = 0; with && other < f; other++)
            if (strcmp(c.info->field[other].name, with + 6) == 0)
                c.present[f] = c.present[f] && c.present[other];
        c.wide[f] = strchr(field->spec, '*') && rng_below(&rng, 2);
        int64_t count = op_case_count(&c, f);
        c.value[f] = calloc((size_t)count, sizeof(double));
        ASSERT(c.value[f]);
        uint32_t bound = 0;
        const char *below = strchr(field->spec, '<');
        if (below)
            bound = below[2] >= '0' && below[2] <= '9'
                        ? (uint32_t)atoi(below + 2)
                        : (uint32_t)c.size[(unsigned char)below[2]];
        for (int64_t i = 0; i < count; i++) /* values that float holds exactly */
            c.value[f][i] = bound ? rng_below(&rng, bound)
                                  : (double)(float)op_case_draw(&rng, field->kind);
    }
    return c;
}

static inline struct op_case op_case_make(enum op op, uint64_t seed, uint32_t largest)
{
    return op_case_make_sized(op, seed, largest, "");
}

/* The values stay; the fields that the rows allow it for get other strides. */
static inline void op_case_exchange(struct op_case *c, struct rng *rng)
{
    static const struct {
        const char *op, *fields;
        int axis[2];
    } allowed[] = {
        {"layer_norm", "x", {0, 1}}, {"gate", "y", {0, 1}},
        {"matmul", "a b y", {1, 2}}, {"attention", "q k v gate y", {0, 1}},
        {"outer_mean", "a b", {0, 1}}, {"copy", "x y", {0, 3}},
        {"copy", "x", {1, 3}},       {"copy", "y", {1, 2}},
    };
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        for (int f = 0; f < c->info->field_count; f++)
            if (strcmp(c->info->name, allowed[i].op) == 0 &&
                strstr(allowed[i].fields, c->info->field[f].name) && rng_below(rng, 2)) {
                c->axis[f][0] = allowed[i].axis[0];
                c->axis[f][1] = allowed[i].axis[1];
            }
}

static inline void op_case_free(struct op_case *c)
{
    for (int f = 0; f < c->info->field_count; f++)
        free(c->value[f]);
}

/* A tensor of the field's sizes, and its strides; wide ones stand in rows with 3 + 5 others. The
 * row is the last axis, or the last two of four. */
static inline struct tensor op_case_tensor(const struct op_case *c, int f, enum tensor_kind kind,
                                           int64_t *elements, int64_t *offset)
{
    int64_t d[TENSOR_RANK_MAX];
    int rank = c->rank[f], axis = rank == 4 ? 2 : rank - 1, swap = c->axis[f][1];
    memcpy(d, c->dim[f], sizeof d);
    d[c->axis[f][0]] = c->dim[f][swap], d[swap] = c->dim[f][c->axis[f][0]];
    struct tensor t = tensor_make(NULL, kind, rank, d[0], d[1], d[2], d[3]);
    *offset = 0;
    if (c->wide[f] && rank > 1) {
        int64_t row = 8;
        for (int i = axis; i < rank; i++)
            row = i == axis ? d[i] : row * d[i];
        row += 8;
        for (int i = axis - 1; i >= 0; i--) {
            t.stride[i] = row;
            row *= d[i];
        }
        *offset = 3;
        *elements = row;
    } else {
        *elements = tensor_count(&t);
    }
    return tensor_swap(t, c->axis[f][0], swap);
}

/* Element number i (dense, row-major) of t lies at this place. */
static inline int64_t op_case_place(const struct tensor *t, int64_t i)
{
    int64_t place = 0;
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        place += i % t->dim[axis] * t->stride[axis];
        i /= t->dim[axis];
    }
    return place;
}

/* Copies values (dense; NULL: `constant` everywhere) into a tensor bound before. */
static inline void op_case_write(struct backend *b, const struct op_case *c, int f,
                                 const struct op_bound *bound, const double *values,
                                 double constant)
{
    struct tensor *t = (struct tensor *)(void *)((char *)(uintptr_t)bound->args +
                                                 c->info->field[f].offset);
    int64_t elements, offset;
    op_case_tensor(c, f, t->kind, &elements, &offset);
    size_t size = tensor_kind_bytes(t->kind);
    char *image = calloc((size_t)elements, size);
    ASSERT(image);
    for (int64_t i = 0; i < tensor_count(t); i++) {
        char *to = image + (size_t)(offset + op_case_place(t, i)) * size;
        double v = values ? values[i] : constant;
        float as_float = (float)v;
        int32_t as_int = (int32_t)v;
        memcpy(to, t->kind == TENSOR_F64 ? (const void *)&v : t->kind == TENSOR_F32
                       ? (const void *)&as_float : (const void *)&as_int, size);
    }
    b->copy_in(b, bound->memory[f], image, (size_t)elements * size);
    free(image);
}

/* The field's values, dense; the caller frees. */
static inline double *op_case_read(struct backend *b, const struct op_case *c, int f,
                                   const struct op_bound *bound)
{
    const struct tensor *t =
        (const struct tensor *)(const void *)(bound->args + c->info->field[f].offset);
    int64_t elements, offset, count = tensor_count(t);
    op_case_tensor(c, f, t->kind, &elements, &offset);
    size_t size = tensor_kind_bytes(t->kind);
    char *image = malloc((size_t)elements * size);
    double *values = malloc((size_t)count * sizeof *values);
    ASSERT(image && values);
    b->copy_out(b, image, bound->memory[f], (size_t)elements * size);
    for (int64_t i = 0; i < count; i++) {
        const char *from = image + (size_t)(offset + op_case_place(t, i)) * size;
        float as_float;
        if (t->kind == TENSOR_F64) {
            memcpy(&values[i], from, size);
        } else {
            memcpy(&as_float, from, size);
            values[i] = (double)as_float;
        }
    }
    free(image);
    return values;
}

/* Arguments in b's memory. gradients: the struct g of a backward call - OUT fields hold the
 * upstream gradient, IN and OPT fields `prefill` with add set, or garbage with add clear. */
static inline void op_case_bind(struct backend *b, const struct op_case *c, bool gradients,
                                bool add, double prefill, struct op_bound *bound)
{
    memset(bound, 0, sizeof *bound);
    ASSERT(c->info->args_bytes <= OP_ARGS_MAX);
    for (int f = 0; f < c->info->field_count; f++) {
        const struct op_field *field = &c->info->field[f];
        char *at = bound->args + field->offset;
        int as_int = (int)c->number[f];
        if (field->kind == OP_FIELD_INT)
            memcpy(at, &as_int, sizeof as_int);
        if (field->kind == OP_FIELD_NUM)
            memcpy(at, &c->number[f], sizeof(double));
        if (field->kind == OP_FIELD_KEY)
            memcpy(at, &c->key[f], sizeof(uint64_t));
        bool input = field->kind == OP_FIELD_IN || field->kind == OP_FIELD_OPT;
        bool output = field->kind == OP_FIELD_OUT;
        if (!op_field_is_tensor(field->kind) || !c->present[f] || (gradients && !input && !output))
            continue;
        enum tensor_kind kind = field->kind == OP_FIELD_IDX ? TENSOR_I32 : b->real;
        int64_t elements, offset;
        struct tensor t = op_case_tensor(c, f, kind, &elements, &offset);
        bound->memory[f] = b->alloc(b, (size_t)elements * tensor_kind_bytes(kind));
        ASSERT(bound->memory[f]);
        t.data = (char *)bound->memory[f] + (size_t)offset * tensor_kind_bytes(kind);
        t.add = gradients && input && add;
        memcpy(at, &t, sizeof t);
        bool given = gradients ? output : !output && field->kind != OP_FIELD_AUX;
        op_case_write(b, c, f, bound, given ? c->value[f] : NULL, add ? prefill : 1e30);
    }
}

static inline void op_case_release(struct backend *b, struct op_bound *bound)
{
    for (int f = 0; f < OP_FIELDS_MAX; f++)
        b->release(b, bound->memory[f]);
}

#endif
