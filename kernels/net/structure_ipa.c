/* Invariant point attention: its linears around the op ipa. */
#include "kernels/net/structure.h"

struct point_attention point_attention_declare(struct params *p, const char *prefix,
                                               const struct structure_sizes *sizes)
{
    int64_t h = sizes->heads, points = sizes->query_points + sizes->value_points;
    int64_t c = sizes->c_s, wide = h * (sizes->dims + sizes->c_z + 4 * sizes->value_points);
    struct point_attention a;
    a.head = params_add(p, prefix, "head_weights", h, 0, INIT_POINT, false);
    a.q = linear_declare(p, prefix, "linear_q", h * sizes->dims, c, INIT_LECUN);
    a.kv = linear_declare(p, prefix, "linear_kv", 2 * h * sizes->dims, c, INIT_LECUN);
    a.q_points = linear_declare(p, prefix, "linear_q_points.linear", 3 * h * sizes->query_points,
                                c, INIT_LECUN);
    a.kv_points =
        linear_declare(p, prefix, "linear_kv_points.linear", 3 * h * points, c, INIT_LECUN);
    a.bias = linear_declare(p, prefix, "linear_b", h, sizes->c_z, INIT_LECUN);
    a.out = linear_declare(p, prefix, "linear_out", c, wide, INIT_ZERO);
    return a;
}

/* x[N,a*b*c] as [N,a,b,c] or, where c is 0, [N,a,b]. */
static struct tensor axes(struct tensor x, int64_t a, int64_t b, int64_t c)
{
    if (!c)
        return tensor_split(x, a, b);
    return tensor_split(tensor_split(x, a, b * c), b, c);
}

struct tensor point_attention_run(struct tape *t, const struct point_attention *a,
                                  const struct structure_sizes *sizes, struct tensor s,
                                  struct tensor z, struct tensor rot, struct tensor trans,
                                  struct tensor mask)
{
    int64_t n = s.dim[0], h = sizes->heads, dims = sizes->dims, c_z = sizes->c_z;
    int64_t query = sizes->query_points, value = sizes->value_points, both = query + value;
    struct tensor kv = axes(linear_run(t, a->kv, s), h, 2 * dims, 0);
    struct tensor points = axes(linear_run(t, a->kv_points, s), 3, h, both);
    struct tensor all = tape_tensor(t, 2, n, h * (dims + c_z + 4 * value), 1, 1);
    struct tensor q = axes(linear_run(t, a->q, s), h, dims, 0);
    struct tensor qp = axes(linear_run(t, a->q_points, s), 3, h, query);
    struct tensor bias = linear_run(t, a->bias, tensor_rows(z));
    struct tensor pairs = tensor_make(bias.data, bias.kind, 3, n, n, h, 1);
    pairs.slot = bias.slot;
    tape_ipa(t, (struct op_ipa){
                    .q = q,
                    .k = tensor_columns(kv, 0, dims),
                    .v = tensor_columns(kv, dims, dims),
                    .qp = qp,
                    .kp = tensor_columns(points, 0, query),
                    .vp = tensor_columns(points, query, value),
                    .rot = rot,
                    .trans = trans,
                    .bias = pairs,
                    .z = z,
                    .head = tape_weight(t, a->head),
                    .mask = mask,
                    .o = axes(tensor_columns(all, 0, h * dims), h, dims, 0),
                    .point = axes(tensor_columns(all, h * dims, 4 * h * value), 4, h, value),
                    .pair = axes(tensor_columns(all, h * (dims + 4 * value), h * c_z), h, c_z, 0),
                    .p = tape_constant(t, s.kind, 3, h, n, n, 1)});
    return linear_run(t, a->out, all);
}
