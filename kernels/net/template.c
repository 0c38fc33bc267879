/* Templates: their features, the rows that they append to the MSA, and what they add to the pair
 * representation: each goes through the template pair stack by itself, then every pair of residues
 * attends to its own entry in all of them. */
#include "kernels/net/modules.h"

#include <stdio.h>
#include <string.h>

enum { SITES_PER_BLOCK = 4 };

void template_angle_features(int64_t count, const int32_t *type, const float *angles,
                             const float *other_angles, const float *mask, float *y)
{
    memset(y, 0, (size_t)(count * TEMPLATE_ANGLE_FEATURES) * sizeof *y);
    for (int64_t n = 0; n < count; n++, y += TEMPLATE_ANGLE_FEATURES) {
        ASSERT(type[n] >= 0 && type[n] < TEMPLATE_TYPES);
        y[type[n]] = 1;
        memcpy(y + TEMPLATE_TYPES, angles + 14 * n, 14 * sizeof *y);
        memcpy(y + TEMPLATE_TYPES + 14, other_angles + 14 * n, 14 * sizeof *y);
        memcpy(y + TEMPLATE_TYPES + 28, mask + 7 * n, 7 * sizeof *y);
    }
}

struct tensor template_pair_features_run(struct tape *t, const struct template_atoms *a, bool unit)
{
    int64_t length = tensor_count(&a->mask);
    struct tensor y = tape_constant(t, t->backend->real, 3, length, length,
                                    TEMPLATE_PAIR_FEATURES, 1);
    tape_distance_bins(t, (struct op_distance_bins){.x = a->beta,
                                                    .mask = a->mask,
                                                    .y = tensor_columns(y, 0, TEMPLATE_BINS),
                                                    .first = 3.25,
                                                    .last = 50.75});
    int64_t rest = TEMPLATE_PAIR_FEATURES - TEMPLATE_BINS;
    tape_template_pair(t, (struct op_template_pair){.type = a->type,
                                                    .beta = a->beta_mask,
                                                    .backbone = a->backbone,
                                                    .mask = a->mask,
                                                    .y = tensor_columns(y, TEMPLATE_BINS, rest),
                                                    .unit = unit});
    return y;
}

struct template_single template_single_declare(struct params *p, const char *prefix, int64_t c_m)
{
    struct template_single s;
    s.in = linear_declare(p, prefix, "linear_1", c_m, TEMPLATE_ANGLE_FEATURES, INIT_RELU);
    s.out = linear_declare(p, prefix, "linear_2", c_m, c_m, INIT_RELU);
    return s;
}

void template_single_run(struct tape *t, const struct template_single *s, struct tensor angles,
                         struct tensor y)
{
    struct tape_mark mark = tape_begin(t, "single embedding");
    struct tensor rows = tensor_rows(angles);
    struct tensor hidden = tape_tensor(t, 2, rows.dim[0], s->in.w.dim[0], 1, 1);
    tape_linear_relu(t, (struct op_linear_relu){.x = rows,
                                                .w = tape_weight(t, s->in.w),
                                                .b = tape_weight(t, s->in.b),
                                                .y = hidden});
    tape_linear(t, (struct op_linear){.x = hidden,
                                      .w = tape_weight(t, s->out.w),
                                      .b = tape_weight(t, s->out.b),
                                      .y = tensor_rows(y)});
    tape_end(t, mark);
}

struct template_stack template_stack_declare(struct params *p, const char *prefix,
                                             const struct block_sizes *sizes, int blocks, int site)
{
    struct template_stack s = {.blocks = blocks};
    ASSERT(blocks >= 0 && blocks <= TEMPLATE_BLOCKS_MAX);
    for (int i = 0; i < blocks; i++) {
        char name[PARAM_NAME_MAX];
        snprintf(name, sizeof name, "%s%sblocks.%d", prefix, *prefix ? "." : "", i);
        s.block[i] = pair_block_declare(p, name, sizes, true, site + SITES_PER_BLOCK * i);
    }
    s.norm = layer_norm_declare(p, prefix, "layer_norm", sizes->c_z);
    return s;
}

void template_stack_run(struct tape *t, const struct template_stack *s, const struct masks *masks,
                        int number, struct tape_stream *pair, struct tensor y)
{
    int shift = number * SITES_PER_BLOCK * s->blocks; /* templates are dropped independently */
    for (int i = 0; i < s->blocks; i++) {
        struct pair_block block = s->block[i];
        block.triangle_out.site += shift, block.triangle_in.site += shift;
        block.start.site += shift, block.end.site += shift;
        pair_block_run(t, &block, masks, pair);
    }
    struct tensor rows = tensor_rows(pair->now);
    struct tensor stat = tape_constant(t, y.kind, 2, rows.dim[0], 2, 1, 1);
    tape_layer_norm(t, (struct op_layer_norm){.x = rows,
                                              .w = tape_weight(t, s->norm.w),
                                              .b = tape_weight(t, s->norm.b),
                                              .y = y,
                                              .stat = stat});
}

struct template_attention template_attention_declare(struct params *p, const char *prefix,
                                                     int64_t c_t, int64_t c_z, int64_t heads,
                                                     int64_t dims)
{
    struct template_attention a = {.heads = heads, .dims = dims};
    int64_t wide = heads * dims;
    a.query = params_add(p, prefix, "mha.linear_q.weight", wide, c_z, INIT_GLOROT, false);
    struct weight k = params_add(p, prefix, "mha.linear_k.weight", wide, c_t, INIT_GLOROT, false);
    params_add(p, prefix, "mha.linear_v.weight", wide, c_t, INIT_GLOROT, true);
    a.key_value = weight_join(k, 2 * wide, c_t);
    a.out = linear_declare(p, prefix, "mha.linear_o", c_z, wide, INIT_ZERO);
    return a;
}

/* The same for every row: mask[T] -> [rows,T]. */
static struct tensor spread_run(struct tape *t, struct tensor row, int64_t rows)
{
    struct tensor y = tape_constant(t, row.kind, 2, rows, tensor_count(&row), 1, 1);
    tape_spread(t, (struct op_spread){.t = tensor_flat(row), .y = y});
    return y;
}

void template_attention_run(struct tape *t, const struct template_attention *a,
                            struct tensor templates, struct tensor mask, struct tensor any,
                            struct tape_stream *z)
{
    struct tape_mark mark = tape_begin(t, "pointwise attention");
    int64_t count = templates.dim[0], pairs = templates.dim[1], wide = a->heads * a->dims;
    struct tensor q = tape_tensor(t, 3, pairs, 1, wide, 1);
    tape_linear(t, (struct op_linear){.x = tensor_rows(z->now),
                                      .w = tape_weight(t, a->query),
                                      .y = tensor_rows(q)});
    struct tensor kv = tape_tensor(t, 3, count, pairs, 2 * wide, 1);
    tape_linear(t, (struct op_linear){.x = tensor_rows(templates),
                                      .w = tape_weight(t, a->key_value),
                                      .y = tensor_rows(kv)});
    struct tensor k = tensor_split(tensor_columns(kv, 0, wide), a->heads, a->dims);
    struct tensor v = tensor_split(tensor_columns(kv, wide, wide), a->heads, a->dims);
    struct tensor y = tape_tensor(t, 4, pairs, 1, a->heads, a->dims);
    struct tensor lse = tape_constant(t, y.kind, 3, pairs, a->heads, 1, 1);
    tape_attention(t, (struct op_attention){.q = tensor_split(q, a->heads, a->dims),
                                            .k = tensor_swap(k, 0, 1),
                                            .v = tensor_swap(v, 0, 1),
                                            .mask = spread_run(t, mask, pairs),
                                            .y = y,
                                            .lse = lse});
    struct tensor flat = tensor_make(y.data, y.kind, 2, pairs, wide, 1, 1);
    flat.slot = y.slot;
    struct tensor next = tape_stream_next(t, z);
    tape_linear(t, (struct op_linear){.x = flat,
                                      .w = tape_weight(t, a->out.w),
                                      .b = tape_weight(t, a->out.b),
                                      .scale = tensor_flat(spread_run(t, any, pairs)),
                                      .res = tensor_rows(z->now),
                                      .y = tensor_rows(next)});
    tape_stream_set(t, z, next);
    tape_end(t, mark);
}
