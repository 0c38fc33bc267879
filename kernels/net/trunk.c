/* The trunk's parts in the order in which they run; see trunk.h. */
#include "kernels/net/trunk.h"

#include <stdio.h>

enum { SITES_PER_BLOCK = 16 };

struct trunk_sizes trunk_sizes_published(void)
{
    struct block_sizes pair = {.c_z = 128,
                               .triangle_hidden = 128,
                               .pair_heads = 4,
                               .pair_head_dims = 32,
                               .outer_hidden = 32,
                               .transition_factor = 4,
                               .dropout_msa = 0.15,
                               .dropout_pair = 0.25,
                               .heads = 8};
    struct trunk_sizes s = {.main = pair,
                            .extra = pair,
                            .template = pair,
                            .c_s = 384,
                            .blocks = 48,
                            .extra_blocks = 4,
                            .template_blocks = 2,
                            .template_heads = 4,
                            .template_head_dims = 16,
                            .keep_blocks = -1,
                            .keep_extra = -1};
    s.recycling = true;
    s.main.c_m = 256, s.main.head_dims = 32, s.main.columns = COLUMNS_FULL;
    s.extra.c_m = 64, s.extra.head_dims = 8, s.extra.columns = COLUMNS_GLOBAL;
    s.template.c_z = s.template.triangle_hidden = 64;
    s.template.pair_head_dims = 16, s.template.transition_factor = 2;
    return s;
}

static void templates_declare(struct params *p, struct trunk *trunk)
{
    const struct trunk_sizes *sizes = &trunk->sizes;
    const char *prefix = "template_embedder";
    char name[PARAM_NAME_MAX];
    int64_t c_t = sizes->template.c_z;
    snprintf(name, sizeof name, "%s.template_single_embedder", prefix);
    trunk->template_single = template_single_declare(p, name, sizes->main.c_m);
    trunk->template_pair = linear_declare(p, prefix, "template_pair_embedder.linear", c_t,
                                          TEMPLATE_PAIR_FEATURES, INIT_RELU);
    snprintf(name, sizeof name, "%s.template_pair_stack", prefix);
    int first = (TRUNK_BLOCKS_MAX + TRUNK_EXTRA_MAX) * SITES_PER_BLOCK;
    trunk->template_stack =
        template_stack_declare(p, name, &sizes->template, sizes->template_blocks, first);
    snprintf(name, sizeof name, "%s.template_pointwise_att", prefix);
    trunk->template_attention = template_attention_declare(
        p, name, c_t, sizes->main.c_z, sizes->template_heads, sizes->template_head_dims);
}

void trunk_declare(struct params *p, const struct trunk_sizes *sizes, struct trunk *trunk)
{
    int64_t c_m = sizes->main.c_m, c_z = sizes->main.c_z;
    char name[PARAM_NAME_MAX];
    ASSERT(sizes->blocks <= TRUNK_BLOCKS_MAX && sizes->extra_blocks <= TRUNK_EXTRA_MAX);
    *trunk = (struct trunk){.sizes = *sizes};
    trunk->embed = embed_declare(p, "input_embedder", c_m, c_z);
    if (sizes->recycling)
        trunk->recycle = recycle_declare(p, "recycling_embedder", c_m, c_z);
    if (sizes->template_blocks > 0)
        templates_declare(p, trunk);
    if (sizes->extra_blocks > 0) {
        ASSERT_INT(sizes->extra.c_z, ==, c_z);
        trunk->extra_embed = linear_declare(p, "extra_msa_embedder", "linear", sizes->extra.c_m,
                                            EXTRA_FEATURES, INIT_LECUN);
    }
    for (int i = 0; i < sizes->extra_blocks; i++) {
        snprintf(name, sizeof name, "extra_msa_stack.blocks.%d", i);
        trunk->extra[i] = block_declare(p, name, &sizes->extra, TRUNK_BLOCKS_MAX + i);
    }
    for (int i = 0; i < sizes->blocks; i++) {
        snprintf(name, sizeof name, "evoformer.blocks.%d", i);
        trunk->block[i] = block_declare(p, name, &sizes->main, i);
    }
    if (sizes->c_s > 0)
        trunk->single = linear_declare(p, "evoformer", "linear", sizes->c_s, c_m, INIT_LECUN);
}

/* msa[S,L] with the pair mask: all that blocks see. */
static struct masks masks_make(struct tape *t, struct tensor msa, struct tensor pair,
                               struct tensor pair_columns)
{
    int64_t length = pair.dim[0];
    struct masks masks = {.msa = msa, .pair = pair, .pair_columns = pair_columns};
    masks.msa_columns = mask_turn(t, msa);
    masks.outer_norm = tape_constant(t, msa.kind, 2, length, length, 1, 1);
    tape_mask_norm(
        t, (struct op_mask_norm){.mask = msa, .y = masks.outer_norm, .eps = OUTER_NORM_EPS});
    return masks;
}

void trunk_embed_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
                     struct tape_stream *m, struct tape_stream *z)
{
    struct tensor columns = mask_turn(t, pass->pair_mask);
    ASSERT_INT(pass->msa_mask.dim[0], ==, pass->msa.dim[0] + pass->templates);
    pass->masks = masks_make(t, pass->msa_mask, pass->pair_mask, columns);
    if (trunk->sizes.extra_blocks > 0)
        pass->extra_masks = masks_make(t, pass->extra_mask, pass->pair_mask, columns);
    embed_run(t, &trunk->embed, pass->target, pass->index, pass->msa, pass->templates, m, z);
    if (trunk->sizes.recycling)
        recycle_run(t, &trunk->recycle, &pass->before, m, z);
}

void trunk_templates_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
                         struct tape_stream *m, struct tape_stream *z)
{
    int64_t count = pass->templates, length = z->now.dim[0], c_t = trunk->sizes.template.c_z;
    if (count == 0)
        return;
    ASSERT(count <= TRUNK_TEMPLATES_MAX);
    int64_t clusters = m->now.dim[0] - count;
    template_single_run(t, &trunk->template_single, pass->template_angles,
                        tensor_range(m->now, clusters, count));
    struct tape_mark mark = tape_begin(t, NULL);
    /* A stream has its gradient from the start: it outlives the modules of each template. */
    struct tape_stream all = tape_stream_open(t, count, length * length, c_t);
    for (int i = 0; i < count; i++) {
        struct tape_mark inner = tape_begin(t, "pair embedding");
        struct tape_stream pair = tape_stream_open(t, length, length, c_t);
        struct tensor features = template_pair_features_run(t, &pass->atoms[i], false);
        tape_linear(t, (struct op_linear){.x = tensor_rows(features),
                                          .w = tape_weight(t, trunk->template_pair.w),
                                          .b = tape_weight(t, trunk->template_pair.b),
                                          .y = tensor_rows(pair.now)});
        template_stack_run(t, &trunk->template_stack, &pass->masks, i, &pair,
                           tensor_at(all.now, i));
        tape_end(t, inner);
    }
    template_attention_run(t, &trunk->template_attention, all.now, pass->template_mask,
                           pass->template_any, z);
    tape_end(t, mark);
}

void trunk_extra_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
                     struct tape_stream *z)
{
    const struct trunk_sizes *sizes = &trunk->sizes;
    if (sizes->extra_blocks == 0)
        return;
    struct tape_mark mark = tape_begin(t, NULL);
    struct tape_stream m;
    struct tensor features =
        extra_features_run(t, pass->extra_msa, pass->extra_has, pass->extra_deletion);
    extra_embed_run(t, trunk->extra_embed, features, pass->extra_msa.dim[0], &m);
    for (int i = 0; i < sizes->extra_blocks; i++) {
        bool keep = sizes->keep_extra < 0 || i >= sizes->extra_blocks - sizes->keep_extra;
        pass->extra_context[i] = (struct block_context){&trunk->extra[i], &pass->extra_masks};
        tape_block(t, block_run, &pass->extra_context[i], &m, z, keep);
    }
    tape_end(t, mark);
}

void trunk_block_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass, int i,
                     struct tape_stream *m, struct tape_stream *z)
{
    const struct trunk_sizes *sizes = &trunk->sizes;
    bool keep = sizes->keep_blocks < 0 || i >= sizes->blocks - sizes->keep_blocks;
    pass->context[i] = (struct block_context){&trunk->block[i], &pass->masks};
    tape_block(t, block_run, &pass->context[i], m, z, keep);
}

void trunk_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
               struct tape_stream *m, struct tape_stream *z, struct tape_stream *s)
{
    tape_part(t, "embedders");
    tape_zone(t, MODEL_EMBED);
    trunk_embed_run(t, trunk, pass, m, z);
    tape_part(t, "templates");
    tape_zone(t, MODEL_TEMPLATES);
    trunk_templates_run(t, trunk, pass, m, z);
    tape_part(t, "extra MSA");
    tape_zone(t, MODEL_EXTRA);
    trunk_extra_run(t, trunk, pass, z);
    tape_part(t, "Evoformer");
    tape_zone(t, MODEL_EVOFORMER);
    for (int i = 0; i < trunk->sizes.blocks; i++)
        trunk_block_run(t, trunk, pass, i, m, z);
    if (trunk->sizes.c_s > 0)
        single_run(t, trunk->single, m, s);
}
