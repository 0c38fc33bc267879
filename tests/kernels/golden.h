/* Golden cases of the network: an npz file of inputs, parameters, outputs and gradients, and the
 * error that the reference's own float32 run has against its float64 one. FOLDMILL_GOLDEN names the
 * folder that holds `model`, with the cases and manifest.tsv. */
#ifndef FOLDMILL_TESTS_KERNELS_GOLDEN_H
#define FOLDMILL_TESTS_KERNELS_GOLDEN_H

#include "engine/base/file.h"
#include "engine/base/npz.h"
#include "kernels/net/modules.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The float backend that golden cases are held to beside the double one: the cpu, or the one that
 * FOLDMILL_GOLDEN_BACKEND names (tools/gpu-check says cuda). */
static inline struct backend *golden_backend(int threads)
{
    const char *name = getenv("FOLDMILL_GOLDEN_BACKEND");
    struct backend *b = NULL;
    struct error err = {0};
    if (!name)
        return cpu_backend_open(threads);
    cr_assert(backend_open(name, 0, &b, &err) == STATUS_OK, "FOLDMILL_GOLDEN_BACKEND=%s: %s", name,
              err.text);
    return b;
}

struct golden {
    const char *name;
    struct arena arena;
    struct npz npz;
    struct span manifest;
};

/* Opens the case, or skips the test when there is no golden data. */
static inline void golden_open(struct golden *g, const char *name)
{
    const char *folder = getenv("FOLDMILL_GOLDEN");
    if (!folder)
        cr_skip("FOLDMILL_GOLDEN is not set");
    char path[1024];
    struct span content;
    struct error err = {0};
    g->name = name;
    arena_open(&g->arena, 0);
    snprintf(path, sizeof path, "%s/model/%s.npz", folder, name);
    cr_assert(file_read(path, 1u << 28, &g->arena, &content, &err) == STATUS_OK, "%s", err.text);
    cr_assert(npz_parse(content, &g->arena, &g->npz, &err) == STATUS_OK, "%s", err.text);
    snprintf(path, sizeof path, "%s/model/manifest.tsv", folder);
    cr_assert(file_read(path, 1u << 26, &g->arena, &g->manifest, &err) == STATUS_OK, "%s",
              err.text);
}

static inline void golden_close(struct golden *g)
{
    arena_close(&g->arena);
}

/* The array's values, int or float, as double. */
static inline double *golden_values(struct golden *g, const char *key,
                                    const struct npz_array **array)
{
    const struct npz_array *a = npz_find(&g->npz, key);
    cr_assert(a != NULL, "%s has no array %s", g->name, key);
    cr_assert(a->kind == NPZ_F32 || a->kind == NPZ_I32, "%s %s: kind", g->name, key);
    double *values = arena_zero(&g->arena, a->count + 1, sizeof *values);
    for (uint64_t i = 0; i < a->count; i++) {
        float f;
        int32_t n;
        memcpy(&f, (const char *)a->data + 4 * i, 4);
        memcpy(&n, (const char *)a->data + 4 * i, 4);
        values[i] = a->kind == NPZ_F32 ? (double)f : n;
    }
    if (array)
        *array = a;
    return values;
}

/* rms and relative rms error from the manifest. */
static inline void golden_manifest(struct golden *g, const char *key, double *rms, double *error)
{
    struct span rest = g->manifest, line;
    char wanted[256];
    int size = snprintf(wanted, sizeof wanted, "%s\t%s\t", g->name, key);
    while (span_line(&rest, &line)) {
        if (!span_starts(line, wanted))
            continue;
        char text[256] = {0};
        size_t left = line.size - (size_t)size;
        memcpy(text, line.data + size, left < sizeof text ? left : sizeof text - 1);
        cr_assert(sscanf(text, "%*s %*s %lf %*s %lf", rms, error) == 2, "manifest: %s", text);
        return;
    }
    cr_assert(false, "manifest has no %s %s", g->name, key);
}

/* got[count] against the array: rms error / rms <= max(least, 8 x the reference's own). Gradients
 * that are zero by analysis are compared absolutely. */
static inline void golden_check_within(struct golden *g, const char *key, const double *got,
                                       int64_t count, const char *where, double least)
{
    const struct npz_array *array;
    const double *wanted = golden_values(g, key, &array);
    double rms, own, error = 0, square = 0;
    golden_manifest(g, key, &rms, &own);
    cr_assert((int64_t)array->count == count, "%s %s: %lld values, wanted %lld", g->name, key,
              (long long)count, (long long)array->count);
    for (int64_t i = 0; i < count; i++) {
        error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
        square += wanted[i] * wanted[i];
    }
    error = sqrt(error / (double)count), square = sqrt(square / (double)count);
    if (rms < 1e-9) {
        cr_assert(error < 1e-5, "%s %s (%s): %.3g, wanted 0", g->name, key, where, error);
        return;
    }
    double limit = fmax(8 * own, least);
    cr_assert(error <= limit * square, "%s %s (%s): rms error / rms %.3g, limit %.3g", g->name, key,
              where, error / square, limit);
}

static inline void golden_check(struct golden *g, const char *key, const double *got,
                                int64_t count, const char *where)
{
    golden_check_within(g, key, got, count, where, 2e-6);
}

/* A tape over the case's parameters, on one backend. */
struct rig {
    struct golden *g;
    struct backend *b;
    struct params params;
    struct tape tape;
    char *weights, *gradients;
};

static inline void rig_put(struct backend *b, void *to, const double *values, int64_t count)
{
    size_t size = tensor_kind_bytes(b->real);
    char *image = malloc((size_t)count * size);
    cr_assert(image != NULL, "memory");
    for (int64_t i = 0; i < count; i++) {
        float f = (float)values[i];
        memcpy(image + (size_t)i * size, size == 8 ? (const void *)&values[i] : (const void *)&f,
               size);
    }
    b->copy_in(b, to, image, (size_t)count * size);
    free(image);
}

static inline double *rig_get(struct rig *r, const void *from, int64_t count)
{
    size_t size = tensor_kind_bytes(r->b->real);
    double *values = arena_zero(&r->g->arena, (size_t)count + 1, sizeof *values);
    char *image = malloc((size_t)count * size);
    cr_assert(image != NULL, "memory");
    r->b->copy_out(r->b, image, from, (size_t)count * size);
    for (int64_t i = 0; i < count; i++) {
        float f;
        memcpy(&f, image + (size_t)i * size, 4);
        if (size == 8)
            memcpy(&values[i], image + (size_t)i * size, 8);
        else
            values[i] = (double)f;
    }
    free(image);
    return values;
}

/* Call after the parameters are declared in r->params. */
static inline void rig_open(struct rig *r, struct golden *g, struct backend *b)
{
    size_t size = tensor_kind_bytes(b->real);
    struct error err;
    struct tape_size room = {.bytes = 1u << 26, .args_bytes = 1u << 20, .slots = 4096,
                             .records = 4096};
    r->g = g, r->b = b;
    r->weights = b->alloc(b, (size_t)(r->params.size + 1) * size);
    r->gradients = b->alloc(b, (size_t)(r->params.size + 1) * size);
    cr_assert(r->weights && r->gradients, "memory");
    for (int i = 0; i < r->params.count; i++) {
        const struct parameter *p = &r->params.item[i];
        char key[128];
        snprintf(key, sizeof key, "p.%s", p->name);
        rig_put(b, r->weights + (size_t)p->offset * size, golden_values(g, key, NULL), p->count);
    }
    cr_assert(tape_open(&r->tape, b, room, r->weights, r->gradients, &err) == STATUS_OK, "%s",
              err.text);
}

/* Closes without a comparison. */
static inline void rig_free(struct rig *r)
{
    tape_close(&r->tape);
    params_close(&r->params);
    r->b->release(r->b, r->weights);
    r->b->release(r->b, r->gradients);
}

/* Compares the gradients of all parameters and closes. */
static inline void rig_close(struct rig *r)
{
    size_t size = tensor_kind_bytes(r->b->real);
    for (int i = 0; i < r->params.count; i++) {
        const struct parameter *p = &r->params.item[i];
        char key[128];
        snprintf(key, sizeof key, "gp.%s", p->name);
        const double *got = rig_get(r, r->gradients + (size_t)p->offset * size, p->count);
        golden_check(r->g, key, got, p->count, size == 8 ? "double" : "float");
    }
    rig_free(r);
}

/* An input array as a constant of its own shape. */
static inline struct tensor rig_constant(struct rig *r, const char *key)
{
    const struct npz_array *a;
    const double *values = golden_values(r->g, key, &a);
    int64_t d[TENSOR_RANK_MAX] = {1, 1, 1, 1};
    for (int i = 0; i < a->rank; i++)
        d[i] = (int64_t)a->size[i];
    struct tensor t = tape_constant(&r->tape, r->b->real, a->rank, d[0], d[1], d[2], d[3]);
    rig_put(r->b, t.data, values, (int64_t)a->count);
    return t;
}

static inline struct tensor rig_integers(struct rig *r, const char *key)
{
    const struct npz_array *a;
    const double *values = golden_values(r->g, key, &a);
    struct tensor t = tape_constant(&r->tape, TENSOR_I32, 1, (int64_t)a->count, 1, 1, 1);
    int32_t *numbers = arena_zero(&r->g->arena, a->count, sizeof *numbers);
    for (uint64_t i = 0; i < a->count; i++)
        numbers[i] = (int32_t)values[i];
    r->b->copy_in(r->b, t.data, numbers, a->count * sizeof *numbers);
    return t;
}

/* All masks that a block sees. */
static inline struct masks rig_masks(struct rig *r, const char *msa, const char *pair)
{
    struct masks masks = {.msa = rig_constant(r, msa), .pair = rig_constant(r, pair)};
    masks.msa_columns = mask_turn(&r->tape, masks.msa);
    masks.pair_columns = mask_turn(&r->tape, masks.pair);
    masks.outer_norm = tape_constant(&r->tape, r->b->real, 2, masks.pair.dim[0],
                                     masks.pair.dim[0], 1, 1);
    tape_mask_norm(&r->tape, (struct op_mask_norm){
                                 .mask = masks.msa, .y = masks.outer_norm, .eps = OUTER_NORM_EPS});
    return masks;
}

/* An input array [A,B,C] as a stream, whose gradient is kept to the end. */
static inline struct tape_stream rig_stream(struct rig *r, const char *key)
{
    const struct npz_array *a;
    const double *values = golden_values(r->g, key, &a);
    cr_assert(a->rank == 3, "%s: rank %d", key, a->rank);
    struct tape_stream s = tape_stream_open(&r->tape, (int64_t)a->size[0], (int64_t)a->size[1],
                                            (int64_t)a->size[2]);
    rig_put(r->b, s.now.data, values, (int64_t)a->count);
    return s;
}

/* x[i] *= mask[i / width]. */
static inline void golden_mask(double *x, int64_t count, const double *mask, int64_t width)
{
    for (int64_t i = 0; mask && i < count; i++)
        x[i] *= mask[i / width];
}

/* Checks y against `out`, and makes `gout` the upstream gradient; mask: [rows] or NULL. */
static inline void rig_check_masked(struct rig *r, struct tensor y, const char *out,
                                    const char *gout, const double *mask)
{
    int64_t count = tensor_count(&y), width = y.dim[y.rank - 1];
    double *got = rig_get(r, y.data, count);
    golden_mask(got, count, mask, width);
    golden_check(r->g, out, got, count, r->b->real == TENSOR_F64 ? "double" : "float");
    double *up = golden_values(r->g, gout, NULL);
    golden_mask(up, count, mask, width);
    struct tensor staging = tape_constant(&r->tape, r->b->real, 1, count, 1, 1, 1);
    rig_put(r->b, staging.data, up, count);
    tape_seed(&r->tape, y, staging.data); /* cpu memory is host memory */
}

static inline void rig_check_output(struct rig *r, struct tensor y, const char *out,
                                    const char *gout)
{
    rig_check_masked(r, y, out, gout, NULL);
}

/* A module that updates a stream: out.y = new - old, gin = gradient - upstream (the residual's
 * share). Seeds the stream with gout.y, runs backward, and compares. mask: [A*B] or NULL. */
static inline void rig_check_update(struct rig *r, const struct tape_stream *before,
                                    const struct tape_stream *after, const char *input,
                                    const double *mask)
{
    const char *where = r->b->real == TENSOR_F64 ? "double" : "float";
    int64_t count = tensor_count(&after->now), width = after->now.dim[2];
    char key[64];
    double *x = rig_get(r, before->now.data, count), *y = rig_get(r, after->now.data, count);
    for (int64_t i = 0; i < count; i++)
        y[i] -= x[i];
    golden_mask(y, count, mask, width);
    golden_check(r->g, "out.y", y, count, where);
    double *up = golden_values(r->g, "gout.y", NULL);
    golden_mask(up, count, mask, width);
    struct tensor root = after->now;
    size_t size = tensor_kind_bytes(r->b->real);
    char *image = arena_alloc(&r->g->arena, (size_t)count * size);
    for (int64_t i = 0; i < count; i++) {
        float f = (float)up[i];
        memcpy(image + (size_t)i * size, size == 8 ? (const void *)&up[i] : (const void *)&f, size);
    }
    tape_seed(&r->tape, root, image);
    tape_back(&r->tape);
    double *gin = rig_get(r, tape_gradient(&r->tape, before->now).data, count);
    for (int64_t i = 0; i < count; i++)
        gin[i] -= up[i];
    snprintf(key, sizeof key, "gin.%s", input);
    golden_check(r->g, key, gin, count, where);
}

/* The gradient of an input that was not updated. */
static inline void rig_check_input(struct rig *r, struct tensor input, const char *key)
{
    struct tensor gradient = tape_gradient(&r->tape, input);
    cr_assert(gradient.data != NULL, "%s has no gradient", key);
    golden_check(r->g, key, rig_get(r, gradient.data, tensor_count(&input)), tensor_count(&input),
                 r->b->real == TENSOR_F64 ? "double" : "float");
}

#endif
