/* Gated attention over the rows or the columns of a representation: MSA row attention with pair
 * bias, MSA column attention, and triangle attention around the starting and the ending node.
 * Queries, keys, values and gates come from one GEMM whose weights lie together; the attention op
 * reads its columns, and columns of the representation are attended by view, without a transpose.
 */
#include "kernels/net/modules.h"

#include <stdio.h>

struct gated_attention gated_attention_declare(struct params *p, const char *prefix,
                                               int64_t channels, int64_t heads, int64_t dims)
{
    struct gated_attention a = {.heads = heads, .dims = dims};
    int64_t wide = heads * dims;
    struct weight q =
        params_add(p, prefix, "mha.linear_q.weight", wide, channels, INIT_GLOROT, false);
    params_add(p, prefix, "mha.linear_k.weight", wide, channels, INIT_GLOROT, true);
    params_add(p, prefix, "mha.linear_v.weight", wide, channels, INIT_GLOROT, true);
    params_add(p, prefix, "mha.linear_g.weight", wide, channels, INIT_ZERO, true);
    a.qkvg = weight_join(q, 4 * wide, channels);
    struct weight gate = params_add(p, prefix, "mha.linear_g.bias", wide, 0, INIT_ONE, false);
    a.gate_bias = weight_join(gate, heads, dims);
    a.out = linear_declare(p, prefix, "mha.linear_o", channels, wide, INIT_ZERO);
    return a;
}

struct tensor gated_attention_run(struct tape *t, const struct gated_attention *a, struct tensor x,
                                  int64_t rows, bool columns, struct tensor mask,
                                  struct tensor bias)
{
    int64_t length = x.dim[0] / rows, wide = a->heads * a->dims;
    struct tensor all = tape_tensor(t, 3, rows, length, 4 * wide, 1);
    tape_linear(t, (struct op_linear){
                       .x = x, .w = tape_weight(t, a->qkvg), .y = tensor_rows(all)});
    struct tensor y = tape_tensor(t, 4, rows, length, a->heads, a->dims);
    struct tensor part[5];
    for (int i = 0; i < 4; i++)
        part[i] = tensor_split(tensor_columns(all, i * wide, wide), a->heads, a->dims);
    part[4] = y;
    for (int i = 0; columns && i < 5; i++)
        part[i] = tensor_swap(part[i], 0, 1);
    struct tensor lse =
        tape_constant(t, y.kind, 3, part[0].dim[0], a->heads, part[0].dim[1], 1);
    tape_attention(t, (struct op_attention){.q = part[0],
                                            .k = part[1],
                                            .v = part[2],
                                            .gate = part[3],
                                            .gate_bias = tape_weight(t, a->gate_bias),
                                            .mask = mask,
                                            .bias = bias,
                                            .y = part[4],
                                            .lse = lse});
    struct tensor flat = tensor_make(y.data, y.kind, 2, rows * length, wide, 1, 1);
    flat.slot = y.slot;
    return flat;
}

/* bias[H,L,L] = w x of the normalised pair representation x[L*L,C]; turned: of its transpose. */
static struct tensor pair_bias(struct tape *t, struct weight w, struct tensor x, int64_t length,
                               bool turned)
{
    int64_t heads = w.dim[0];
    struct tensor last = tape_tensor(t, 2, x.dim[0], heads, 1, 1);
    tape_linear(t, (struct op_linear){.x = x, .w = tape_weight(t, w), .y = last});
    struct tensor first = tape_tensor(t, 3, heads, length, length, 1);
    struct tensor to = tensor_make(first.data, first.kind, 4, 1, heads, length, length);
    struct tensor from = tensor_make(last.data, last.kind, 4, 1, length, length, heads);
    to.slot = first.slot, from.slot = last.slot;
    from = tensor_swap(tensor_swap(from, 1, 3), 2, 3); /* [1,H,L,L] of [1,L,L,H] */
    if (turned)
        from = tensor_swap(from, 2, 3);
    tape_copy(t, (struct op_copy){.x = from, .y = to});
    return first;
}

struct row_attention row_attention_declare(struct params *p, const char *prefix, int64_t c_m,
                                           int64_t c_z, int64_t heads, int64_t dims)
{
    struct row_attention a = {0};
    a.norm_m = layer_norm_declare(p, prefix, "layer_norm_m", c_m);
    a.norm_z = layer_norm_declare(p, prefix, "layer_norm_z", c_z);
    a.bias = params_add(p, prefix, "linear_z.weight", heads, c_z, INIT_NORMAL, false);
    a.core = gated_attention_declare(p, prefix, c_m, heads, dims);
    return a;
}

void row_attention_run(struct tape *t, const struct row_attention *a, const struct masks *masks,
                       struct tape_stream *m, const struct tape_stream *z)
{
    struct tape_mark mark = tape_begin(t, "row attention");
    struct tensor bias =
        pair_bias(t, a->bias, layer_norm_run(t, a->norm_z, z->now), z->now.dim[0], false);
    struct tensor norm = layer_norm_run(t, a->norm_m, m->now);
    struct tensor y =
        gated_attention_run(t, &a->core, norm, m->now.dim[0], false, masks->msa, bias);
    residual_run(t, m, linear_run(t, a->core.out, y), a->dropout, 0, a->site);
    tape_end(t, mark);
}

struct column_attention column_attention_declare(struct params *p, const char *prefix, int64_t c_m,
                                                 int64_t heads, int64_t dims)
{
    char inner[PARAM_NAME_MAX];
    snprintf(inner, sizeof inner, "%s%s_msa_att", prefix, *prefix ? "." : "");
    struct column_attention a;
    a.norm = layer_norm_declare(p, inner, "layer_norm_m", c_m);
    a.core = gated_attention_declare(p, inner, c_m, heads, dims);
    return a;
}

void column_attention_run(struct tape *t, const struct column_attention *a,
                          const struct masks *masks, struct tape_stream *m)
{
    struct tape_mark mark = tape_begin(t, "column attention");
    struct tensor norm = layer_norm_run(t, a->norm, m->now), none = {0};
    struct tensor y =
        gated_attention_run(t, &a->core, norm, m->now.dim[0], true, masks->msa_columns, none);
    linear_add_run(t, a->core.out, y, m);
    tape_end(t, mark);
}

struct triangle_attention triangle_attention_declare(struct params *p, const char *prefix,
                                                     int64_t c_z, int64_t heads, int64_t dims,
                                                     bool ending)
{
    struct triangle_attention a = {.ending = ending};
    a.norm = layer_norm_declare(p, prefix, "layer_norm", c_z);
    a.bias = params_add(p, prefix, "linear.weight", heads, c_z, INIT_NORMAL, false);
    a.core = gated_attention_declare(p, prefix, c_z, heads, dims);
    return a;
}

void triangle_attention_run(struct tape *t, const struct triangle_attention *a,
                            const struct masks *masks, struct tape_stream *z)
{
    struct tape_mark mark = tape_begin(t, a->ending ? "triangle attention end"
                                                     : "triangle attention start");
    int64_t length = z->now.dim[0];
    struct tensor norm = layer_norm_run(t, a->norm, z->now);
    struct tensor bias = pair_bias(t, a->bias, norm, length, a->ending);
    struct tensor mask = a->ending ? masks->pair_columns : masks->pair;
    struct tensor y = gated_attention_run(t, &a->core, norm, length, a->ending, mask, bias);
    /* dropped whole rows of the starting node, whole columns of the ending one */
    residual_run(t, z, linear_run(t, a->core.out, y), a->dropout, a->ending ? 1 : 0, a->site);
    tape_end(t, mark);
}
