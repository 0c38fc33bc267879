/* One Evoformer block: the list of modules in the order in which they run. */
#include "kernels/net/modules.h"

#include <stdio.h>

enum { SITES_PER_BLOCK = 16 }; /* numbers that key dropout: block * 16 + module */

struct block block_declare(struct params *p, const char *prefix, const struct block_sizes *sizes,
                           int number)
{
    char row[PARAM_NAME_MAX], msa[PARAM_NAME_MAX], outer[PARAM_NAME_MAX], pair[PARAM_NAME_MAX];
    char out[PARAM_NAME_MAX], in[PARAM_NAME_MAX];
    const char *dot = *prefix ? "." : "";
    snprintf(row, sizeof row, "%s%smsa_att_row", prefix, dot);
    snprintf(msa, sizeof msa, "%s%smsa_transition", prefix, dot);
    snprintf(outer, sizeof outer, "%s%souter_product_mean", prefix, dot);
    snprintf(out, sizeof out, "%s%spair_stack.tri_mul_out", prefix, dot);
    snprintf(in, sizeof in, "%s%spair_stack.tri_mul_in", prefix, dot);
    snprintf(pair, sizeof pair, "%s%spair_stack.pair_transition", prefix, dot);
    struct block b;
    b.row = row_attention_declare(p, row, sizes->c_m, sizes->c_z, sizes->heads, sizes->head_dims);
    b.msa_transition = transition_declare(p, msa, sizes->c_m, sizes->transition_factor);
    b.outer = outer_product_declare(p, outer, sizes->c_m, sizes->c_z, sizes->outer_hidden);
    b.triangle_out = triangle_declare(p, out, sizes->c_z, sizes->triangle_hidden, false);
    b.triangle_in = triangle_declare(p, in, sizes->c_z, sizes->triangle_hidden, true);
    b.pair_transition = transition_declare(p, pair, sizes->c_z, sizes->transition_factor);
    b.row.dropout = sizes->dropout_msa;
    b.triangle_out.dropout = b.triangle_in.dropout = sizes->dropout_pair;
    b.row.site = number * SITES_PER_BLOCK;
    b.triangle_out.site = number * SITES_PER_BLOCK + 1;
    b.triangle_in.site = number * SITES_PER_BLOCK + 2;
    return b;
}

void block_run(struct tape *t, void *context, struct tape_stream *m, struct tape_stream *z)
{
    const struct block_context *c = context;
    const struct block *b = c->block;
    row_attention_run(t, &b->row, c->masks, m, z);
    transition_run(t, &b->msa_transition, m);
    outer_product_run(t, &b->outer, c->masks, m, z);
    triangle_run(t, &b->triangle_out, c->masks, z);
    triangle_run(t, &b->triangle_in, c->masks, z);
    transition_run(t, &b->pair_transition, z);
}
