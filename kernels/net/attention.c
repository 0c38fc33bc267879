/* MSA row attention with pair bias. Queries, keys, values and gates come from one GEMM whose
 * weights lie together; the attention op reads its columns. */
#include "kernels/net/modules.h"

struct row_attention row_attention_declare(struct params *p, const char *prefix, int64_t c_m,
                                           int64_t c_z, int64_t heads, int64_t dims)
{
    struct row_attention a = {.heads = heads, .dims = dims};
    int64_t wide = heads * dims;
    a.norm_m = layer_norm_declare(p, prefix, "layer_norm_m", c_m);
    a.norm_z = layer_norm_declare(p, prefix, "layer_norm_z", c_z);
    a.bias = params_add(p, prefix, "linear_z.weight", heads, c_z, INIT_NORMAL, false);
    struct weight q = params_add(p, prefix, "mha.linear_q.weight", wide, c_m, INIT_GLOROT, false);
    params_add(p, prefix, "mha.linear_k.weight", wide, c_m, INIT_GLOROT, true);
    params_add(p, prefix, "mha.linear_v.weight", wide, c_m, INIT_GLOROT, true);
    params_add(p, prefix, "mha.linear_g.weight", wide, c_m, INIT_ZERO, true);
    a.qkvg = weight_join(q, 4 * wide, c_m);
    struct weight gate = params_add(p, prefix, "mha.linear_g.bias", wide, 0, INIT_ONE, false);
    a.gate_bias = weight_join(gate, heads, dims);
    a.out = linear_declare(p, prefix, "mha.linear_o", c_m, wide, INIT_ZERO);
    return a;
}

/* bias[H,L,L] from z. */
static struct tensor pair_bias(struct tape *t, const struct row_attention *a, struct tensor z)
{
    int64_t length = z.dim[0];
    struct tensor norm = layer_norm_run(t, a->norm_z, z);
    struct tensor last = tape_tensor(t, 2, norm.dim[0], a->heads, 1, 1);
    tape_linear(t, (struct op_linear){.x = norm, .w = tape_weight(t, a->bias), .y = last});
    struct tensor first = tape_tensor(t, 3, a->heads, length, length, 1);
    struct tensor to = tensor_make(first.data, first.kind, 4, 1, a->heads, length, length);
    struct tensor from = tensor_make(last.data, last.kind, 4, 1, length, length, a->heads);
    to.slot = first.slot, from.slot = last.slot;
    from = tensor_swap(tensor_swap(from, 1, 3), 2, 3); /* [1,H,L,L] of [1,L,L,H] */
    tape_copy(t, (struct op_copy){.x = from, .y = to});
    return first;
}

void row_attention_run(struct tape *t, const struct row_attention *a, const struct masks *masks,
                       struct tape_stream *m, const struct tape_stream *z)
{
    struct tape_mark mark = tape_begin(t);
    int64_t rows = m->now.dim[0], length = m->now.dim[1], wide = a->heads * a->dims;
    struct tensor bias = pair_bias(t, a, z->now);
    struct tensor norm = layer_norm_run(t, a->norm_m, m->now);
    struct tensor all = tape_tensor(t, 3, rows, length, 4 * wide, 1);
    tape_linear(t, (struct op_linear){
                       .x = norm, .w = tape_weight(t, a->qkvg), .y = tensor_rows(all)});
    struct tensor part[4];
    for (int i = 0; i < 4; i++)
        part[i] = tensor_split(tensor_columns(all, i * wide, wide), a->heads, a->dims);
    struct tensor y = tape_tensor(t, 4, rows, length, a->heads, a->dims);
    struct tensor lse = tape_constant(t, y.kind, 3, rows, a->heads, length, 1);
    tape_attention(t, (struct op_attention){.q = part[0],
                                            .k = part[1],
                                            .v = part[2],
                                            .gate = part[3],
                                            .gate_bias = tape_weight(t, a->gate_bias),
                                            .mask = masks->msa,
                                            .bias = bias,
                                            .y = y,
                                            .lse = lse});
    struct tensor flat = tensor_make(y.data, y.kind, 2, rows * length, wide, 1, 1);
    flat.slot = y.slot;
    residual_run(t, m, linear_run(t, a->out, flat), a->dropout, 0, a->site);
    tape_end(t, mark);
}
