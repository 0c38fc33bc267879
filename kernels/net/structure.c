/* The structure module; see structure.h. */
#include "kernels/net/structure.h"

#include <stdio.h>

/* The same memory with other sizes. */
static struct tensor reshaped(struct tensor x, int rank, int64_t d0, int64_t d1, int64_t d2,
                              int64_t d3)
{
    struct tensor y = tensor_make(x.data, x.kind, rank, d0, d1, d2, d3);
    ASSERT(tensor_dense(&x) && tensor_count(&x) == tensor_count(&y));
    y.slot = x.slot;
    return y;
}

/* Item i of the first axis of x[I,...]. */
static struct tensor item_of(struct tensor x, int64_t i)
{
    struct tensor y = x;
    y.data = (char *)x.data + (size_t)(i * x.stride[0]) * tensor_kind_bytes(x.kind);
    y.rank = x.rank - 1;
    for (int k = 1; k < TENSOR_RANK_MAX; k++) {
        y.dim[k - 1] = x.dim[k]; /* past the rank: 1 */
        y.stride[k - 1] = x.stride[k];
    }
    y.dim[TENSOR_RANK_MAX - 1] = y.stride[TENSOR_RANK_MAX - 1] = 1;
    return y;
}

/* y = x + drop(u), rows [N,C]. */
static struct tensor added(struct tape *t, struct tensor x, struct tensor u)
{
    struct tensor y = tape_tensor(t, 2, x.dim[0], x.dim[1], 1, 1);
    tape_residual(t, (struct op_residual){.x = reshaped(x, 3, 1, x.dim[0], x.dim[1], 1),
                                          .u = reshaped(u, 3, 1, x.dim[0], x.dim[1], 1),
                                          .y = reshaped(y, 3, 1, x.dim[0], x.dim[1], 1),
                                          .shared = -1});
    return y;
}

/* drop(x): zeros + drop(x). */
static struct tensor dropped(struct tape *t, struct tensor x, double rate, int site)
{
    if (!t->dropout || rate <= 0)
        return x;
    struct tensor zero = tape_constant(t, x.kind, 3, 1, x.dim[0], x.dim[1], 1);
    struct tensor y = tape_tensor(t, 2, x.dim[0], x.dim[1], 1, 1);
    tape_fill(t, (struct op_fill){.y = tensor_flat(zero)});
    tape_residual(t, (struct op_residual){.x = zero,
                                          .u = reshaped(x, 3, 1, x.dim[0], x.dim[1], 1),
                                          .y = reshaped(y, 3, 1, x.dim[0], x.dim[1], 1),
                                          .rate = rate,
                                          .shared = -1,
                                          .site = site,
                                          .seed = t->seed,
                                          .position = t->position});
    return y;
}

static struct tensor relu_run(struct tape *t, struct tensor x)
{
    struct tensor y = tape_tensor(t, x.rank, x.dim[0], x.dim[1], x.dim[2], x.dim[3]);
    tape_relu(t, (struct op_relu){.x = tensor_flat(x), .y = tensor_flat(y)});
    return y;
}

static struct tensor linear_relu_run(struct tape *t, struct layer linear, struct tensor x)
{
    struct tensor y = tape_tensor(t, 2, x.dim[0], linear.w.dim[0], 1, 1);
    tape_linear_relu(t, (struct op_linear_relu){.x = x,
                                                .w = tape_weight(t, linear.w),
                                                .b = tape_weight(t, linear.b),
                                                .y = y});
    return y;
}

struct structure_transition structure_transition_declare(struct params *p, const char *prefix,
                                                         int64_t c_s)
{
    struct structure_transition a = {0};
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "layers.0.linear_%d", i + 1);
        a.linear[i] =
            linear_declare(p, prefix, name, c_s, c_s, i < 2 ? INIT_RELU : INIT_ZERO);
    }
    a.norm = layer_norm_declare(p, prefix, "layer_norm", c_s);
    return a;
}

struct tensor structure_transition_run(struct tape *t, const struct structure_transition *a,
                                       struct tensor s, double dropout, int site)
{
    struct tensor one = linear_relu_run(t, a->linear[0], s);
    struct tensor two = linear_relu_run(t, a->linear[1], one);
    struct tensor sum = added(t, s, linear_run(t, a->linear[2], two));
    return layer_norm_run(t, a->norm, dropped(t, sum, dropout, site));
}

struct angle_net angle_net_declare(struct params *p, const char *prefix,
                                   const struct structure_sizes *sizes)
{
    struct angle_net a = {.layers = sizes->angle_layers};
    int64_t wide = sizes->angle_channels;
    ASSERT_INT(a.layers, <=, ANGLE_LAYERS_MAX);
    a.in = linear_declare(p, prefix, "linear_in", wide, sizes->c_s, INIT_LECUN);
    a.initial = linear_declare(p, prefix, "linear_initial", wide, sizes->c_s, INIT_LECUN);
    for (int i = 0; i < a.layers; i++)
        for (int k = 0; k < 2; k++) {
            char name[32];
            snprintf(name, sizeof name, "layers.%d.linear_%d", i, k + 1);
            a.layer[i][k] =
                linear_declare(p, prefix, name, wide, wide, k ? INIT_ZERO : INIT_RELU);
        }
    a.out = linear_declare(p, prefix, "linear_out", 2 * TORSION_COUNT, wide, INIT_LECUN);
    return a;
}

void angle_net_run(struct tape *t, const struct angle_net *a, struct tensor s,
                   struct tensor initial, struct tensor raw, struct tensor angle)
{
    int64_t count = s.dim[0];
    struct tensor from = linear_run(t, a->initial, relu_run(t, initial));
    struct tensor x = added(t, linear_run(t, a->in, relu_run(t, s)), from);
    for (int i = 0; i < a->layers; i++) {
        struct tensor hidden = linear_relu_run(t, a->layer[i][0], relu_run(t, x));
        x = added(t, x, linear_run(t, a->layer[i][1], hidden));
    }
    tape_linear(t, (struct op_linear){.x = relu_run(t, x),
                                      .w = tape_weight(t, a->out.w),
                                      .b = tape_weight(t, a->out.b),
                                      .y = reshaped(raw, 2, count, 2 * TORSION_COUNT, 1, 1)});
    tape_normalize(t, (struct op_normalize){.x = tensor_rows(raw),
                                            .y = tensor_rows(angle),
                                            .eps = ANGLE_EPS});
}

struct structure_net structure_net_declare(struct params *p, const char *prefix,
                                           const struct structure_sizes *sizes)
{
    struct structure_net a = {.sizes = *sizes};
    char inside[PARAM_NAME_MAX];
    const char *dot = prefix[0] ? "." : "";
    ASSERT_INT(sizes->iterations, <=, STRUCTURE_ITERATIONS_MAX);
    a.norm_s = layer_norm_declare(p, prefix, "layer_norm_s", sizes->c_s);
    a.norm_z = layer_norm_declare(p, prefix, "layer_norm_z", sizes->c_z);
    a.in = linear_declare(p, prefix, "linear_in", sizes->c_s, sizes->c_s, INIT_LECUN);
    snprintf(inside, sizeof inside, "%s%sipa", prefix, dot);
    a.ipa = point_attention_declare(p, inside, sizes);
    a.norm_ipa = layer_norm_declare(p, prefix, "layer_norm_ipa", sizes->c_s);
    snprintf(inside, sizeof inside, "%s%stransition", prefix, dot);
    a.transition = structure_transition_declare(p, inside, sizes->c_s);
    a.update = linear_declare(p, prefix, "bb_update.linear", 6, sizes->c_s, INIT_ZERO);
    snprintf(inside, sizeof inside, "%s%sangle_resnet", prefix, dot);
    a.angles = angle_net_declare(p, inside, sizes);
    return a;
}

/* Memory of the results, which outlives the module. What the module itself reads again has the
 * memory of its gradient from the start, as streams have. */
static struct structure_out out_make(struct tape *t, const struct structure_sizes *sizes,
                                     int64_t n, bool every)
{
    int64_t i = sizes->iterations, kept = every ? i : 1;
    struct tensor raw = tape_stream_open(t, i, n, 2 * TORSION_COUNT).now;
    struct tensor angle = tape_stream_open(t, i, n, 2 * TORSION_COUNT).now;
    return (struct structure_out){.rot = tape_stream_open(t, i, n, 9).now,
                                  .trans = tape_stream_open(t, i, n, 3).now,
                                  .quat = tape_tensor(t, 3, i, n, 4, 1),
                                  .raw = tensor_split(raw, TORSION_COUNT, 2),
                                  .angle = tensor_split(angle, TORSION_COUNT, 2),
                                  .frame = tape_tensor(t, 4, kept, n, 8, 12),
                                  .atom = tape_tensor(t, 4, kept, n, 14, 3),
                                  .single = tape_tensor(t, 3, kept, n, sizes->c_s, 1)};
}

/* The identity: quaternion, rotation, translation; no gradient. */
static void identity_make(struct tape *t, int64_t n, struct tensor frame[3])
{
    static const int wide[3] = {4, 9, 3};
    static const int first[3] = {0, 0, 3}, step[3] = {4, 4, 1}; /* where the ones are */
    for (int k = 0; k < 3; k++) {
        frame[k] = tape_constant(t, t->backend->real, 2, n, wide[k], 1, 1);
        tape_fill(t, (struct op_fill){.y = tensor_flat(frame[k])});
        for (int i = first[k]; i < wide[k]; i += step[k]) {
            struct tensor one = tensor_columns(frame[k], i, 1);
            struct tensor ones = tape_constant(t, t->backend->real, 4, 1, 1, n, 1);
            tape_fill(t, (struct op_fill){.y = tensor_flat(ones), .value = 1});
            struct tensor to = tensor_make(one.data, one.kind, 4, 1, 1, n, 1);
            to.stride[2] = one.stride[0];
            tape_copy(t, (struct op_copy){.x = ones, .y = to});
        }
    }
}

/* One iteration: frame = {quat, rot, trans} before and after. */
static struct tensor iteration_run(struct tape *t, const struct structure_net *a, int number,
                                   struct tensor s, struct tensor z, struct tensor mask,
                                   const struct structure_out *out, struct tensor frame[3])
{
    int site = a->site + 2 * number;
    struct tensor seen = point_attention_run(t, &a->ipa, &a->sizes, s, z, frame[1], frame[2], mask);
    struct tensor sum = dropped(t, added(t, s, seen), a->sizes.dropout, site);
    s = structure_transition_run(t, &a->transition, layer_norm_run(t, a->norm_ipa, sum),
                                 a->sizes.dropout, site + 1);
    struct op_frame_update move = {.quat = frame[0],
                                   .trans = frame[2],
                                   .update = linear_run(t, a->update, s),
                                   .new_quat = item_of(out->quat, number),
                                   .new_rot = item_of(out->rot, number),
                                   .new_trans = item_of(out->trans, number)};
    tape_frame_update(t, move);
    frame[0] = move.new_quat, frame[1] = move.new_rot, frame[2] = move.new_trans;
    return s;
}

/* Atoms and frames of all groups, and the single representation, to item `to` of the results. */
static void atoms_run(struct tape *t, struct tensor s, const struct tensor frame[3],
                      struct tensor angle, struct tensor aatype,
                      const struct residue_tables *tables, const struct structure_out *out, int to)
{
    int64_t n = s.dim[0], wide = s.dim[1];
    tape_atoms(t, (struct op_atoms){.rot = frame[1],
                                    .trans = frame[2],
                                    .angle = angle,
                                    .aatype = aatype,
                                    .base = tables->base,
                                    .group = tables->group,
                                    .place = tables->place,
                                    .exists = tables->exists,
                                    .frame = item_of(out->frame, to),
                                    .atom = item_of(out->atom, to),
                                    .unit = STRUCTURE_UNIT});
    tape_copy(t, (struct op_copy){.x = reshaped(s, 4, 1, 1, n, wide),
                                  .y = reshaped(item_of(out->single, to), 4, 1, 1, n, wide)});
}

struct structure_out structure_net_run(struct tape *t, const struct structure_net *a,
                                       struct tensor s, const struct tape_stream *z,
                                       struct tensor aatype, struct tensor mask,
                                       const struct residue_tables *tables)
{
    int64_t n = s.dim[0];
    struct structure_out out = out_make(t, &a->sizes, n, a->every);
    struct tape_mark mark = tape_begin(t, NULL);
    struct tensor initial = layer_norm_run(t, a->norm_s, s), frame[3];
    struct tensor pair = reshaped(layer_norm_run(t, a->norm_z, z->now), 3, n, n, a->sizes.c_z, 1);
    struct tensor now = linear_run(t, a->in, initial);
    identity_make(t, n, frame);
    for (int i = 0; i < a->sizes.iterations; i++) {
        now = iteration_run(t, a, i, now, pair, mask, &out, frame);
        angle_net_run(t, &a->angles, now, initial, item_of(out.raw, i), item_of(out.angle, i));
        if (a->every || i == a->sizes.iterations - 1)
            atoms_run(t, now, frame, item_of(out.angle, i), aatype, tables, &out, a->every ? i : 0);
        frame[0].slot = frame[1].slot = 0; /* rotations: no gradient to the iteration before */
    }
    tape_end(t, mark);
    return out;
}
