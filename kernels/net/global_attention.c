/* Global column attention of the extra MSA stack: one query a head and column, the mean of the rows
 * that have it, attends to all rows; its answer goes to each row through the row's own gate. Heads
 * share keys and values, so that to the attention op they are queries of one head. */
#include "kernels/net/modules.h"

struct global_attention global_attention_declare(struct params *p, const char *prefix, int64_t c_m,
                                                 int64_t heads, int64_t dims)
{
    struct global_attention a = {.heads = heads, .dims = dims};
    int64_t wide = heads * dims;
    a.norm = layer_norm_declare(p, prefix, "layer_norm_m", c_m);
    a.query = params_add(p, prefix, "global_attention.linear_q.weight", wide, c_m, INIT_GLOROT,
                         false);
    struct weight k = params_add(p, prefix, "global_attention.linear_k.weight", dims, c_m,
                                 INIT_GLOROT, false);
    params_add(p, prefix, "global_attention.linear_v.weight", dims, c_m, INIT_GLOROT, true);
    a.key_value = weight_join(k, 2 * dims, c_m);
    a.gate.w = params_add(p, prefix, "global_attention.linear_g.weight", wide, c_m, INIT_ZERO,
                          false);
    a.gate.b = params_add(p, prefix, "global_attention.linear_g.bias", wide, 0, INIT_ONE, false);
    a.out = linear_declare(p, prefix, "global_attention.linear_o", c_m, wide, INIT_ZERO);
    return a;
}

/* values[L,H*D]: what each column's queries find. norm: [S*L,C]. */
static struct tensor column_values(struct tape *t, const struct global_attention *a,
                                   const struct masks *masks, struct tensor norm, int64_t rows)
{
    int64_t length = norm.dim[0] / rows, wide = a->heads * a->dims;
    struct tensor x = tensor_make(norm.data, norm.kind, 3, rows, length, norm.dim[1], 1);
    x.slot = norm.slot;
    struct tensor mean = tape_tensor(t, 2, length, norm.dim[1], 1, 1);
    tape_mask_mean(t, (struct op_mask_mean){.x = x, .mask = masks->msa, .y = mean, .eps = 1e-10});
    struct tensor q = tape_tensor(t, 4, length, a->heads, 1, a->dims);
    struct tensor flat = tensor_make(q.data, q.kind, 2, length, wide, 1, 1);
    flat.slot = q.slot;
    tape_linear(t, (struct op_linear){.x = mean, .w = tape_weight(t, a->query), .y = flat});
    struct tensor kv = tape_tensor(t, 3, rows, length, 2 * a->dims, 1);
    tape_linear(t, (struct op_linear){
                       .x = norm, .w = tape_weight(t, a->key_value), .y = tensor_rows(kv)});
    struct tensor k = tensor_split(tensor_columns(kv, 0, a->dims), 1, a->dims);
    struct tensor v = tensor_split(tensor_columns(kv, a->dims, a->dims), 1, a->dims);
    struct tensor y = tape_tensor(t, 4, length, a->heads, 1, a->dims);
    struct tensor lse = tape_constant(t, y.kind, 3, length, 1, a->heads, 1);
    tape_attention(t, (struct op_attention){.q = q,
                                            .k = tensor_swap(k, 0, 1),
                                            .v = tensor_swap(v, 0, 1),
                                            .mask = masks->msa_columns,
                                            .y = y,
                                            .lse = lse});
    return tensor_flat(y);
}

void global_attention_run(struct tape *t, const struct global_attention *a,
                          const struct masks *masks, struct tape_stream *m)
{
    struct tape_mark mark = tape_begin(t, "column attention");
    int64_t rows = m->now.dim[0], length = m->now.dim[1], wide = a->heads * a->dims;
    struct tensor norm = layer_norm_run(t, a->norm, m->now);
    struct tensor values = column_values(t, a, masks, norm, rows);
    struct tensor spread = tape_tensor(t, 2, rows, length * wide, 1, 1);
    tape_spread(t, (struct op_spread){.t = values, .y = spread});
    struct tensor p = tensor_make(spread.data, spread.kind, 2, rows * length, wide, 1, 1);
    p.slot = spread.slot;
    struct tensor gate = linear_run(t, a->gate, norm);
    struct tensor y = tape_tensor(t, 2, rows * length, wide, 1, 1);
    tape_gate(t, (struct op_gate){.p = p, .g = gate, .y = y});
    linear_add_run(t, a->out, y, m);
    tape_end(t, mark);
}
