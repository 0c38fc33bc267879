/* Outer product mean: what the MSA representation tells the pair representation. */
#include "kernels/net/modules.h"

struct outer_product outer_product_declare(struct params *p, const char *prefix, int64_t c_m,
                                           int64_t c_z, int64_t hidden)
{
    struct outer_product a = {.hidden = hidden};
    a.norm = layer_norm_declare(p, prefix, "layer_norm", c_m);
    struct weight w = params_add(p, prefix, "linear_1.weight", hidden, c_m, INIT_LECUN, false);
    params_add(p, prefix, "linear_2.weight", hidden, c_m, INIT_LECUN, true);
    struct weight b = params_add(p, prefix, "linear_1.bias", hidden, 0, INIT_ZERO, false);
    params_add(p, prefix, "linear_2.bias", hidden, 0, INIT_ZERO, true);
    a.ab = (struct layer){weight_join(w, 2 * hidden, c_m), weight_join(b, 2 * hidden, 0)};
    a.out = linear_declare(p, prefix, "linear_out", c_z, hidden * hidden, INIT_ZERO);
    return a;
}

void outer_product_run(struct tape *t, const struct outer_product *a, const struct masks *masks,
                       const struct tape_stream *m, struct tape_stream *z)
{
    struct tape_mark mark = tape_begin(t, "outer product mean");
    int64_t rows = m->now.dim[0], length = m->now.dim[1];
    struct tensor norm = layer_norm_run(t, a->norm, m->now);
    struct tensor ab = tape_tensor(t, 3, rows, length, 2 * a->hidden, 1);
    struct tensor scale = masks->msa.data ? tensor_flat(masks->msa) : masks->msa;
    tape_linear(t, (struct op_linear){.x = norm,
                                      .w = tape_weight(t, a->ab.w),
                                      .b = tape_weight(t, a->ab.b),
                                      .scale = scale,
                                      .y = tensor_rows(ab)});
    struct tensor next = tape_stream_next(t, z);
    struct tensor w = tensor_split(tape_weight(t, a->out.w), a->hidden, a->hidden);
    tape_outer_mean(t, (struct op_outer_mean){.a = tensor_columns(ab, 0, a->hidden),
                                              .b = tensor_columns(ab, a->hidden, a->hidden),
                                              .w = w,
                                              .bias = tape_weight(t, a->out.b),
                                              .scale = masks->outer_norm,
                                              .res = z->now,
                                              .y = next});
    tape_stream_set(t, z, next);
    tape_end(t, mark);
}
