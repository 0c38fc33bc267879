/* One block of the Evoformer, of the extra MSA stack, or of the template pair stack: the list of
 * modules in the order in which they run. */
#include "kernels/net/modules.h"

#include <stdio.h>

enum { SITES_PER_BLOCK = 16 }; /* numbers that key dropout: block * 16 + module */

struct names {
    char text[PARAM_NAME_MAX];
};

static const char *name_join(struct names *to, const char *prefix, const char *name)
{
    snprintf(to->text, sizeof to->text, "%s%s%s", prefix, *prefix ? "." : "", name);
    return to->text;
}

struct pair_block pair_block_declare(struct params *p, const char *prefix,
                                     const struct block_sizes *sizes, bool attention_first,
                                     int site)
{
    struct pair_block b = {.attention = sizes->pair_heads > 0, .first = attention_first};
    struct names n;
    int64_t c_z = sizes->c_z, hidden = sizes->triangle_hidden;
    b.triangle_out =
        triangle_declare(p, name_join(&n, prefix, "tri_mul_out"), c_z, hidden, false);
    b.triangle_in = triangle_declare(p, name_join(&n, prefix, "tri_mul_in"), c_z, hidden, true);
    if (b.attention) {
        b.start = triangle_attention_declare(p, name_join(&n, prefix, "tri_att_start"), c_z,
                                             sizes->pair_heads, sizes->pair_head_dims, false);
        b.end = triangle_attention_declare(p, name_join(&n, prefix, "tri_att_end"), c_z,
                                           sizes->pair_heads, sizes->pair_head_dims, true);
    }
    b.transition = transition_declare(p, name_join(&n, prefix, "pair_transition"), c_z,
                                      sizes->transition_factor);
    b.transition.module = "pair transition";
    b.triangle_out.dropout = b.triangle_in.dropout = sizes->dropout_pair;
    b.start.dropout = b.end.dropout = sizes->dropout_pair;
    b.triangle_out.site = site, b.triangle_in.site = site + 1;
    b.start.site = site + 2, b.end.site = site + 3;
    return b;
}

void pair_block_run(struct tape *t, const struct pair_block *b, const struct masks *masks,
                    struct tape_stream *z)
{
    for (int turn = 0; turn < 2; turn++)
        if ((turn == 0) == b->first) {
            if (!b->attention)
                continue;
            triangle_attention_run(t, &b->start, masks, z);
            triangle_attention_run(t, &b->end, masks, z);
        } else {
            triangle_run(t, &b->triangle_out, masks, z);
            triangle_run(t, &b->triangle_in, masks, z);
        }
    transition_run(t, &b->transition, z);
}

struct block block_declare(struct params *p, const char *prefix, const struct block_sizes *sizes,
                           int number)
{
    struct block b = {.columns = sizes->columns};
    struct names n;
    int64_t c_m = sizes->c_m, c_z = sizes->c_z;
    b.row = row_attention_declare(p, name_join(&n, prefix, "msa_att_row"), c_m, c_z, sizes->heads,
                                  sizes->head_dims);
    if (b.columns == COLUMNS_FULL)
        b.column = column_attention_declare(p, name_join(&n, prefix, "msa_att_col"), c_m,
                                            sizes->heads, sizes->head_dims);
    if (b.columns == COLUMNS_GLOBAL)
        b.global = global_attention_declare(p, name_join(&n, prefix, "msa_att_col"), c_m,
                                            sizes->heads, sizes->head_dims);
    b.msa_transition = transition_declare(p, name_join(&n, prefix, "msa_transition"), c_m,
                                          sizes->transition_factor);
    b.msa_transition.module = "MSA transition";
    b.outer = outer_product_declare(p, name_join(&n, prefix, "outer_product_mean"), c_m, c_z,
                                    sizes->outer_hidden);
    b.pair = pair_block_declare(p, name_join(&n, prefix, "pair_stack"), sizes, false,
                                number * SITES_PER_BLOCK + 1);
    b.row.dropout = sizes->dropout_msa;
    b.row.site = number * SITES_PER_BLOCK;
    return b;
}

void block_run(struct tape *t, void *context, struct tape_stream *m, struct tape_stream *z)
{
    const struct block_context *c = context;
    const struct block *b = c->block;
    row_attention_run(t, &b->row, c->masks, m, z);
    if (b->columns == COLUMNS_FULL)
        column_attention_run(t, &b->column, c->masks, m);
    if (b->columns == COLUMNS_GLOBAL)
        global_attention_run(t, &b->global, c->masks, m);
    transition_run(t, &b->msa_transition, m);
    outer_product_run(t, &b->outer, c->masks, m, z);
    pair_block_run(t, &b->pair, c->masks, z);
}
