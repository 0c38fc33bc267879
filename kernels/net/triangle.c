/* Triangle multiplication. The five projections come from one GEMM whose weights lie together, in
 * the order a_p, b_p, a_g, b_g, g; the gated products a and b are made channel-first, so that the
 * product over the third residue is one batched GEMM per channel, outgoing or incoming by view. */
#include "kernels/net/modules.h"

struct triangle triangle_declare(struct params *p, const char *prefix, int64_t c_z, int64_t hidden,
                                 bool incoming)
{
    static const char *const weights[5] = {"linear_a_p.weight", "linear_b_p.weight",
                                           "linear_a_g.weight", "linear_b_g.weight",
                                           "linear_g.weight"};
    static const char *const biases[5] = {"linear_a_p.bias", "linear_b_p.bias", "linear_a_g.bias",
                                          "linear_b_g.bias", "linear_g.bias"};
    struct triangle a = {.hidden = hidden, .incoming = incoming};
    a.norm_in = layer_norm_declare(p, prefix, "layer_norm_in", c_z);
    struct weight w = {0}, b = {0};
    for (int i = 0; i < 5; i++) {
        struct weight added = params_add(p, prefix, weights[i], i < 4 ? hidden : c_z, c_z,
                                         i < 2 ? INIT_LECUN : INIT_ZERO, i > 0);
        w = i ? w : added;
    }
    for (int i = 0; i < 5; i++) {
        struct weight added = params_add(p, prefix, biases[i], i < 4 ? hidden : c_z, 0,
                                         i < 2 ? INIT_ZERO : INIT_ONE, i > 0);
        b = i ? b : added;
    }
    a.project = (struct layer){weight_join(w, 4 * hidden + c_z, c_z),
                               weight_join(b, 4 * hidden + c_z, 0)};
    a.norm_out = layer_norm_declare(p, prefix, "layer_norm_out", hidden);
    a.out = linear_declare(p, prefix, "linear_z", c_z, hidden, INIT_ZERO);
    return a;
}

void triangle_run(struct tape *t, const struct triangle *a, const struct masks *masks,
                  struct tape_stream *z)
{
    struct tape_mark mark = tape_begin(t, a->incoming ? "triangle product in"
                                                       : "triangle product out");
    int64_t length = z->now.dim[0], pairs = length * length, c_z = z->now.dim[2], h = a->hidden;
    struct tensor norm = layer_norm_run(t, a->norm_in, z->now);
    struct tensor all = linear_run(t, a->project, norm);

    struct tensor ab = tape_tensor(t, 2, 2 * h, pairs, 1, 1); /* channel-first */
    struct tensor mask = masks->pair.data ? tensor_flat(masks->pair) : masks->pair;
    tape_gate(t, (struct op_gate){.p = tensor_columns(all, 0, 2 * h),
                                  .g = tensor_columns(all, 2 * h, 2 * h),
                                  .mask = mask,
                                  .y = tensor_swap(ab, 0, 1)});
    struct tensor left = tensor_make(ab.data, ab.kind, 3, h, length, length, 1), right = left;
    left.slot = right.slot = ab.slot;
    right.data = (char *)ab.data + (size_t)(h * pairs) * tensor_kind_bytes(ab.kind);
    struct tensor x = tape_tensor(t, 3, h, length, length, 1);
    if (a->incoming) /* x[c,i,j] = sum_k a[c,k,i] b[c,k,j] */
        tape_matmul(t, (struct op_matmul){.a = tensor_swap(left, 1, 2), .b = right, .y = x});
    else /* x[c,i,j] = sum_k a[c,i,k] b[c,j,k] */
        tape_matmul(t, (struct op_matmul){.a = left, .b = tensor_swap(right, 1, 2), .y = x});

    struct tensor last = tensor_make(x.data, x.kind, 2, h, pairs, 1, 1);
    last.slot = x.slot;
    struct tensor u =
        linear_run(t, a->out, layer_norm_run(t, a->norm_out, tensor_swap(last, 0, 1)));
    struct tensor gated = tape_tensor(t, 2, pairs, c_z, 1, 1);
    tape_gate(t, (struct op_gate){.p = u, .g = tensor_columns(all, 4 * h, c_z), .y = gated});
    residual_run(t, z, gated, a->dropout, 0, a->site);
    tape_end(t, mark);
}
