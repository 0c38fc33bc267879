/* What a network is made of, as one table: the struct, its check and the settings of the stage
 * train come from the rows. The defaults are those of the small network of the demo. */
#ifndef FOLDMILL_KERNELS_NET_CONFIG_H
#define FOLDMILL_KERNELS_NET_CONFIG_H

#include "kernels/net/model.h"

enum { NET_BLOCKS_MAX = TRUNK_BLOCKS_MAX };

/* SIZE(name, default, least, most, help). */
#define NET_SIZES(SIZE)                                                                            \
    SIZE(blocks, 4, 0, NET_BLOCKS_MAX, "Evoformer blocks.")                                        \
    SIZE(c_m, 64, 1, 4096, "Channels of the MSA representation.")                                  \
    SIZE(c_z, 64, 1, 4096, "Channels of the pair representation.")                                 \
    SIZE(heads, 4, 1, 256, "Heads of the MSA row attention.")                                      \
    SIZE(head_dims, 16, 1, 1024, "Channels of each of these heads.")                               \
    SIZE(pair_heads, 0, 0, 256,                                                                    \
         "Heads of the triangle attentions, 4 in AlphaFold 2; 0: blocks without them.")            \
    SIZE(pair_head_dims, 16, 1, 1024, "Channels of each of these heads.")                          \
    SIZE(outer_hidden, 16, 1, 256, "Hidden channels of the outer product mean.")                   \
    SIZE(triangle_hidden, 32, 1, 1024, "Hidden channels of the triangle multiplications.")         \
    SIZE(transition_factor, 2, 1, 16,                                                              \
         "Hidden channels of the transitions, as a multiple of their channels.")                   \
    SIZE(extra_blocks, 0, 0, TRUNK_EXTRA_MAX,                                                      \
         "Blocks of the extra MSA stack, 4 in AlphaFold 2; 0: extra rows are not used.")           \
    SIZE(extra_c_m, 64, 1, 4096, "Channels of the extra MSA representation.")                      \
    SIZE(extra_heads, 8, 1, 256, "Heads of the extra stack's attentions.")                         \
    SIZE(extra_head_dims, 8, 1, 1024, "Channels of each of these heads.")                          \
    SIZE(template_blocks, 0, 0, TEMPLATE_BLOCKS_MAX,                                               \
         "Blocks of the template pair stack, 2 in AlphaFold 2; 0: templates are not used.")        \
    SIZE(template_c, 64, 1, 4096, "Channels of the template pair representation.")                 \
    SIZE(template_heads, 4, 1, 256,                                                                \
         "Heads of the template stack's triangle attentions and of the attention over templates.") \
    SIZE(template_head_dims, 16, 1, 1024, "Channels of each of these heads.")                      \
    SIZE(structure_iterations, 0, 0, STRUCTURE_ITERATIONS_MAX,                                     \
         "Iterations of the structure module, 8 in AlphaFold 2; 0: no structure is predicted.")    \
    SIZE(c_s, 384, 1, 4096, "Channels of the single representation, which it reads.")              \
    SIZE(structure_heads, 12, 1, 256, "Heads of its invariant point attention.")                   \
    SIZE(structure_head_dims, 16, 1, 1024, "Channels of each of these heads.")                     \
    SIZE(query_points, 4, 1, 64, "Points of each head's queries and keys.")                        \
    SIZE(value_points, 8, 1, 64, "Points of each head's values.")                                  \
    SIZE(angle_channels, 128, 1, 4096, "Channels of the network that predicts torsions.")          \
    SIZE(angle_layers, 2, 1, ANGLE_LAYERS_MAX, "Layers of it.")                                    \
    SIZE(plddt_hidden, 128, 1, 4096, "Hidden channels of the head that predicts lDDT.")

/* The same for sizes that change memory and time, not the numbers. */
#define NET_PLAN_SIZES(SIZE)                                                                       \
    SIZE(keep_blocks, -1, -1, NET_BLOCKS_MAX,                                                      \
         "Blocks that keep their activations for the backward pass; the others run again: less "   \
         "memory, more time, the same bits. -1: as many as training's memory holds.")              \
    SIZE(keep_extra, -1, -1, TRUNK_EXTRA_MAX, "The same of the extra MSA stack.")

/* FLAG(name, default, help). */
#define NET_FLAGS(FLAG)                                                                            \
    FLAG(column_attention, false,                                                                  \
         "Whether blocks attend along the columns of the MSA, as AlphaFold 2's do.")               \
    FLAG(recycling, false,                                                                         \
         "Whether a pass starts from what the one before found, as in AlphaFold 2; without it "    \
         "the last pass alone is run.")                                                            \
    FLAG(aligned_error, false, "With the head that predicts aligned errors (the ptm models).")

/* NUMBER(name, default, least, most, help). */
#define NET_NUMBERS(NUMBER)                                                                        \
    NUMBER(dropout_msa, 0.15, 0, 0.99, "Dropout rate in MSA modules.")                             \
    NUMBER(dropout_pair, 0.25, 0, 0.99, "Dropout rate in pair modules.")                           \
    NUMBER(dropout_structure, 0.1, 0, 0.99, "Dropout rate in the structure module.")               \
    NUMBER(weight_distogram, 0.3, 0, 1000, "Weight of the distogram loss.")                        \
    NUMBER(weight_masked_msa, 2, 0, 1000, "Weight of the masked-MSA loss.")                        \
    NUMBER(weight_fape, 1, 0, 1000, "Weight of the frame aligned point error.")                    \
    NUMBER(weight_chi, 1, 0, 1000, "Weight of the loss of torsions.")                              \
    NUMBER(weight_plddt, 0.01, 0, 1000, "Weight of the loss of predicted lDDT.")                   \
    NUMBER(weight_resolved, 0, 0, 1000,                                                            \
           "Weight of the loss of resolved atoms; 0.01 in AlphaFold 2's fine-tuning.")             \
    NUMBER(weight_violation, 0, 0, 1000,                                                           \
           "Weight of violated stereochemistry; 1 in AlphaFold 2's fine-tuning.")                  \
    NUMBER(weight_aligned_error, 0, 0, 1000, "Weight of the loss of predicted aligned errors.")

/* Sizes are fixed for the life of a network; shorter samples are padded and masked. Bytes between
 * the members there are none: it is written to checkpoints as it is. */
struct net_config {
    int64_t length, clusters;   /* L: residues of a crop; S: MSA rows */
    int64_t extra, templates;   /* E: extra rows; T; 0 where their blocks are 0 */
#define NET_SIZE_MEMBER(name, ...) int64_t name;
    NET_SIZES(NET_SIZE_MEMBER)
    NET_PLAN_SIZES(NET_SIZE_MEMBER)
#undef NET_SIZE_MEMBER
#define NET_NUMBER_MEMBER(name, ...) double name;
    NET_NUMBERS(NET_NUMBER_MEMBER)
#undef NET_NUMBER_MEMBER
    uint64_t seed;              /* of the first weights and of dropout */
#define NET_FLAG_MEMBER(name, ...) bool name;
    NET_FLAGS(NET_FLAG_MEMBER)
#undef NET_FLAG_MEMBER
    char reserved[5];           /* zero */
};

/* The table's defaults with crop 64, 32 clusters and seed 1. */
struct net_config net_config_default(void);

/* STATUS_INVALID names the size that is out of range, or contradicts another. */
enum status net_config_check(const struct net_config *config, struct error *err);

/* Sizes and dropout of all modules. */
struct model_sizes net_config_sizes(const struct net_config *config);

#endif
