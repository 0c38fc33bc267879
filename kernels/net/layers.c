/* The small pieces that all modules are made of. */
#include "kernels/net/modules.h"

#include <stdio.h>

struct layer layer_norm_declare(struct params *p, const char *prefix, const char *name,
                                int64_t channels)
{
    char w[PARAM_NAME_MAX], b[PARAM_NAME_MAX];
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(b, sizeof b, "%s.bias", name);
    struct layer norm;
    norm.w = params_add(p, prefix, w, channels, 0, INIT_ONE, false);
    norm.b = params_add(p, prefix, b, channels, 0, INIT_ZERO, false);
    return norm;
}

struct layer linear_declare(struct params *p, const char *prefix, const char *name, int64_t out,
                            int64_t in, enum param_init init)
{
    char w[PARAM_NAME_MAX], b[PARAM_NAME_MAX];
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(b, sizeof b, "%s.bias", name);
    struct layer linear;
    linear.w = params_add(p, prefix, w, out, in, init, false);
    linear.b = params_add(p, prefix, b, out, 0, INIT_ZERO, false);
    return linear;
}

struct tensor layer_norm_run(struct tape *t, struct layer norm, struct tensor x)
{
    struct tensor rows = x.rank == 2 ? x : tensor_rows(x);
    struct tensor y = tape_tensor(t, 2, rows.dim[0], rows.dim[1], 1, 1);
    struct tensor stat = tape_constant(t, y.kind, 2, rows.dim[0], 2, 1, 1);
    tape_layer_norm(t, (struct op_layer_norm){.x = rows,
                                              .w = tape_weight(t, norm.w),
                                              .b = tape_weight(t, norm.b),
                                              .y = y,
                                              .stat = stat});
    return y;
}

struct tensor linear_run(struct tape *t, struct layer linear, struct tensor x)
{
    struct tensor y = tape_tensor(t, 2, x.dim[0], linear.w.dim[0], 1, 1);
    tape_linear(t, (struct op_linear){.x = x,
                                      .w = tape_weight(t, linear.w),
                                      .b = tape_weight(t, linear.b),
                                      .y = y});
    return y;
}

void linear_add_run(struct tape *t, struct layer linear, struct tensor x, struct tape_stream *s)
{
    struct tensor next = tape_stream_next(t, s);
    tape_linear(t, (struct op_linear){.x = x,
                                      .w = tape_weight(t, linear.w),
                                      .b = tape_weight(t, linear.b),
                                      .res = tensor_rows(s->now),
                                      .y = tensor_rows(next)});
    tape_stream_set(t, s, next);
}

struct tensor mask_turn(struct tape *t, struct tensor mask)
{
    int64_t a = mask.dim[0], b = mask.dim[1];
    ASSERT(tensor_dense(&mask) && mask.slot == 0);
    struct tensor turned = tape_constant(t, mask.kind, 2, b, a, 1, 1);
    tape_copy(t, (struct op_copy){
                     .x = tensor_swap(tensor_make(mask.data, mask.kind, 4, 1, 1, a, b), 2, 3),
                     .y = tensor_make(turned.data, turned.kind, 4, 1, 1, b, a)});
    return turned;
}

void residual_run(struct tape *t, struct tape_stream *s, struct tensor u, double rate, int shared,
                  int site)
{
    struct tensor next = tape_stream_next(t, s);
    struct tensor update =
        tensor_make(u.data, u.kind, 3, next.dim[0], next.dim[1], next.dim[2], 1);
    ASSERT(tensor_dense(&u) && tensor_count(&u) == tensor_count(&next));
    update.slot = u.slot;
    tape_residual(t, (struct op_residual){.x = s->now,
                                          .u = update,
                                          .y = next,
                                          .rate = t->dropout ? rate : 0,
                                          .shared = shared,
                                          .site = site,
                                          .seed = t->seed,
                                          .position = t->position});
    tape_stream_set(t, s, next);
}
